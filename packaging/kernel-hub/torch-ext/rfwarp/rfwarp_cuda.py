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


_registered = torch._C._dispatch_has_kernel_for_dispatch_key
# Now, as later the reference may be registered on top.
_LOADED = Loaded(
    *(
        None if _registered(f"{NAMESPACE}::warp", device) else VARIANT.format(device)
        for device in ("CPU", "CUDA")
    )
)


def load() -> Loaded:
    return _LOADED


def cpu_capability() -> str:
    return "the best instruction set of this processor"


def build_info() -> dict[str, Any]:
    return {"cuda_architectures": ["the GPUs of its variant"]}
