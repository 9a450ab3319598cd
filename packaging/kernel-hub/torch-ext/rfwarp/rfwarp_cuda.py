"""Takes the place of the package rfwarp_cuda: on the hub, importing ``_ops`` loads the kernels of
this variant, which has those of one device."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from ._ops import ops

NAMESPACE = ops.name
VARIANT = "the variant of the kernel hub that is loaded has no {} kernels"


class Loaded(NamedTuple):
    """As in rfwarp_cuda."""

    cpu: str | None
    cuda: str | None


def _loaded() -> Loaded:
    registered = torch._C._dispatch_has_kernel_for_dispatch_key
    names = (("CPU", "CPU"), ("CUDA", "CUDA"))
    return Loaded(
        *(
            None if registered(f"{NAMESPACE}::warp", key) else VARIANT.format(name)
            for key, name in names
        )
    )


# Now, as later the reference may be registered on top.
_LOADED = _loaded()


def load() -> Loaded:
    return _LOADED


def cpu_capability() -> str:
    return "the best instruction set of this processor"


def build_info() -> dict[str, Any]:
    return {"cuda_architectures": ["the GPUs of its variant"]}
