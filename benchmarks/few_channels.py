"""warp of images, feature maps of few channels and volumes, against F.grid_sample.

    python benchmarks/few_channels.py

F.grid_sample gets its grid, and for several flows its copies of the image, for nothing; then it is
timed once more with its grid made from the flow, as whoever has a flow must. Results agree to
rounding before anything is timed. Each number is the least CPU time of one thread over all rounds,
in turns: other processes on the machine disturb it least. Ratios count, not times.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
import tyro
from torch import Tensor

from rfwarp.ops import backend, flow_from_grid, warp


@dataclass(frozen=True)
class Shape:
    """Channels, the axes, and how many flows there are for the one image."""

    channels: int
    size: tuple[int, ...]
    flows: int = 1

    def __str__(self) -> str:
        axes = "x".join(map(str, self.size))
        return f"{self.flows} x {self.channels} @ {axes}"


SHAPES = (
    Shape(1, (256, 256)),
    Shape(3, (256, 256)),
    Shape(3, (64, 64), flows=11),
    Shape(4, (128, 128)),
    Shape(8, (128, 128)),
    Shape(12, (128, 128)),
    Shape(16, (128, 128)),
    Shape(32, (16, 64, 64)),
    Shape(4, (16, 64, 64), flows=22),
)


def smooth_grid(shape: Shape) -> Tensor:
    """(flows, ..., axes): a map of the image to itself, moved by a few pixels, smoothly."""
    axes = len(shape.size)
    coarse = torch.randn(shape.flows, axes, *(max(2, side // 8) for side in shape.size))
    mode = "bilinear" if axes == 2 else "trilinear"
    pixels = 4 * F.interpolate(coarse, shape.size, mode=mode, align_corners=True).movedim(1, -1)
    identity, scale = grid_parts(shape)
    return identity + pixels * scale


def grid_parts(shape: Shape) -> tuple[Tensor, Tensor]:
    """The grid of no flow (flows, ..., axes), and what a pixel of flow adds to it (axes)."""
    axes = len(shape.size)
    identity = torch.eye(axes, axes + 1).expand(shape.flows, -1, -1)
    grid = F.affine_grid(identity, [shape.flows, 1, *shape.size], align_corners=True)
    return grid, 2 / (torch.tensor(shape.size[::-1]) - 1)


def pairs(shape: Shape, channels_last: bool) -> dict[str, tuple[Callable[[], object], ...]]:
    """Ours, F.grid_sample and that of the flow, forward, and forward and backward."""
    formats = {2: torch.channels_last, 3: torch.channels_last_3d}
    layout = formats[len(shape.size)] if channels_last else torch.contiguous_format
    image = torch.randn(1, shape.channels, *shape.size).contiguous(memory_format=layout)
    grid = smooth_grid(shape)
    flow = flow_from_grid(grid, align_corners=True)
    flow = flow[None] if shape.flows > 1 else flow
    copies = image.repeat_interleave(shape.flows, 0).contiguous(memory_format=layout)
    ours, theirs = warp(image, flow), F.grid_sample(copies, grid, align_corners=True)
    torch.testing.assert_close(ours.view_as(theirs), theirs, rtol=1e-3, atol=1e-3)
    by_theirs = torch.randn_like(theirs)
    by_ours = torch.empty_like(ours).copy_(by_theirs.view_as(ours))
    leaves = [x.clone().requires_grad_() for x in (image, flow, copies, grid)]
    by_flow = [leaves[2], leaves[1]]

    def sampled(image: Tensor, grid: Tensor) -> Tensor:
        return F.grid_sample(image, grid, align_corners=True)

    identity, scale = grid_parts(shape)

    def sampled_by_flow(image: Tensor, flow: Tensor) -> Tensor:
        flow = flow.flatten(0, -2 - len(shape.size)).movedim(1, -1)
        return sampled(image, identity + flow * scale)

    torch.testing.assert_close(sampled_by_flow(copies, flow), theirs, rtol=1e-3, atol=1e-3)

    return {
        "forward": (
            lambda: warp(image, flow),
            lambda: sampled(copies, grid),
            lambda: sampled_by_flow(copies, flow),
        ),
        "forward + backward": (
            lambda: torch.autograd.grad(warp(*leaves[:2]), leaves[:2], by_ours),
            lambda: torch.autograd.grad(sampled(*leaves[2:]), leaves[2:], by_theirs),
            lambda: torch.autograd.grad(sampled_by_flow(*by_flow), by_flow, by_theirs),
        ),
    }


@dataclass(frozen=True)
class FewChannels:
    """warp against F.grid_sample, where channels are few."""

    rounds: int = 9
    repeats: int = 5
    """Calls in a row, in each round."""

    def run(self) -> None:
        if self.rounds < 1 or self.repeats < 1:
            raise SystemExit("few_channels.py: error: rounds and repeats must be at least 1")
        torch.set_num_threads(1)
        torch.manual_seed(0)
        print(f"torch {torch.__version__}; {backend().cpu.reason}")
        for channels_last in (False, True):
            for shape in SHAPES:
                for passes, calls in pairs(shape, channels_last).items():
                    ours, theirs, theirs_by_flow = self.least(calls)
                    layout = "channels_last" if channels_last else "contiguous"
                    note = f"{shape!s:20} {layout:14}{passes:19}"
                    by_flow = f"from the flow {theirs_by_flow / ours:5.2f} x"
                    print(
                        f"{note}{theirs / ours:6.2f} x F.grid_sample, {by_flow}"
                        f" ({ours * 1e3:.3f} ms)"
                    )

    def least(self, calls: tuple[Callable[[], object], ...]) -> list[float]:
        """Seconds of each call."""
        seconds = [float("inf")] * len(calls)
        for _ in range(self.rounds):
            for i, call in enumerate(calls):
                start = time.thread_time()
                for _ in range(self.repeats):
                    call()
                seconds[i] = min(seconds[i], (time.thread_time() - start) / self.repeats)
        return seconds


if __name__ == "__main__":
    tyro.cli(FewChannels).run()
