"""Temporal consistency of videos: the warping error, by optical flow between frames."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rfwarp.images import from_uint8, to_uint8
from rfwarp.ops import warp

FLOW_SIDE = 256
"""Smaller images are enlarged to this side for their flow, of which OpenCV finds more then."""


class WarpingError:
    """How much a video flickers: what is left of each frame's difference from the one before when
    motion is taken away.

    Of two consecutive frames a and b in [0, 1] with F the flow from b back to a,

        E(a, b) = mean over pixels p in M of mean over RGB of (a(p + F(p)) - b(p))^2,

    as of Lai et al. (Learning Blind Video Temporal Consistency, ECCV 2018). M are the pixels that
    both frames show: inside of the image, where F and the flow G from a to b agree,

        norm(F + G(p + F))^2 < 0.01 (norm(F)^2 + norm(G)^2) + 0.5

    (Sundaram et al., ECCV 2010). Flows are OpenCV's DIS flow (preset medium) of the grey images,
    enlarged to ``FLOW_SIDE`` if they are smaller.

    The flow is that of the frames themselves, and so forgives whatever looks like motion, also
    trembling; or it is that of other frames which move as these should, such as the truth's. It is
    lower for a blurred video, and 0 for one that stands still: compare it with the driver's or the
    truth's own.

    Memory does not grow with the number of frames but for a number each.

    Attributes:
        errors: E of each pair of consecutive frames so far, without those that share no pixel.

    Raises:
        ImportError: without OpenCV, ``pip install "rfwarp[temporal]"``.

    Example:
        >>> import torch
        >>> from rfwarp.metrics import WarpingError
        >>> noise = torch.Generator().manual_seed(0)
        >>> image = torch.rand(3, 64, 64, generator=noise).round()  # 0 or 1
        >>> error = WarpingError()
        >>> for frame in (image, image, 1 - image):
        ...     error.add(frame * 2 - 1, motion=image * 2 - 1)  # nothing should move
        >>> error.errors, error.mean
        ([0.0, 1.0], 0.5)
    """

    def __init__(self) -> None:
        self._find = _dis()
        self._last: tuple[Tensor, Tensor] | None = None
        self.errors: list[float] = []

    def add(self, frame: Tensor, motion: Tensor | None = None) -> None:
        """The next frame.

        Args:
            frame: (3, H, W), uint8 or floating point in [-1, 1].
            motion: the frame, of the same size, whose flow is taken; None takes ``frame``.

        Raises:
            ValueError: if a frame has another shape than these or the last.
        """
        moving = frame if motion is None else motion
        like = frame if self._last is None else self._last[0]
        for name, given in (("frame", frame), ("motion", moving)):
            if given.ndim != 3 or len(given) != 3 or given.shape != like.shape:
                raise ValueError(
                    f"{name} must be (3, H, W) of the size of all others, {tuple(like.shape)}, "
                    f"got {tuple(given.shape)}"
                )
        shown, moving = (_uint8(x) for x in (frame, moving))
        if self._last is not None:
            before, moved_before = self._last
            back, there = self._flow(moving, moved_before), self._flow(moved_before, moving)
            error = _error(before, shown, back, there)
            self.errors += [] if error is None else [error]
        self._last = (shown, moving)

    @classmethod
    def of(cls, frames: Iterable[Tensor], motion: Iterable[Tensor] | None = None) -> WarpingError:
        """That of a whole video.

        Args:
            frames: as of :meth:`add`.
            motion: as many frames whose flow is taken; None takes ``frames``.

        Raises:
            ValueError: if their numbers differ; see also :meth:`add`.
        """
        error = cls()
        if motion is None:
            for frame in frames:
                error.add(frame)
        else:
            for frame, moving in zip(frames, motion, strict=True):
                error.add(frame, moving)
        return error

    @property
    def mean(self) -> float | None:
        """The mean of ``errors``; None before the second frame."""
        return sum(self.errors) / len(self.errors) if self.errors else None

    def _flow(self, image: Tensor, other: Tensor) -> Tensor:
        """(2, H, W) float32, dx and dy in pixels: pixel p of ``image`` is at p + flow in
        ``other``."""
        height, width = image.shape[1:]
        factor = -(-FLOW_SIDE // min(height, width, FLOW_SIDE))
        return torch.from_numpy(self._find(_grey(image, factor), _grey(other, factor), factor))


def _dis() -> Any:
    try:
        import cv2
    except ModuleNotFoundError as error:
        raise ImportError(
            'the warping error needs OpenCV: pip install "rfwarp[temporal]"'
        ) from error
    dis: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

    def find(image: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8], factor: int) -> Any:
        flow = dis.calc(image, other, None)
        if factor > 1:
            size = (image.shape[1] // factor, image.shape[0] // factor)
            flow = cv2.resize(flow, size, interpolation=cv2.INTER_AREA) / np.float32(factor)
        return np.ascontiguousarray(flow.transpose(2, 0, 1))

    return find


def _uint8(frame: Tensor) -> Tensor:
    return frame.detach().cpu() if frame.dtype == torch.uint8 else to_uint8(frame.detach()).cpu()


def _grey(image: Tensor, factor: int) -> npt.NDArray[np.uint8]:
    """(H factor, W factor) luma, enlarged by bilinear interpolation."""
    luma = torch.tensor([0.299, 0.587, 0.114])
    grey = (image.float() * luma.view(3, 1, 1)).sum(0)
    if factor > 1:
        size = [side * factor for side in grey.shape]
        grey = torch.nn.functional.interpolate(grey[None, None], size, mode="bilinear")[0, 0]
    return grey.round().clamp(0, 255).to(torch.uint8).numpy()


def _error(before: Tensor, after: Tensor, back: Tensor, there: Tensor) -> float | None:
    height, width = back.shape[1:]
    shown = torch.cat([from_uint8(before) / 2 + 0.5, there])
    moved = warp(shown[None], back[None])[0]
    rest = (back + moved[3:]).square().sum(0)
    lengths = back.square().sum(0) + moved[3:].square().sum(0)
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    x, y = x + back[0], y + back[1]
    inside = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
    both = (rest < 0.01 * lengths + 0.5) & inside
    if not both.any():
        return None
    difference = moved[:3] - (from_uint8(after) / 2 + 0.5)
    return float(difference.double().square().mean(0)[both].mean())
