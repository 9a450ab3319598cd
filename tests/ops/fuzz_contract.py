"""Calls the operators with anything that their contract allows, and compares every result and
gradient of the compiled kernels with the float64 reference.

    python tests/ops/fuzz_contract.py COUNT [SEED [FIRST]]

A case is known by its seed and number: an error names them, and ``... 1 SEED NUMBER`` repeats it.
Images are tiny, so that their borders are hit; test_ops_large.py has the large ones.
"""

from __future__ import annotations

import faulthandler
import json
import math
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from warp_cases import (
    DTYPES,
    LAYOUTS,
    NAMES,
    PADDINGS,
    answer_of_reference,
    answer_of_reference_for_warp,
    assert_correct,
)
from warp_oracle import Answer

import rfwarp_cuda
from rfwarp.ops import functional, reference, use_backend

NOT_FINITE = (math.nan, math.inf, -math.inf)
# Reflection brings huge numbers back, with the rounding that adding the pixel did to them.
WILD = {
    "reflection": (*NOT_FINITE, -1.0, -2.0),
    "others": (*NOT_FINITE, 1e38, -1e38, 3e9, -3e9, 2.0**31, -(2.0**31), -1.0, -2.0),
}
SPECIAL_LOGITS = (*NOT_FINITE, 88.5, -88.5, 104.0, -104.0, 1e4, -1e4, 3e38, -3e38)
MEMORY = list(dict.fromkeys(layout for row in LAYOUTS.values() for layout in row))


@dataclass
class Draw:
    """Random choices of one case."""

    rng: np.random.Generator
    chosen: dict[str, Any] = field(default_factory=dict)

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def number(self, low: int, high: int) -> int:
        return int(self.rng.integers(low, high + 1))

    def one_of(self, values: Any) -> Any:
        return values[self.number(0, len(values) - 1)]

    def numbers(self, shape: tuple[int, ...], bound: float, step: float) -> Tensor:
        """Multiples of a power of two, which most types hold exactly."""
        steps = round(bound / step)
        return torch.from_numpy(self.rng.integers(-steps, steps + 1, shape) * step)

    def tensor(self, values: Tensor, dtype: torch.dtype, special: tuple[float, ...]) -> Tensor:
        """The values in a type and somehow in memory; some special ones, if there are any."""
        values = values.to(dtype)
        axis = self.number(0, values.ndim - 1)
        # Stride 0, as of grad_out of a sum, or of a batch of one set of sources.
        shared = values.numel() > 0 and self.chance(0.1)
        once = values.narrow(axis, 0, 1) if shared else values
        once = once.contiguous()
        if special and once.numel():
            flat = once.view(-1)
            for _ in range(self.number(1, 4)):
                flat[self.number(0, len(flat) - 1)] = self.one_of(special)
        return self.one_of(MEMORY)(once).expand_as(values)

    def positions(self, shape: tuple[int, ...], bound: float) -> Tensor:
        """Flows: a quarter of the coordinates are whole."""
        flow = self.numbers(shape, bound, 1 / 64)
        return flow.round() if self.chance(0.1) else flow


def sizes(draw: Draw) -> tuple[int, int, int, int]:
    """N, C, H, W."""
    n = 0 if draw.chance(0.02) else draw.number(1, 3)
    c = draw.number(1, 9) if draw.chance(0.8) else draw.number(10, 70)
    if draw.chance(0.05):
        return n, draw.number(1, 5), 1, draw.number(60, 140)  # several tiles
    return n, c, draw.number(1, 6), draw.number(1, 7)


def types(draw: Draw, through_user: bool) -> tuple[torch.dtype, Any]:
    """Of features, and of one small tensor after the other."""
    dtype = draw.one_of(DTYPES)
    wide = reference.compute_dtype(dtype)
    return dtype, (lambda: draw.one_of(DTYPES)) if through_user else (lambda: wide)


def seldom(draw: Draw, values: tuple[float, ...], probability: float = 0.08) -> tuple[float, ...]:
    return values if draw.chance(probability) else ()


def check(seed: int, number: int) -> str:
    """Draw a case, and compare. Returns the name of what was called.

    Raises:
        AssertionError: on a wrong result; the message has the case.
    """
    draw = Draw(np.random.default_rng([seed, number]))
    kind = draw.one_of(("warp", "warp_fuse", "warp_fuse", "warp_fuse_with_warped"))
    draw.chosen["kind"] = kind
    try:
        (check_warp if kind == "warp" else check_fuse)(draw)
    except Exception as error:
        case = "\n".join(f"  {name}: {_described(x)}" for name, x in draw.chosen.items())
        raise AssertionError(f"seed {seed}, number {number}: {error}\n{case}") from error
    return str(kind)


def _described(chosen: Any) -> str:
    if not isinstance(chosen, Tensor):
        return repr(chosen)
    odd = int((~chosen.isfinite()).sum())
    return f"{tuple(chosen.shape)}, strides {chosen.stride()}, {chosen.dtype}, {odd} not finite"


def check_warp(draw: Draw) -> None:
    n, c, *size = sizes(draw)
    if draw.chance(0.4):
        size = [draw.number(1, 4), *size]
    axes, flows = len(size), draw.number(1, 4) if draw.chance(0.4) else 0
    padding_mode = draw.one_of(PADDINGS)
    through_user = draw.chance(0.5)
    dtype, small = types(draw, through_user)
    far = max(size) / 2 + 1
    wild = WILD["reflection" if padding_mode == "reflection" else "others"]
    several = (n, flows) if flows else (n,)
    features = draw.tensor(draw.numbers((n, c, *size), 4, 1 / 16), dtype, seldom(draw, NOT_FINITE))
    flow = draw.positions((*several, axes, *size), far)
    flow = draw.tensor(flow, small(), seldom(draw, wild, 0.2))
    grad_out = draw.numbers((*several, c, *size), 1, 1 / 16)
    grad_out = draw.tensor(grad_out, dtype, seldom(draw, NOT_FINITE, 0.04))
    wanted = [draw.chance(0.8), draw.chance(0.8)]
    draw.chosen |= {"features": features, "flow": flow, "grad_out": grad_out}
    draw.chosen |= {"padding_mode": padding_mode, "through_user": through_user, "wanted": wanted}

    flat_flow, flat_grad = (x.flatten(0, 1) if flows else x for x in (flow, grad_out))
    flat_flow = flat_flow.to(reference.compute_dtype(dtype))
    if through_user:
        leaves = _leaves((features, flow), wanted)
        out = functional.warp(*leaves, padding_mode)
        found = _gradients(out, leaves, grad_out, wanted)
    else:
        out = torch.ops.rfwarp.warp(features, flat_flow, padding_mode)
        found = torch.ops.rfwarp.warp_backward(flat_grad, features, flat_flow, padding_mode, wanted)
    answer = answer_of_reference_for_warp(features, flat_flow, padding_mode, flat_grad)
    results = {"out": out.detach().view(answer.value["out"].shape)}
    for name, asked, gradient in zip(("features", "flow"), wanted, found, strict=True):
        if asked:
            results[name] = gradient.reshape(answer.value[name].shape)
        elif not through_user:
            assert gradient.shape == (0,), name
    spoilt = ~(answer.value["out"].isfinite() & flat_grad.isfinite()).all(1, keepdim=True)
    compare(results, answer, spoilt, _reached(features, flat_flow, padding_mode, spoilt))


def check_fuse(draw: Draw) -> None:
    n, c, h, w = sizes(draw)
    k = draw.number(1, 4) if draw.chance(0.8) else draw.number(5, 10)
    padding_mode = draw.one_of(PADDINGS)
    through_user = draw.chance(0.5)
    dtype, small = types(draw, through_user)
    visibility = draw.chance(0.4)
    wild = WILD["reflection" if padding_mode == "reflection" else "others"]
    features = draw.numbers((n, k, c, h, w), 4, 1 / 16)
    features = draw.tensor(features, dtype, seldom(draw, NOT_FINITE))
    flow = draw.positions((n, k, 2, h, w), max(h, w) / 2 + 1)
    flow = draw.tensor(flow, small(), seldom(draw, wild, 0.2))
    residual = occlusion = attention = target = None
    if draw.chance(0.6):
        residual = draw.positions((n, k, 2, h, w), 1)
        residual = draw.tensor(residual, small(), seldom(draw, wild, 0.05))
    if draw.chance(0.7):
        occlusion = draw.numbers((n, k, 1, h, w), 4, 1 / 16)
        special = (0.0, 1.0, math.nan) if visibility else SPECIAL_LOGITS
        occlusion = (occlusion + 4) / 8 if visibility else occlusion
        occlusion = draw.tensor(occlusion, small(), seldom(draw, special))
    if draw.chance(0.7):
        attention = draw.numbers((n, k, 1, h, w), 4, 1 / 16)
        attention = draw.tensor(attention, small(), seldom(draw, SPECIAL_LOGITS))
    # The operators themselves take a target without occlusion, which it has no effect without.
    if draw.chance(0.7) and (occlusion is not None or not through_user):
        target = draw.numbers((n, c, h, w), 4, 1 / 16)
        target = draw.tensor(target, dtype, seldom(draw, NOT_FINITE))
    mask = None
    if draw.chance(0.5):
        mask = torch.from_numpy(draw.rng.random((n, k)) < 0.6)
        if through_user:
            mask[:, draw.number(0, k - 1)] = True
    grad_out = draw.numbers((n, c, h, w), 1, 1 / 16)
    grad_out = draw.tensor(grad_out, dtype, seldom(draw, NOT_FINITE, 0.04))
    inputs = (features, flow, residual, occlusion, attention, target)
    given = [x is not None for x in inputs]
    wanted = [is_given and draw.chance(0.8) for is_given in given]
    kind = draw.chosen["kind"]
    draw.chosen |= dict(zip(NAMES, inputs, strict=True))
    draw.chosen |= {"mask": mask, "padding_mode": padding_mode, "visibility": visibility}
    draw.chosen |= {"grad_out": grad_out, "through_user": through_user, "wanted": wanted}

    wide = reference.compute_dtype(dtype)
    narrow = [features, *(None if x is None else x.to(wide) for x in inputs[1:5]), target]
    warped = None
    if through_user:
        leaves = _leaves(inputs, wanted)
        form = "visibility" if visibility else "logits"
        out = getattr(functional, kind)(*leaves, mask, padding_mode, form)
        out, warped = out if isinstance(out, tuple) else (out, None)
        found = _gradients(out, leaves, grad_out, wanted)
        asked = dict(zip(NAMES, wanted, strict=True))
    else:
        out = getattr(torch.ops.rfwarp, kind)(*narrow, mask, padding_mode, visibility)
        out, warped = out if isinstance(out, tuple) else (out, None)
        without_residual = [*wanted[:2], *wanted[3:]]
        by = torch.ops.rfwarp.warp_fuse_backward(
            grad_out, *narrow, mask, padding_mode, without_residual, visibility
        )
        found = [*by[:2], None, *by[2:]]
        asked = dict(zip(NAMES, [*wanted[:2], False, *wanted[3:]], strict=True))
        for name, gradient in zip(NAMES, found, strict=True):
            if gradient is not None and not asked[name]:
                assert gradient.shape == (0,), name
    answer = answer_of_reference(narrow, mask, padding_mode, grad_out, visibility)
    spoilt = ~(answer.value["out"].isfinite() & grad_out.isfinite()).all(1, keepdim=True)
    moved = narrow[1] if residual is None else narrow[1] + narrow[2]
    if mask is not None:
        moved = moved.masked_fill(~mask[:, :, None, None, None], math.nan)
    each = features.flatten(0, 1), moved.flatten(0, 1)
    spoilt_sources = spoilt[:, None].expand(n, k, 1, h, w)
    reached = _reached(*each, padding_mode, spoilt_sources.flatten(0, 1)).unflatten(0, (n, k))
    results = {"out": out.detach()}
    for name, gradient in zip(NAMES, found, strict=True):
        if asked[name] and name != "residual":
            results[name] = gradient
    compare(results, answer, spoilt, reached)
    if asked["residual"]:
        by_residual = {"out": out.detach(), "flow": found[2]}
        compare(by_residual, answer, spoilt, reached)
    if warped is not None:
        nothing = torch.zeros_like(each[0])
        apart = answer_of_reference_for_warp(*each, padding_mode, nothing)
        apart.size["out"] = apart.size["out"].view(warped.shape)
        apart.value["out"] = apart.value["out"].view(warped.shape)
        assert_correct({"out": warped.detach()}, apart, "warped")


def compare(
    results: dict[str, Tensor],
    answer: Answer,
    spoilt: Tensor,
    reached: Tensor,
) -> None:
    """Results against the answer; of gradients, what a spoilt pixel does not touch.

    Args:
        results: by names of OUTPUTS.
        answer: the float64 one.
        spoilt: (N, 1, ...): the output pixels where the output or its gradient is not finite.
        reached: as features, but with one channel: the pixels that these sample.
    """
    computed = reference.compute_dtype(results["out"].dtype)
    # Of a logit of -104 float32 makes a weight of 0, float64 does not: times infinity that is NaN.
    either = ~(answer.value["out"].isfinite() | results["out"].isfinite())
    answer.value["out"] = answer.value["out"].masked_fill(either, math.nan)
    results["out"] = results["out"].masked_fill(either, math.nan)
    for name, result in results.items():
        if name != "out":
            untold = reached if name == "features" else spoilt
            if untold.ndim < result.ndim:
                untold = untold[:, None]
            answer.value[name] = answer.value[name].masked_fill(untold, 0)
            # Gradients have the type of their input, but not the precision beside float32 features.
            if computed == torch.float32 and result.dtype == torch.float64:
                result = result.float()
            results[name] = result.masked_fill(untold, 0)
    assert_correct(results, answer)


def _reached(features: Tensor, flow: Tensor, padding_mode: str, spoilt: Tensor) -> Tensor:
    """(N, 1, ...): the pixels of features whose gradient spoilt pixels of the output touch."""
    if not spoilt.any():
        return torch.zeros_like(features[:, :1], dtype=torch.bool)
    # Weights may be zero, so that a little to each side counts too.
    touched = torch.zeros_like(features[:, :1], dtype=torch.float64)
    flow = flow.double()
    for step in (0.0, 0.25, -0.25):
        touched += reference.warp_backward(
            spoilt.double(), touched, flow + step, padding_mode, [True, False]
        )[0]
    # The reference adds zero times what lies outside at the pixel itself.
    return (
        (touched != 0) | spoilt.unflatten(0, (len(features), -1)).any(1)
        if len(features)
        else (touched != 0)
    )


def _leaves(inputs: Any, wanted: list[bool]) -> list[Tensor | None]:
    return [
        None if x is None else x.detach().requires_grad_(asked)
        for x, asked in zip(inputs, wanted, strict=True)
    ]


def _gradients(
    out: Tensor, leaves: list[Tensor | None], grad_out: Tensor, wanted: list[bool]
) -> list[Tensor | None]:
    if not any(wanted):
        assert not out.requires_grad
        return [None] * len(leaves)
    asked = [leaf for leaf, is_wanted in zip(leaves, wanted, strict=True) if is_wanted]
    found = iter(torch.autograd.grad(out, asked, grad_out))
    return [next(found) if is_wanted else None for is_wanted in wanted]


def main() -> None:
    count, seed, first = (int(word) for word in [*sys.argv[1:], "0", "0"][:3])
    torch.set_num_threads(1)
    capabilities = []
    best = rfwarp_cuda.cpu_capability()
    for name in ("baseline", "avx2", "avx512"):
        capabilities.append(name)
        if name == best:
            break
    called: Counter[str] = Counter()
    began = time.monotonic()
    with use_backend("cpu"):
        for number in range(first, first + count):
            rfwarp_cuda.set_cpu_capability(capabilities[number % len(capabilities)])
            called[check(seed, number)] += 1
    seconds = round(time.monotonic() - began)
    print(json.dumps({"cases": called, "with": capabilities, "seconds": seconds}))


if __name__ == "__main__":
    faulthandler.enable()
    main()
