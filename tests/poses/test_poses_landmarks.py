"""Face landmarks: drawings, and their detection by face-alignment's own code on made-up weights and
by FaceMesh where it is installed."""

import sys

import numpy as np
import pytest
import torch
from PIL import Image

from rfwarp.data.faces import render_face
from rfwarp.poses import POSE_KINDS, FaceDetector, FaceLandmarks
from rfwarp.poses.face_alignment import WEIGHTS
from rfwarp.poses.face_mesh import MESH
from rfwarp.poses.face_mesh import WEIGHTS as MESH_WEIGHTS
from rfwarp.poses.landmarks import PARTS


def face(height: int = 224, width: int = 224) -> FaceLandmarks:
    """Every part a horizontal line of its own."""
    points = np.zeros((68, 2))
    for row, (first, last, _) in enumerate(PARTS):
        points[first : last + 1, 0] = np.linspace(0.1, 0.9, last + 1 - first) * width
        points[first : last + 1, 1] = (row + 1) * height / 10
    return FaceLandmarks(points, height, width)


@pytest.mark.parametrize(("height", "width"), [(512, 512), (384, 640)])
def test_parts_are_drawn_in_their_colours(height, width):
    drawn = np.array(face().draw(height, width))
    assert drawn.shape == (height, width, 3)
    for row, (_, _, colour) in enumerate(PARTS):
        y = round((row + 1) * height / 10)
        assert tuple(drawn[y, width // 2]) == colour, row
    assert (drawn[round(height / 20)] == 255).all()  # white in between
    assert (drawn[:, 2] == 255).all()


def test_polylines_are_open():
    """The eyes' outlines end at their sixth point."""
    points = np.full((68, 2), -50.0)  # the rest lies outside
    points[36:42] = [[20, 40], [40, 20], [60, 20], [80, 40], [60, 60], [40, 60]]
    drawn = np.array(FaceLandmarks(points, 100, 100).draw(100, 100))
    assert (drawn[20, 50] == [255, 0, 0]).all()
    assert (drawn[50, 70] != 255).any()
    assert (drawn[45:56, 25:36] == 255).all()  # between the last point and the first


def test_codes():
    code = face().code()
    assert (code.dtype, code.shape) == (torch.uint8, (3, 224, 224))
    maps = POSE_KINDS["landmarks"].expand(code, 224, 224)
    assert torch.equal(maps, face().encode(224, 224))
    assert maps.max() == 1
    assert maps.min() == -1
    kind = POSE_KINDS["landmarks"]
    assert kind.distance(code, code).item() == 0
    assert kind.distance(code, torch.full_like(code, 255)).item() > 1
    with pytest.raises(ValueError, match=r"uint8 of size 64 x 64, got torch.uint8 of 224 x 224"):
        kind.expand(code, 64, 64)


def test_faces_compare_by_value():
    assert face() == face()
    assert len({face(), face()}) == 1
    assert face() != face(64, 64)


@pytest.mark.parametrize(
    ("points", "size", "message"),
    [
        (np.zeros((68, 3)), (9, 9), r"points must be \(68, 2\), got \(68, 3\)"),
        (np.full((68, 2), np.nan), (9, 9), "not finite"),
        (np.zeros((68, 2)), (9, 0), "9 x 0 pixels"),
    ],
)
def test_wrong_landmarks(points, size, message):
    with pytest.raises(ValueError, match=message):
        FaceLandmarks(points, *size)


# ------------------------------------------------------------------ detection


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """A hub folder with weights of the published names and formats, which see one face.

    The detector's outputs come from biases alone: background everywhere, but for the coarsest
    level, which sees a face in every cell.
    """
    pytest.importorskip("face_alignment")
    from face_alignment.detection.sfd.net_s3fd import s3fd
    from face_alignment.models import FAN

    folder = tmp_path_factory.mktemp("hub") / "checkpoints"
    folder.mkdir()
    torch.manual_seed(0)
    detector = {
        k: torch.zeros_like(v) if "mbox" in k else v for k, v in s3fd().state_dict().items()
    }
    for name, tensor in detector.items():
        if "mbox_conf" in name and name.endswith("bias"):
            tensor[: len(tensor) - 1] = 5.0  # the last one is the face
    detector["conv7_2_mbox_conf.bias"] = torch.tensor([-5.0, 5.0])
    torch.save(detector, folder / WEIGHTS[0])
    torch.save(FAN(4).state_dict(), folder / WEIGHTS[1])
    return folder.parent


def face_alignment_networks(monkeypatch):
    """The package's objects, as they are made."""
    import face_alignment

    made, make = [], face_alignment.FaceAlignment

    def keep(*args, **kwargs):
        made.append(make(*args, **kwargs))
        return made[-1]

    monkeypatch.setattr(face_alignment, "FaceAlignment", keep)
    return made


@pytest.mark.slow
def test_the_packages_own_networks_find_faces(hub, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(hub))
    monkeypatch.setattr("face_alignment.utils.get_dir", lambda: str(hub))
    detector = FaceDetector()
    image = np.random.default_rng(0).integers(0, 255, (96, 64, 3), dtype=np.uint8)
    faces = detector.detect(image)
    assert faces
    assert all(isinstance(found, FaceLandmarks) for found in faces)
    assert (faces[0].height, faces[0].width) == (96, 64)
    sizes = [float(np.prod(np.ptp(found.points, axis=0))) for found in faces]
    assert sizes == sorted(sizes, reverse=True)


def test_no_face_is_no_error(hub, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(hub))
    monkeypatch.setattr("face_alignment.utils.get_dir", lambda: str(hub))
    networks = face_alignment_networks(monkeypatch)
    detector = FaceDetector()
    monkeypatch.setattr(networks[0].face_detector, "detect_from_image", lambda image: [])
    assert detector.detect(np.zeros((64, 64, 3), np.uint8)) == []


def test_large_images_are_searched_at_a_smaller_size(hub, monkeypatch):
    """Boxes are found in the small image and enlarged; landmarks are taken from the large one."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(hub))
    monkeypatch.setattr("face_alignment.utils.get_dir", lambda: str(hub))
    networks = face_alignment_networks(monkeypatch)
    detector = FaceDetector(torch.device("cpu"))
    asked = []

    def landmarks(image, boxes):
        asked.append((image.shape, np.array(boxes)))
        return [np.zeros((68, 2))] * len(boxes)

    monkeypatch.setattr(networks[0], "get_landmarks_from_image", landmarks)
    monkeypatch.setattr("rfwarp.poses.face_alignment.MAX_SIDE", 160)
    for height, width in ((160, 120), (480, 360)):
        detector.detect(np.zeros((height, width, 3), np.uint8))
    (shape, boxes), (large_shape, large_boxes) = asked
    assert (shape, large_shape) == ((160, 120, 3), (480, 360, 3))
    assert len(boxes) > 0
    np.testing.assert_allclose(large_boxes, boxes * [3, 3, 3, 3, 1], rtol=1e-6)


@pytest.mark.parametrize("device", ["abc", "meta", "cuda:99"])
def test_devices_that_cannot_be_used(hub, monkeypatch, device):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(hub))
    with pytest.raises(ValueError, match=f"device '{device}' cannot be used: ."):
        FaceDetector(device)


def test_missing_weights_are_named_and_not_downloaded(tmp_path, monkeypatch):
    pytest.importorskip("face_alignment")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    message = rf"checkpoints lacks {WEIGHTS[0]} and {WEIGHTS[1]}: put the weights"
    with pytest.raises(FileNotFoundError, match=message):
        FaceDetector()
    assert list(tmp_path.iterdir()) == []


def test_damaged_weights(tmp_path, monkeypatch):
    pytest.importorskip("face_alignment")
    (tmp_path / "checkpoints").mkdir()
    for name in WEIGHTS:
        (tmp_path / "checkpoints" / name).write_bytes(b"not weights")
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(ValueError, match="checkpoints cannot be loaded"):
        FaceDetector()


def test_without_the_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "face_alignment", None)
    with pytest.raises(ImportError, match=r"rfwarp\[face\]"):
        FaceDetector()


# ------------------------------------------------------------------ FaceMesh


@pytest.fixture(scope="module")
def facemesh():
    pytest.importorskip("ai_edge_litert", reason="FaceMesh needs rfwarp[blazepose]")
    try:
        return FaceDetector(backend="facemesh")
    except (ImportError, FileNotFoundError) as error:
        pytest.skip(f"no weights of FaceMesh: {error}")


@pytest.fixture(scope="module")
def rendered():
    """An image of 256 pixels, and its true landmarks."""
    drawn = render_face(900_003, [0], 256)
    return Image.fromarray(drawn.images[0].permute(1, 2, 0).numpy()), drawn.landmarks[0].numpy()


def test_facemesh_finds_a_rendered_face(facemesh, rendered):
    image, true = rendered
    (found,) = facemesh.detect(image)
    eyes = np.linalg.norm(true[36] - true[45])
    errors = np.linalg.norm(found.points - true, axis=1)
    assert errors.mean() < 0.1 * eyes
    assert errors[36:48].mean() < 0.06 * eyes


def test_facemesh_does_not_care_for_place_and_size(facemesh, rendered):
    image, _ = rendered
    (alone,) = facemesh.detect(image)
    canvas = Image.new("RGB", (700, 600), (230, 230, 230))
    canvas.paste(image.resize((512, 512), Image.Resampling.BICUBIC), (100, 50))
    (found,) = facemesh.detect(canvas)
    back = (found.points + 0.5 - [100, 50]) / 2 - 0.5
    assert np.linalg.norm(back - alone.points, axis=1).mean() < 3


def test_facemesh_follows_a_head_that_leans(facemesh, rendered):
    image, _ = rendered
    (upright,) = facemesh.detect(image)
    (leaning,) = facemesh.detect(image.rotate(25, Image.Resampling.BICUBIC))
    angle = np.radians(25)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    expected = (upright.points - 127.5) @ turn.T + 127.5
    assert np.linalg.norm(leaning.points - expected, axis=1).mean() < 4


def test_the_largest_face_comes_first(facemesh, rendered):
    image, _ = rendered
    canvas = Image.new("RGB", (512, 256), (230, 230, 230))
    canvas.paste(image.resize((180, 180)), (10, 40))
    canvas.paste(image, (256, 0))
    large, small = facemesh.detect(canvas)
    assert large.points[:, 0].mean() > 256 > small.points[:, 0].mean()
    assert (large.height, large.width) == (256, 512)


def test_facemesh_sees_nobody_in_an_empty_image(facemesh):
    assert facemesh.detect(np.full((120, 200, 3), 200, np.uint8)) == []


def test_the_68_are_points_of_the_mesh():
    assert len(set(MESH)) == len(MESH) == 68
    assert 0 <= min(MESH) <= max(MESH) < 468


def test_missing_and_damaged_weights_of_facemesh(tmp_path):
    pytest.importorskip("ai_edge_litert", reason="FaceMesh needs rfwarp[blazepose]")
    with pytest.raises(ValueError, match="device 'cuda' cannot be used: FaceMesh computes on cpu"):
        FaceDetector("cuda", backend="facemesh")
    with pytest.raises(FileNotFoundError, match=r"no FaceMesh weights at .*short_range.tflite and"):
        FaceDetector(backend="facemesh", weights=tmp_path)
    for name in MESH_WEIGHTS:
        (tmp_path / name.rpartition("/")[2]).write_bytes(b"not a network")
    with pytest.raises(ValueError, match=r"short_range.tflite cannot be loaded"):
        FaceDetector(backend="facemesh", weights=tmp_path)


def test_without_the_package_of_facemesh(monkeypatch):
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(ImportError, match=r"FaceMesh needs .*rfwarp\[blazepose\]"):
        FaceDetector(backend="facemesh")


def test_weights_of_face_alignment_are_the_hubs(hub, monkeypatch, tmp_path):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(hub))
    with pytest.raises(ValueError, match=f"from .*checkpoints, not from {tmp_path}"):
        FaceDetector(weights=tmp_path)
