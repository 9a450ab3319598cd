"""The measured cases: shapes, layouts, types, passes, kinds of flow, and inputs for them."""

from __future__ import annotations

import math
import re
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

Layout = Literal["NCHW", "channels_last"]
DType = Literal["float32", "bfloat16", "float16"]
Pass = Literal["forward", "forward+backward"]
Flow = Literal["identity", "smooth", "random", "one_pixel", "half_outside"]


_TORCH_DTYPES: dict[DType, torch.dtype] = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


class Shape(NamedTuple):
    """Sizes of the features, (N, K, C, H, W)."""

    n: int
    k: int
    c: int
    h: int
    w: int
    shared: bool = False
    """One set of sources for all N targets: the features have stride 0 over the batch."""

    @classmethod
    def parse(cls, text: str) -> Shape:
        """``"8,4,128,64,64"``, with ``"+shared"`` behind it for one set of sources.

        Raises:
            ValueError: if it is anything else.
        """
        match = re.fullmatch(r"([1-9]\d*(?:,[1-9]\d*){4})(\+shared)?", text)
        if match is None:
            raise ValueError(f'a shape is "N,K,C,H,W" or "N,K,C,H,W+shared", got {text!r}')
        n, k, c, h, w = map(int, match[1].split(","))
        if h == 1 or w == 1:
            raise ValueError(f"F.grid_sample cannot move along an axis of one pixel, got {text!r}")
        return cls(n, k, c, h, w, shared=match[2] is not None)

    def __str__(self) -> str:
        return ",".join(map(str, self[:5])) + ("+shared" if self.shared else "")

    @property
    def elements(self) -> int:
        """Values of the features in memory."""
        return (1 if self.shared else self.n) * math.prod(self[1:5])


SHAPES = tuple(
    map(
        Shape.parse,
        (
            *("1,2,256,32,32", "1,2,128,64,64", "1,4,128,64,64"),
            *("8,2,256,32,32", "8,4,128,64,64", "64,2,256,32,32", "64,4,128,64,64"),
            *("64,10,128,64,64", "1,1,256,32,32", "1,10,128,64,64", "16,4,128,128,128"),
            "4,4,64,512,512",  # video
            "3,3,100,37,53",  # odd
            "8,4,16,256,256",  # few channels
            "8,4,128,64,64+shared",  # many targets of one set of sources
        ),
    )
)


@dataclass(frozen=True)
class Case:
    """One thing to measure."""

    shape: Shape
    layout: Layout = "NCHW"
    dtype: DType = "float32"
    passes: Pass = "forward"
    flow: Flow = "smooth"
    device: str = "cpu"

    def __str__(self) -> str:
        return f"{self.shape} {self.layout} {self.dtype} {self.flow} {self.passes}"

    @property
    def torch_dtype(self) -> torch.dtype:
        """The type of features, target and output; the others are float32."""
        return _TORCH_DTYPES[self.dtype]

    @property
    def memory_format(self) -> torch.memory_format:
        """The memory format of target and output."""
        last = self.layout == "channels_last"
        return torch.channels_last if last else torch.contiguous_format

    @property
    def backward(self) -> bool:
        return self.passes == "forward+backward"

    @property
    def minimal_bytes(self) -> int:
        """Bytes that must cross the memory bus: every input read once, every result written once.

        Forward: features, target and output. Backward: features, target and the output's gradient
        are read, the gradients of features and target written. Flow, residual and logits are left
        out: six values per pixel and source beside C.
        """
        image = self.shape.n * math.prod(self.shape[2:5])
        values = self.shape.elements + 2 * image
        if self.backward:
            values += 2 * self.shape.elements + 3 * image
        return values * self.torch_dtype.itemsize

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "shape": str(self.shape)}


class Inputs(NamedTuple):
    """The tensors of one call. With one shared set of sources, features are (1, K, C, H, W)."""

    features: Tensor
    flow: Tensor
    residual: Tensor
    occlusion: Tensor
    attention: Tensor
    target: Tensor
    grad_out: Tensor

    @property
    def differentiable(self) -> tuple[Tensor, ...]:
        return self[:6]

    @property
    def bytes(self) -> int:
        return sum(x.nbytes for x in self)


def make_inputs(case: Case, seed: int) -> Inputs:
    """Inputs of a case, the same on every device; leaves that require gradients if it has those."""
    n, k, c, h, w, shared = case.shape
    generator = torch.Generator().manual_seed(seed)

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, generator=generator).to(case.device)

    def images(*size: int) -> Tensor:
        if case.layout == "channels_last":
            *batch, channels, height, width = size
            image = normal(*batch, height, width, channels).movedim(-1, -3)
        else:
            image = normal(*size)
        return image.to(case.torch_dtype)

    flow, residual = _flows(case, generator)
    inputs = Inputs(
        features=images(1 if shared else n, k, c, h, w),
        flow=flow.to(case.device),
        residual=residual.to(case.device),
        occlusion=normal(n, k, 1, h, w),
        attention=normal(n, k, 1, h, w),
        target=images(n, c, h, w),
        grad_out=images(n, c, h, w),
    )
    for x in inputs.differentiable:
        x.requires_grad_(case.backward)
    return inputs


def _flows(case: Case, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Flow and residual, (N, K, 2, H, W) in pixels."""
    n, k, _, h, w, _ = case.shape
    size = torch.tensor([w, h]).view(2, 1, 1)

    def smooth(pixels: float) -> Tensor:
        coarse = torch.randn(n * k, 2, 5, 5, generator=generator) * pixels
        fine = F.interpolate(coarse, (h, w), mode="bicubic", align_corners=True)
        return fine.view(n, k, 2, h, w)

    own = torch.stack(torch.meshgrid(torch.arange(w), torch.arange(h), indexing="xy")).float()
    still = torch.zeros(n, k, 2, h, w)
    if case.flow == "identity":
        return still, still.clone()
    if case.flow == "one_pixel":
        return (size // 2 - own).expand(n, k, 2, h, w).contiguous(), still
    if case.flow == "random":
        anywhere = torch.rand(n, k, 2, h, w, generator=generator) * (size - 1)
        return anywhere - own, smooth(0.5)
    flow = smooth(3.0)
    if case.flow == "half_outside":
        flow[:, :, 0] += w / 2
    return flow, smooth(0.5)
