"""DeepFashion and Market-1501, on small files in exactly their formats."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from rfwarp.data.catalog import DataConfig, open_dataset
from rfwarp.data.deepfashion import DEEPFASHION
from rfwarp.data.market1501 import MARKET1501
from rfwarp.data.person_photos import PersonPhotos
from rfwarp.data.person_tuples import build_tuples, read_tuples, write_tuples
from rfwarp.data.preparation import Options, prepare
from rfwarp.poses import POSE_KINDS, Keypoints, write_annotations

JACKETS = [f"fashionMENJackets_Vestsid0000{i // 3}_{i % 3}front.jpg" for i in range(6)]
MARKET = ["0002_c1s1_000451_03.jpg", "0002_c2s1_000451_01.jpg", "0007_c3s3_077419_03.jpg"]
MARKET += ["0007_c1s6_028546_01.jpg", "-1_c1s1_000401_03.jpg", "0000_c1s1_000151_01.jpg"]


def keypoint_lists(seed: int, height: int, width: int) -> tuple[list[int], list[int]]:
    random = np.random.default_rng(seed)
    y, x = (random.integers(0, side, 18).tolist() for side in (height, width))
    y.sort()  # shoulders above hips
    y[16] = x[16] = -1
    return y, x


def write_people(
    root: Path, layout, names: list[str], split: str = "train", size: tuple[int, int] | None = None
) -> None:
    """Images of one colour each, which their number determines."""
    folder = root / layout.images[0].format(split=split)
    folder.mkdir(parents=True)
    lines = ["name:keypoints_y:keypoints_x"]
    height, width = size or (layout.height, layout.width)
    for i, name in enumerate(names):
        Image.new("RGB", (width, height), (20 * i, 100, 0)).save(folder / name, quality=100)
        y, x = keypoint_lists(i, layout.height, layout.width)
        lines.append(f"{name}: {json.dumps(y)}: {json.dumps(x)}")
    (root / layout.annotations[0].format(split=split)).write_text("\n".join(lines) + "\n")


@pytest.fixture
def fashion(tmp_path) -> Path:
    for split in ("train", "test"):
        write_people(tmp_path, DEEPFASHION, JACKETS, split)
    report = prepare("deepfashion", tmp_path, Options(sources=2, decode=True))
    assert (report.problems, report.unusable) == ([], [])
    return tmp_path


def test_deepfashion_end_to_end(fashion):
    dataset = open_dataset(DataConfig("deepfashion", root=fashion, tuples=2), "train")
    assert (dataset.pose_kind, dataset.height, dataset.width) == ("keypoints", 256, 256)
    assert dataset.max_sources == 2
    (row,) = dataset.evaluation_rows(0, 1, 2)
    sample = dataset.load(row)
    assert sample.sources.shape == (2, 3, 256, 256)
    assert sample.poses.shape == (2, 18, 3)
    for image, number in zip([*sample.sources, sample.target], row, strict=True):
        assert image[:, 128, 128].tolist() == pytest.approx([20 * number, 100, 0], abs=3)
        assert (image[:, :, :40] == 255).all()  # white on both sides of 176 columns
        assert (image[:, :, 216:] == 255).all()
    y, x = keypoint_lists(row[-1], 256, 176)
    assert sample.target_pose[0].tolist() == [x[0] + 40, y[0], 1]
    assert sample.target_pose[16].tolist() == [0, 0, 0]
    maps = POSE_KINDS["keypoints"].expand(sample.target_pose, 256, 256)
    assert maps[0, y[0], x[0] + 40] == 1


def test_images_of_256_columns_are_taken_as_they_are(tmp_path):
    write_people(tmp_path, DEEPFASHION, JACKETS, size=(256, 256))
    write_tuples(tmp_path / "deepfashion-train-1.csv", [(JACKETS[0], JACKETS[1])])
    dataset = PersonPhotos(DEEPFASHION, tmp_path, "train", 1, size=(128, 64))
    sample = dataset.load((0, 1))
    assert sample.sources.shape == (1, 3, 128, 64)
    assert sample.target[0, 5, 1] == pytest.approx(20, abs=3)  # no white
    y, x = keypoint_lists(1, 256, 176)
    expected = [(x[0] + 40 + 0.5) / 4 - 0.5, (y[0] + 0.5) / 2 - 0.5, 1]
    assert sample.target_pose[0].tolist() == pytest.approx(expected)


def test_market_drops_junk_and_distractors(tmp_path):
    for split in ("train", "test"):
        write_people(tmp_path, MARKET1501, MARKET, split)
    report = prepare("market1501", tmp_path, Options(sources=1))
    assert report.usable["train images"] == 4
    dataset = open_dataset(DataConfig("market1501", root=tmp_path, tuples=1), "test")
    rows = dataset.evaluation_rows(0, 99, 1)
    assert sorted(rows) == [(0, 1), (1, 0), (2, 3), (3, 2)]
    sample = dataset.load(rows[0])
    assert sample.target.shape == (3, 128, 64)


# ------------------------------------------------------------------ tuples


def people(*sizes: int, missing: tuple[str, ...] = ()) -> dict[str, Keypoints]:
    """Images ``a_b_0`` ... of as many people as there are sizes."""
    poses = {}
    for person, count in enumerate(sizes):
        for image in range(count):
            name = f"cate_gory{person}_{image}.jpg"
            points = np.ones((18, 3))
            points[8, 2] = name not in missing
            poses[name] = Keypoints(points, 256, 176)
    return poses


@pytest.mark.parametrize("sources", [1, 2, 3])
def test_n_times_n_minus_1_tuples_per_person(sources):
    rows = build_tuples(people(4, 5, 30, sources), DEEPFASHION.identity, sources)
    assert len(set(rows)) == len(rows) == 4 * 3 + 5 * 4 + 30 * 29
    for row in rows:
        assert len(set(row)) == sources + 1
        assert len({name.rpartition("_")[0] for name in row}) == 1


def test_tuples_of_many_sources_from_many_images():
    rows = build_tuples(people(12, 11, 10), DEEPFASHION.identity, 10)
    assert len(set(rows)) == len(rows) == 12 * 11 + 11 * 10
    assert all(len(set(row)) == 11 for row in rows)


def test_one_source_gives_all_pairs():
    rows = build_tuples(people(4), DEEPFASHION.identity, 1)
    assert sorted(rows) == sorted(permutations(sorted(people(4)), 2))


def test_tuples_depend_on_the_seed_and_the_person_alone():
    alone, among = (
        build_tuples(people(*sizes), DEEPFASHION.identity, 2, 5) for sizes in ((6,), (6, 9))
    )
    assert alone == among[: len(alone)]
    assert alone != build_tuples(people(6), DEEPFASHION.identity, 2, 6)


def test_people_without_hips_are_left_out():
    poses = people(3, missing=("cate_gory0_1.jpg",))
    rows = build_tuples(poses, DEEPFASHION.identity, 1)
    assert sorted(rows) == [
        ("cate_gory0_0.jpg", "cate_gory0_2.jpg"),
        ("cate_gory0_2.jpg", "cate_gory0_0.jpg"),
    ]


def test_identities():
    assert (
        DEEPFASHION.identity("fashionMENJackets_Vestsid01_2side.jpg")
        == "fashionMENJackets_Vestsid01"
    )
    assert DEEPFASHION.identity("lonely.png") == "lonely.png"
    with pytest.raises(ValueError, match=r"'notes\.txt' is no name of an image of deepfashion"):
        DEEPFASHION.identity("notes.txt")
    assert MARKET1501.identity("0002_c1s1_000451_03.jpg") == "0002"
    assert [MARKET1501.is_person(name) for name in (*MARKET[3:], "Thumbs.db")] == [
        *(True, False, False, False)
    ]


def test_draws_are_reproducible_and_fewer_sources_a_prefix(fashion):
    dataset = open_dataset(DataConfig("deepfashion", root=fashion), "train")
    rows = dataset.draw(3, 7, 20, 2)
    assert rows == dataset.draw(3, 7, 20, 2)
    assert rows != dataset.draw(3, 8, 20, 2)
    assert dataset.draw(3, 7, 20, 1) == [(first, target) for first, _, target in rows]
    with pytest.raises(ValueError, match=r"sources must lie in 1..2, got 3"):
        dataset.draw(0, 0, 1, 3)


def test_tuples_round_trip(tmp_path):
    rows = build_tuples(people(4, 3), DEEPFASHION.identity, 2)
    write_tuples(tmp_path / "t.csv", rows)
    assert (tmp_path / "t.csv").read_text().startswith("from_0,from_1,to\n")
    assert read_tuples(tmp_path / "t.csv") == rows
    (tmp_path / "pairs.csv").write_text("from,to\na,b\n")
    assert read_tuples(tmp_path / "pairs.csv") == [("a", "b")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: expected from_0,...,to or from,to, got ''"),
        ("to\na\n", "line 1: expected from_0"),
        ("from_1,to\na,b\n", "line 1: expected from_0"),
        ("from_0,to\na\n", "line 2: expected 2 names, got 1"),
        ("from_0,to\na,b\nc,c\n", "line 3: an image is there twice"),
        ("from_0,to\n", "has no rows"),
    ],
)
def test_wrong_tuples(tmp_path, text, message):
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(ValueError, match=f"t.csv,? {message}"):
        read_tuples(tmp_path / "t.csv")


# ------------------------------------------------------------------ what is wrong with a download


def test_missing_and_broken_images_are_listed(tmp_path):
    for split in ("train", "test"):
        write_people(tmp_path, DEEPFASHION, JACKETS, split)
    (tmp_path / "train" / JACKETS[0]).unlink()
    (tmp_path / "train" / JACKETS[4]).write_bytes(b"no image")
    Image.new("RGB", (99, 256)).save(tmp_path / "train" / JACKETS[5])
    report = prepare("deepfashion", tmp_path, Options(sources=1, decode=True))
    assert report.unusable == []
    assert len(report.problems) == 3
    assert f"{JACKETS[0]} is missing" in report.problems[0]
    assert JACKETS[4] in report.problems[1]
    assert "cannot be read as an image" in report.problems[1]
    assert "99 x 256 pixels, expected 176 x 256 or 256 x 256" in report.problems[2]
    rows = read_tuples(tmp_path / "deepfashion-train-1.csv")
    assert {name for row in rows for name in row} == {JACKETS[1], JACKETS[2]}


def test_unusable_downloads(tmp_path):
    report = prepare("deepfashion", tmp_path, Options())
    assert len(report.unusable) == 2
    assert "fasion-resize-annotation-train.csv" in report.unusable[0]
    write_people(tmp_path, DEEPFASHION, JACKETS[:2])
    report = prepare("deepfashion", tmp_path, Options(sources=2))
    assert "no tuples of 2 sources and a target" in report.unusable[0]
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        prepare("deepfashion", tmp_path / "nothing", Options())


def test_what_is_not_prepared_says_how(tmp_path):
    config = DataConfig("market1501", root=tmp_path, tuples=3)
    with pytest.raises(FileNotFoundError, match=r"there is no .*bounding_box_train or .*train"):
        open_dataset(config, "train")
    write_people(tmp_path, MARKET1501, MARKET)
    message = "make it by rfwarp prepare market1501 --root .* --sources 3"
    with pytest.raises(FileNotFoundError, match=message):
        open_dataset(config, "train")
    write_tuples(tmp_path / "market1501-train-3.csv", [("x.jpg", "y.jpg")])
    with pytest.raises(ValueError, match=r"names 'x.jpg', which has no keypoints"):
        open_dataset(config, "train")


def test_a_damaged_image_is_named_when_it_is_read(fashion):
    dataset = open_dataset(DataConfig("deepfashion", root=fashion), "train")
    (fashion / "train" / JACKETS[1]).write_bytes(b"")
    with pytest.raises(ValueError, match=JACKETS[1]):
        dataset.load((0, 1))
    (fashion / "train" / JACKETS[0]).unlink()
    with pytest.raises(ValueError, match=f"{JACKETS[0]} is missing"):
        dataset.load((0, 1))


def test_photographs_of_high_resolution_in_the_files_of_gfla(tmp_path):
    write_people(tmp_path, DEEPFASHION, JACKETS, size=(1101, 750))
    (tmp_path / "fasion-resize-annotation-train.csv").rename(
        tmp_path / "fasion-annotation-train.csv"
    )
    write_tuples(tmp_path / "deepfashion-train-1.csv", [(JACKETS[0], JACKETS[1])])
    sample = PersonPhotos(DEEPFASHION, tmp_path, "train").load((0, 1))
    assert sample.target.shape == (3, 256, 256)
    assert (sample.target[:, :, :40] == 255).all()
    assert (sample.target[:, :, 216:] == 255).all()
    assert sample.target[:, 128, 44].tolist() == pytest.approx([20, 100, 0], abs=3)
    y, x = keypoint_lists(1, 256, 176)
    assert sample.target_pose[0].tolist() == [x[0] + 40, y[0], 1]


def test_published_pairs(tmp_path):
    for split in ("train", "test"):
        write_people(tmp_path, DEEPFASHION, JACKETS, split)
        pairs = f"from,to\n{JACKETS[3]},{JACKETS[4]}\n{JACKETS[0]},nobody_1.jpg\n"
        (tmp_path / f"fasion-resize-pairs-{split}.csv").write_text(pairs)
    report = prepare("deepfashion", tmp_path, Options(sources=1, pairs=True))
    assert report.unusable == []
    assert (
        report.problems
        == [f"pair {JACKETS[0]},nobody_1.jpg: no image or keypoints of nobody_1.jpg"] * 2
    )
    assert read_tuples(tmp_path / "deepfashion-test-1.csv") == [(JACKETS[3], JACKETS[4])]
    with pytest.raises(ValueError, match="published pairs have one source, but sources is 2"):
        Options(sources=2, pairs=True)
    (tmp_path / "fasion-resize-pairs-test.csv").unlink()
    report = prepare("deepfashion", tmp_path, Options(sources=1, pairs=True))
    assert "there is no" in report.unusable[0]
    assert "fasion-pairs-test.csv" in report.unusable[0]


def test_the_largest_tuples_are_used_unless_told(fashion):
    prepare("deepfashion", fashion, Options(sources=1))
    config = DataConfig("deepfashion", root=fashion)
    assert open_dataset(config, "test").max_sources == 2
    assert open_dataset(replace(config, tuples=1), "test").max_sources == 1
    for path in fashion.glob("deepfashion-test-*.csv"):
        path.unlink()
    with pytest.raises(FileNotFoundError, match="make them by rfwarp prepare deepfashion --root"):
        open_dataset(config, "test")


def test_evaluation_sees_many_people(fashion):
    dataset = PersonPhotos(DEEPFASHION, fashion, "test")
    rows = dataset.evaluation_rows(0, 4, 2)  # of 12: 6 of each person
    assert [row[-1] // 3 for row in rows] == [0, 0, 1, 1]
    assert dataset.evaluation_rows(5, 4, 1) == [(row[0], row[-1]) for row in rows]
    assert len(set(dataset.evaluation_rows(0, 99, 2))) == 12


def test_aligned_sources(tmp_path, caplog):
    """Two people who stand at different places, one of them twice as tall, and one without neck."""
    torso = {1: (50, 40), 2: (40, 40), 5: (60, 40), 8: (44, 80), 11: (56, 80)}
    poses = {}
    for name, scale, shift in (("a_0.jpg", 1, 0), ("a_1.jpg", 2, 30), ("a_2.jpg", 1, 5)):
        points = np.full((18, 3), 0.0)
        for joint, (x, y) in torso.items():
            points[joint] = scale * x + shift, scale * y - shift, name != "a_2.jpg" or joint != 1
        poses[name] = Keypoints(points, 256, 176)
    (tmp_path / "train").mkdir()
    for name in poses:
        Image.new("RGB", (176, 256), (90, 0, 0)).save(tmp_path / "train" / name)
    write_annotations(tmp_path / "fasion-resize-annotation-train.csv", poses)
    write_tuples(tmp_path / "deepfashion-train-1.csv", build_tuples(poses, lambda name: "a", 1))
    config = DataConfig("deepfashion", root=tmp_path, align=True)
    dataset = open_dataset(config, "train")
    assert sorted(dataset.evaluation_rows(0, 9, 1)) == [(0, 1), (1, 0)]
    assert "4 tuples cannot be aligned and are left out" in caplog.text
    sample = dataset.load((1, 0))
    assert sample.poses[0].flatten().tolist() == pytest.approx(
        sample.target_pose.flatten().tolist(), abs=1e-4
    )
    plain = open_dataset(replace(config, align=False), "train")
    assert (plain.load((1, 0)).target == sample.target).all()
    assert (plain.load((1, 0)).poses[0] != sample.poses[0]).any()
    with pytest.raises(ValueError, match="kitti has no align; its options are size, root"):
        open_dataset(DataConfig("kitti", root=tmp_path, align=True), "train")


@pytest.mark.parametrize("name", ["deepfashion", "kitti", "shapenet-chairs", "voxceleb2"])
def test_downloads_need_a_root(name):
    with pytest.raises(ValueError, match=f"{name} needs root"):
        open_dataset(DataConfig(name), "train")
    with pytest.raises(ValueError, match="chairs has no root; its options are"):
        open_dataset(DataConfig("chairs", root=Path()), "train")


def test_samples_stack_to_batches(fashion):
    dataset = open_dataset(DataConfig("deepfashion", root=fashion), "train")
    samples = [dataset.load(row) for row in dataset.draw(0, 0, 3, 2)]
    assert torch.stack([s.sources for s in samples]).dtype == torch.uint8


def test_training_and_evaluation(tmp_path):
    """Two steps on images that are not square, then the command's report on the result."""
    from rfwarp.cli import main

    for split in ("train", "test"):
        write_people(tmp_path, MARKET1501, MARKET, split)
    assert main(["prepare", "market1501", "--root", str(tmp_path), "--sources", "1"]) == 0
    out, report = tmp_path / "run", tmp_path / "report.json"
    data = ["--data.name", "market1501", "--data.root", str(tmp_path), "--data.tuples", "1"]
    small = ["--network.width", "0.015625", "--batch-size", "2", "--sources", "1", "--workers", "0"]
    short = ["--flow-steps", "1", "--steps", "1", "--device", "cpu", "--sample-every", "1"]
    plain = ["--features", "oriented-pyramid", "--precision", "float32"]
    assert main(["train", "--out", str(out), *data, *small, *short, *plain]) == 0
    given = ["--dataset", "market1501", "--root", str(tmp_path), "--sources", "1"]
    written = ["--json", str(report), "--table", str(tmp_path / "t.md"), "--save", str(tmp_path)]
    assert main(["evaluate", "-w", str(out / "model"), *given, *written]) == 0
    rows = [line for line in (tmp_path / "t.md").read_text().splitlines() if line.startswith("| 1")]
    assert len(rows) == 3 + 5  # of ours; of the paper with one source
    assert "| 1 | the paper, Table 8 | - | - | - | 0.2730 | 0.1418 | 17.362 |" in rows
    assert (tmp_path / "results.png").is_file()
    assert "images JPEG, resized by Lanczos" in (tmp_path / "t.md").read_text()
    assert (
        "The paper: sources are aligned with the target (--align)."
        in (tmp_path / "t.md").read_text()
    )
    facts = json.loads(report.read_text())
    assert facts["dataset"] == {
        "name": "market1501",
        "tuples": 1,
        "align": False,
        "size": [128, 64],
    }
    assert facts["sets"] == len(read_tuples(tmp_path / "market1501-test-1.csv"))
    assert facts["protocol"]["sources"] == "not aligned"
    (result,) = json.loads(report.read_text())["results"]
    assert result["nearest_source"] == result["mean_source"]
    assert 0 < result["model"]["psnr"] < 100
    assert list((out / "samples").glob("*.png"))
    assert main(["evaluate", "-w", str(out / "model"), *given, *written, "--align"]) == 0
    aligned = json.loads(report.read_text())
    assert aligned["dataset"]["align"]
    assert aligned["protocol"]["sources"] == "aligned with the target"
    (moved,) = aligned["results"]
    assert moved["model"] != result["model"]  # images of one colour stay, but poses move
