"""The user's functions: they check their input, then call the registered operators."""

from __future__ import annotations

from contextlib import suppress

import torch
from torch import Tensor
from torch.autograd import forward_ad

from rfwarp.deprecation import renamed
from rfwarp.ops import backends
from rfwarp.ops.backends import check_device
from rfwarp.ops.reference import compute_dtype
from rfwarp.ops.schema import operators

_FEATURE_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
PADDING_MODES = ("zeros", "border", "reflection")
OCCLUSION_FORMS = ("logits", "visibility")


def warp(features: Tensor, flow: Tensor, padding_mode: str = "zeros") -> Tensor:
    """Bilinear backward warp W(f, w): each output pixel samples the features at its flow's end.

    ``out[n, c, y, x] = features[n, c] at (x + flow[n, 0, y, x], y + flow[n, 1, y, x])``,
    which is ``F.grid_sample(..., align_corners=True)`` on the grid built from those positions.
    Volumes are sampled trilinearly, in the same way.

    Args:
        features: (N, C, H, W), or volumes (N, C, D, H, W), float16, bfloat16, float32 or float64.
        flow: (N, 2, H, W), of volumes (N, 3, D, H, W), any of these types. With K flows for each
            sample, (N, K, 2, H, W) or (N, K, 3, D, H, W), all sample the same features, of which no
            copy is made. Give float32 beside half features: float16 steps by half a pixel at 512.
        padding_mode: ``"zeros"``: zero beyond the image, ``"border"``: the edge is repeated there,
            ``"reflection"``: the image is mirrored there.

    Returns:
        (N, C, H, W), (N, C, D, H, W), or, with K flows, (N, K, C, ...), with the type and memory
        format of features.

    Raises:
        TypeError: if an argument is no tensor or of a type not listed.
        ValueError: if shapes or devices do not agree, or padding_mode is unknown.
        RuntimeError: if the backend was asked for by name and is not for this device.
        NotImplementedError: on a derivative that is not supported, see below.

    Convention:
        * Direction: backward. Flow says, for an output pixel, where in the source it comes from.
        * Order and unit: channel 0 is x (right), 1 is y (down), 2 of volumes z (along D); pixels of
          this resolution.
        * Origin: whole coordinates are pixel centres, (0, 0) the top left (align_corners=True).
        * Padding: zeros fades out over one pixel around the image. border clamps the coordinate;
          where it does, and on the outermost pixels themselves, the flow's gradient is zero.
          reflection mirrors it at the centres of the outermost pixels, as often as it takes; on
          these the flow's gradient is zero.
        * Kinks: at a whole coordinate the flow's gradient is the one towards right or down.
        * Non-finite and huge coordinates never read out of bounds. zeros: NaN, infinite and far
          away sample zero, with zero gradients. border: infinite and far away clamp to the edge;
          NaN samples zero, with zero gradients. reflection: NaN and infinite do so.
        * Non-finite features follow IEEE arithmetic: one among the four neighbours of a position
          counts even when its weight is zero (0 * inf = NaN), as one among the eight of a volume.
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
    if _left_to_kernels(features, flow) and flow.ndim == features.ndim > 3:
        with suppress(RuntimeError):
            if flow.shape[0] == features.shape[0]:
                return operators.warp(features, flow, padding_mode)
    _check_padding(padding_mode)
    _check_features(features)
    if features.ndim not in (4, 5) or 0 in features.shape[1:]:
        raise ValueError(
            "features must be (N, C, H, W) or (N, C, D, H, W) with C, D, H, W >= 1,"
            f" got {tuple(features.shape)}"
        )
    n, _, *size = features.shape
    flows = flow.shape[1] if isinstance(flow, Tensor) and flow.ndim > features.ndim else 0
    shape = (n, flows, len(size), *size) if flows else (n, len(size), *size)
    _check("flow", flow, shape, features.device)
    _refuse_forward_mode(features, flow)
    flow = flow.to(compute_dtype(features.dtype))
    if not flows:
        out: Tensor = operators.warp(features, flow, padding_mode)
        return out
    return operators.warp(features, flow.flatten(0, 1), padding_mode).unflatten(0, (n, flows))


@renamed(mask="present")
def warp_fuse(
    features: Tensor,
    flow: Tensor,
    residual: Tensor | None = None,
    occlusion: Tensor | None = None,
    attention: Tensor | None = None,
    target: Tensor | None = None,
    present: Tensor | None = None,
    padding_mode: str = "zeros",
    occlusion_as: str = "logits",
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
        occlusion: logits of m, (N, K, 1, H, W), or visibilities, as ``occlusion_as`` says. None:
            m = 0, all is visible.
        attention: logits a, (N, K, 1, H, W). -inf means a weight of zero, as long as some present
            source has a finite logit. None: all present sources count equally.
        target: f_t, (N, C, H, W), of the features' type. None: zero, so that what is occluded is
            faded out.
        present: (N, K) bool, False where the source is absent; None for none. An absent source
            contributes nothing and gets zero gradients, whatever its values are, NaN included.
            Every sample needs a present source. That is checked on the CPU, outside of
            compiled programs; elsewhere the host would have to wait for the device. There the
            empty sum counts: zero.
        padding_mode: ``"zeros"``, ``"border"`` or ``"reflection"``.
        occlusion_as: ``"logits"``: m = sigmoid(occlusion); -inf means m = 0 exactly, +inf m = 1.
            ``"visibility"``: m = 1 - occlusion, whose values are probabilities, 0 and 1 included.

    Returns:
        (N, C, H, W) with the type and memory format of target, else of a source's features.

    Raises:
        TypeError: if an argument is no tensor or of a type not listed, or the types of features
            and target differ.
        ValueError: if shapes or devices do not agree, there is no source, target comes without the
            occlusion that it needs, or padding_mode or occlusion_as is unknown.
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
        >>> seen = torch.tensor([1.0, 0.5]).view(1, 2, 1, 1, 1)
        >>> warp_fuse(features, still, occlusion=seen, occlusion_as="visibility").item()
        12.5
    """
    if (
        present is None
        and (target is None or occlusion is not None)
        and occlusion_as in OCCLUSION_FORMS
        and _left_to_kernels(features, flow, residual, occlusion, attention)
    ):
        visibility = occlusion_as == "visibility"
        with suppress(RuntimeError):
            return operators.warp_fuse(
                features,
                flow,
                residual,
                occlusion,
                attention,
                target,
                None,
                padding_mode,
                visibility,
            )
    out: Tensor = operators.warp_fuse(
        *_fuse_arguments(
            features,
            flow,
            residual,
            occlusion,
            attention,
            target,
            present,
            padding_mode,
            occlusion_as,
        )
    )
    return out


def warp_fuse_with_warped(
    features: Tensor,
    flow: Tensor,
    residual: Tensor | None = None,
    occlusion: Tensor | None = None,
    attention: Tensor | None = None,
    target: Tensor | None = None,
    present: Tensor | None = None,
    padding_mode: str = "zeros",
    occlusion_as: str = "logits",
) -> tuple[Tensor, Tensor]:
    """:func:`warp_fuse`, and the warped features that it blends, from one pass over the sources.

    Args:
        features, flow, residual, occlusion, attention, target, present, padding_mode, occlusion_as:
            as for :func:`warp_fuse`.

    Returns:
        What :func:`warp_fuse` returns, and W(f^k, w^k + r^k) of every source, before occlusion and
        attention: (N, K, C, H, W) with the type and memory format of features, zero for an absent
        source. Both are differentiable; the backward samples once for each that has a gradient.

    Raises:
        TypeError, ValueError, RuntimeError, NotImplementedError: as :func:`warp_fuse` does.

    Example:
        >>> import torch
        >>> from rfwarp.ops import warp_fuse_with_warped
        >>> features = torch.tensor([10.0, 30.0]).view(1, 2, 1, 1, 1)
        >>> still = torch.zeros(1, 2, 2, 1, 1)
        >>> fused, warped = warp_fuse_with_warped(features, still)
        >>> fused.item(), warped.flatten().tolist()
        (20.0, [10.0, 30.0])
    """
    out: tuple[Tensor, Tensor] = operators.warp_fuse_with_warped(
        *_fuse_arguments(
            features,
            flow,
            residual,
            occlusion,
            attention,
            target,
            present,
            padding_mode,
            occlusion_as,
        )
    )
    return out


def _fuse_arguments(
    features: Tensor,
    flow: Tensor,
    residual: Tensor | None,
    occlusion: Tensor | None,
    attention: Tensor | None,
    target: Tensor | None,
    present: Tensor | None,
    padding_mode: str,
    occlusion_as: str,
) -> tuple[Tensor | str | bool | None, ...]:
    """What the operators take, once it has been checked."""
    _check_padding(padding_mode)
    if occlusion_as not in OCCLUSION_FORMS:
        raise ValueError(f"occlusion_as must be 'logits' or 'visibility', got {occlusion_as!r}")
    if target is not None and occlusion is None:
        raise ValueError("target shows where a source is occluded: give occlusion too")
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
    if occlusion is not None:
        _check("occlusion", occlusion, (n, k, 1, height, width), device)
    if attention is not None:
        _check("attention", attention, (n, k, 1, height, width), device)
    if target is not None:
        _check("target", target, (n, c, height, width), device)
        if target.dtype != features.dtype:
            raise TypeError(f"target must be {features.dtype} as features are, got {target.dtype}")
    if present is not None:
        _check_present(present, (n, k), device)
    _refuse_forward_mode(features, flow, residual, occlusion, attention, target)
    dtype = compute_dtype(features.dtype)
    return (
        features,
        flow.to(dtype),
        None if residual is None else residual.to(dtype),
        None if occlusion is None else occlusion.to(dtype),
        None if attention is None else attention.to(dtype),
        target,
        present,
        padding_mode,
        occlusion_as == "visibility",
    )


def flow_from_grid(grid: Tensor, align_corners: bool) -> Tensor:
    """The flow that makes :func:`warp` sample where ``F.grid_sample`` does with a grid.

    ``warp(features, flow_from_grid(grid, align_corners), padding_mode)`` is
    ``F.grid_sample(features, grid, "bilinear", padding_mode, align_corners)``, with its gradients,
    wherever the grid is finite; ``"reflection"`` has a counterpart for align_corners=True alone.

    Args:
        grid: (N, H, W, 2), of volumes (N, D, H, W, 3), or with K behind N for several sources or
            flows: x, y, z; -1 and 1 are the left (top, front) and right (bottom, back) end of the
            image. float16, bfloat16, float32 or float64. D, H and W must be those of the features
            that it samples, since they are the unit of the flow; :func:`warp` and :func:`warp_fuse`
            refuse the flow of a grid of another size, for which resize the features, or stay with
            ``F.grid_sample``.
        align_corners: what -1 and 1 mean, as it is given to ``F.grid_sample``, whose default is
            False. True: the centres of the outermost pixels. False: their outer edges.

    Returns:
        (N, 2, H, W), of volumes (N, 3, D, H, W), with K behind N if it is there in grid; float32,
        float64 for a float64 grid.

    Raises:
        TypeError: if grid is no tensor or of a type not listed, or align_corners no bool.
        ValueError: if the shape of grid is none of these, or K, D, H or W is 0.

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
    axes = grid.shape[-1] if grid.ndim else 0
    if axes not in (2, 3) or grid.ndim not in (axes + 2, axes + 3) or 0 in grid.shape[1:]:
        raise ValueError(
            "grid must be (N, H, W, 2), (N, K, H, W, 2), (N, D, H, W, 3) or (N, K, D, H, W, 3) with"
            f" K, D, H, W >= 1, got {tuple(grid.shape)}"
        )
    flow = []
    for axis, place in enumerate(grid.to(compute_dtype(grid.dtype)).unbind(-1)):
        size = place.shape[-1 - axis]
        pixels = torch.arange(size, dtype=place.dtype, device=place.device)
        flow.append(_pixels(place, size, align_corners) - pixels.view(-1, *[1] * axis))
    return torch.stack(flow, dim=-1 - axes)


def _pixels(normalised: Tensor, size: int, align_corners: bool) -> Tensor:
    if align_corners:
        return (normalised + 1) / 2 * (size - 1)
    return ((normalised + 1) * size - 1) / 2


def _left_to_kernels(features: Tensor, *small: Tensor | None) -> bool:
    """Whether a call may go straight to compiled kernels, which check what they are given.

    The checks here take several times as long as a kernel for a small image. They say in better
    words what a kernel refused.
    """
    if torch.compiler.is_compiling() or type(features) is not Tensor:
        return False
    if not (
        backends.compiled_cpu if features.is_cpu else backends.compiled_cuda and features.is_cuda
    ):
        return False
    dtype = torch.float64 if features.dtype is torch.float64 else torch.float32
    for x in small:
        if x is not None and (type(x) is not Tensor or x.dtype is not dtype):
            return False
    return _no_tangents()


def _no_tangents() -> bool:
    """Whether no dual numbers of forward-mode derivatives can be around."""
    level: int = forward_ad._current_level
    return level < 0


def _refuse_forward_mode(*tensors: Tensor | None) -> None:
    """Raise an error where PyTorch would drop the tangents of registered operators silently."""
    if torch.compiler.is_compiling() or _no_tangents():
        return
    if any(t is not None and forward_ad.unpack_dual(t).tangent is not None for t in tensors):
        raise NotImplementedError("rfwarp operators have no forward-mode derivative")


def _check_padding(padding_mode: str) -> None:
    if padding_mode not in PADDING_MODES:
        raise ValueError(
            f"padding_mode must be 'zeros', 'border' or 'reflection', got {padding_mode!r}"
        )


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
    check_every_sample_has_a_source(present)


def check_every_sample_has_a_source(present: Tensor) -> None:
    """Raise ValueError if a row of (N, K) bool is False throughout."""
    # Elsewhere, looking at the values would stall the device or break the compiled graph.
    if present.device.type == "cpu" and not torch.compiler.is_compiling():
        empty = (~present.any(dim=1)).nonzero().flatten().tolist()
        if empty:
            raise ValueError(
                f"present must keep at least one source, but samples {empty} have none"
            )
