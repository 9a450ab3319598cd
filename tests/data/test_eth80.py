"""ETH-80, on folders of drawn photographs in its layouts."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from rfwarp import Generator
from rfwarp.cli import main
from rfwarp.data.catalog import DataConfig, open_dataset
from rfwarp.data.check_report import Options
from rfwarp.data.eth80 import Eth80, find_photographs
from rfwarp.data.preparation import prepare
from rfwarp.poses import Viewpoint

VIEWS = ["000-000", "022-090", "045-180", "066-153", "090-338"]  # polar angle, azimuth
SEEN = [(270, 90), (0, 68), (90, 45), (63, 24), (248, 0)]  # azimuth from the front, elevation
BLUE = (20, 30, 200)
SIDE = 48


def colour(thing: str, view: int) -> tuple[int, int, int]:
    """Colour of an object, different in every photograph."""
    return 100 + 10 * int(thing[-1]), 40 + 30 * view, 30 * (ord(thing[0]) - ord("a"))


def disc(side: int = SIDE) -> np.ndarray:
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    return np.hypot(x, y) < side / 3


def write(folder: Path, thing: str, suffix: str = ".png", views=VIEWS) -> None:
    """All views of a thing and their masks, 8-bit as published or of one bit."""
    (folder / "maps").mkdir(parents=True)
    for number, view in enumerate(views):
        pixels = np.where(disc()[..., None], colour(thing, number), BLUE).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{thing}-{view}{suffix}", quality=95, subsampling=0)
        mask = Image.fromarray(disc().astype(np.uint8) * 255)
        mask.convert("1" if suffix == ".jpg" else "L").save(folder / f"maps/{thing}-{view}-map.png")


THINGS = {
    "1/1": "apple1",
    "1/6": "apple6",
    "1/7": "apple7",
    "1/8": "apple8",
    "1/10": "apple10",
    "2/4": "car11",
    "2/7": "car7",
    "2/8": "car12",
    "2/9": "car9",
}
SPLITS = {
    "train": ["apple1", "apple6", "car11"],
    "validation": ["apple7", "car7"],
    "test": ["apple8", "apple10", "car9", "car12"],
}


@pytest.fixture(params=["published", "numbered"])
def root(request, tmp_path) -> Path:
    """PNG in folders of things, or JPEG in numbered folders."""
    for folder, thing in THINGS.items():
        if request.param == "published":
            write(tmp_path / "eth80" / thing, thing)
        else:
            write(tmp_path / "eth80" / folder, thing, ".jpg")
    return tmp_path / "eth80"


in_one_layout = pytest.mark.parametrize(
    "root", ["published", pytest.param("numbered", marks=pytest.mark.slow)], indirect=True
)


@pytest.mark.parametrize("split", SPLITS)
def test_splits_and_samples(root, split):
    dataset = open_dataset(DataConfig("eth80", root=root, size=SIDE), split)
    assert (dataset.pose_kind, dataset.height, dataset.width) == ("viewpoint", SIDE, SIDE)
    assert dataset.max_sources == len(VIEWS) - 1
    things = list(dict.fromkeys(photograph.thing for photograph in dataset.photographs))
    assert things == SPLITS[split]
    for row in dataset.draw(3, 5, 40, 4):
        sample = dataset.load(row)
        assert len(set(row)) == 5
        assert len({number // len(VIEWS) for number in row}) == 1
        images, codes = [*sample.sources, sample.target], [*sample.poses, sample.target_pose]
        for number, image, code in zip(row, images, codes, strict=True):
            thing, view = things[number // len(VIEWS)], number % len(VIEWS)
            assert torch.equal(code, Viewpoint(*SEEN[view]).code())
            middle, corner = image[:, SIDE // 2, SIDE // 2], image[:, 0, 0]
            assert middle.tolist() == pytest.approx(colour(thing, view), abs=3)
            assert corner.tolist() == pytest.approx(BLUE, abs=3)


def test_rows_are_fair_and_fewer_sources_are_a_prefix(root):
    dataset = open_dataset(DataConfig("eth80", root=root), "test")
    rows = dataset.draw(0, 7, 2000, 3)
    assert rows == dataset.draw(0, 7, 2000, 3)
    assert [(*row[:1], row[-1]) for row in rows] == dataset.draw(0, 7, 2000, 1)
    counts = np.bincount([row[-1] for row in rows], minlength=20)
    assert len(counts) == 20
    assert counts.min() > 60
    assert dataset.evaluation_rows(4, 9, 2) == dataset.draw(4, 0, 9, 2)
    with pytest.raises(ValueError, match=r"sources must lie in 1\.\.4, got 5"):
        dataset.draw(0, 0, 1, 5)


def test_things_of_different_numbers_of_views(tmp_path):
    """Things are drawn equally often, and no row mixes views of two."""
    write(tmp_path / "a", "apple1", views=VIEWS[:3])
    write(tmp_path / "b", "mug2", views=VIEWS)
    dataset = open_dataset(DataConfig("eth80", root=tmp_path), "train")
    assert dataset.max_sources == 2
    rows = dataset.draw(0, 0, 1000, 2)
    of_apple = sum(max(row) < 3 for row in rows)
    assert all(max(row) < 3 or min(row) >= 3 for row in rows)
    assert 400 < of_apple < 600
    assert {number for row in rows for number in row} == set(range(8))


def test_white_background(root):
    config = DataConfig("eth80", root=root, size=SIDE, background="white")
    image = open_dataset(config, "train").load((1, 0)).target
    inside = torch.from_numpy(disc())
    assert (image[:, ~inside] == 255).all()
    assert image[:, SIDE // 2, SIDE // 2].tolist() == pytest.approx(colour("apple1", 0), abs=3)
    small = open_dataset(DataConfig("eth80", root=root, size=16, background="white"), "train")
    image = small.load((1, 0)).target.float()
    assert (image[:, 0, 0] == 255).all()
    # White lies under the photograph before it is resized: no blue is at the edge.
    shown = (255 - image) / (255 - image[:, 8:9, 8:9])
    edge = (shown[0] > 0.2) & (shown[0] < 0.8)
    assert edge.any()
    assert (shown[0] - shown[1])[edge].abs().max() < 0.1


def test_sizes_are_antialiased(tmp_path):
    """Stripes of one pixel become their mean."""
    write(tmp_path, "cup1", views=VIEWS[:2])
    stripes = np.zeros((SIDE, SIDE, 3), np.uint8)
    stripes[:, ::2] = 200
    Image.fromarray(stripes).save(tmp_path / f"cup1-{VIEWS[0]}.png")
    image = open_dataset(DataConfig("eth80", root=tmp_path, size=12), "train").load((1, 0)).target
    assert (image[:, :, 2:-2].float() - 100).abs().max() < 4


def test_categories(root):
    def things(category):
        dataset = open_dataset(DataConfig("eth80", root=root, category=category), "test")
        return list(dict.fromkeys(photograph.thing for photograph in dataset.photographs))

    assert things("car") == ["car9", "car12"]
    assert things("car, apple") == things(None) == SPLITS["test"]
    with pytest.raises(
        ValueError, match="no photograph is of category 'cup'; there are apple, car"
    ):
        things("car,cup")


def test_instances_that_no_split_knows(tmp_path):
    """Instances above 7 are all for testing; asking for another split raises an error."""
    for instance in (9, 12):
        write(tmp_path / str(instance), f"apple{instance}")
    config = DataConfig("eth80", root=tmp_path)
    assert open_dataset(config, "test").instances == 2
    for split in ("train", "validation"):
        with pytest.raises(ValueError, match=rf"no {split} instance: found 9, 12\. Instances 1 to"):
            open_dataset(config, split)
    write(tmp_path / "7", "car7")
    with pytest.raises(ValueError, match="no test instance of car: found 7"):
        open_dataset(DataConfig("eth80", root=tmp_path, category="car"), "test")


def test_folders_that_cannot_be_read(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no folder"):
        find_photographs(tmp_path / "none")
    with pytest.raises(ValueError, match=r"no photograph below .* such as car3-066-207\.png"):
        find_photographs(tmp_path)
    Image.new("RGB", (8, 8)).save(tmp_path / "IMG_001.jpg")
    with pytest.raises(ValueError, match=r"no photograph below .*, but .*IMG_001\.jpg"):
        find_photographs(tmp_path)
    write(tmp_path / "a", "cow2", views=VIEWS[:1])
    with pytest.raises(ValueError, match=r"cow2 has no photograph but .*cow2-000-000\.png"):
        open_dataset(DataConfig("eth80", root=tmp_path), "train")
    for name in ("cow2-181-000.png", "cow2-000-360.png"):
        Image.new("RGB", (8, 8)).save(tmp_path / name)
        with pytest.raises(ValueError, match=rf"{name}: the polar angle must be at most 180"):
            find_photographs(tmp_path)
        (tmp_path / name).unlink()
    write(tmp_path / "b", "cow2", ".jpg", VIEWS[:1])
    with pytest.raises(ValueError, match=r"cow2-000-000\.png and .*\.jpg are the same photograph"):
        find_photographs(tmp_path)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (
            lambda file, mask: file.write_bytes(b"no image"),
            "000-000.png cannot be read as an image",
        ),
        (
            lambda file, mask: file.write_bytes(file.read_bytes()[:150]),
            "cannot be read as an image",
        ),
        (lambda file, mask: mask.write_bytes(b"no image"), "map.png cannot be read as an image"),
        (
            lambda file, mask: Image.new("RGB", (8, 6)).save(file),
            r"must be square, but it is 6 x 8",
        ),
        (
            lambda file, mask: Image.new("L", (9, 8)).save(mask),
            r"is 8 x 9 .*it is for 48 x",
        ),
    ],
)
def test_files_that_cannot_be_read(tmp_path, spoil, message):
    write(tmp_path, "cow2")
    spoil(tmp_path / "cow2-000-000.png", tmp_path / "maps/cow2-000-000-map.png")
    dataset = open_dataset(DataConfig("eth80", root=tmp_path, background="white"), "train")
    dataset.load((1, 2))
    with pytest.raises(ValueError, match=message):
        dataset.load((1, 0))
    report = prepare("eth80", tmp_path, Options(decode=True))
    assert any("cow2-000-000" in problem for problem in report.problems)
    assert "train: 1 of its photographs or masks cannot be used" in report.unusable


def test_masks_are_asked_for_only_if_needed(tmp_path):
    write(tmp_path, "cow2")
    for view in VIEWS[2:]:
        (tmp_path / f"maps/cow2-{view}-map.png").unlink()
    open_dataset(DataConfig("eth80", root=tmp_path), "train").load((0, 1, 2))
    with pytest.raises(ValueError, match=r"there is no .*cow2-045-180-map\.png, nor 2 others"):
        open_dataset(DataConfig("eth80", root=tmp_path, background="white"), "train")


def test_photographs_without_masks_are_decoded_too(tmp_path):
    write(tmp_path, "cow2")
    for mask in (tmp_path / "maps").iterdir():
        mask.unlink()
    file = tmp_path / "cow2-000-000.png"
    file.write_bytes(file.read_bytes()[:150])
    report = prepare("eth80", tmp_path, Options(decode=True))
    assert "train: 1 of its photographs or masks cannot be used" in report.unusable


def test_preparation(root, capsys):
    Image.new("RGB", (8, 8)).save(root / "notes.png")
    assert main(["prepare", "eth80", "--root", str(root), "--decode"]) == 0
    shown = capsys.readouterr().out
    assert "3 train instances\n       15 train photographs\n" in shown
    assert "2 validation instances\n" in shown
    assert "4 test instances\n" in shown
    report = (root / "prepare-report.txt").read_text()
    assert "notes.png has the name of no photograph" in report
    assert "apple1 has 5 of 41 views" in report


def test_the_cache_outlives_the_dataset(root, tmp_path, monkeypatch):
    config = DataConfig("eth80", root=root, size=32, cache=tmp_path / "cache")
    first = open_dataset(config, "test").load((0, 1, 2))
    with monkeypatch.context() as broken:
        broken.setattr("rfwarp.data.eth80.open_image", None)
        again = open_dataset(config, "test").load((0, 1, 2))
    assert torch.equal(first.sources, again.sources)
    assert torch.equal(first.target, again.target)
    open_dataset(config, "train")  # beside it
    for other in ({"size": 16}, {"background": "white"}, {"category": "car"}):
        changed = DataConfig("eth80", **({"root": root, "size": 32, "cache": config.cache} | other))
        with pytest.raises(ValueError, match=r"cache .* was made with"):
            open_dataset(changed, "test")


def test_images_are_kept_in_memory(root, monkeypatch):
    dataset = open_dataset(DataConfig("eth80", root=root, size=32), "test")
    assert isinstance(dataset, Eth80)
    dataset.load((0, 1, 2))
    monkeypatch.setattr("rfwarp.data.eth80.open_image", None)
    dataset.load((2, 0, 1))


@in_one_layout
def test_training_and_evaluation(root, tmp_path, capsys):
    pytest.importorskip("accelerate")
    run = tmp_path / "run"
    given = ["--data.name", "eth80", "--data.root", str(root), "--data.size", "64"]
    given += ["--network.width", "0.015625", "--batch-size", "1", "--workers", "0"]
    given += ["--flow-steps", "1", "--steps", "1", "--sample-every", "1", "--device", "cpu"]
    given += ["--features", "oriented-pyramid", "--weights.adversarial", "0", "--sources", "1"]
    assert main(["train", "--out", str(run), *given, "--precision", "float32"]) == 0
    card = (run / "model" / "README.md").read_text()
    assert "license: other" in card
    assert "Research only: the photographs have no stated licence." in card
    assert (run / "held_out.jsonl").is_file()

    def report(*more):
        out = tmp_path / "scores.json"
        given = ["-w", str(run / "model"), "--dataset", "eth80", "--root", str(root), *more]
        sources = ["--sources", "1", "4", "--sets", "6", "--json", str(out), "--device", "cpu"]
        assert main(["evaluate", *given, *sources]) == 0
        return json.loads(out.read_text())

    plain = report()
    facts = {"name": "eth80", "category": None, "background": "photographed", "size": 64}
    assert plain["dataset"] == facts
    assert [result["sources"] for result in plain["results"]] == [1, 4]
    other = report("--validation", "--background", "white", "--category", "car", "--size", "96")
    changed = {"split": "validation", "background": "white", "category": "car", "size": 96}
    assert other["dataset"] == facts | changed
    assert "6 sets of images of eth80 (car, validation, white background)." in (
        capsys.readouterr().out
    )


@in_one_layout
def test_a_model_of_cameras_takes_its_views(root):
    """Depth flows of all elevations, up to straight above."""
    torch.manual_seed(0)
    generator = Generator(
        pose_channels=21,
        pose_kind="viewpoint",
        image_size=64,
        width=0.125,
        flow_model="depth",
        focal=3,
    ).eval()
    sample = open_dataset(DataConfig("eth80", root=root, size=64), "test").load((3, 2, 1, 0))
    images = [image.permute(1, 2, 0).numpy() for image in (*sample.sources, sample.target)]
    with torch.inference_mode():
        drawn = generator.generate(images[:3], list(sample.poses), sample.target_pose)
        others = generator.generate(images[:3], list(sample.poses), Viewpoint(90, 90))
    assert drawn.size == (64, 64)
    assert np.asarray(drawn).tolist() != np.asarray(others).tolist()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--dataset", "chairs", "--background", "white"], "chairs has no background"),
        (["--dataset", "kitti", "--root", ".", "--background", "white"], "kitti has no background"),
        (["--dataset", "people", "--validation"], "people has no validation split"),
        (["--dataset", "eth80"], "eth80 needs root"),
        (["--dataset", "eth80", "--root", ".", "--sources", "41"], "at most 40 of ETH-80"),
    ],
)
def test_what_is_refused(arguments, message, capsys):
    weights = ["-w", "people-64"] if "people" in arguments else []
    assert main(["evaluate", *arguments, *weights]) == 1
    assert message in capsys.readouterr().err
