"""Body keypoints: formats, conventions, heatmaps, alignment."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from rfwarp.poses import (
    POSE_KINDS,
    Keypoints,
    align_person,
    keypoint_heatmaps,
    parse_pose,
    read_annotations,
    write_annotations,
)
from rfwarp.poses.keypoints import JOINTS


def person(seed: int = 0, height: int = 256, width: int = 176, missing: tuple = ()) -> Keypoints:
    random = np.random.default_rng(seed)
    xy = random.uniform([10, 10], [width - 10, height - 10], (18, 2))
    xy[[2, 5], 1], xy[[8, 11], 1] = 60, 140  # upright
    xy[list(missing)] = np.nan
    return Keypoints(xy, height, width)


def test_equal_poses_have_one_hash():
    zero, minus = (Keypoints(np.full((18, 2), z, np.float32), 64, 48) for z in (0.0, -0.0))
    assert zero == minus
    assert hash(zero) == hash(minus)


def test_missing_joints_are_zero_whatever_says_so():
    xy = np.arange(36.0).reshape(18, 2)
    by_nan, by_minus_one, by_presence = xy.copy(), xy.copy(), np.ones((18, 3))
    by_nan[3, 0], by_minus_one[3] = np.nan, -1
    by_presence[:, :2], by_presence[3, 2] = xy, 0
    poses = [Keypoints(points, 50, 40) for points in (by_nan, by_minus_one, by_presence)]
    assert poses[0] == poses[1] == poses[2]
    assert len(set(poses)) == 1
    assert poses[0].points[3].tolist() == [0, 0, 0]
    assert not poses[0].has(2, 3)
    assert poses[0].has(2, 4)


@pytest.mark.parametrize(
    ("points", "size", "message"),
    [
        (np.zeros((17, 2)), (8, 8), r"points must be \(18, 2\) or \(18, 3\), got \(17, 2\)"),
        (np.full((18, 3), np.inf), (8, 8), "a present joint has coordinates that are not finite"),
        (np.zeros((18, 2)), (0, 8), "the image has 0 x 8 pixels"),
    ],
)
def test_wrong_keypoints(points, size, message):
    with pytest.raises(ValueError, match=message):
        Keypoints(points, *size)


def test_coco_joints_by_name():
    coco_names = ["nose"]
    for joint in ("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle"):
        coco_names += [f"left {joint}", f"right {joint}"]
    coco = np.stack([np.arange(17), 100 + np.arange(17), np.full(17, 0.9)], axis=1)
    ours = Keypoints.from_coco(coco, 200, 100)
    for name, (x, _, present) in zip(JOINTS, ours.points, strict=True):
        assert present
        assert x == (5.5 if name == "neck" else coco_names.index(name))
    coco[6, 2] = 0.05
    assert not Keypoints.from_coco(coco, 200, 100).has(1)


def openpose(tmp_path, *people) -> str:
    path = tmp_path / "keypoints.json"
    path.write_text(json.dumps({"people": [{"pose_keypoints_2d": p} for p in people]}))
    return str(path)


def test_openpose_files_of_both_models(tmp_path):
    coco = np.stack([np.arange(18), np.arange(18) + 50, np.full(18, 0.5)], axis=1)
    coco[4, 2] = 0.01
    read = Keypoints.from_openpose(openpose(tmp_path, coco.ravel().tolist()), 99, 88)
    assert read == Keypoints.from_scores(coco, 99, 88)
    assert not read.has(4)
    body_25 = np.ones((25, 3))
    body_25[:, 0] = np.arange(25)
    read = Keypoints.from_openpose(openpose(tmp_path, body_25.ravel().tolist()), 99, 88)
    # 8 is the hips' middle; the eyes and ears follow the ankle.
    assert read.points[:, 0].tolist() == [*range(8), *range(9, 19)]


def test_openpose_people(tmp_path):
    people = [np.full((18, 3), value).ravel().tolist() for value in (0.2, 0.8, 0.4)]
    path = openpose(tmp_path, *people)
    assert Keypoints.from_openpose(path, 9, 9).points[0, 0] == np.float32(0.8)
    assert Keypoints.from_openpose(path, 9, 9, person=2).points[0, 0] == np.float32(0.4)
    with pytest.raises(ValueError, match="has 3 people, so there is no person 3"):
        Keypoints.from_openpose(path, 9, 9, person=3)
    with pytest.raises(ValueError, match="OpenPose found nobody"):
        Keypoints.from_openpose(openpose(tmp_path), 9, 9)


@pytest.mark.parametrize("text", ["{", '{"people": [{}]}', '{"people": 3}', "[]"])
def test_no_openpose_file(tmp_path, text):
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"x.json is no file of OpenPose keypoints"):
        Keypoints.from_openpose(path, 9, 9)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[" * 200_000, "maximum recursion depth exceeded"),
        (bytes(range(128, 256)) * 4096, "'utf-8' codec can't decode byte 0x80 in position 0"),
        (b'{"people": [{"hand_left_keypoints_2d": []}]}', 'person 0 has no "pose_keypoints_2d"'),
        (b'{"people": [1]}', 'person 0 has no "pose_keypoints_2d"'),
        (b'{"faces": []}', 'an object with a list "people" is expected'),
        (
            b'{"people": [], "canvas_height": 512}',
            r"its canvas_height is 512, but .* 9 x 9 \(",
        ),
        (b'{"people": [], "canvas_width": "wide"}', "its canvas_width is 'wide', but"),
    ],
)
def test_openpose_files_that_are_none(tmp_path, content, message):
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(
        ValueError, match=rf"x.json is no file of OpenPose keypoints: {message}"
    ) as e:
        Keypoints.from_openpose(path, 9, 9)
    assert len(str(e.value)) < 300


def test_openpose_with_the_size_of_its_canvas(tmp_path):
    people = [{"pose_keypoints_2d": [3.0, 4.0, 0.9] * 18}]
    content = [{"people": people, "canvas_height": 8, "canvas_width": 6}]
    (tmp_path / "x.json").write_text(json.dumps(content))
    assert Keypoints.from_openpose(tmp_path / "x.json", 8, 6).points[0].tolist() == [3, 4, 1]


def test_joints_inside_the_image():
    xy = np.array([[-0.5, 3], [5.4, 3], [5.5, 3], [-0.6, 3], [2, 7.4], [2, 7.5]], np.float32)
    points = np.concatenate([xy, np.full((12, 2), -1, np.float32)])
    inside = Keypoints(points, height=8, width=6).inside()
    assert inside.tolist() == [True, True, False, False, True, False] + [False] * 12


def test_openpose_of_another_model(tmp_path):
    with pytest.raises(ValueError, match="a person has 54 or 75 numbers, got 63"):
        Keypoints.from_openpose(openpose(tmp_path, [0.0] * 63), 9, 9)


# ------------------------------------------------------------------ annotation tables


def test_annotations_as_published(tmp_path):
    """A line of the form that DeepFashion's annotations have."""
    y = [47, 93, 92, 141, 187, 94, 143, 188, 183, -1, -1, 184, -1, -1, 40, 40, 43, 43]
    x = [88, 87, 61, 54, 46, 113, 124, 127, 72, -1, -1, 105, -1, -1, 82, 94, 73, 102]
    path = tmp_path / "annotation.csv"
    name = "fashionMENDenimid0000008001_1front.jpg"
    path.write_text(f"name:keypoints_y:keypoints_x\n{name}: {y}: {x}\n")
    (read,) = read_annotations(path, 256, 176).values()
    assert read.points[4].tolist() == [46, 187, 1]
    assert [j for j in range(18) if not read.has(j)] == [9, 10, 12, 13]
    assert list(read_annotations(path, 256, 176)) == [name]


def test_annotations_round_trip(tmp_path):
    poses = {f"{i}.jpg": person(i, missing=(i, 9)) for i in range(3)}
    write_annotations(tmp_path / "a.csv", poses)
    read = read_annotations(tmp_path / "a.csv", 256, 176)
    assert list(read) == list(poses)
    for name, pose in poses.items():
        assert np.array_equal(read[name].points, np.round(pose.points))
    with pytest.raises(ValueError, match="name cannot have a line break"):
        write_annotations(tmp_path / "b.csv", {"a\nb.jpg": person()})


def test_joints_just_outside_are_not_written_as_missing(tmp_path):
    points = np.full((18, 3), [20.0, 30.0, 1.0])
    points[:2, :2] = [[-1.2, 30], [40, -0.6]]
    write_annotations(tmp_path / "a.csv", {"a.jpg": Keypoints(points, 64, 64)})
    read = read_annotations(tmp_path / "a.csv", 64, 64)["a.jpg"]
    assert read.points[:2].tolist() == [[0, 30, 1], [40, 0, 1]]


def test_annotations_as_tools_write_them(tmp_path):
    """With a byte-order mark, blank lines, fractions of pixels, and colons in names."""
    y = [10.25] + [-1] * 17
    lines = ["name:keypoints_y:keypoints_x", "", f"C:/a: b.jpg: {y}: {y}", "", f"c.jpg:{y}:{y}", ""]
    (tmp_path / "a.csv").write_text("\r\n".join(lines), encoding="utf-8-sig")
    read = read_annotations(tmp_path / "a.csv", 256, 176)
    assert list(read) == ["C:/a: b.jpg", "c.jpg"]
    assert read["c.jpg"].points[0].tolist() == [10.25, 10.25, 1]
    write_annotations(tmp_path / "b.csv", read)
    assert list(read_annotations(tmp_path / "b.csv", 256, 176)) == list(read)
    assert parse_pose("a.csv:C:/a: b.jpg@256x176", tmp_path) == read["C:/a: b.jpg"]


LIST = json.dumps([1] * 18)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: expected name:keypoints_y:keypoints_x, got ''"),
        ("name,keypoints_y,keypoints_x\n", "line 1: expected name:"),
        (f"a:{LIST}\n", "line 2: expected 3 fields separated by ':', got 2"),
        (f"a:{LIST}:[1, 2]\n", "line 2: keypoints_x must be a JSON list of 18 numbers"),
        (f"a:{LIST.replace('1', 'true', 1)}:{LIST}\n", "line 2: keypoints_y must hold numbers"),
        (f"a:{LIST.replace('1', 'NaN', 1)}:{LIST}\n", "line 2: a present joint has coordinates"),
        (f"a:{LIST}:{'[' * 100_000}\n", "line 2: maximum recursion depth exceeded"),
        (f"a:{LIST}:{LIST}\na:{LIST}:{LIST}\n", "line 3: 'a' was listed before"),
        (f"a:{LIST}:[1,\n", "line 2: Expecting value"),
    ],
)
def test_wrong_annotations(tmp_path, text, message):
    path = tmp_path / "a.csv"
    header = "" if text.startswith("name") or not text else "name:keypoints_y:keypoints_x\n"
    path.write_text(header + text)
    with pytest.raises(ValueError, match=f"a.csv, {message}"):
        read_annotations(path, 256, 176)


# ------------------------------------------------------------------ geometry


def test_scaling_keeps_edges_and_comes_back():
    pose = Keypoints(np.tile([[-0.5, 9.5]], (18, 1)), 10, 20)
    assert pose.scaled(40, 10).points[0].tolist() == [-0.5, 39.5, 1]
    back = person(missing=(4,)).scaled(100, 300).scaled(256, 176)
    np.testing.assert_allclose(back.points, person(missing=(4,)).points, atol=1e-4)


def test_mirroring_swaps_sides():
    pose = person(missing=(4,))
    mirrored = pose.mirrored()
    np.testing.assert_allclose(mirrored.mirrored().points, pose.points, atol=1e-4)
    assert not mirrored.has(7)
    right, left = JOINTS.index("right knee"), JOINTS.index("left knee")
    assert mirrored.points[left, 0] == 175 - pose.points[right, 0]


def test_heatmaps_against_float64():
    points = person(3, 64, 48, missing=(5,)).code()
    points[0, :2] = torch.tensor([-3.0, 70.0])  # outside
    maps = keypoint_heatmaps(points[None], 64, 48)[0]
    sigma = 6 * 64 / 256
    for j, (x, y, present) in enumerate(points.double().tolist()):
        v, u = torch.meshgrid(torch.arange(64.0), torch.arange(48.0), indexing="ij")
        squares = (u.double() - x) ** 2 + (v.double() - y) ** 2
        expected = present * torch.exp(-squares / (2 * sigma**2))
        torch.testing.assert_close(maps[j].double(), expected, rtol=1e-4, atol=1e-6)
    assert maps[5].abs().max() == 0


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0])
def test_heatmaps_of_missing_joints_are_zero_wherever_these_are(value):
    points = torch.tensor([[value, value, 0.0], [2.0, 3.0, 1.0]])
    maps = keypoint_heatmaps(points, 64, 48)
    assert not maps[0].any()
    assert maps[1, 3, 2] == 1


def test_encode_is_the_heatmap_at_any_size():
    pose = person()
    expected = keypoint_heatmaps(pose.scaled(128, 64).code(), 128, 64)
    assert torch.equal(pose.encode(128, 64), expected)
    assert torch.equal(POSE_KINDS["keypoints"].expand(pose.code(), 256, 176), pose.encode(256, 176))


def test_distance_counts_joints_that_both_have():
    kind = POSE_KINDS["keypoints"]
    one, two = person(missing=(3,)).code(), person(missing=(4,)).code()
    two[:, :2] += torch.tensor([3.0, 4.0])
    assert kind.distance(one, two).item() == pytest.approx(5, rel=1e-5)
    nobody = torch.zeros(18, 3)
    assert kind.distance(one, nobody).item() == torch.inf
    assert kind.distance(torch.stack([one, two]), one).shape == (2,)


# ------------------------------------------------------------------ alignment


def image(pose: Keypoints) -> Image.Image:
    """A smooth image whose colours tell positions: red grows with x, green with y."""
    y, x = np.mgrid[: pose.height, : pose.width]
    return Image.fromarray(np.stack([x, y, 0 * x], axis=-1).astype(np.uint8))


@pytest.mark.parametrize("scale", [0.5, 1.0, 1.7])
def test_aligned_people_have_the_targets_neck_and_size(scale):
    source = person(1)
    points = source.points.copy()
    points[:, :2] = scale * points[:, :2] + [8, -5]
    target = Keypoints(points, 256, 176)
    moved, pose = align_person(image(source), source, target)
    np.testing.assert_allclose(pose.points, target.points, atol=1e-3)
    assert moved.size == (176, 256)
    # What was at a joint is at it again.
    for (x, y, _), (x0, y0, _) in zip(pose.points, source.points, strict=True):
        if 2 < x < 173 and 2 < y < 253:
            red, green, _ = moved.getpixel((round(x), round(y)))
            assert red == pytest.approx(x0, abs=2 + 1 / scale)
            assert green == pytest.approx(y0, abs=2 + 1 / scale)


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_what_lies_beyond_is_filled(scale):
    source = person(1)
    target = Keypoints(scale * source.points[:, :2] + 40, 256, 256)
    white, _ = align_person(image(source), source, target)
    assert white.getpixel((2, 2)) == (255, 255, 255)
    edge, _ = align_person(image(source), source, target, fill="edge")
    assert max(edge.getpixel((2, 2))[:2]) <= 2


@pytest.mark.parametrize("shift", [-500.0, 500.0])
def test_edges_reach_as_far_as_people_are_moved(shift):
    """Even an image that is moved out of sight leaves its edge."""
    source = person(1)
    target = Keypoints(source.points[:, :2] + [shift, 0], 256, 176)
    edge, _ = align_person(image(source), source, target, fill="edge")
    pixels = np.array(edge).astype(int)
    assert (pixels[..., 0] == (175 if shift < 0 else 0)).all()
    np.testing.assert_allclose(pixels[..., 1], np.tile(np.arange(256)[:, None], 176), atol=1)


@pytest.mark.parametrize(
    ("missing", "message"), [((1,), "both necks"), ((5,), "both shoulders"), ((8,), "both hips")]
)
def test_people_that_cannot_be_aligned(missing, message):
    source, target = person(), person(2, missing=missing)
    with pytest.raises(ValueError, match=message):
        align_person(image(source), source, target)
    with pytest.raises(ValueError, match="17 x 256 pixels, its pose is of one of 176 x 256"):
        align_person(Image.new("RGB", (17, 256)), source, source)
