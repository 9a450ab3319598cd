"""Images of chairs from their seeds."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from rfwarp.data.chairs.correspondence import chair_truth
from rfwarp.data.chairs.geometry import chair_parts
from rfwarp.data.chairs.model import Model
from rfwarp.data.chairs.parameters import ChairParameters
from rfwarp.data.chairs.raycast import render_models
from rfwarp.data.truth import Truth
from rfwarp.poses import Viewpoint

RENDERER_VERSION = 2
"""Raised whenever the images of a seed change, so that caches of older images are refused."""


@lru_cache(maxsize=1024)
def _model(seed: int) -> Model:
    return Model.from_parts(chair_parts(ChairParameters.from_seed(seed)))


def _viewpoints(views: Sequence[Viewpoint | int] | Tensor) -> list[Viewpoint]:
    items = views.tolist() if isinstance(views, Tensor) else views
    return [v if isinstance(v, Viewpoint) else Viewpoint.from_index(int(v)) for v in items]


def _checked(size: int) -> int:
    if size < 1:
        raise ValueError(f"the image size must be at least 1 pixel, got {size}")
    return size


def _render(
    seeds: Sequence[int],
    views: Sequence[Sequence[Viewpoint]],
    size: int,
    device: torch.device | str | None,
) -> Tensor:
    size = _checked(size)
    where = torch.device("cpu" if device is None else device)
    # On a CPU the intermediate arrays should stay in its caches.
    budget = 1 << 17 if where.type == "cpu" else 1 << 23
    return render_models(
        [_model(int(seed)) for seed in seeds],
        views,
        size,
        # Large images show an edge over many pixels and need fewer rays in each.
        supersample=3 if size < 128 else 2,
        device=where,
        pair_budget=budget,
    )


def render_chairs(
    seeds: Sequence[int],
    views: Sequence[Viewpoint | int] | Tensor,
    size: int,
    device: torch.device | str | None = None,
) -> Tensor:
    """One image per entry: chair ``seeds[i]`` at ``views[i]``.

    Args:
        seeds: B chair seeds, integers of at least 0.
        views: B viewpoints, or view indices 0..53 (a sequence or an integer tensor).
        size: height and width in pixels.
        device: where to compute; the CPU by default.

    Returns:
        (B, 3, size, size) uint8 RGB on ``device``, white background.

    Raises:
        ValueError: for a bad seed, view or size, or if the lengths differ.

    An image depends on its seed, view, size and device type, never on its batch.

    Example:
        >>> from rfwarp.data import render_chairs
        >>> from rfwarp.poses import Viewpoint
        >>> images = render_chairs([0, 7], [Viewpoint(40, 10), Viewpoint(200, 0)], size=16)
        >>> images.shape, images[0, :, 0, 0].tolist()  # white at the corner
        (torch.Size([2, 3, 16, 16]), [255, 255, 255])
    """
    chosen = _viewpoints(views)
    if len(seeds) != len(chosen):
        raise ValueError(f"need one view per seed, got {len(seeds)} seeds and {len(chosen)} views")
    return _render(seeds, [[view] for view in chosen], size, device)


def render_views(
    seed: int,
    views: Sequence[Viewpoint | int] | Tensor,
    size: int,
    device: torch.device | str | None = None,
) -> Tensor:
    """Many images of one chair: (V, 3, size, size) uint8 RGB, as :func:`render_chairs`.

    Example:
        >>> from rfwarp.data import render_views
        >>> render_views(seed=7, views=[0, 27, 53], size=16).shape
        torch.Size([3, 3, 16, 16])
    """
    return _render([seed], [_viewpoints(views)], size, device)


def render_truth(seed: int, views: Sequence[Viewpoint | int] | Tensor, size: int) -> Truth:
    """True correspondences of a chair's images, see :func:`.chair_truth`.

    Args:
        seed: of the chair.
        views: K + 1 viewpoints or view indices: the sources, then the target.
        size: height and width in pixels.

    Raises:
        ValueError: for a bad seed, view or size, or without a target.
    """
    chosen = _viewpoints(views)
    if not chosen:
        raise ValueError("views must end with the target, got none")
    return chair_truth(_model(int(seed)), chosen, _checked(size))
