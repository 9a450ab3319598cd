"""Profile of a generator: time by part of the network and kind of operator."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, TypeAlias

import torch
from torch import nn

Shares: TypeAlias = dict[str, dict[str, float]]
"""Milliseconds per call, by part of the network and kind of operator."""

PARTS = ("appearance", "flow", "predictor")
KINDS = {
    "convolution": ("conv", "mkldnn", "slow_conv", "cudnn", "gemm", "addmm", "mm"),
    "normalisation": ("norm", "mean"),
    "activation": ("leaky_relu", "tanh", "sigmoid", "softmax"),
    "warp and fuse": ("rfwarp", "grid_sampl", "embedding_bag"),
    "resampling": ("pool", "upsample", "pixel_shuffle"),
}


def where_time_goes(generator: nn.Module, run: Callable[[int], Any], calls: int = 3) -> Shares:
    """Self time of every operator, summed by the part it runs in and by its kind.

    Time outside of all parts, such as padding and checks, is the part ``"around"``; operators of no
    kind, such as additions and copies, are ``"other"``.
    """
    run(0)
    on_gpu = next(generator.parameters()).is_cuda
    activities = [torch.profiler.ProfilerActivity.CPU]
    activities += [torch.profiler.ProfilerActivity.CUDA] * on_gpu
    with ExitStack() as stack:
        for part in PARTS:
            _mark(generator.get_submodule(part), part, stack)
        with torch.profiler.profile(activities=activities) as profile:
            for _ in range(calls):
                run(0)
    shares: Shares = {}
    for event in profile.events():
        if event.name.startswith("part:"):
            continue
        own = event.self_device_time_total if on_gpu else event.self_cpu_time_total
        by_kind = shares.setdefault(_part(event), {})
        kind = _kind(event.name)
        by_kind[kind] = by_kind.get(kind, 0.0) + own / 1e3 / calls
    return shares


def _mark(module: nn.Module, part: str, stack: ExitStack) -> None:
    """Mark every method by which the generator enters a part, while the stack is open."""
    for name in ("forward", "encode"):
        if not hasattr(module, name):
            continue
        method = getattr(module, name)

        def marked(*args: Any, _method: Any = method, **kwargs: Any) -> Any:
            with torch.profiler.record_function(f"part:{part}"):
                return _method(*args, **kwargs)

        setattr(module, name, marked)
        stack.callback(delattr, module, name)


def _part(event: Any) -> str:
    while event is not None:
        if event.name.startswith("part:"):
            return str(event.name.removeprefix("part:"))
        event = event.cpu_parent
    return "around"


def _kind(name: str) -> str:
    return next((kind for kind, words in KINDS.items() if any(w in name for w in words)), "other")
