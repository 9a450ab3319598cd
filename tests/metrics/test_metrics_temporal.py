"""The warping error, on motion, flicker and occlusion that are known."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from rfwarp.metrics import WarpingError
from rfwarp.metrics import temporal as module

pytest.importorskip("cv2", reason="the warping error needs rfwarp[temporal]")


def texture(height: int, width: int, seed: int = 0) -> Tensor:
    """(3, H, W) uint8, smooth over three pixels or so."""
    noise = torch.rand(1, 3, height + 12, width + 12, generator=torch.Generator().manual_seed(seed))
    blurred = F.avg_pool2d(F.avg_pool2d(noise, 5, 1), 5, 1)[0, :, :height, :width]
    low, high = blurred.min(), blurred.max()
    return ((blurred - low) / (high - low) * 200 + 20).round().byte()


def errors(frames: Sequence[Tensor], motion: Sequence[Tensor | None] | None = None) -> list[float]:
    error = WarpingError()
    for frame, moving in zip(frames, motion or [None] * len(frames), strict=True):
        error.add(frame, moving)
    return error.errors


def shifted(count: int, step: int, height: int = 96, width: int = 96) -> list[Tensor]:
    whole = texture(height, width + step * count)
    return [whole[:, :, step * n : step * n + width] for n in range(count)]


def squares(a: Tensor, b: Tensor) -> float:
    return float(((a.double() - b.double()) / 255).square().mean())


@pytest.mark.parametrize("size", [(96, 96), (64, 80), (300, 280)])
def test_motion_is_taken_away(size: tuple[int, int]) -> None:
    frames = shifted(4, 3, *size)
    found = errors(frames)
    assert len(found) == 3
    assert max(found) < 0.02 * squares(frames[0], frames[1])


def test_flicker_stays() -> None:
    """Every second frame is lighter by a tenth."""
    frames = [frame.clone() for frame in shifted(4, 2)]
    for frame in frames[1::2]:
        frame += 25
    still = shifted(4, 2)
    found = errors(frames, still)
    assert found == pytest.approx([(25 / 255) ** 2] * 3, rel=0.05)
    assert errors(frames) == pytest.approx(found, rel=0.1)  # by their own flow too


def test_trembling_is_found_by_the_flow_of_the_truth() -> None:
    whole = texture(96, 120)
    frames = [whole[:, :, left : left + 96] for left in (10, 12, 9, 11, 10)]
    still = [frames[0]] * 5
    own, true = np.mean(errors(frames)), np.mean(errors(frames, still))
    assert true > 20 * own
    expected = np.mean([squares(a, b) for a, b in pairwise(frames)])
    assert true == pytest.approx(expected, rel=1e-6)  # no flow: the plain difference


def test_what_appears_does_not_count() -> None:
    """A block moves over a background of another texture: what it uncovers was not there."""
    background, block = texture(128, 128), texture(40, 40, seed=1)
    frames = []
    for left in (20, 26, 32):
        frame = background.clone()
        frame[:, 44:84, left : left + 40] = block
        frames.append(frame)
    found = errors(frames)
    assert max(found) < 0.15 * squares(frames[0], frames[1])


def test_equals_its_definition(monkeypatch: pytest.MonkeyPatch) -> None:
    """Given flows, against loops: bilinear samples, and the mask by both flows."""
    rng = np.random.default_rng(0)
    away = np.array([1.4, -1.7]).reshape(2, 1, 1)
    flows = [(sign * away + rng.normal(0, 0.4, (2, 9, 11))).astype(np.float32) for sign in (1, -1)]
    given = iter(flows)
    monkeypatch.setattr(module, "_dis", lambda: lambda image, other, factor: next(given))
    a, b = (rng.integers(0, 256, (3, 9, 11)).astype(np.uint8) for _ in range(2))
    error = WarpingError()
    error.add(torch.from_numpy(a))
    assert error.mean is None
    error.add(torch.from_numpy(b))
    back, there = flows

    def sample(image: np.ndarray, x: float, y: float) -> np.ndarray:
        left, top = min(int(x), 9), min(int(y), 7)
        u, v = x - left, y - top
        rows = [(1 - u) * image[:, top + i, left] + u * image[:, top + i, left + 1] for i in (0, 1)]
        return (1 - v) * rows[0] + v * rows[1]

    found = []
    for y in range(9):
        for x in range(11):
            f = back[:, y, x].astype(float)
            px, py = x + f[0], y + f[1]
            if not (0 <= px <= 10 and 0 <= py <= 8):
                continue
            g = sample(there.astype(float), px, py)
            if ((f + g) ** 2).sum() < 0.01 * ((f**2).sum() + (g**2).sum()) + 0.5:
                difference = sample(a / 255, px, py) - b[:, y, x] / 255
                found.append((difference**2).mean())
    assert 20 < len(found) < 90
    assert error.mean == pytest.approx(np.mean(found), rel=1e-4)


def test_pairs_without_a_common_pixel_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    away = np.full((2, 16, 16), 100, np.float32)
    monkeypatch.setattr(module, "_dis", lambda: lambda image, other, factor: away)
    assert errors([texture(16, 16)] * 3) == []


def test_floating_point_frames_are_the_same() -> None:
    frames = shifted(3, 2)
    assert errors([frame.float() / 127.5 - 1 for frame in frames]) == errors(frames)


def test_frames_of_other_shapes_are_refused() -> None:
    error = WarpingError()
    with pytest.raises(ValueError, match=r"frame must be \(3, H, W\) .* got \(1, 8, 8\)"):
        error.add(torch.zeros(1, 8, 8))
    error.add(torch.zeros(3, 64, 64))
    with pytest.raises(ValueError, match=r"frame must be .*\(3, 64, 64\), got \(3, 64, 32\)"):
        error.add(torch.zeros(3, 64, 32))
    with pytest.raises(ValueError, match=r"motion must be .* got \(3, 32, 64\)"):
        error.add(torch.zeros(3, 64, 64), torch.zeros(3, 32, 64))


def test_without_opencv(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(ImportError, match=r'pip install "rfwarp\[temporal\]"'):
        WarpingError()
