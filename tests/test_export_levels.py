"""Networks with a prior, with depth and with the image level, in other runtimes and called with
images."""

import copy

import numpy as np
import onnxruntime
import pytest
import torch
from network_cases import arguments, network

from rfwarp import Generator
from rfwarp.export import export_onnx
from rfwarp.images import to_pil, to_uint8
from rfwarp.poses import CameraMotion, Keypoints, Viewpoint

NAMES = ("sources", "poses", "target_pose")


@pytest.mark.slow  # over a minute of exporting each; test_export.py has the paper's levels
@pytest.mark.parametrize(
    ("name", "optimized"), [("keypoints", True), ("landmarks", True), ("viewpoint", False)]
)
def test_onnxruntime_draws_the_same(tmp_path, name, optimized):
    """Warped noise shows rounding, so the error is compared with our own, both against float64."""
    generator = network(name, width=1 / 64).requires_grad_(False)
    exact = copy.deepcopy(generator).double()
    generator = generator.optimize() if optimized else generator
    session = onnxruntime.InferenceSession(
        export_onnx(generator, tmp_path / "generator.onnx", (64, 96))
    )
    for n, k in ((2, 2), (1, 1), (3, 1), (1, 3)):
        given = arguments(name, n=n, k=k, h=64, w=96, dtype=torch.float32)
        (image,) = session.run(None, {x: a.numpy() for x, a in zip(NAMES, given, strict=True)})
        expected = exact(*(x.double() for x in given))
        own = (generator(*given) - expected).abs().max()
        assert (torch.from_numpy(image) - expected).abs().max() <= 4 * own + 1e-4


def person(seed: int, height: int, width: int) -> Keypoints:
    points = np.random.default_rng(seed).uniform(0.1, 0.9, (18, 2)) * (width, height)
    return Keypoints(points, height, width)


POSES = {
    "viewpoint": [Viewpoint(0, 0), Viewpoint(40, 10), Viewpoint(300, 20), Viewpoint(180, 0)],
    "keypoints": [person(seed, 70, 64) for seed in range(4)],
    "camera": [CameraMotion((0, 0.02 * x, 0), (0.1 * x, 0, 0.5 * x)) for x in range(4)],
}


@pytest.fixture(params=POSES)
def case(request) -> tuple[Generator, list]:
    return network(request.param).requires_grad_(False), POSES[request.param]


def test_images_and_poses_as_people_have_them(case):
    """PIL images and pose objects, at a size that is padded."""
    generator, (first, second, *targets) = case
    pixels = torch.rand(2, 3, 70, 64, generator=torch.Generator().manual_seed(0))
    images = [to_pil(x * 2 - 1) for x in pixels]
    drawn = generator.generate_many(images, [first, second], targets)
    assert [p.size for p in drawn] == [(64, 70)] * 2
    _, maps = generator.generate_with_maps(images, [first, second], targets[0])
    assert len(maps) == len(generator.config.levels)
    sources = torch.stack([torch.from_numpy(np.array(i)).permute(2, 0, 1) for i in images])
    poses = torch.stack([pose.encode(70, 64) for pose in (first, second)])
    encoded = generator.encode(sources[None] / 127.5 - 1, poses[None])
    streamed = list(generator.stream(encoded, targets, batch_size=2))
    assert streamed[0].tobytes() != streamed[1].tobytes()
    for target, one, other in zip(targets, drawn, streamed, strict=True):
        alone = to_uint8(generator.decode(encoded, target.encode(70, 64)[None]))[0]
        for mine in (one, other):
            off = np.int16(np.array(mine)) - alone.permute(1, 2, 0).numpy()
            assert np.abs(off).max() <= 1


@pytest.mark.parametrize("case", ["viewpoint", "camera"], indirect=True)
def test_cameras_as_plain_vectors(case):
    generator, (first, second, *_) = case
    image = to_pil(torch.zeros(3, 64, 64))
    ours = generator.generate([image], [first.code()], second.code().numpy())
    assert ours.tobytes() == generator.generate([image], [first], second).tobytes()


def test_a_pose_of_another_kind(case):
    generator, (pose, *_) = case
    other = CameraMotion((0, 0, 0), (0, 0, 0)) if pose.kind != "camera" else Viewpoint(0, 0)
    with pytest.raises(ValueError, match=f"is a {other.kind}, but this model takes a {pose.kind}"):
        generator.generate([to_pil(torch.zeros(3, 64, 64))], [pose], other)
