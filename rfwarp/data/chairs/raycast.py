"""Ray casting of convex parts, many images at once, on any torch device.

Every (image, part) pair is cast only inside the rectangle its hull projects to, so the work is a
flat list of (ray, part) pairs without padding. Per-sample arithmetic is elementwise and exactly
rounded: an image does not depend on what else is rendered in the same call.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rfwarp.data.chairs.jobs import Jobs, make_jobs
from rfwarp.data.chairs.materials import pattern_mix
from rfwarp.data.chairs.model import Model
from rfwarp.poses import Viewpoint

_LIGHT = (0.621, -0.421, 0.661)  # a unit vector, fixed to the chair
_AMBIENT, _SKY, _KEY, _FILL = 0.56, 0.09, 0.38, 0.12
_MISS = torch.iinfo(torch.int64).max


def _inside(near: Tensor, far: Tensor, offset: Tensor, slope: Tensor) -> tuple[Tensor, Tensor]:
    """Cuts the interval [near, far] of t with the half-space offset + t slope <= 0."""
    slope = slope + 0.0  # -0.0 would turn a miss into a hit
    t = -offset / slope
    entering = slope < 0
    near = torch.where(entering, torch.maximum(near, t), near)
    far = torch.where(entering, far, torch.minimum(far, t))
    return near, far


def _inside_cone(
    near: Tensor, far: Tensor, o: Tensor, d: Tensor, scale: Tensor, slope: Tensor, rho: Tensor
) -> tuple[Tensor, Tensor]:
    """Cuts with u^2 + v^2 <= (rho (scale + slope w))^2, the nappe where the scale is positive."""
    s0, s1 = rho * (scale + slope * o[2]), rho * slope * d[2]
    a = d[0] * d[0] + d[1] * d[1] - s1 * s1
    b = o[0] * d[0] + o[1] * d[1] - s0 * s1
    c = o[0] * o[0] + o[1] * o[1] - s0 * s0
    discriminant = b * b - a * c
    root = torch.sqrt(discriminant.clamp_min(0.0))
    t1, t2 = (-b - root) / a, (-b + root) / a
    first, last = torch.minimum(t1, t2), torch.maximum(t1, t2)
    # A ray steeper than the cone (a < 0) leaves one nappe at `first`, enters the other at `last`.
    steep, wrong_nappe = a < 0, s0 + first * s1 < 0
    infinity = torch.full_like(near, torch.inf)
    enter = torch.where(steep, torch.where(wrong_nappe, last, -infinity), first)
    leave = torch.where(steep, torch.where(wrong_nappe, infinity, first), last)
    missed = (discriminant < 0) & ~steep
    near = torch.where(missed, infinity, torch.maximum(near, enter))
    return near, torch.minimum(far, leave)


def _cast(jobs: Jobs, samples: int, images: int) -> Tensor:
    """(images * samples^2,) int64: depth bits in the high half, job in the low half, or _MISS."""
    box, device = jobs.box, jobs.box.device
    sizes = box[:, 2] * box[:, 3]
    job = torch.repeat_interleave(torch.arange(len(box), device=device), sizes)
    start = torch.cumsum(sizes, 0) - sizes
    local = torch.arange(len(job), device=device) - torch.repeat_interleave(start, sizes)
    width = torch.repeat_interleave(box[:, 2], sizes)
    row = torch.div(local, width, rounding_mode="floor")
    column = local - row * width + torch.repeat_interleave(box[:, 0], sizes)
    row += torch.repeat_interleave(box[:, 1], sizes)

    o0, o1, o2, *ray, scale, slope, rho = jobs.cast.index_select(1, job)
    x, y = column.float(), row.float()
    d0, d1, d2 = (ray[i] + x * ray[3 + i] + y * ray[6 + i] for i in range(3))
    s0, s1 = scale + slope * o2, slope * d2
    near, far = torch.zeros_like(x), torch.full_like(x, torch.inf)
    for offset, direction in (
        (o0 - s0, d0 - s1),
        (-o0 - s0, -d0 - s1),
        (o1 - s0, d1 - s1),
        (-o1 - s0, -d1 - s1),
        (o2 - 1.0, d2),
        (-o2 - 1.0, -d2),
    ):
        near, far = _inside(near, far, offset, direction)
    kept = ((near < far) & (near > 0)).nonzero()[:, 0]
    near, far, job = near[kept], far[kept], job[kept]
    sample = (jobs.image[job] * samples + row[kept]) * samples + column[kept]

    curved = (rho[kept] < 1.4).nonzero()[:, 0]
    chosen = kept[curved]
    near[curved], far[curved] = _inside_cone(
        near[curved],
        far[curved],
        torch.stack([o0[chosen], o1[chosen], o2[chosen]]),
        torch.stack([d0[chosen], d1[chosen], d2[chosen]]),
        scale[chosen],
        slope[chosen],
        rho[chosen],
    )
    hit = near < far
    # Positive floats order like their bits, so one integer minimum finds the nearest part, and
    # settles ties in the same way everywhere.
    key = (near.view(torch.int32).long() << 32) | job
    key = torch.where(hit, key, _MISS)
    depth = torch.full((images * samples * samples,), _MISS, device=device)
    return depth.scatter_reduce_(0, sample, key, "amin")


class _Hits(NamedTuple):
    """Hits of the M samples that a part covers, in the part's coordinates."""

    sample: Tensor  # (M,) int64
    job: Tensor  # (M,) int64
    depth: Tensor  # (M,): of the ray's points o + depth * d, the first that lies in the part
    local: tuple[Tensor, Tensor, Tensor]  # 3 x (M,)
    face: Tensor  # (M,) int64: 0, 1, 2 across u, v, w; 3 round
    local_normal: tuple[Tensor, Tensor, Tensor]  # 3 x (M,)


def _hits(jobs: Jobs, key: Tensor, samples: int) -> _Hits:
    index = (key != _MISS).nonzero()[:, 0]
    key = key[index]
    job = key & 0xFFFFFFFF
    t = (key >> 32).int().view(torch.float32)
    column, row = (index % samples).float(), ((index // samples) % samples).float()
    cast = jobs.cast.index_select(1, job)
    u, v, w = (
        cast[i] + t * (cast[3 + i] + column * cast[6 + i] + row * cast[9 + i]) for i in range(3)
    )
    scale, slope, rho = cast[12], cast[13], cast[14]
    s = scale + slope * w

    radius = torch.sqrt(u * u + v * v)
    # The face that was hit is the constraint that holds with equality.
    tightest, face = w.abs(), torch.full_like(job, 2)
    for number, bound in ((0, u.abs() / s), (1, v.abs() / s), (3, radius / (rho * s))):
        face = torch.where(bound > tightest, number, face)
        tightest = torch.maximum(tightest, bound)
    zero = torch.zeros_like(u)
    local_normal = (
        torch.where(face == 0, u.sign(), torch.where(face == 3, u / radius, zero)),
        torch.where(face == 1, v.sign(), torch.where(face == 3, v / radius, zero)),
        torch.where(face == 2, w.sign(), torch.where(face == 3, -rho * slope, -slope)),
    )
    return _Hits(index, job, t, (u, v, w), face, local_normal)


def _normal(shade: Tensor, local: tuple[Tensor, Tensor, Tensor]) -> list[Tensor]:
    """3 x (M,) in world axes, of any length."""
    return [
        shade[k] * local[0] + shade[3 + k] * local[1] + shade[6 + k] * local[2] for k in range(3)
    ]


def light_on(normal: Sequence[Tensor]) -> Tensor:
    """(M,) factors that light multiplies colours by, for normals 3 x (M,) of any length."""
    length = torch.sqrt(normal[0] * normal[0] + normal[1] * normal[1] + normal[2] * normal[2])
    facing = (_LIGHT[0] * normal[0] + _LIGHT[1] * normal[1] + _LIGHT[2] * normal[2]) / length
    light = _AMBIENT + _SKY * normal[2] / length + _KEY * facing.clamp_min(0.0)
    return light - _FILL * facing.clamp_max(0.0)


def _shade(jobs: Jobs, key: Tensor, samples: int) -> tuple[Tensor, Tensor]:
    """Indices (M,) of the samples that a part covers, and their colours (3, M)."""
    hits = _hits(jobs, key, samples)
    u, v, w = hits.local
    shade = jobs.shade.index_select(1, hits.job)
    normal = _normal(shade, hits.local_normal)
    light = light_on(normal)
    position = torch.stack(
        [
            shade[9 + 3 * k] * u + shade[10 + 3 * k] * v + shade[11 + 3 * k] * w + shade[18 + k]
            for k in range(3)
        ]
    )
    mix = pattern_mix(shade[21], position, shade[22])
    colour = torch.stack([shade[23 + c] * (1 - mix) + shade[26 + c] * mix for c in range(3)])
    return hits.sample, (colour * light).clamp(0.0, 1.0)


class Middles(NamedTuple):
    """Hits of the rays through the middles of M pixels, sorted by ``sample``."""

    sample: npt.NDArray[np.int64]
    """(M,) (image * size + row) * size + column."""
    depth: npt.NDArray[np.float32]
    """(M,) distance along the optical axis, over FOCAL, metres."""
    surface: npt.NDArray[np.int64]
    """(M,) number of a part's face: the same in all images."""
    normal: npt.NDArray[np.float32]
    """(3, M) outward normals of any length, world axes."""


def cast_middles(model: Model, views: Sequence[Viewpoint], size: int) -> Middles:
    """Casts one ray through the middle of every pixel of a chair's images, without colours."""
    jobs = make_jobs(model, views, size, 0)
    hits = _hits(jobs, _cast(jobs, size, len(views)), size)
    part = hits.job % len(model.corners)
    # Round surfaces have no sides; the two ends of a part, and opposite sides, have signs.
    side = torch.stack([*hits.local, torch.zeros_like(hits.depth)]).gather(0, hits.face[None])[0]
    surface = (part * 4 + hits.face) * 2 + (side > 0)
    normal = _normal(jobs.shade.index_select(1, hits.job), hits.local_normal)
    return Middles(
        hits.sample.numpy(), hits.depth.numpy(), surface.numpy(), torch.stack(normal).numpy()
    )


def render_models(
    models: Sequence[Model],
    views: Sequence[Sequence[Viewpoint]],
    size: int,
    *,
    supersample: int,
    device: torch.device,
    pair_budget: int,
) -> Tensor:
    """Images of every model at its views, white where nothing is hit.

    Args:
        models: B chairs.
        views: B lists of viewpoints.
        size: height and width in pixels.
        supersample: each pixel averages supersample^2 rays.
        device: where to compute.
        pair_budget: about how many (ray, part) pairs are held in memory at a time.

    Returns:
        (sum of the numbers of views, 3, size, size) uint8 on ``device``, model by model.
    """
    samples = size * supersample
    starts = np.cumsum([0, *map(len, views)]).tolist()
    output = torch.empty(starts[-1], 3, size, size, dtype=torch.uint8, device=device)
    if not len(output):
        return output
    per_model = [
        make_jobs(model, seen, samples, first)
        for model, seen, first in zip(models, views, starts[:-1], strict=True)
        if seen
    ]
    jobs = Jobs(
        torch.cat([j.image for j in per_model]),
        torch.cat([j.box for j in per_model]),
        torch.cat([j.cast for j in per_model], 1),
        torch.cat([j.shade for j in per_model], 1),
    )
    for first, last in _chunks(jobs, len(output), pair_budget):
        # Images are numbered in the order of the jobs.
        begin, end = torch.searchsorted(jobs.image, torch.tensor([first, last])).tolist()
        chunk = Jobs(
            (jobs.image[begin:end] - first).to(device),
            jobs.box[begin:end].to(device),
            jobs.cast[:, begin:end].contiguous().to(device),
            jobs.shade[:, begin:end].contiguous().to(device),
        )
        key = _cast(chunk, samples, last - first)
        index, colour = _shade(chunk, key, samples)
        canvas = torch.ones(3, len(key), device=device)
        canvas[:, index] = colour
        output[first:last] = _average(canvas.view(3, -1, samples, samples), supersample)
    return output


def _chunks(jobs: Jobs, images: int, pair_budget: int) -> Iterator[tuple[int, int]]:
    """Ranges of images whose pairs fit the budget, at least one image each."""
    pairs = torch.zeros(images, dtype=torch.int64)
    pairs.index_add_(0, jobs.image, jobs.box[:, 2] * jobs.box[:, 3])
    first, work = 0, 0
    for image, more in enumerate(pairs.tolist()):
        if image > first and work + more > pair_budget:
            yield first, image
            first, work = image, 0
        work += more
    yield first, images


def _average(canvas: Tensor, supersample: int) -> Tensor:
    """(3, B, S * n, S * n) in [0, 1] -> (B, 3, S, S) uint8, the mean of n x n samples."""
    mean = torch.zeros_like(canvas[:, :, ::supersample, ::supersample])
    for i in range(supersample):
        for j in range(supersample):
            mean += canvas[:, :, i::supersample, j::supersample]
    mean /= supersample * supersample
    return (mean * 255 + 0.5).to(torch.uint8).transpose(0, 1)
