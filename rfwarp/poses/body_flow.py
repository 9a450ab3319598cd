"""Flow from keypoints alone, between two poses of one body.

Nothing is learned. The body has ten parts: eight bones of the limbs, the torso and the head. Each
has an affine map from the target to a source, and a pixel of the target follows the parts near it.
It is a first guess for a network to correct, or a baseline: it knows neither depth nor occlusion.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

_NECK, _SHOULDERS, _HIPS, _FACE = 1, (2, 5), (8, 11), (0, 14, 15, 16, 17)
_TRUNK = (*_SHOULDERS, *_HIPS)
# Bones of arms and legs from the body outwards. Lengths here and below are in heights of the trunk.
_STARTS, _ENDS = (2, 3, 5, 6, 8, 9, 11, 12), (3, 4, 6, 7, 9, 10, 12, 13)
_RADII = (0.145, 0.1, 0.145, 0.1, 0.31, 0.13, 0.31, 0.13)
_HEAD_RADIUS = 0.28
_HEAD_RISE = 0.14  # the middle of the head lies that far above the middle of the face
_NECK_TO_FACE = 0.5
_TRUNK_WIDTH = 1.1  # its radius, in distances of the shoulders
_SLIMMEST_TRUNK = 0.25
_STIFFNESS = 0.3  # pulls the trunk's map to a plain scaling
_SHORTEST = 0.1  # a bone seen from its end is no shorter than that
_ELSEWHERE = 1e-6  # weight of the body as a whole, against 1 on the axis of a part
# How far the surface is from the axis: bones as above, the trunk, and the head, whose face shows
# how it turns. Tuned with the radii on procedural people, many of them in skirts.
_DEPTHS = (0.1, 0.02, 0.1, 0.02, 0.34, 0.1, 0.34, 0.1, 0.22, 0.0)
_BREADTHS = (0.6, 0.5)  # of the shoulders and the hips, seen from the front
_SIDE_FACE = 0.08  # a face that far beside the neck looks to that side for certain
# Pairs of joints whose distance tells the size of a body, and that distance in most bodies.
_RULERS = ((2, 8, 1.0), (5, 11, 1.0), (8, 9, 0.9), (11, 12, 0.9), (9, 10, 0.9), (12, 13, 0.9))


class _Axes(NamedTuple):
    """Axes of the ten parts in a target: segments with a radius."""

    start: Tensor  # (N, 10, 2)
    end: Tensor
    radius: Tensor  # (N, 10)


def keypoint_flow(target: Tensor, sources: Tensor, height: int, width: int) -> Tensor:
    """The flow from poses of one body to another pose of it.

    Args:
        target: (N, 18, 3) float: x and y in pixels and a joint's presence, 0 for missing,
            whatever its x and y; see :class:`rfwarp.poses.Keypoints`.
        sources: (N, K, 18, 3), poses in images of the same size.
        height, width: of the images.

    Returns:
        (N, K, 2, height, width) in the dtype of ``target``, float32 at least; always finite.

    Raises:
        ValueError: for other shapes.

    Convention: in pixels, channel 0 = x to the right, 1 = y down, from the target to the source:
    the pixel p of the target shows what the source shows at p + flow, so that
    ``warp(source, flow)`` looks like the target. A part that lacks joints in either image leaves
    its pixels to its neighbours; a body without whole parts moves as its common joints do on
    average; without a common joint the flow is 0.

    Example:
        >>> from rfwarp.data import render_person
        >>> from rfwarp.poses import keypoint_flow
        >>> codes = render_person(0, [0, 1, 2], 64).keypoints
        >>> flow = keypoint_flow(codes[:1], codes[None, 1:], height=64, width=64)
        >>> flow.shape
        torch.Size([1, 2, 2, 64, 64])
        >>> keypoint_flow(codes[:1], codes[None, :1], 64, 64).abs().max().item() < 1e-3  # to itself
        True
    """
    if target.shape[1:] != (18, 3) or sources.shape[2:] != (18, 3) or target.ndim + 1 != 4:
        raise ValueError(
            "expected a target (N, 18, 3) and sources (N, K, 18, 3), got "
            f"{tuple(target.shape)} and {tuple(sources.shape)}"
        )
    dtype = torch.promote_types(target.dtype, torch.float32)
    target_xy, target_has = _split(target.to(dtype).unsqueeze(1))
    source_xy, source_has = _split(sources.to(dtype))
    size = _body_size(target_xy, target_has, height)
    zoom = (_body_size(source_xy, source_has, height) / size).clamp(0.25, 4.0)
    both = target_has * source_has
    shift = _mean(source_xy, both) - _mean(target_xy, both)
    zoom = torch.where(both.sum(-1) > 1, zoom, torch.ones_like(zoom))

    bones, bones_there = _bone_maps(target_xy, source_xy, both, size, zoom)
    trunk, trunk_there = _trunk_map(target_xy, source_xy, both, size, zoom)
    head, head_there = _head_map(target_xy, source_xy, both, size, zoom)
    still = torch.eye(2, 3, dtype=dtype, device=target.device)
    whole = still + F.pad(shift[..., None], (2, 0))
    maps = torch.cat([bones, torch.stack([trunk, head], 2)], 2)
    roll = _roll(_facing(target_xy, target_has, size), _facing(source_xy, source_has, size * zoom))
    sideways = (roll * size * zoom)[..., None] * maps.new_tensor(_DEPTHS)
    maps = maps + F.pad(sideways[..., None, None], (2, 0, 0, 1))
    maps = torch.cat([maps, whole[:, :, None]], 2)  # (N, K, 11, 2, 3)
    there = torch.cat([bones_there, torch.stack([trunk_there, head_there], -1)], -1)

    axes = _axes(target_xy[:, 0], target_has[:, 0], size[:, 0])
    near = _nearness(axes, height, width)
    return _blend(maps - still, there, near)


def _split(points: Tensor) -> tuple[Tensor, Tensor]:
    """Places (..., 18, 2), 0 where missing, and presence (..., 18) as 0 or 1."""
    has = points[..., 2] > 0
    xy = torch.where(has[..., None], points[..., :2], torch.zeros_like(points[..., :2]))
    return xy, has.to(points.dtype)


def _mean(xy: Tensor, weight: Tensor) -> Tensor:
    """Mean over joints of (..., J, 2) with weights (..., J); 0 without any."""
    return (xy * weight[..., None]).sum(-2) / weight.sum(-1, keepdim=True).clamp_min(1e-6)


def _body_size(xy: Tensor, has: Tensor, height: int) -> Tensor:
    """Height of the trunk in pixels (...): the longest estimate, as foreshortening only shortens; a
    fifth of the image where there is none."""
    first, second = [r[0] for r in _RULERS], [r[1] for r in _RULERS]
    usual = xy.new_tensor([r[2] for r in _RULERS])
    length = (xy[..., first, :] - xy[..., second, :]).square().sum(-1).sqrt()
    longest = (length / usual * has[..., first] * has[..., second]).amax(-1)
    return torch.where(longest > height / 64, longest, torch.full_like(longest, height / 5))


def _facing(xy: Tensor, has: Tensor, size: Tensor) -> tuple[Tensor, Tensor]:
    """Direction in which the body faces, seen from above: to the right of the image, and out of it.
    At most a unit vector.

    The breadth of shoulders and hips tells the angle; the face beside the neck, or the only ear
    that is seen from behind, tells the side.
    """
    # Across the spine, so that leaning aside is no turning.
    spine = xy[..., _NECK, :] - _mean(xy[..., list(_HIPS), :], has[..., list(_HIPS)])
    spine = spine * (has[..., _NECK] * (has[..., list(_HIPS)].sum(-1) > 0))[..., None]
    length = spine.square().sum(-1, keepdim=True).sqrt()
    upright = spine.new_tensor((0.0, -1.0))
    up = torch.where(length > 0.3 * size[..., None], spine / length.clamp_min(1e-6), upright)
    across = (xy * _turned(up)[..., None, :]).sum(-1)

    broad, usual = torch.zeros_like(size), torch.full_like(size, 1e-6)
    for (right, left), breadth in zip((_SHOULDERS, _HIPS), _BREADTHS, strict=True):
        both = has[..., right] * has[..., left]
        broad = broad + both * (across[..., left] - across[..., right])
        usual = usual + both * breadth
    out = (broad / usual / size).clamp(-1.0, 1.0)
    face = list(_FACE[:3])
    middle = _mean(across[..., face, None], has[..., face])[..., 0]
    offset = (middle - across[..., _NECK]) / size
    known = (has[..., face].sum(-1) > 0) & (has[..., _NECK] > 0)
    ears = has[..., _FACE[3]] - has[..., _FACE[4]]
    side = torch.where(known, (offset / _SIDE_FACE).clamp(-1.0, 1.0), ears)
    return side * (1 - out.square()).sqrt(), out


def _roll(target: tuple[Tensor, Tensor], source: tuple[Tensor, Tensor]) -> Tensor:
    """Motion to the right of the near side of a turning cylinder of radius 1.

    At an angle a from the middle, the surface moves from sin a to sin(a + turn), so what is seen
    before and after moves by about 2 sin(turn / 2), whichever side it is on.
    """
    lengths = [(x.square() + y.square()).sqrt().clamp_min(1e-6) for x, y in (target, source)]
    scale = 1 / (lengths[0] * lengths[1])
    cosine = scale * (target[0] * source[0] + target[1] * source[1])
    sine = scale * (source[0] * target[1] - target[0] * source[1])
    return sine.sign() * (2 - 2 * cosine).clamp_min(0.0).sqrt()


def _affine(matrix: Tensor, at: Tensor, to: Tensor) -> Tensor:
    """(..., 2, 3): the map with that linear part which takes ``at`` to ``to``."""
    shift = to - (matrix * at[..., None, :]).sum(-1)
    return torch.cat([matrix, shift[..., None]], -1)


def _bone_maps(
    target: Tensor, source: Tensor, both: Tensor, size: Tensor, zoom: Tensor
) -> tuple[Tensor, Tensor]:
    """Bone onto bone: stretched along it, zoomed with the body across it."""
    start, end = list(_STARTS), list(_ENDS)
    lengths, directions = [], []
    for xy, unit in ((target, size), (source, size * zoom)):
        bone = xy[..., end, :] - xy[..., start, :]
        length = bone.square().sum(-1, keepdim=True).sqrt()
        lengths.append(torch.maximum(length, _SHORTEST * unit[..., None, None]))
        directions.append(bone / lengths[-1])
    stretch = (lengths[1] / lengths[0]) * directions[1]
    across = zoom[..., None, None] * _turned(directions[1])
    matrix = stretch[..., None] * directions[0][..., None, :]
    matrix = matrix + across[..., None] * _turned(directions[0])[..., None, :]
    # A bone seen from its end has no direction, and no turn.
    vague = 1 - (directions[0].square().sum(-1) * directions[1].square().sum(-1)).sqrt()
    matrix = matrix + (zoom[..., None] * vague)[..., None, None] * torch.eye(2).to(matrix)
    there = both[..., start] * both[..., end]
    return _affine(matrix, target[..., start, :].expand_as(across), source[..., start, :]), there


def _turned(direction: Tensor) -> Tensor:
    """Directions (..., 2) turned by a quarter: (x, y) to (-y, x)."""
    return torch.stack([-direction[..., 1], direction[..., 0]], -1)


def _trunk_map(
    target: Tensor, source: Tensor, both: Tensor, size: Tensor, zoom: Tensor
) -> tuple[Tensor, Tensor]:
    """The affine map that takes shoulders and hips nearest to where they are in the source."""
    joints = list(_TRUNK)
    weight = both[..., joints]
    middle, there = _mean(target[..., joints, :], weight), _mean(source[..., joints, :], weight)
    x = (target[..., joints, :] - middle[..., None, :]) * weight[..., None]
    y = (source[..., joints, :] - there[..., None, :]) * weight[..., None]
    stiff = _STIFFNESS * size.square().expand_as(zoom)
    xx, xy, yy = (
        (x[..., i] * x[..., j]).sum(-1) + (stiff if i == j else 0)
        for i, j in ((0, 0), (0, 1), (1, 1))
    )
    determinant = xx * yy - xy * xy
    a, b, c, d = (
        (y[..., i] * x[..., j]).sum(-1) + (stiff * zoom if i == j else 0)
        for i in (0, 1)
        for j in (0, 1)
    )
    rows = [a * yy - b * xy, b * xx - a * xy, c * yy - d * xy, d * xx - c * xy]
    matrix = (torch.stack(rows, -1) / determinant[..., None]).unflatten(-1, (2, 2))
    return _affine(matrix, middle, there), (weight.sum(-1) > 2).to(zoom.dtype)


def _head_map(
    target: Tensor, source: Tensor, both: Tensor, size: Tensor, zoom: Tensor
) -> tuple[Tensor, Tensor]:
    """The head only moves and zooms: by its face, or else by the neck."""
    face, neck = list(_FACE), [_NECK]
    seen = both[..., face].sum(-1, keepdim=True) > 0
    at, to = (
        torch.where(seen, _mean(xy[..., face, :], both[..., face]), xy[..., _NECK, :])
        for xy in (target, source)
    )
    matrix = zoom[..., None, None] * torch.eye(2, dtype=zoom.dtype, device=zoom.device)
    return _affine(matrix, at, to), torch.maximum(seen[..., 0].to(zoom.dtype), both[..., neck[0]])


def _axes(xy: Tensor, has: Tensor, size: Tensor) -> _Axes:
    """Axes of the parts, from a target's joints (N, 18, 2)."""
    unit = size[:, None]
    down = torch.stack([torch.zeros_like(unit), unit], -1)[:, 0]
    shoulders, hips = (_mean(xy[:, list(j)], has[:, list(j)]) for j in (_SHOULDERS, _HIPS))
    top_there, bottom_there = (
        has[:, list(j)].sum(-1, keepdim=True) > 0 for j in (_SHOULDERS, _HIPS)
    )
    top = torch.where(top_there, shoulders, hips - down)
    bottom = torch.where(bottom_there, hips, top + down)
    broad = (xy[:, _SHOULDERS[0]] - xy[:, _SHOULDERS[1]]).square().sum(-1).sqrt()
    broad = broad * has[:, _SHOULDERS[0]] * has[:, _SHOULDERS[1]]
    trunk = _TRUNK_WIDTH * broad
    trunk = torch.maximum(trunk, _SLIMMEST_TRUNK * size)

    face_there = has[:, list(_FACE)].sum(-1, keepdim=True) > 0
    neck_there = has[:, _NECK, None] > 0
    face = torch.where(
        face_there,
        _mean(xy[:, list(_FACE)], has[:, list(_FACE)]),
        xy[:, _NECK] - _NECK_TO_FACE * down,
    )
    neck = torch.where(neck_there, xy[:, _NECK], face + _NECK_TO_FACE * down)
    start = torch.cat([xy[:, list(_STARTS)], torch.stack([top, face - _HEAD_RISE * down], 1)], 1)
    end = torch.cat([xy[:, list(_ENDS)], torch.stack([bottom, (face + neck) / 2], 1)], 1)
    limbs = unit * xy.new_tensor(_RADII)
    return _Axes(start, end, torch.cat([limbs, trunk[:, None], _HEAD_RADIUS * unit], 1))


def _nearness(axes: _Axes, height: int, width: int) -> Tensor:
    """(N, 10, H, W) nearness of pixels to the parts: 1 on the axis, falling to 0."""
    # In radii. With a pixel at r from the start of a segment of length l, and t the place from 0 to
    # l of its foot, distance^2 is r^2 - t (2 r.along - t).
    unit = axes.radius[..., None]
    along = (axes.end - axes.start) / unit
    length = along.square().sum(-1, keepdim=True).sqrt()
    along = along / length.clamp_min(1e-6)
    columns = torch.arange(width, dtype=along.dtype, device=along.device)
    rows = torch.arange(height, dtype=along.dtype, device=along.device)
    x = ((columns - axes.start[..., :1]) / unit)[..., None, :]
    y = ((rows - axes.start[..., 1:]) / unit)[..., :, None]
    place = x * along[..., :1, None] + y * along[..., 1:, None]
    foot = torch.minimum(place.clamp_min(0.0), length[..., None])
    squared = x.square() + y.square() - foot * (2 * place - foot)
    # Nearly exp(-4 distance^2) close by, but a power neither vanishes nor takes long far off.
    return (1 + squared).square().square().reciprocal()


def _blend(moves: Tensor, there: Tensor, near: Tensor) -> Tensor:
    """The flow blended from affine fields (N, K, 11, 2, 3) of the parts and of the body as a whole;
    ``there`` (N, K, 10) tells which parts count."""
    weights = torch.cat([there, torch.full_like(there[..., :1], _ELSEWHERE)], -1)[..., None]
    numbers = torch.cat([moves.flatten(-2), torch.ones_like(weights)], -1) * weights
    parts, whole = numbers[:, :, :10].transpose(2, 3), numbers[:, :, 10, :, None]  # (N, K, 7, 10)
    sums = (parts.flatten(1, 2) @ near.flatten(2)).unflatten(1, parts.shape[1:3]) + whole
    xx, xy, x, yx, yy, y, total = sums.unflatten(-1, near.shape[-2:]).unbind(2)
    column = torch.arange(near.shape[-1], dtype=near.dtype, device=near.device)
    row = torch.arange(near.shape[-2], dtype=near.dtype, device=near.device)[:, None]
    to_x, to_y = xx * column + xy * row + x, yx * column + yy * row + y
    return torch.stack([to_x, to_y], 2) / total.unsqueeze(2)
