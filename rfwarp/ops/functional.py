"""The operators people call: they check their input, then call the registered operators."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd import forward_ad

from rfwarp.deprecation import renamed
from rfwarp.ops.backends import check_device
from rfwarp.ops.reference import compute_dtype
from rfwarp.ops.schema import operators

_FEATURE_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
PADDING_MODES = ("zeros", "border")


def warp(features: Tensor, flow: Tensor, padding_mode: str = "zeros") -> Tensor:
    """Bilinear backward warp W(f, w): where every output pixel fetches its features.

    ``out[n, c, y, x] = features[n, c] at (x + flow[n, 0, y, x], y + flow[n, 1, y, x])``,
    which is ``F.grid_sample(..., align_corners=True)`` on the grid built from those positions.

    Args:
        features: (N, C, H, W), float16, bfloat16, float32 or float64.
        flow: (N, 2, H, W), any of these types. Give float32 beside half features: float16 steps by
            half a pixel at 512.
        padding_mode: ``"zeros"``: beyond the image all is zero, ``"border"``: the edge goes on.

    Returns:
        (N, C, H, W) with the type and memory format of features.

    Raises:
        TypeError: if an argument is no tensor or of a type not listed.
        ValueError: if shapes or devices do not agree, or padding_mode is unknown.
        RuntimeError: if the backend was asked for by name and is not for this device.
        NotImplementedError: on a derivative that is not supported, see below.

    Convention:
        * Direction: backward. Flow says, for an output pixel, where in the source it comes from.
        * Order and unit: channel 0 is x (right), 1 is y (down); pixels of this resolution.
        * Origin: whole coordinates are pixel centres, (0, 0) the top left (align_corners=True).
        * Padding: zeros fades out over one pixel around the image. border clamps the coordinate;
          where it does, and on the outermost pixels themselves, the flow's gradient is zero.
        * Kinks: at a whole coordinate the flow's gradient is the one towards right or down.
        * Non-finite and huge coordinates never read out of bounds. zeros: NaN, infinite and far
          away sample zero, with zero gradients. border: infinite and far away clamp to the edge;
          NaN samples zero, with zero gradients.
        * Non-finite features follow IEEE arithmetic: one among the four neighbours of a position
          counts even when its weight is zero (0 * inf = NaN).
        * Types: coordinates and sums are float32, or float64 for float64 features, under autocast
          too. Gradients have the type of their input.
        * Determinism: the same to the bit in every call, except for the gradient of features on
          CUDA, which is so under ``torch.use_deterministic_algorithms(True)``, and slower then.
        * Derivatives: first order, reverse mode; others raise NotImplementedError. Of torch.func,
          vmap works (as a loop), and grad raises PyTorch's RuntimeError.

    Example:
        >>> import torch
        >>> from rfwarp.ops import warp
        >>> features = torch.tensor([[[[10.0, 20.0, 30.0]]]])  # (1, 1, 1, 3)
        >>> flow = torch.tensor([[[[1.0, 0.5, 0.0]], [[0.0, 0.0, 0.0]]]])  # x, then y
        >>> warp(features, flow)  # from x = 1, 1.5 and 2
        tensor([[[[20., 25., 30.]]]])
    """
    _check_padding(padding_mode)
    _check_features(features)
    if features.ndim != 4 or 0 in features.shape[1:]:
        raise ValueError(
            f"features must be (N, C, H, W) with C, H, W >= 1, got {tuple(features.shape)}"
        )
    n, _, height, width = features.shape
    _check("flow", flow, (n, 2, height, width), features.device)
    _refuse_forward_mode(features, flow)
    flow = flow.to(compute_dtype(features.dtype))
    out: Tensor = operators.warp(features, flow, padding_mode)
    return out


@renamed(mask="present")
def warp_fuse(
    features: Tensor,
    flow: Tensor,
    residual: Tensor | None,
    occlusion: Tensor,
    attention: Tensor,
    target: Tensor,
    present: Tensor | None = None,
    padding_mode: str = "zeros",
) -> Tensor:
    """Refined warp of K sources and their blend with the target features (Eq. 5 and 6).

    ``out = sum_k softmax_k(a^k) * (W(f^k, w^k + r^k) * (1 - m^k) + f_t * m^k)`` with the warp W of
    :func:`warp`, m = sigmoid(occlusion), and the softmax over the K sources at each position.
    m = 1 means: invisible in this source, take the target's feature.

    Args:
        features: f, (N, K, C, H, W), float16, bfloat16, float32 or float64. A batch expanded from
            one set of sources (stride 0 over N) is not copied N times in the forward.
        flow: w, (N, K, 2, H, W), pixels, x before y. This and the next three may be of any of
            those types, whatever the features are; float32 is advised.
        residual: r, (N, K, 2, H, W), or None for zero.
        occlusion: logits of m, (N, K, 1, H, W). -inf means m = 0 exactly, +inf m = 1.
        attention: logits a, (N, K, 1, H, W). -inf means a weight of zero, as long as some present
            source has a finite logit.
        target: f_t, (N, C, H, W), of the features' type.
        present: (N, K) bool, False where the source is absent; None for none. An absent source
            contributes nothing and gets zero gradients, whatever its values are, NaN included.
            Every sample needs a present source. That is checked on the CPU, outside of
            compiled programs; elsewhere the host would have to wait for the device. There the
            empty sum counts: zero.
        padding_mode: ``"zeros"`` or ``"border"``.

    Returns:
        (N, C, H, W) with the type and memory format of target.

    Raises:
        TypeError: if an argument is no tensor or of a type not listed, or the types of features
            and target differ.
        ValueError: if shapes or devices do not agree, there is no source, or padding_mode is
            unknown.
        RuntimeError: if the backend was asked for by name and is not for this device.
        NotImplementedError: on a derivative that is not supported, as for :func:`warp`.

    Convention: as for :func:`warp`. Values follow IEEE arithmetic, so m = 1 does not hide an
    infinite or NaN feature (only ``present`` does), nor does m = 0 hide such a target.

    Example:
        >>> import torch
        >>> from rfwarp.ops import warp_fuse
        >>> features = torch.tensor([10.0, 30.0]).view(1, 2, 1, 1, 1)  # K = 2 sources
        >>> still, level = torch.zeros(1, 2, 2, 1, 1), torch.zeros(1, 2, 1, 1, 1)
        >>> hidden = torch.tensor([-torch.inf, torch.inf]).view(1, 2, 1, 1, 1)  # in source 2
        >>> target = torch.full((1, 1, 1, 1), 50.0)
        >>> warp_fuse(features, still, None, hidden, level, target).item()  # (10 + 50) / 2
        30.0
    """
    _check_padding(padding_mode)
    _check_features(features)
    if features.ndim != 5 or 0 in features.shape[1:]:
        raise ValueError(
            f"features must be (N, K, C, H, W) with K, C, H, W >= 1, got {tuple(features.shape)}"
        )
    n, k, c, height, width = features.shape
    device = features.device
    _check("flow", flow, (n, k, 2, height, width), device)
    if residual is not None:
        _check("residual", residual, (n, k, 2, height, width), device)
    _check("occlusion", occlusion, (n, k, 1, height, width), device)
    _check("attention", attention, (n, k, 1, height, width), device)
    _check("target", target, (n, c, height, width), device)
    if target.dtype != features.dtype:
        raise TypeError(f"target must be {features.dtype} as features are, got {target.dtype}")
    if present is not None:
        _check_present(present, (n, k), device)
    _refuse_forward_mode(features, flow, residual, occlusion, attention, target)
    dtype = compute_dtype(features.dtype)
    out: Tensor = operators.warp_fuse(
        features,
        flow.to(dtype),
        None if residual is None else residual.to(dtype),
        occlusion.to(dtype),
        attention.to(dtype),
        target,
        present,
        padding_mode,
    )
    return out


def flow_from_grid(grid: Tensor, align_corners: bool) -> Tensor:
    """The flow that makes :func:`warp` sample where ``F.grid_sample`` does with a grid.

    ``warp(features, flow_from_grid(grid, align_corners), padding_mode)`` is
    ``F.grid_sample(features, grid, "bilinear", padding_mode, align_corners)``, with its gradients,
    wherever the grid is finite; ``"reflection"`` has no counterpart.

    Args:
        grid: (N, H, W, 2), or (N, K, H, W, 2) for the sources of :func:`warp_fuse`: x before y,
            -1 and 1 the left (top) and right (bottom) end of the image. float16, bfloat16, float32
            or float64. H and W must be those of the features that it samples, since they are the
            unit of the flow; :func:`warp` and :func:`warp_fuse` refuse the flow of a grid of
            another size, for which resize the features, or stay with ``F.grid_sample``.
        align_corners: what -1 and 1 mean, as it is given to ``F.grid_sample``, whose default is
            False. True: the centres of the outermost pixels. False: their outer edges.

    Returns:
        (N, 2, H, W), or (N, K, 2, H, W), float32, float64 for a float64 grid.

    Raises:
        TypeError: if grid is no tensor or of a type not listed, or align_corners no bool.
        ValueError: if the shape of grid is neither of the two, or H or W is 0.

    Convention: the flow is that of :func:`warp`, in pixels, relative to each pixel, x before y.
    The residual of :func:`warp_fuse` stays in pixels. Differentiable any number of times.

    Example:
        >>> import torch
        >>> from rfwarp.ops import flow_from_grid
        >>> centre = torch.zeros(1, 1, 3, 2)  # all three pixels look at the middle of the image
        >>> flow_from_grid(centre, align_corners=True)[0, 0]
        tensor([[ 1.,  0., -1.]])
    """
    if not isinstance(grid, Tensor):
        raise TypeError(f"grid must be a tensor, got {type(grid).__name__}")
    if grid.dtype not in _FEATURE_DTYPES:
        raise TypeError(f"grid must be float16, bfloat16, float32 or float64, got {grid.dtype}")
    if not isinstance(align_corners, bool):
        raise TypeError(f"align_corners must be True or False, got {align_corners!r}")
    if grid.ndim not in (4, 5) or grid.shape[-1] != 2 or 0 in grid.shape[1:]:
        raise ValueError(
            "grid must be (N, H, W, 2) or (N, K, H, W, 2) with K, H, W >= 1,"
            f" got {tuple(grid.shape)}"
        )
    height, width = grid.shape[-3:-1]
    x, y = grid.to(compute_dtype(grid.dtype)).unbind(-1)
    columns = torch.arange(width, dtype=x.dtype, device=x.device)
    rows = torch.arange(height, dtype=y.dtype, device=y.device)[:, None]
    return torch.stack(
        [_pixels(x, width, align_corners) - columns, _pixels(y, height, align_corners) - rows],
        dim=-3,
    )


def _pixels(normalised: Tensor, size: int, align_corners: bool) -> Tensor:
    if align_corners:
        return (normalised + 1) / 2 * (size - 1)
    return ((normalised + 1) * size - 1) / 2


def _refuse_forward_mode(*tensors: Tensor | None) -> None:
    """PyTorch drops the tangents of registered operators silently; say so instead."""
    if torch.compiler.is_compiling():
        return
    if any(t is not None and forward_ad.unpack_dual(t).tangent is not None for t in tensors):
        raise NotImplementedError("rfwarp operators have no forward-mode derivative")


def _check_padding(padding_mode: str) -> None:
    if padding_mode not in PADDING_MODES:
        raise ValueError(f"padding_mode must be 'zeros' or 'border', got {padding_mode!r}")


def _check_features(features: Tensor) -> None:
    if not isinstance(features, Tensor):
        raise TypeError(f"features must be a tensor, got {type(features).__name__}")
    if features.dtype not in _FEATURE_DTYPES:
        raise TypeError(
            f"features must be float16, bfloat16, float32 or float64, got {features.dtype}"
        )
    check_device(features.device)


def _check(name: str, tensor: Tensor, shape: tuple[int, ...], device: torch.device) -> None:
    if not isinstance(tensor, Tensor):
        raise TypeError(f"{name} must be a tensor, got {type(tensor).__name__}")
    if tensor.dtype not in _FEATURE_DTYPES:
        raise TypeError(f"{name} must be float16, bfloat16, float32 or float64, got {tensor.dtype}")
    _check_place(name, tensor, shape, device)


def _check_place(name: str, tensor: Tensor, shape: tuple[int, ...], device: torch.device) -> None:
    if tensor.shape != shape:
        raise ValueError(f"{name} must be {shape} to go with features, got {tuple(tensor.shape)}")
    if tensor.device != device:
        raise ValueError(f"{name} must be on {device} as features are, got {tensor.device}")


def _check_present(present: Tensor, shape: tuple[int, ...], device: torch.device) -> None:
    if not isinstance(present, Tensor):
        raise TypeError(f"present must be a tensor, got {type(present).__name__}")
    if present.dtype != torch.bool:
        raise TypeError(f"present must be torch.bool, got {present.dtype}")
    _check_place("present", present, shape, device)
    if device.type == "cpu" and not torch.compiler.is_compiling():
        empty = (~present.any(dim=1)).nonzero().flatten().tolist()
        if empty:
            raise ValueError(
                f"present must keep at least one source, but samples {empty} have none"
            )
