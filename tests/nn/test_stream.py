"""One set of sources, a stream of target poses."""

from itertools import count, islice

import numpy as np
import pytest
import torch
from test_generator import C, inputs, make

from rfwarp import Generator
from rfwarp.images import to_uint8
from rfwarp.poses import Viewpoint


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "optimized"])
def generator(request) -> Generator:
    generator = make().requires_grad_(False)
    return generator.optimize() if request.param else generator


@pytest.fixture(scope="module")
def encoded(generator):
    sources, poses, _ = inputs(n=1, k=2, h=70, w=64, dtype=torch.float32)
    return generator.encode(sources, poses)


def poses(number: int) -> torch.Tensor:
    return torch.rand(number, C, 70, 64, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("batch_size", [1, 3, 8, None])
def test_images_are_those_of_single_targets(generator, encoded, batch_size):
    images = list(generator.stream(encoded, poses(7), batch_size=batch_size))
    assert [p.size for p in images] == [(64, 70)] * 7
    for image, pose in zip(images, poses(7), strict=True):
        alone = to_uint8(generator.decode(encoded, pose[None]))[0].permute(1, 2, 0)
        # Batches sum up in another order: a value between two levels may go to either.
        assert np.abs(np.int16(np.array(image)) - alone.numpy()).max() <= 1


def test_an_endless_iterable_is_read_no_further_than_needed(generator, encoded):
    read = []
    endless = (read.append(i) or poses(1)[0] for i in count())
    stream = generator.stream(encoded, endless, batch_size=3)
    assert read == []
    assert len(list(islice(stream, 4))) == 4
    assert read == [0, 1, 2, 3, 4, 5]


def test_batches_are_as_large_as_asked_for_and_no_larger(generator, encoded, monkeypatch):
    sizes = []
    decode = generator.decode
    monkeypatch.setattr(
        generator,
        "decode",
        lambda encoded, target: sizes.append(target.shape[0]) or decode(encoded, target),
    )
    list(generator.stream(encoded, poses(7), batch_size=3))
    assert sizes == [3, 3, 1]
    sizes.clear()
    list(generator.stream(encoded, poses(20)))  # 65536 pixels hold 14 of 70 x 64
    assert sizes == [14, 6]


def test_any_kind_of_pose(generator, encoded):
    vector = torch.linspace(0, 1, C)
    tiled = vector[:, None, None].expand(C, 70, 64)
    images = list(generator.stream(encoded, [vector, vector.numpy(), tiled], batch_size=1))
    assert len({image.tobytes() for image in images}) == 1


def test_the_callers_gradients_are_not_switched_off(generator, encoded):
    for _ in generator.stream(encoded, poses(2), batch_size=1):
        assert torch.is_grad_enabled()


def test_progress_is_shown_only_if_asked_for(generator, encoded, capsys):
    list(generator.stream(encoded, poses(2)))
    assert capsys.readouterr().err == ""
    list(generator.stream(encoded, poses(2), progress=True))
    assert "2/2" in capsys.readouterr().err


@pytest.mark.parametrize("batch_size", [0, -1, 2.0, True, "8"])
def test_a_wrong_batch_size_is_an_error_at_once(generator, encoded, batch_size):
    with pytest.raises(ValueError, match="batch_size must be a positive integer"):
        generator.stream(encoded, [], batch_size=batch_size)


def test_several_sets_of_sources_are_an_error_at_once(generator):
    sources, poses, _ = inputs(n=2, dtype=torch.float32)
    with pytest.raises(ValueError, match=r"one set of sources \(N = 1\), got 2"):
        generator.stream(generator.encode(sources, poses), [])


def test_a_wrong_pose_is_named(generator, encoded):
    stream = generator.stream(encoded, [poses(1)[0], torch.zeros(C + 1)], batch_size=1)
    next(stream)
    with pytest.raises(ValueError, match=r"target_poses\[1\] must be a map \(5, 70, 64\)"):
        next(stream)


def test_images_before_a_wrong_pose_are_drawn(generator, encoded):
    """Those of its own batch too."""
    good = poses(2)
    expected = list(generator.stream(encoded, good, batch_size=2))
    stream = generator.stream(encoded, [*good, torch.zeros(C + 1)], batch_size=4)
    for image in expected:
        assert np.array_equal(next(stream), image)
    with pytest.raises(ValueError, match=r"target_poses\[2\] must be a map"):
        next(stream)

    def failing():
        yield good[0]
        raise RuntimeError("the camera is gone")

    stream = generator.stream(encoded, failing(), batch_size=4)
    next(stream)
    with pytest.raises(RuntimeError, match="the camera is gone"):
        next(stream)


def test_a_pose_of_another_kind():
    generator = make(pose_channels=21, pose_kind="camera")
    sources = torch.zeros(1, 1, 3, 64, 64)
    encoded = generator.encode(sources, torch.zeros(1, 1, 21, 64, 64))
    with pytest.raises(ValueError, match=r"target_poses\[0\] is a viewpoint, but .* a camera"):
        next(generator.stream(encoded, [Viewpoint(0, 0)]))
