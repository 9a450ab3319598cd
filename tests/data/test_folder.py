"""Folders of one's own images, with files as cameras, OpenPose and people make them."""

import json
import os
import zlib
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from rfwarp import Generator
from rfwarp.cli import main
from rfwarp.data import ImageFolder, write_chair_folder, write_people_folder
from rfwarp.data.catalog import DataConfig, open_dataset
from rfwarp.data.check_report import Options, Report
from rfwarp.data.folder import TABLE, read_table
from rfwarp.data.framing import frame, frame_image, frame_pose
from rfwarp.data.preparation import prepare
from rfwarp.poses import FaceLandmarks, Keypoints, Viewpoint, read_annotations

SIZE = (64, 64)
ROTATED = 6  # EXIF: shown turned clockwise by 90 degrees


def shade(number: int) -> tuple[int, int, int]:
    return 20 + 9 * number, 40, 200 - 9 * number


def photograph(path: Path, size=(80, 60), colour=(10, 20, 30), **options) -> None:
    """One of that width and height, of one colour."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path, **options)


def openpose(path: Path, points: np.ndarray) -> None:
    people = [{"pose_keypoints_2d": points.ravel().tolist()}]
    path.write_text(json.dumps({"people": people}))


def joints(seed: int, width: int, height: int) -> np.ndarray:
    """(18, 3): x, y and confidence, one of them missing."""
    points = np.random.default_rng(seed).uniform(0, 1, (18, 3)) * [width - 1, height - 1, 0]
    points[:, 2] = 0.9
    points[7] = 0
    return points.round(3)


def things(root: Path, names, views=4) -> None:
    """A folder each, with viewpoints in the names of files."""
    for number, name in enumerate(names):
        for view in range(views):
            path = root / name / f"{name}_{30 * view:03d}_10.jpg"
            photograph(path, colour=shade(number), quality=95)


def prepared(root: Path) -> Report:
    report = prepare("folder", root, Options())
    assert not report.unusable, report.unusable
    return report


def splits(root: Path) -> dict[str, str]:
    return {entry.image: entry.split for entry in read_table(root)}


# ---------------------------------------------------------------- images


def test_photographs_as_people_have_them(tmp_path):
    """Rotated by EXIF, grey, transparent, of odd sizes: RGB of the size asked, not distorted."""
    left = np.zeros((60, 81, 3), np.uint8)
    left[:, :40] = 250
    upright = Image.fromarray(left)
    upright.save(tmp_path / "a_000_00.png")
    exif = Image.Exif()
    exif[0x0112] = ROTATED
    upright.rotate(90, expand=True).save(
        tmp_path / "a_020_00.jpg", exif=exif, quality=100, subsampling=0
    )
    upright.convert("L").save(tmp_path / "a_040_00.png")
    clear = upright.convert("RGBA")
    clear.putalpha(Image.fromarray(np.where(left[..., 0] > 0, 255, 0).astype(np.uint8)))
    clear.save(tmp_path / "a_060_00.png")
    prepared(tmp_path)
    dataset = ImageFolder(tmp_path, "train", SIZE)
    numbers = {entry.image: number for number, entry in enumerate(read_table(tmp_path))}
    sample = dataset.load(tuple(numbers.values()))
    images = dict(zip(numbers, [*sample.sources, sample.target], strict=True))
    first = images["a_000_00.png"].float()
    assert first.shape == (3, *SIZE)
    # 60 of 81 rows of the padded square are the photograph: white above and below.
    assert (first[:, [0, 4, 59, 63]] == 255).all()
    assert (first[:, 12:52, 3:29] - 250).abs().max() <= 2
    assert first[:, 12:52, 35:60].max() <= 5
    assert (images["a_020_00.jpg"].float() - first).abs().max() <= 6  # JPEG
    assert torch.equal(images["a_040_00.png"], images["a_000_00.png"])
    assert (images["a_060_00.png"][:, 12:52, 35:60] == 255).all()


@pytest.mark.parametrize("fit", ["pad", "crop"])
@pytest.mark.parametrize("photo", [(60, 81), (81, 60), (97, 97), (64, 64), (33, 200), (480, 640)])
@pytest.mark.parametrize("size", [(64, 64), (128, 96), (96, 160)])
def test_frames_are_of_the_shape_and_in_the_middle(photo, size, fit):
    """By exact fractions: nothing is distorted, and the frame touches the photograph."""
    left, top, width, height = frame(photo, size, fit)
    tall, wide = photo
    ratios = [Fraction(wide, size[1]), Fraction(tall, size[0])]
    scale = max(ratios) if fit == "pad" else min(ratios)  # pixels of the photograph per pixel
    assert width == pytest.approx(float(scale * size[1]), rel=1e-15)
    assert height == pytest.approx(float(scale * size[0]), rel=1e-15)
    for begin, extent, side in ((left, width, wide), (top, height, tall)):
        assert isinstance(begin, int)
        assert abs(begin + extent / 2 - side / 2) < 1
        if fit == "crop":
            assert begin >= 0
            assert begin + extent <= side
        else:
            assert begin <= 0
            assert begin + extent >= side


@pytest.mark.parametrize("fit", ["pad", "crop"])
def test_what_has_the_size_stays_as_it_is(fit):
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert np.array_equal(frame_image(Image.fromarray(pixels), SIZE, fit), pixels)


@pytest.mark.parametrize("fit", ["pad", "crop"])
@pytest.mark.parametrize("photo", [(150, 201), (201, 150), (97, 320)])
@pytest.mark.parametrize("size", [(64, 64), (96, 64)])
def test_joints_move_as_pixels_do(photo, size, fit):
    """A dot drawn at a joint, framed: its centre of mass is where the joint went."""
    height, width = photo
    middle = np.array([width / 2 + 6.3, height / 2 - 9.6])
    y, x = np.mgrid[:height, :width].astype(np.float64)
    dot = 255 * np.exp(-((x - middle[0]) ** 2 + (y - middle[1]) ** 2) / (2 * 6.0**2))
    image = Image.fromarray(np.repeat((255 - dot)[..., None], 3, axis=2).round().astype(np.uint8))
    dark = 255 - np.asarray(frame_image(image, size, fit), np.float64)[..., 0]
    y, x = np.mgrid[: size[0], : size[1]].astype(np.float64)
    found = np.array([(x * dark).sum(), (y * dark).sum()]) / dark.sum()
    points = np.full((18, 2), -1.0)
    points[0] = middle
    moved = frame_pose(Keypoints(points, *photo), size, fit)
    assert (moved.height, moved.width) == size
    assert moved.has(0)
    assert not moved.has(1)
    assert np.abs(moved.points[0, :2] - found).max() < 0.03  # of pixels in 256 shades


@pytest.mark.parametrize("fit", ["pad", "crop"])
def test_poses_follow_to_a_part_of_a_pixel(fit):
    """Against the map of the frame's edges in exact fractions; float32 holds 24 bits."""
    photo, size = (301, 457), (128, 96)
    points = np.random.default_rng(3).uniform(0, 300, (68, 2)).astype(np.float32)
    left, top, _, _ = frame(photo, size, fit)
    ratios = [Fraction(photo[1], size[1]), Fraction(photo[0], size[0])]
    scale = float(max(ratios) if fit == "pad" else min(ratios))
    expected = (points.astype(np.float64) + 0.5 - [left, top]) / scale - 0.5
    moved = frame_pose(FaceLandmarks(points, *photo), size, fit)
    assert np.abs(moved.points - expected).max() < 128 * 2**-23
    body = frame_pose(Keypoints(points[:18], *photo), size, fit)
    assert np.abs(body.points[:, :2] - expected[:18]).max() < 128 * 2**-23
    assert frame_pose(Viewpoint(10, 20), size, fit) == Viewpoint(10, 20)


# ---------------------------------------------------------------- poses


def test_openpose_beside_the_images(tmp_path):
    for person in ("anna", "ben"):
        for number, ending in enumerate((".json", "_keypoints.json", ".json")):
            photograph(tmp_path / person / f"{number}.jpg", (90, 120), shade(number))
            openpose(tmp_path / person / f"{number}{ending}", joints(number, 90, 120))
    prepared(tmp_path)
    dataset = ImageFolder(tmp_path, "train", (64, 64))
    assert (dataset.pose_kind, dataset.max_sources) == ("keypoints", 2)
    ((*_, number),) = dataset.draw(0, 0, 1, 2)
    code = dataset.load((number - 1 if number % 3 else number + 1, number)).target_pose
    expected = (joints(number % 3, 90, 120)[:, :2] + 0.5 - [-15, 0]) * (64 / 120) - 0.5
    there = np.arange(18) != 7
    assert code[~there].eq(0).all()
    assert np.abs(code.numpy()[there, :2] - expected[there]).max() < 1e-4


def test_landmarks_beside_the_images(tmp_path):
    for number in range(4):
        photograph(tmp_path / "eve" / f"{number}.png", (100, 80))
        np.save(tmp_path / "eve" / f"{number}.npy", np.full((68, 2), 40 + number))
    prepared(tmp_path)
    dataset = ImageFolder(tmp_path, "train", SIZE, "crop")
    assert dataset.pose_kind == "landmarks"
    assert dataset.load((0, 2)).poses.shape == (1, 3, *SIZE)


@pytest.mark.parametrize(
    "table",
    [
        "image,azimuth,elevation\n1.jpg,0,5\n2.jpg,22.5,5\n3.jpg,-45,5\n",
        "\ufeffimage,pose\r\n1.jpg,0:5\r\n2.jpg, 22.5:5 \r\n3.jpg,315:5\r\n",
    ],
)
def test_viewpoints_in_a_table(tmp_path, table):
    for number in range(1, 4):
        photograph(tmp_path / f"{number}.jpg")
    (tmp_path / "poses.csv").write_text(table, encoding="utf-8")
    prepared(tmp_path)
    assert [entry.identity for entry in read_table(tmp_path)] == [tmp_path.name] * 3
    dataset = ImageFolder(tmp_path, "train", SIZE)
    assert torch.equal(dataset.load((2, 0)).poses[0], Viewpoint(315, 5).code())


def test_camera_motions_in_a_table(tmp_path):
    rows = [f"{n}.jpg,drive,camera:0,0,0,0,0,{n}" for n in range(4)]
    quoted = [row.replace("camera", '"camera') + '"' for row in rows]
    (tmp_path / "poses.csv").write_text("\n".join(["image,identity,pose", *quoted]))
    for number in range(4):
        photograph(tmp_path / f"{number}.jpg")
    prepared(tmp_path)
    assert open_dataset(DataConfig("folder", root=tmp_path), "train").pose_kind == "camera"


def test_one_kind_of_pose_only(tmp_path, capsys):
    things(tmp_path, ["cup", "mug"])
    openpose(tmp_path / "mug/mug_030_10.json", joints(0, 80, 60))
    assert main(["prepare", "folder", "--root", str(tmp_path)]) == 1
    message = capsys.readouterr().err
    assert "that of cup/cup_000_10.jpg is viewpoint, and that of mug/mug_030_10.jpg is" in message
    assert message.count("\n") == 1
    assert not (tmp_path / TABLE).exists()


def test_folders_that_we_render_are_read_as_they_are(tmp_path):
    write_chair_folder(tmp_path / "chairs", 3, 64, views=[0, 10, 20])
    assert prepared(tmp_path / "chairs").problems == []
    chairs = ImageFolder(tmp_path / "chairs", "train", SIZE)
    assert {entry.identity for entry in read_table(tmp_path / "chairs")} == {
        *("000000", "000001", "000002")
    }
    held_out = min(("000000", "000001", "000002"), key=lambda name: zlib.crc32(name.encode()))
    assert {image[:6] for image, split in splits(tmp_path / "chairs").items() if split == "test"}
    assert splits(tmp_path / "chairs")[f"{held_out}_000_00.png"] == "test"
    row = chairs.draw(0, 0, 1, 2)[0]
    entry = read_table(tmp_path / "chairs")[row[-1]]
    sample = chairs.load(row)
    with Image.open(tmp_path / "chairs" / entry.image) as image:
        assert np.array_equal(sample.target.permute(1, 2, 0), image)
    azimuth, elevation = map(int, entry.image[7:-4].split("_"))
    assert torch.equal(sample.target_pose, Viewpoint(azimuth, elevation).code())

    write_people_folder(tmp_path / "people", 2, (64, 48), views=3)
    assert prepared(tmp_path / "people").problems == []
    people = ImageFolder(tmp_path / "people", "test", SIZE)
    entries = read_table(tmp_path / "people")
    row = people.draw(0, 0, 1, 2)[0]
    assert len({entries[number].identity for number in row}) == 1
    keypoints = read_annotations(tmp_path / "people/keypoints.csv", 64, 48)
    points = keypoints[entries[row[-1]].image].points
    moved = people.load(row).target_pose.numpy()
    assert np.array_equal(moved[:, 0], (points[:, 0] + 8) * points[:, 2])  # 8 white columns
    assert np.array_equal(moved[:, 1:], points[:, 1:])


# ---------------------------------------------------------------- what is left out


def test_the_report_says_what_is_left_out_and_why(tmp_path, capsys):
    things(tmp_path, ["cup", "mug", "pot"])
    (tmp_path / "cup/cup_200_10.jpg").write_bytes(b"\xff\xd8 no image")
    (tmp_path / "cup/cup_220_10.heic").write_bytes(b"of a telephone")
    whole = (tmp_path / "mug/mug_030_10.jpg").read_bytes()
    (tmp_path / "mug/mug_030_10.jpg").write_bytes(whole[: len(whole) // 2])
    photograph(tmp_path / "mug/IMG_1.jpg")
    photograph(tmp_path / "mug/mug_240_10.jpg", (200, 31))
    photograph(tmp_path / "mug/mug_260_95.jpg")
    photograph(tmp_path / "mug/._mug_270_10.jpg")
    photograph(tmp_path / ".thumbnails/mug_280_10.jpg")
    photograph(tmp_path / "pan/pan_000_10.jpg")
    (tmp_path / "poses.csv").write_text("image,split\nmug/none.jpg,\n")
    assert main(["prepare", "folder", "--root", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "        2 train identities\n" in shown
    assert "        1 test identities\n" in shown
    problems = (tmp_path / "prepare-report.txt").read_text().splitlines()[7:]
    expected = [
        ("mug/none.jpg", "is missing"),
        ("cup/cup_200_10.jpg", "cannot be read as an image"),
        ("cup/cup_220_10.heic", "cannot be read as an image"),
        ("mug/IMG_1.jpg", "it has no pose, neither in poses.csv or keypoints.csv nor as .json"),
        ("mug/mug_030_10.jpg", "cannot be read as an image"),
        ("mug/mug_240_10.jpg", "it has 200 x 31 pixels, too few: at least 32 each are needed"),
        ("mug/mug_260_95.jpg", "it has no pose"),
        ("pan", "is left out: two usable images are needed, it has one"),
    ]
    assert len(problems) == len(expected)
    for line, (name, reason) in zip(problems, expected, strict=True):
        assert name in line
        assert reason in line
    assert len(splits(tmp_path)) == 4 + 3 + 4


def test_joints_outside_and_of_other_images(tmp_path):
    for number in range(6):
        photograph(tmp_path / "anna" / f"{number}.jpg", (90, 120))
        openpose(tmp_path / "anna" / f"{number}.json", joints(number, 90, 120))
    openpose(tmp_path / "anna/1.json", joints(1, 90, 120) + np.array([90, 0, 0]))
    (tmp_path / "anna/2.json").write_text('{"people": []}')
    (tmp_path / "anna/3.json").write_text('{"tags": []}')
    table = "image,pose\nanna/4.jpg,anna/4.json@256x176\n"
    (tmp_path / "poses.csv").write_text(table)
    photograph(tmp_path / "anna/6.jpg", (90, 120))
    openpose(tmp_path / "anna/6.json", joints(6, 90, 120))
    report = prepared(tmp_path)
    assert [entry.image for entry in read_table(tmp_path)] == [f"anna/{n}.jpg" for n in (0, 5, 6)]
    reasons = ["none of its joints", "OpenPose found nobody", "is no file of OpenPose"]
    reasons.append("it is 120 x 90 (H x W), but its pose is of an image of 256 x 176")
    for line, reason in zip(report.problems, reasons, strict=True):
        assert reason in line


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("picture,azimuth,elevation\n", "line 1: expected the column image"),
        ("image,azimuth\n", "line 1: expected the column image"),
        ("image,azimuth,elevation,pose\n", "line 1: expected the column image"),
        ("image,split\na.jpg,tset\n", "line 2: split must be train, test or nothing, got 'tset'"),
        ("image,pose\na.jpg\n", "line 2: expected 2 fields, got 1"),
        ("image\na.jpg\n\na.jpg\n", "line 4: 'a.jpg' was listed before"),
    ],
)
def test_tables_that_cannot_be_read(tmp_path, table, message, capsys):
    things(tmp_path, ["cup", "mug"])
    (tmp_path / "poses.csv").write_text(table)
    assert main(["prepare", "folder", "--root", str(tmp_path)]) == 1
    shown = capsys.readouterr().err
    assert f"train: {tmp_path / 'poses.csv'}, {message}" in shown
    assert shown.count("\n") == 1


def test_nothing_to_use(tmp_path):
    assert "there is no image in" in prepare("folder", tmp_path, Options()).unusable[0]
    things(tmp_path, ["cup", "mug"], views=1)
    (unusable,) = prepare("folder", tmp_path, Options()).unusable
    assert unusable == "train: nobody and nothing has two usable images; the report says why"
    with pytest.raises(FileNotFoundError, match=r"folder\.csv: rfwarp prepare folder --root"):
        open_dataset(DataConfig("folder", root=tmp_path), "train")
    things(tmp_path, ["cup"], views=2)
    (tmp_path / "mug/mug_000_10.jpg").unlink()
    unusable = prepare("folder", tmp_path, Options()).unusable
    assert unusable == ["train: sources of a train image: 1 wanted, at most 0 there"]


# ---------------------------------------------------------------- splits and rows


def test_splits_by_identity(tmp_path):
    names = [f"thing{number}" for number in range(21)]
    things(tmp_path, names, views=2)
    prepared(tmp_path)
    first = splits(tmp_path)
    tested = {image.split("/")[0] for image, split in first.items() if split == "test"}
    assert tested == set(sorted(names, key=lambda name: zlib.crc32(name.encode()))[:2])
    assert all((image.split("/")[0] in tested) == (s == "test") for image, s in first.items())
    prepared(tmp_path)
    assert splits(tmp_path) == first
    train, test = (ImageFolder(tmp_path, split, SIZE) for split in ("train", "test"))
    seen, held_out = (
        {number for row in dataset.draw(0, 0, 400, 1) for number in row}
        for dataset in (train, test)
    )
    assert (len(seen), len(held_out)) == (38, 4)
    assert not seen & held_out


@pytest.mark.parametrize(("images", "held_out"), [(3, 1), (8, 2), (12, 2), (40, 8)])
def test_one_thing_is_split_by_image(tmp_path, images, held_out):
    """Targets that training never saw, from sources that it did."""
    for number in range(images):
        photograph(tmp_path / f"mug_{9 * number:03d}_10.jpg", (40, 40), shade(number % 20))
    prepared(tmp_path)
    tested = [n for n, split in enumerate(splits(tmp_path).values()) if split == "test"]
    assert len(tested) == held_out
    assert np.diff([-1, *tested, images]).max() <= images / held_out + 1  # spread
    train, test = (ImageFolder(tmp_path, split, SIZE) for split in ("train", "test"))
    assert (train.max_sources, test.max_sources) == (images - held_out - 1, images - held_out)
    for row in train.draw(0, 0, 100, train.max_sources):
        assert not {*row} & {*tested}
        assert len({*row}) == len(row)
    for row in test.draw(0, 0, 100, test.max_sources):
        assert row[-1] in tested
        assert not {*row[:-1]} & {*tested}


def test_the_owner_s_splits_and_identities(tmp_path):
    lines = ["image,identity,split"]
    for number in range(8):
        photograph(tmp_path / f"{number}_000_{number:02d}.jpg")
        split = "test" if number in (0, 5) else ""
        lines.append(f"{number}_000_{number:02d}.jpg,{'ab'[number // 4]},{split}")
    (tmp_path / "poses.csv").write_text("\n".join(lines))
    report = prepared(tmp_path)
    assert report.usable["train identities"] == report.usable["test identities"] == 2
    assert list(splits(tmp_path).values()).count("train") == 6
    test = ImageFolder(tmp_path, "test", SIZE)
    rows = set(test.draw(0, 0, 200, 3))
    assert {row[-1] for row in rows} == {0, 5}
    assert all({*row[:-1]} == ({1, 2, 3} if row[-1] == 0 else {4, 6, 7}) for row in rows)


def test_rows_are_fair_and_fewer_sources_are_a_prefix(tmp_path):
    things(tmp_path, ["cup", "mug"], views=3)
    things(tmp_path, ["pot"], views=8)
    table = ["image,split", "mug/mug_000_10.jpg,train"]
    (tmp_path / "poses.csv").write_text("\n".join(table))
    report = prepare("folder", tmp_path, Options())
    assert report.unusable == ["test: no image is for testing"]
    dataset = ImageFolder(tmp_path, "train", SIZE)
    rows = dataset.draw(0, 7, 2000, 2)
    assert dataset.draw(0, 7, 2000, 2) == rows
    assert [(*row[:1], row[-1]) for row in rows] == dataset.draw(0, 7, 2000, 1)
    assert all(len({*row}) == 3 for row in rows)
    counts = np.bincount([row[-1] for row in rows], minlength=14)
    for own, expected in ((counts[:3], 222), (counts[3:6], 222), (counts[6:], 83)):
        assert np.abs(own - expected).max() < 6 * expected**0.5
    with pytest.raises(ValueError, match=r"sources must lie in 1\.\.2, got 3"):
        dataset.draw(0, 0, 1, 3)
    # Who has few is left out on demand.
    assert ImageFolder(tmp_path, "train", SIZE, sources=4).max_sources == 7
    with pytest.raises(ValueError, match=r"sources of a train image: 8 wanted, at most 7"):
        open_dataset(DataConfig("folder", root=tmp_path, tuples=8), "train")


def test_the_cache_serves_both_splits(tmp_path, monkeypatch):
    things(tmp_path / "own", ["cup", "mug"])
    prepared(tmp_path / "own")
    config = DataConfig("folder", root=tmp_path / "own", size=32, cache=tmp_path / "cache")
    rows = {"train": open_dataset(config, "train").draw(0, 0, 1, 2)[0]}
    rows["test"] = open_dataset(config, "test").draw(0, 0, 1, 2)[0]
    first = {split: open_dataset(config, split).load(row).target for split, row in rows.items()}
    with monkeypatch.context() as broken:
        broken.setattr("rfwarp.data.folder.load_image", None)
        for split, row in rows.items():
            assert torch.equal(open_dataset(config, split).load(row).target, first[split])
    for other in ({"size": 64}, {"fit": "crop"}):
        changed = DataConfig("folder", **({"root": config.root, "size": 32, "cache": config.cache}
                                          | other))  # fmt: skip
        with pytest.raises(ValueError, match=r"cache .* was made with"):
            open_dataset(changed, "test")


def test_the_cache_knows_images_that_were_replaced(tmp_path):
    """Bitmaps keep their size in bytes, whatever they show."""
    things(tmp_path / "own", ["cup", "mug"])
    photo = next((tmp_path / "own").rglob("*.jpg"))
    Image.new("RGB", (40, 40), "black").save(photo.with_suffix(".bmp"))
    photo.unlink()
    prepared(tmp_path / "own")
    config = DataConfig("folder", root=tmp_path / "own", size=32, cache=tmp_path / "cache")
    open_dataset(config, "train")
    Image.new("RGB", (40, 40), "blue").save(photo.with_suffix(".bmp"))
    later = photo.with_suffix(".bmp").stat().st_mtime + 1
    os.utime(photo.with_suffix(".bmp"), (later, later))
    with pytest.raises(ValueError, match=r"cache .* was made with"):
        open_dataset(config, "train")


def test_what_changed_after_preparation(tmp_path):
    things(tmp_path, ["cup", "mug"])
    prepared(tmp_path)
    (tmp_path / "cup/cup_000_10.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"cup_000_10\.jpg is missing: run rfwarp prepare"):
        open_dataset(DataConfig("folder", root=tmp_path), "train")
    (tmp_path / TABLE).write_text("image,identity,split,pose\na.jpg,a,validation,0:0\n")
    with pytest.raises(ValueError, match=r"line 2: split is train or test, not 'validation'"):
        read_table(tmp_path)
    (tmp_path / TABLE).write_text("image,pose\n")
    with pytest.raises(ValueError, match="with the columns image, identity, split, pose"):
        read_table(tmp_path)


# ---------------------------------------------------------------- the commands


def test_few_shots_are_learned_evaluated_and_drawn(tmp_path, capsys):
    """From weights of another size, as --init takes them; photographs that are not square."""
    pytest.importorskip("accelerate")
    for number in range(8):
        photograph(tmp_path / "mug" / f"mug_{45 * number:03d}_10.jpg", (80, 60), shade(number))
    torch.manual_seed(0)
    start = Generator(pose_channels=21, pose_kind="viewpoint", image_size=128, width=1 / 64)
    start.save_pretrained(tmp_path / "start")
    assert main(["prepare", "folder", "--root", str(tmp_path / "mug")]) == 0
    model = tmp_path / "run/model"
    data = ["--data.name", "folder", "--data.root", str(tmp_path / "mug"), "--data.fit", "crop"]
    small = [
        "--network.width",
        "0.015625",
        "--batch-size",
        "1",
        "--workers",
        "0",
        "--device",
        "cpu",
    ]
    short = ["--flow-steps", "1", "--steps", "1", "--sample-every", "1", "--precision", "float32"]
    plain = ["--features", "oriented-pyramid", "--weights.adversarial", "0"]
    begun = ["--init", str(tmp_path / "start"), "--out", str(tmp_path / "run")]
    assert main(["train", *begun, *data, *small, *short, *plain]) == 0
    card = (model / "README.md").read_text()
    assert "# rfwarp generator, images in a folder at 64 x 64\n" in card
    assert "A folder of images of one's own, each with its pose, at 64 x 64 pixels.\n" in card
    assert Generator.from_pretrained(model).config.pose_kind == "viewpoint"

    report = tmp_path / "report.json"
    given = ["--dataset", "folder", "--root", str(tmp_path / "mug"), "--fit", "crop"]
    asked = ["--sources", "1", "4", "--sets", "4", "--json", str(report)]
    assert main(["evaluate", "-w", str(model), *given, *asked]) == 0
    facts = json.loads(report.read_text())
    assert facts["dataset"] == {"name": "folder", "tuples": 4, "fit": "crop", "size": 64}
    capsys.readouterr()
    assert main(["evaluate", "-w", str(model), *given, "--sources", "7"]) == 1
    assert "sources of a test image: 7 wanted, at most 6 there" in (capsys.readouterr().err)

    sources = [str(tmp_path / f"mug/mug_{azimuth}_10.jpg") for azimuth in ("000", "090")]
    draw = ["generate", "-s", *sources, "-w", str(model), "-t", "45:10"]
    assert main([*draw, "-o", str(tmp_path / "refused.png")]) == 1
    assert "would be distorted" in capsys.readouterr().err
    for fit in ("pad", "crop"):
        out, maps = tmp_path / f"{fit}.png", tmp_path / "maps.png"
        assert main([*draw, "--fit", fit, "-o", str(out), "--maps", str(maps)]) == 0
        with Image.open(out) as image:
            assert image.size == SIZE


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["evaluate", "--dataset", "folder"], "folder needs root, the folder of its files"),
        (["evaluate", "--dataset", "folder", "--root", "no"], "there is no no/folder.csv: rfwarp"),
        (["evaluate", "--dataset", "chairs", "--fit", "crop"], "chairs has no fit"),
        (["prepare", "folder", "--root", "no"], "there is no folder no"),
    ],
)
def test_what_cannot_be_is_one_line(arguments, message, capsys):
    assert main(arguments) == 1
    shown = capsys.readouterr().err
    assert message in shown
    assert shown.count("\n") == 1
