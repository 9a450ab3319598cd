"""Keypoints from photographs: mapping, decoding, smoothing, and both detectors where installed."""

import math
import sys
from urllib.error import URLError

import numpy as np
import pytest
import torch
from PIL import Image

from rfwarp.data import render_person
from rfwarp.poses import BodyDetector, Detection, Keypoints, OneEuroFilter, write_openpose
from rfwarp.poses.blazepose import (
    ANCHORS,
    COCO,
    DETECTOR_SIDE,
    WEIGHTS,
    sharpened,
)
from rfwarp.poses.body_detection import BACKENDS
from rfwarp.poses.keypoints import JOINTS, openpose_from_coco
from rfwarp.poses.mediapipe import anchors, crop, distinct, place, square, whole
from rfwarp.poses.rtmpose import _file_name

# As MediaPipe documents them.
BLAZEPOSE = (
    *("nose", "left eye inner", "left eye", "left eye outer", "right eye inner", "right eye"),
    *("right eye outer", "left ear", "right ear", "mouth left", "mouth right", "left shoulder"),
    *("right shoulder", "left elbow", "right elbow", "left wrist", "right wrist", "left pinky"),
    *("right pinky", "left index", "right index", "left thumb", "right thumb", "left hip"),
    *("right hip", "left knee", "right knee", "left ankle", "right ankle", "left heel"),
    *("right heel", "left foot index", "right foot index"),
)
# As COCO documents them.
COCO_NAMES = (
    *("nose", "left eye", "right eye", "left ear", "right ear", "left shoulder", "right shoulder"),
    *("left elbow", "right elbow", "left wrist", "right wrist", "left hip", "right hip"),
    *("left knee", "right knee", "left ankle", "right ankle"),
)


def test_the_33_points_become_the_18_joints():
    assert len(BLAZEPOSE) == 33
    assert tuple(BLAZEPOSE[i] for i in COCO) == COCO_NAMES
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 99, (33, 3)).astype(np.float32)
    joints = openpose_from_coco(points[list(COCO)])
    for name, joint in zip(JOINTS, joints, strict=True):
        if name != "neck":
            np.testing.assert_array_equal(joint, points[BLAZEPOSE.index(name)])
    left, right = (points[BLAZEPOSE.index(f"{side} shoulder")] for side in ("left", "right"))
    np.testing.assert_allclose(joints[1, :2], (left + right)[:2] / 2, rtol=1e-6)
    assert joints[1, 2] == min(left[2], right[2])


# ------------------------------------------------------------------ what detectors return


def coco(left: float, top: float, right: float, bottom: float, score: float = 0.9) -> np.ndarray:
    """A person that fills a box."""
    x, y = np.linspace(left, right, 17), np.linspace(top, bottom, 17)
    return np.stack([x, y, np.full(17, score)], axis=1)


@pytest.fixture
def backend(monkeypatch):
    """Puts people (17, 3) in place of a backend; what it was given is listed."""
    seen = []

    def replace(*people):
        monkeypatch.setitem(
            BACKENDS, "rtmpose", lambda *_: lambda image: [seen.append(image), *people][1:]
        )
        return seen

    return replace


def test_people_come_largest_first(backend):
    backend(coco(0, 0, 9, 9), coco(5, 2, 60, 50), coco(1, 1, 30, 30))
    people = BodyDetector().detect(np.zeros((64, 80, 3), np.uint8))
    assert [person.box for person in people] == [(5, 2, 60, 50), (1, 1, 30, 30), (0, 0, 9, 9)]
    assert all(isinstance(person, Detection) for person in people)
    assert (people[0].keypoints.height, people[0].keypoints.width) == (64, 80)


def test_the_threshold_makes_joints_missing(backend):
    person, nobody = coco(0, 0, 16, 16), coco(0, 0, 50, 50, score=0.1)
    person[5, 2], person[9, 2] = 0.2, 0.5  # left shoulder, and so the neck; left wrist
    backend(person, nobody)
    (found,) = BodyDetector(threshold=0.3).detect(np.zeros((64, 64, 3), np.uint8))
    assert [JOINTS[i] for i in np.flatnonzero(found.keypoints.points[:, 2] == 0)] == [
        "neck",
        "left shoulder",
    ]
    assert found.scores.shape == (18,)
    assert found.scores[[1, 5, 7]] == pytest.approx([0.2, 0.2, 0.5])
    assert len(BodyDetector(threshold=0.1).detect(np.zeros((64, 64, 3), np.uint8))) == 2


def test_every_form_of_an_image_and_many(backend, tmp_path):
    seen = backend(coco(0, 0, 9, 9))
    array = np.random.default_rng(0).integers(0, 255, (40, 30, 3), dtype=np.uint8)
    Image.fromarray(array).save(tmp_path / "a.png")
    tensor = torch.from_numpy(array).permute(2, 0, 1)
    forms = (tmp_path / "a.png", Image.fromarray(array), array, tensor)
    many = BodyDetector().detect_many(form for form in forms)
    assert not seen  # nothing is computed before it is asked for
    assert [len(people) for people in many] == [1] * 4
    assert all((np.array(image) == array).all() for image in seen)


def test_nobody(backend):
    backend()
    detector = BodyDetector()
    assert detector.detect(np.zeros((8, 8, 3), np.uint8)) == []
    assert detector.detect_largest(np.zeros((8, 8, 3), np.uint8)) is None
    with pytest.raises(FileNotFoundError, match="no image file"):
        detector.detect("missing.png")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"backend": "openpose"}, "one of rtmpose, blazepose, got 'openpose'"),
        ({"threshold": 1.5}, r"threshold must lie in \[0, 1\], got 1.5"),
        ({"threshold": math.nan}, r"threshold must lie in \[0, 1\], got nan"),
    ],
)
def test_wrong_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        BodyDetector(**arguments)


@pytest.mark.parametrize(
    ("backend", "package", "advice"),
    [
        ("rtmpose", "rtmlib", r'needs rtmlib: pip install "rfwarp\[body\]"'),
        ("rtmpose", "onnxruntime", r'needs onnxruntime: pip install "rfwarp\[body\]"'),
        (
            "blazepose",
            "ai_edge_litert.interpreter",
            r"rfwarp\[blazepose\].*--no-deps mediapipe==0.10.14",
        ),
    ],
)
def test_without_the_package(backend, package, advice, monkeypatch):
    if package == "rtmlib":
        pytest.importorskip("onnxruntime")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=advice):
        BodyDetector(backend)


# ------------------------------------------------------------------ decoding of BlazePose


def test_anchors_are_the_centres_of_cells():
    centres = anchors(DETECTOR_SIDE, ANCHORS)
    assert centres.shape == (2254, 2)
    np.testing.assert_allclose(centres[[0, 1, 2]] * 224, [[4, 4], [4, 4], [12, 4]])
    np.testing.assert_allclose(centres[[2 * 28, 1568, -1]] * 224, [[4, 12], [8, 8], [208, 208]])


def test_a_region_is_turned_as_what_it_shows():
    centre, up = np.array([50.0, 60.0]), np.array([50.0, 0.0])  # lying, the top to the right
    region = square(centre, up)
    np.testing.assert_allclose(place(np.array([[0.5, 0.5]]), region), [centre])
    np.testing.assert_allclose(place(np.array([[0.5, 0.1]]), region), [[70, 60]])
    np.testing.assert_allclose(place(np.array([[0.0, 0.5]]), region), [[50, 35]])


def test_a_crop_shows_the_region():
    """In every size: pixels of the crop have the colour of the place that they come from."""
    y, x = np.mgrid[:400, :600]
    ramp = Image.fromarray(np.stack([x * 255 / 599, y * 255 / 399, 0 * x], -1).astype(np.uint8))
    for reach in (20, 60, 150):
        region = square(np.array([300.0, 200.0]), 2.5 * reach * np.array([0.6, -0.8]))
        cut = crop(ramp, region, 64)
        ticks = (np.arange(64) + 0.5) / 64
        places = place(np.stack(np.meshgrid(ticks, ticks), -1).reshape(-1, 2), region) - 0.5
        inside = (places > 5).all(axis=1) & (places < [594, 394]).all(axis=1)
        expected = places / [599, 399]
        np.testing.assert_allclose(cut.reshape(-1, 3)[inside, :2], expected[inside], atol=0.008)
    corner = crop(ramp, whole(ramp), 60)
    assert (corner[:9] == 0).all()  # black above the image
    assert (corner[10:50, 5:].max(axis=-1) > 0).all()


def test_boxes_that_overlap_are_one():
    centres = np.array([[0.2, 0.2], [0.21, 0.2], [0.7, 0.7], [0.9, 0.1]])
    sizes = np.full((4, 2), 0.2)
    assert distinct(centres, sizes, np.array([0.8, 0.9, 0.6, 0.4])) == [1, 2]
    assert distinct(centres, sizes, np.zeros(4)) == []


def test_points_move_to_where_their_heatmap_is():
    heatmaps = np.random.default_rng(0).uniform(0, 1, (64, 64, 3))
    heatmaps[..., 1] *= 0.4  # nothing clear
    places = np.array([[0.5, 0.3], [0.2, 0.2], [0.01, 0.99]])
    found = sharpened(places, heatmaps)
    for i in (0, 2):
        column, row = (int(c * 64) for c in places[i])
        cells = [
            (c, r, heatmaps[r, c, i])
            for r in range(max(0, row - 3), min(64, row + 4))
            for c in range(max(0, column - 3), min(64, column + 4))
        ]
        total = sum(w for _, _, w in cells)
        mean = [sum(cell[axis] * cell[2] for cell in cells) / total / 64 for axis in (0, 1)]
        assert found[i] == pytest.approx(mean, rel=1e-9)
    assert found[1].tolist() == [0.2, 0.2]


# ------------------------------------------------------------------ BlazePose itself


@pytest.fixture(scope="module")
def blazepose():
    pytest.importorskip("ai_edge_litert", reason="BlazePose needs rfwarp[blazepose]")
    try:
        return BodyDetector("blazepose")
    except (ImportError, FileNotFoundError) as error:
        pytest.skip(f"no weights of BlazePose: {error}")


@pytest.fixture(scope="module")
def person():
    """An image, and its true joints."""
    drawn = render_person(900_004, [0], 256)
    return Image.fromarray(drawn.images[0].permute(1, 2, 0).numpy()), drawn.keypoints[0].numpy()


def test_blazepose_finds_a_rendered_person(blazepose, person):
    image, true = person
    (found,) = blazepose.detect(image)
    error = np.linalg.norm(found.keypoints.points[:, :2] - true[:, :2], axis=1)
    there = (true[:, 2] > 0) & (found.keypoints.points[:, 2] > 0)
    assert there.sum() > 13
    assert np.median(error[there]) < 5  # of 256 pixels
    assert ((found.scores > 0) & (found.scores <= 1)).all()


def test_blazepose_does_not_care_for_place_size_and_direction(blazepose, person):
    image, _ = person
    (upright,) = blazepose.detect(image)
    canvas = Image.new("RGB", (700, 600), (230, 230, 230))
    canvas.paste(image.resize((512, 512), Image.Resampling.BICUBIC), (100, 50))
    (found,) = blazepose.detect(canvas.transpose(Image.Transpose.ROTATE_90))
    x, y = found.keypoints.points[:, :2].T  # turned to the left: x is the former y
    back = (np.stack([699 - y, x], axis=1) + 0.5 - [100, 50]) / 2 - 0.5
    error = np.linalg.norm(back - upright.keypoints.points[:, :2], axis=1)
    both = (found.keypoints.points[:, 2] > 0) & (upright.keypoints.points[:, 2] > 0)
    assert np.median(error[both]) < 4
    assert both.sum() > 13


def test_blazepose_sees_nobody_in_an_empty_image(blazepose):
    assert blazepose.detect(np.full((120, 200, 3), 200, np.uint8)) == []


def test_blazepose_computes_on_the_cpu():
    pytest.importorskip("ai_edge_litert", reason="BlazePose needs rfwarp[blazepose]")
    with pytest.raises(ValueError, match="device 'cuda' cannot be used: BlazePose computes on cpu"):
        BodyDetector("blazepose", device="cuda")


def test_missing_and_damaged_weights_of_blazepose(tmp_path):
    pytest.importorskip("ai_edge_litert", reason="BlazePose needs rfwarp[blazepose]")
    with pytest.raises(FileNotFoundError, match=r"pose_detection.tflite and .*pose_landmark_full"):
        BodyDetector("blazepose", weights=tmp_path)
    for name in WEIGHTS:
        (tmp_path / name.rpartition("/")[2]).write_bytes(b"not a network")
    with pytest.raises(ValueError, match=r"pose_detection.tflite cannot be loaded"):
        BodyDetector("blazepose", weights=tmp_path)


# ------------------------------------------------------------------ RTMPose by rtmlib


def constant(name, array):
    from onnx import numpy_helper

    return numpy_helper.from_array(np.asarray(array), name)


def save_network(path, nodes, initializers, input_shape, outputs):
    from onnx import TensorProto, checker, helper, save

    def values(shapes):
        return [helper.make_tensor_value_info(n, TensorProto.FLOAT, s) for n, s in shapes.items()]

    graph = helper.make_graph(
        nodes, "tiny", values({"input": input_shape}), values(outputs), initializers
    )
    opset = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, opset_imports=opset, ir_version=8)
    checker.check_model(model)
    save(model, path)


BOX = [120.0, 60.0, 360.0, 380.0]
BINS = [(20 * j + 10, 25 * j + 30) for j in range(17)]


@pytest.fixture(scope="module")
def rtm_weights(tmp_path_factory):
    """Networks with the inputs and outputs of YOLOX with its suppression and of RTMPose.

    Blue, the first channel of BGR and the last of RGB, is what both of them see: the detector's
    score is its largest value, and the other network's confidences are its mean.
    """
    pytest.importorskip("rtmlib", reason="RTMPose needs rfwarp[body]")
    pytest.importorskip("onnxruntime", reason="RTMPose needs rfwarp[body]")
    from onnx import helper
    from rtmlib import Body

    folder = tmp_path_factory.mktemp("rtmpose")
    published = Body.MODE["balanced"]
    save_network(
        folder / _file_name(published["det"]),
        [
            helper.make_node("Gather", ["input", "first"], ["blue"], axis=1),
            helper.make_node("ReduceMax", ["blue"], ["most"], axes=[2, 3]),  # (1, 1, 1, 1)
            helper.make_node("Reshape", ["most", "shape"], ["flat"]),
            helper.make_node("Div", ["flat", "white"], ["score"]),
            helper.make_node("Concat", ["box", "score"], ["dets"], axis=2),
        ],
        [
            constant("first", np.array([0])),
            constant("shape", np.array([1, 1, 1])),
            constant("white", np.float32(255)),
            constant("box", np.array([[BOX]], np.float32)),
        ],
        [1, 3, 640, 640],
        {"dets": [1, 1, 5]},
    )
    one_hot = [np.zeros((1, 17, bins), np.float32) for bins in (384, 512)]
    for joint, places in enumerate(BINS):
        for hot, cell in zip(one_hot, places, strict=True):
            hot[0, joint, cell] = 0.05 * joint + 0.1
    save_network(
        folder / _file_name(published["pose"]),
        [
            helper.make_node("Gather", ["input", "last"], ["blue"], axis=1),
            helper.make_node("ReduceMax", ["blue"], ["most"], axes=[2, 3]),
            helper.make_node("Reshape", ["most", "shape"], ["value"]),
            helper.make_node("Mul", ["value", "x"], ["simcc_x"]),
            helper.make_node("Mul", ["value", "y"], ["simcc_y"]),
        ],
        [
            constant("last", np.array([2])),
            constant("shape", np.array([1, 1, 1])),
            constant("x", one_hot[0]),
            constant("y", one_hot[1]),
        ],
        [1, 3, 256, 192],
        {"simcc_x": [1, 17, 384], "simcc_y": [1, 17, 512]},
    )
    return folder


def test_rtmpose_reads_simcc_in_the_box(rtm_weights, capfd):
    detector = BodyDetector("rtmpose", weights=rtm_weights, threshold=0.3)
    assert capfd.readouterr().out == ""  # rtmlib's own words
    image = np.zeros((320, 320, 3), np.uint8)
    image[..., 2] = 255
    (found,) = detector.detect(image)
    # The detector saw 640 pixels instead of 320; a box grows by a quarter, to the shape 3 : 4.
    left, top, right, bottom = (value / 2 for value in BOX)
    width = 1.25 * max(right - left, (bottom - top) * 192 / 256)
    size = np.array([width, width * 256 / 192])
    corner = np.array([left + right, top + bottom]) / 2 - size / 2
    expected = np.array(BINS) / 2 / [192, 256] * size + corner
    brightness = (255 - 103.53) / 57.375
    confidence = brightness * (0.05 * np.arange(17) + 0.1)
    truth = openpose_from_coco(np.concatenate([expected, confidence[:, None]], axis=1))
    present = truth[:, 2] >= 0.3
    assert 0 < present.sum() < 18
    assert (found.keypoints.points[:, 2] == present).all()
    np.testing.assert_allclose(found.keypoints.points[present, :2], truth[present, :2], rtol=1e-4)
    np.testing.assert_allclose(found.scores, truth[:, 2], rtol=1e-4)


def test_rtmpose_where_the_detector_sees_nobody(rtm_weights):
    red = np.zeros((64, 64, 3), np.uint8)
    red[..., 0] = 255
    assert BodyDetector("rtmpose", weights=rtm_weights).detect(red) == []


def test_missing_and_damaged_weights_of_rtmpose(tmp_path, rtm_weights):
    names = sorted(path.name for path in rtm_weights.iterdir())
    (tmp_path / names[0]).write_bytes((rtm_weights / names[0]).read_bytes())
    message = rf"lacks weights of RTMPose: put {names[1]} \(end2end.onnx of https://\S*zip\) there"
    with pytest.raises(FileNotFoundError, match=message):
        BodyDetector("rtmpose", weights=tmp_path)
    (tmp_path / names[1]).write_bytes(b"not a network")
    with pytest.raises(ValueError, match="weights of RTMPose cannot be loaded"):
        BodyDetector("rtmpose", weights=tmp_path)


def test_weights_that_cannot_be_fetched(rtm_weights, monkeypatch):
    def fail(url):
        raise URLError("no route")

    monkeypatch.setattr("rtmlib.tools.base.download_checkpoint", fail)
    names = sorted(path.name for path in rtm_weights.iterdir())
    with pytest.raises(FileNotFoundError, match=r"cannot be fetched \(.*no route") as error:
        BodyDetector("rtmpose")
    assert all(name in str(error.value) for name in names)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("device", ["meta", "cuda", "cuda:1"])
def test_devices_that_onnx_runtime_lacks(device):
    pytest.importorskip("rtmlib", reason="RTMPose needs rfwarp[body]")
    runtime = pytest.importorskip("onnxruntime", reason="RTMPose needs rfwarp[body]")
    if "CUDAExecutionProvider" in runtime.get_available_providers():
        pytest.skip("this ONNX Runtime has CUDA")
    with pytest.raises(ValueError, match=f"device '{device}' cannot be used: "):
        BodyDetector("rtmpose", device=device)


# ------------------------------------------------------------------ over time


def reference(values, times, min_cutoff, beta, derivative_cutoff):
    """Algorithm 1 of the paper for one number, as it is printed there."""

    def alpha(rate, cutoff):
        tau, te = 1 / (2 * math.pi * cutoff), 1 / rate
        return 1 / (1 + tau / te)

    hat, speed, out = values[0], 0.0, [values[0]]
    for i in range(1, len(values)):
        rate = 1 / (times[i] - times[i - 1])
        a = alpha(rate, derivative_cutoff)
        speed = a * (values[i] - hat) * rate + (1 - a) * speed
        a = alpha(rate, min_cutoff + beta * abs(speed))
        hat = a * values[i] + (1 - a) * hat
        out.append(hat)
    return out


def test_the_one_euro_filter_is_the_papers():
    rng = np.random.default_rng(0)
    times = np.cumsum(rng.uniform(0.02, 0.06, 40))
    walk = 100 + np.cumsum(rng.normal(0, 3, (40, 18, 2)), axis=0).astype(np.float32)
    steady = OneEuroFilter(0.7, 11.0, 1.3)
    poses = [Keypoints(np.c_[points, np.ones(18)], 200, 300) for points in walk]
    found = np.stack([steady.smooth(p, t).points for p, t in zip(poses, times, strict=True)])
    for joint in (0, 17):
        for axis in (0, 1):
            exact = [p / 200 for p in walk[:, joint, axis].tolist()]
            expected = np.array(reference(exact, times.tolist(), 0.7, 11.0, 1.3)) * 200
            np.testing.assert_allclose(found[:, joint, axis], expected, rtol=1e-6)
    assert np.diff(found[..., 0], axis=0).std() < np.diff(walk[..., 0], axis=0).std()


def test_a_missing_joint_stays_missing_and_waits():
    points = np.full((18, 3), 50.0)
    gone = points.copy()
    gone[3, 2] = 0
    steady = OneEuroFilter()
    frames = [(points, 0.0), (gone, 0.1), (points + np.array([9, 0, 0]), 0.2)]
    found = [steady.smooth(Keypoints(p, 100, 100), t) for p, t in frames]
    assert found[1].has(2)
    assert not found[1].has(3)
    steady = OneEuroFilter()
    direct = [steady.smooth(Keypoints(p, 100, 100), t) for p, t in (frames[0], frames[2])]
    assert (found[2].points[3] == direct[1].points[3]).all()
    assert (found[2].points[2] != direct[1].points[2]).any()


def test_wrong_filters_and_times():
    with pytest.raises(ValueError, match="cutoffs must be positive"):
        OneEuroFilter(min_cutoff=0)
    with pytest.raises(ValueError, match="beta at least 0"):
        OneEuroFilter(beta=-1)
    steady, pose = OneEuroFilter(), Keypoints(np.full((18, 2), 5.0), 9, 9)
    steady.smooth(pose, 1.0)
    with pytest.raises(ValueError, match=r"order of time, got one at 1.0 s"):
        steady.smooth(pose, 1.0)


# ------------------------------------------------------------------ files of OpenPose


def test_people_are_read_back_exactly(tmp_path):
    rng = np.random.default_rng(0)
    people = []
    for _ in range(3):
        points = rng.uniform(-20, 300, (18, 3)).astype(np.float32)
        points[:, 2] = rng.integers(0, 2, 18)
        people.append(Keypoints(points, 256, 176))
    write_openpose(tmp_path / "people.json", people)
    for number, person in enumerate(people):
        read = Keypoints.from_openpose(tmp_path / "people.json", 256, 176, person=number)
        assert read == person
    with pytest.raises(ValueError, match="canvas_height is 256, but the image is 100 x 176"):
        Keypoints.from_openpose(tmp_path / "people.json", 100, 176)


def test_people_of_several_images_or_none(tmp_path):
    pose = Keypoints(np.full((18, 2), 5.0), 9, 9)
    for people in ([], [pose, pose.scaled(18, 18)]):
        with pytest.raises(ValueError, match="people of one image are written"):
            write_openpose(tmp_path / "people.json", people)
    assert list(tmp_path.iterdir()) == []
