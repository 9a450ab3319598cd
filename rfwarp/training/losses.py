"""The losses of Eq. 7-11; a feature set of the trainer's choice gives the features they compare."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor

from rfwarp.ops import warp
from rfwarp.training.gaussian import gaussian_sample

EPSILON = 1e-8
SAMPLERS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "gaussian": gaussian_sample,
    "bilinear": warp,
}
SIMILARITY_BYTES = 128 * 2**20
"""Most memory that the similarities of :func:`best_match` take at a time, if no chunk is given."""


@torch.no_grad()
def best_match(source: Tensor, target: Tensor, chunk: int | None = None) -> Tensor:
    """``mu_l = max_l' cos(s_l', t_l)``: how well any source position matches a target position.

    Of the N x HW x HW similarities, ``chunk`` target positions are made at a time: that is
    ``N * chunk * HW * itemsize`` bytes, at 64 x 64, N = 20 and float32 all at once 1.3 GB.

    Args:
        source, target: features (N, C, H, W).
        chunk: None takes as many as fit ``SIMILARITY_BYTES``, 128 MB, at least one.

    Returns:
        (N, H*W), without gradient.

    Example:
        >>> import torch
        >>> from rfwarp.training import best_match
        >>> source = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).view(1, 2, 1, 2)  # two directions
        >>> target = torch.tensor([[0.0, 1.0], [2.0, 1.0]]).view(1, 2, 1, 2)
        >>> best_match(source, target)
        tensor([[1.0000, 0.7071]])
    """
    s, t = (
        x.flatten(2) / (x.flatten(2).norm(dim=1, keepdim=True) + EPSILON) for x in (source, target)
    )
    if chunk is None:
        chunk = max(1, SIMILARITY_BYTES // max(1, s.shape[0] * s.shape[2] * s.element_size()))
    parts = [(part.transpose(1, 2) @ s).amax(dim=2) for part in t.split(chunk, dim=2)]
    return torch.cat(parts, dim=1)


def sampling_correctness(
    source: Tensor,
    target: Tensor,
    flow: Tensor,
    sampler: str = "gaussian",
    chunk: int | None = None,
) -> Tensor:
    """Sampling correctness (Ren 2019) at one level: does the flow fetch features like the target's?

    ``mean_l exp(-cos(W(s)_l, t_l) / (mu_l + 1e-8)) - 1/e`` with the ``mu`` of :func:`best_match`
    and ``|x| + 1e-8`` for the norms: 0 where every position fetches its best match, ``1 - 1/e``
    where it fetches nothing alike. The gradient goes to the flow only.

    Args:
        source, target: features (N, C, H, W), not negative: a best match of a negative cosine
            would reward the worst.
        flow: (N, 2, H, W) in pixels of this level, channel 0 = x.
        sampler: W: "gaussian" goes on with the border outside the image,
            "bilinear" is the network's own :func:`rfwarp.ops.warp` and finds zeros there.
        chunk: of :func:`best_match`.

    Returns:
        A number, in the features' type.

    Raises:
        ValueError: if shapes do not agree, or the sampler is unknown.

    Example:
        >>> import torch
        >>> from rfwarp.training import sampling_correctness
        >>> source = torch.eye(16).view(1, 16, 4, 4)  # every place is like no other
        >>> target = source.roll(1, dims=3)  # what is one pixel to the left in the source
        >>> still = torch.zeros(1, 2, 4, 4)
        >>> left = still - torch.tensor([1.0, 0.0]).view(1, 2, 1, 1)
        >>> round(sampling_correctness(source, target, still, "bilinear").item(), 3)  # 1 - 1 / e
        0.632
        >>> round(sampling_correctness(source, target, left, "bilinear").item(), 3)  # but an edge
        0.158
    """
    if sampler not in SAMPLERS:
        raise ValueError(f"sampler must be one of {', '.join(SAMPLERS)}, got {sampler!r}")
    if source.ndim != 4 or source.shape != target.shape:
        raise ValueError(
            "source and target must both be (N, C, H, W), got "
            f"{tuple(source.shape)} and {tuple(target.shape)}"
        )
    n, _, h, w = source.shape
    if flow.shape != (n, 2, h, w):
        raise ValueError(f"flow must be {(n, 2, h, w)} as the features, got {tuple(flow.shape)}")
    source, target = source.detach(), target.detach()
    warped = SAMPLERS[sampler](source, flow)
    length = warped.norm(dim=1)
    cosine = (warped * target).sum(dim=1) / (length + EPSILON) / (target.norm(dim=1) + EPSILON)
    # What fetches nothing at all (zeros outside the image) has a cosine of 0 and no direction: its
    # gradient would be that of 1 / EPSILON.
    cosine = torch.where(length > EPSILON, cosine, 0.0).flatten(1)
    mu = best_match(source, target, chunk)
    return torch.exp(-cosine / (mu + EPSILON)).mean() - math.exp(-1)


def affine_regularisation(flow: Tensor, size: int) -> Tensor:
    """Affine regularisation (Ren 2020) at one level: is the flow locally an affine map?

    ``||(I - A (A'A)^-1 A') x||^2`` over every ``size`` x ``size`` window (stride 1) of absolute
    coordinates x, A = [row, col, 1]; summed over both coordinates, mean over windows. A level
    smaller than the window has none, and costs 0.

    Args:
        flow: (N, 2, H, W) in pixels of this level.
        size: of the windows, pixels; the trainer takes 3 at 1/8 of the resolution, else 5.

    Returns:
        A number in square pixels, in the type of the flow.

    Raises:
        ValueError: for another shape.

    Example:
        >>> import torch
        >>> from rfwarp.training import affine_regularisation
        >>> x = torch.arange(6.0).expand(1, 2, 6, 6)
        >>> round(affine_regularisation(0.5 * x, size=3).item(), 6)  # affine: free of cost
        0.0
        >>> affine_regularisation(x.square(), size=3).item() > 0
        True
    """
    if flow.ndim != 4 or flow.shape[1] != 2:
        raise ValueError(f"flow must be (N, 2, H, W), got {tuple(flow.shape)}")
    n, _, h, w = flow.shape
    if min(h, w) < size:
        return flow.sum() * 0
    rows, cols = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    a = torch.stack([rows.flatten(), cols.flatten(), torch.ones(size * size)], dim=1).double()
    projector = torch.eye(size * size, dtype=torch.float64) - a @ torch.linalg.pinv(a)
    # The grid itself is affine, so the residual of (grid + flow) is that of the flow.
    windows = F.unfold(flow.reshape(2 * n, 1, h, w), size)
    residual = projector.to(flow) @ windows
    return 2 * residual.square().sum(dim=1).mean()


def perceptual(generated: Sequence[Tensor], real: Sequence[Tensor]) -> Tensor:
    """Perceptual loss (Eq. 9): mean absolute difference of feature maps, summed over the maps.

    Args:
        generated, real: as many (N, C, H, W); no gradient goes to the real ones.

    Raises:
        ValueError: if there is no map, or the shapes differ.

    Example:
        >>> import torch
        >>> from rfwarp.training import perceptual
        >>> real, generated = torch.zeros(1, 8, 4, 4), torch.full((1, 8, 4, 4), 0.5)
        >>> perceptual([generated, generated], [real, real]).item()  # 0.5 of each map
        1.0
    """
    return torch.stack([F.l1_loss(g, r.detach()) for g, r in _pairs(generated, real)]).sum()


def style(generated: Sequence[Tensor], real: Sequence[Tensor]) -> Tensor:
    """Style loss of Eq. 10: mean absolute difference of Gram matrices, summed over the maps.

    Args:
        generated, real: as many (N, C, H, W); no gradient goes to the real ones.

    Raises:
        ValueError: if there is no map, or the shapes differ.

    Example:
        >>> import torch
        >>> from rfwarp.training import style
        >>> real = torch.arange(128.0).view(1, 8, 4, 4) / 128
        >>> style([real.flip(3)], [real]).item() < 1e-6  # it does not see where things are
        True
        >>> style([real + 1], [real]).item() > 0.1
        True
    """
    return torch.stack(
        [F.l1_loss(gram(g), gram(r.detach())) for g, r in _pairs(generated, real)]
    ).sum()


def gram(features: Tensor) -> Tensor:
    """``F F' / (C H W)`` of features (N, C, H, W): (N, C, C).

    Example:
        >>> import torch
        >>> from rfwarp.training import gram
        >>> gram(torch.tensor([[1.0, 1.0], [0.0, 2.0]]).view(1, 2, 1, 2))
        tensor([[[0.5000, 0.5000],
                 [0.5000, 1.0000]]])
    """
    flat = features.flatten(2)
    return flat @ flat.transpose(1, 2) / (flat.shape[1] * flat.shape[2])


def _pairs(generated: Sequence[Tensor], real: Sequence[Tensor]) -> list[tuple[Tensor, Tensor]]:
    shapes = [[tuple(x.shape) for x in maps] for maps in (generated, real)]
    if not generated or shapes[0] != shapes[1] or any(len(shape) != 4 for shape in shapes[0]):
        raise ValueError(f"both need the same maps (N, C, H, W), got {shapes[0]} and {shapes[1]}")
    return list(zip(generated, real, strict=True))


Adversarial = Literal["log", "least-squares"]


def adversarial_discriminator(
    real_logits: Tensor, fake_logits: Tensor, kind: Adversarial = "log"
) -> Tensor:
    """The discriminator's side of Eq. 11, to be minimised; D = sigmoid(logits).

    "log": ``-mean log D(real) - mean log(1 - D(fake))``.
    "least-squares": ``mean (real_logits - 1)^2 + mean fake_logits^2``.

    Example:
        >>> import torch
        >>> from rfwarp.training import adversarial_discriminator
        >>> unsure, sure = torch.zeros(1, 1, 2, 2), torch.full((1, 1, 2, 2), 5.0)
        >>> round(adversarial_discriminator(unsure, unsure).item(), 3)  # 2 log 2
        1.386
        >>> round(adversarial_discriminator(sure, -sure).item(), 3)
        0.013
    """
    _check_adversarial(kind)
    if kind == "least-squares":
        return (real_logits - 1).square().mean() + fake_logits.square().mean()
    return F.softplus(-real_logits).mean() + F.softplus(fake_logits).mean()


def adversarial_generator(fake_logits: Tensor, kind: Adversarial = "log") -> Tensor:
    """The generator's side of Eq. 11, to be minimised.

    "log": ``-mean log D(fake)``, which does not saturate where D is sure, as log(1 - D) would.
    "least-squares": ``mean (fake_logits - 1)^2``.

    Example:
        >>> import torch
        >>> from rfwarp.training import adversarial_generator
        >>> logits = torch.zeros(1, 1, 2, 2)
        >>> round(adversarial_generator(logits).item(), 3)  # log 2
        0.693
        >>> adversarial_generator(logits, "least-squares").item()
        1.0
    """
    _check_adversarial(kind)
    if kind == "least-squares":
        return (fake_logits - 1).square().mean()
    return F.softplus(-fake_logits).mean()


def _check_adversarial(kind: str) -> None:
    if kind not in get_args(Adversarial):
        raise ValueError(f"kind must be one of {get_args(Adversarial)}, got {kind!r}")
