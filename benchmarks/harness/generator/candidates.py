"""The compared generators: the network in plain PyTorch, and rfwarp's inference form."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from rfwarp import Generator
from rfwarp.nn import fusing
from rfwarp.ops import grid_sample, use_backend

Job = Literal["image", "next image", "stream"]
DType = Literal["float32", "bfloat16", "float16"]
POSE_CHANNELS = 18
STREAM_BATCH = 16


@dataclass(frozen=True)
class Case:
    """One thing to time: N images of ``size`` x ``size`` pixels from K sources each.

    Attributes:
        job: an image from its sources; the next image of sources that were encoded before; or
            ``stream`` images of one set of sources, in time per image.
    """

    n: int
    k: int
    job: Job
    size: int = 256
    dtype: DType = "float32"
    device: str = "cpu"
    stream: int = 100

    @property
    def images(self) -> int:
        return self.stream if self.job == "stream" else self.n

    def __str__(self) -> str:
        return f"{self.job}, N={self.n}, K={self.k}, {self.dtype}"


class Inputs(NamedTuple):
    sources: Tensor
    poses: Tensor
    targets: Tensor


def make_inputs(case: Case, seed: int) -> Inputs:
    """Uniform noise; a stream has one set of sources and all its targets."""
    g = torch.Generator().manual_seed(seed)
    n = 1 if case.job == "stream" else case.n
    shape, targets = (n, case.k), case.images
    side = (case.size, case.size)

    def uniform(*sizes: int) -> Tensor:
        drawn = torch.rand(*sizes, *side, generator=g)
        return drawn.to(case.device, getattr(torch, case.dtype))

    poses = partial(uniform, *shape, POSE_CHANNELS)
    return Inputs(2 * uniform(*shape, 3) - 1, poses(), uniform(targets, POSE_CHANNELS))


def network(seed: int, width: float) -> Generator:
    """The paper's network, its flows and confidences as far from zero as a trained one's."""
    torch.manual_seed(seed)
    generator = Generator(pose_channels=POSE_CHANNELS, width=width)
    for name, parameter in generator.named_parameters():
        if "heads" in name or "residual.weight" in name:
            nn.init.normal_(parameter, std=0.02)
    return generator.eval().requires_grad_(False)


@dataclass(frozen=True)
class Candidate:
    """One way to generate images.

    Attributes:
        kind: eager PyTorch as one would write it, torch.compile of that or of our form, rfwarp in
            PyTorch, or with its kernels.
        caches: whether it encodes sources once for all targets.
        active: the context it runs in; entering it is not timed.
    """

    name: str
    kind: Literal["eager", "compile", "reference", "ours"]
    generator: Generator
    caches: bool
    active: Callable[[], AbstractContextManager[object]] = nullcontext
    compiled: Mapping[str, Any] | None = None
    """Options of torch.compile; None does without it."""

    def runner(self, case: Case, inputs: Inputs) -> Callable[[int], Tensor]:
        """A function that generates the case's images, (N, 3, H, W); it ignores its argument."""
        sources, poses, targets = inputs
        forward: Any = self.generator
        decode: Any = self.generator.decode
        if self.compiled is not None:
            forward, decode = (
                torch.compile(f, dynamic=False, fullgraph=True, **self.compiled)
                for f in (forward, decode)
            )
        encoded: Any = None
        if self.caches and case.job == "next image":
            with self.active(), torch.no_grad():
                encoded = self.generator.encode(sources, poses)

        @torch.no_grad()
        def run(_: int) -> Tensor:
            if encoded is not None:
                return decode(encoded, targets)
            if case.job != "stream":
                image: Tensor = forward(sources, poses, targets)
                return image
            batches = targets.split(STREAM_BATCH if case.device != "cpu" else 1)
            if self.caches:
                once = self.generator.encode(sources, poses)
                return torch.cat([decode(once, batch) for batch in batches])
            return torch.cat([forward(*_repeated(sources, poses, batch)) for batch in batches])

        return run


def _repeated(sources: Tensor, poses: Tensor, targets: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    m = targets.shape[0]
    return sources.expand(m, -1, -1, -1, -1), poses.expand(m, -1, -1, -1, -1), targets


def candidates(case: Case, plain: Generator, *, compiled: bool) -> Iterator[Candidate]:
    """All candidates for a case; ``plain`` is in float32 on the CPU."""
    dtype = getattr(torch, case.dtype)
    written = copy.deepcopy(plain).to(case.device, dtype)
    yield Candidate("eager", "eager", written, False, _grid_sample)
    if compiled:
        modes = ["default"] + ["max-autotune"] * (case.device != "cpu")
        for mode in modes:
            name = "compile" if mode == "default" else f"compile, {mode}"
            yield Candidate(name, "compile", written, False, _grid_sample, {"mode": mode})
    optimized = plain.optimize(dtype).to(case.device)
    if compiled and case.device == "cpu":
        freezing = {"options": {"freezing": True}}
        yield Candidate(
            "compile, freezing, our form", "compile", optimized, True, compiled=freezing
        )
    yield Candidate("rfwarp, torch", "reference", optimized, True, partial(use_backend, "torch"))
    backend = torch.device(case.device).type
    yield Candidate("rfwarp", "ours", optimized, True, partial(use_backend, backend))


@contextmanager
def _grid_sample() -> Iterator[None]:
    """The network's operators as one would write them."""
    ours = fusing.warp, fusing.warp_fuse
    fusing.warp, fusing.warp_fuse = grid_sample.warp, grid_sample.warp_fuse  # type: ignore[assignment]
    try:
        yield
    finally:
        fusing.warp, fusing.warp_fuse = ours
