"""Flow from face landmarks alone, between two expressions of one face.

Nothing is learned. A mean face of 68 points sits on an ellipsoid, the head. To the landmarks of
each image a camera is fitted that sees the mean face there; between two cameras the surface of the
head moves, and what is left at the landmarks, expression and likeness, is spread around them. It is
a first guess for a network to correct, or a baseline: it knows neither hair nor shoulders.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from rfwarp.poses.landmarks import PARTS

FACE = (
    (-0.775, -0.440, -0.559),
    (-0.772, -0.199, -0.530),
    (-0.742, 0.038, -0.503),
    (-0.724, 0.218, -0.573),
    (-0.648, 0.460, -0.491),
    (-0.525, 0.628, -0.361),
    (-0.389, 0.735, -0.246),
    (-0.236, 0.779, -0.073),
    (0.000, 0.815, -0.003),
    (0.236, 0.779, -0.073),
    (0.389, 0.735, -0.246),
    (0.525, 0.628, -0.361),
    (0.648, 0.460, -0.491),
    (0.724, 0.218, -0.573),
    (0.742, 0.038, -0.503),
    (0.772, -0.199, -0.530),
    (0.775, -0.440, -0.559),
    (-0.545, -0.641, 0.019),
    (-0.468, -0.675, 0.085),
    (-0.375, -0.690, 0.133),
    (-0.278, -0.697, 0.165),
    (-0.176, -0.617, 0.170),
    (0.176, -0.617, 0.170),
    (0.278, -0.697, 0.165),
    (0.375, -0.690, 0.133),
    (0.468, -0.675, 0.085),
    (0.545, -0.641, 0.019),
    (0.000, -0.434, 0.132),
    (0.000, -0.287, 0.195),
    (0.000, -0.138, 0.288),
    (0.000, -0.025, 0.362),
    (-0.168, 0.048, 0.150),
    (-0.077, 0.083, 0.199),
    (0.000, 0.127, 0.216),
    (0.077, 0.083, 0.199),
    (0.168, 0.048, 0.150),
    (-0.500, -0.434, -0.037),
    (-0.382, -0.488, 0.061),
    (-0.297, -0.486, 0.063),
    (-0.183, -0.408, 0.024),
    (-0.302, -0.380, 0.041),
    (-0.388, -0.378, 0.038),
    (0.183, -0.408, 0.024),
    (0.297, -0.486, 0.063),
    (0.382, -0.488, 0.061),
    (0.500, -0.434, -0.037),
    (0.388, -0.378, 0.038),
    (0.302, -0.380, 0.041),
    (-0.270, 0.356, 0.090),
    (-0.189, 0.296, 0.181),
    (-0.092, 0.262, 0.233),
    (0.000, 0.268, 0.250),
    (0.092, 0.262, 0.233),
    (0.189, 0.296, 0.181),
    (0.270, 0.356, 0.090),
    (0.200, 0.435, 0.137),
    (0.147, 0.428, 0.177),
    (0.000, 0.442, 0.210),
    (-0.147, 0.428, 0.177),
    (-0.200, 0.435, 0.137),
    (-0.241, 0.346, 0.081),
    (-0.120, 0.338, 0.162),
    (0.000, 0.341, 0.179),
    (0.120, 0.338, 0.162),
    (0.241, 0.346, 0.081),
    (0.125, 0.350, 0.155),
    (0.000, 0.354, 0.187),
    (-0.125, 0.350, 0.155),
)
"""A mean face, (68, 3): to the right of the image, down, and to the viewer, in distances of the
outer corners of the eyes. Of 100 procedural faces (MakeHuman's base mesh and targets, CC0)."""

_HEAD, _RADII = (0.0, -0.478, -0.940), (1.042, 1.505, 1.274)  # of the ellipsoid
_STIFFNESS = 0.01  # pulls a camera to the front
_STIFFER = 0.02  # the same where only the parts' middles are known
_REACH, _FAINT = 0.2, 0.3  # of what landmarks add to the head's motion: deviation, and a rival
_SMALLEST = 0.5  # pixels of the unit
_STEPS = (0.2, 0.17, 0.13, 0.1, 0.083, 0.067, 0.067)
"""Deviations within which ink draws the mean face to itself, in turn."""
_COLOURS = tuple(dict.fromkeys(colour for *_, colour in PARTS))
_PURITY = 0.01  # squared distance from a colour's line to white, of values in [0, 1]
_ROWS = 64  # of pixels in which a drawing is looked at
_INK = 0.5  # pixels of a part's ink, below which it is not drawn


class _Camera(NamedTuple):
    """A weak-perspective camera: places are ``matrix`` X + ``shift``, pixels."""

    matrix: Tensor  # (..., 2, 3), two orthogonal rows of length ``scale``
    shift: Tensor  # (..., 2)
    scale: Tensor  # (...), pixels of the unit


def landmark_flow(target: Tensor, sources: Tensor, height: int, width: int) -> Tensor:
    """The flow from expressions and turns of one face to another.

    Args:
        target: (N, 68, 2) float: x and y in pixels, see :class:`rfwarp.poses.FaceLandmarks`.
        sources: (N, K, 68, 2), landmarks in images of the same size.
        height, width: of the images.

    Returns:
        (N, K, 2, height, width) in the dtype of ``target``, float32 at least; finite for finite
        landmarks, and 0 where all landmarks of an image are at one place.

    Raises:
        ValueError: for other shapes.

    Convention: as of :func:`keypoint_flow`: in pixels, channel 0 = x to the right, 1 = y down, from
    the target to the source, so that ``warp(source, flow)`` looks like the target.

    Example:
        >>> from rfwarp.data import render_face
        >>> from rfwarp.poses import landmark_flow
        >>> points = render_face(0, [0, 1, 2], 64).landmarks
        >>> flow = landmark_flow(points[:1], points[None, 1:], height=64, width=64)
        >>> flow.shape
        torch.Size([1, 2, 2, 64, 64])
        >>> to_itself = landmark_flow(points[:1], points[None, :1], height=64, width=64)
        >>> to_itself.abs().max().item() < 1e-3
        True
    """
    if target.shape[1:] != (68, 2) or sources.shape[2:] != (68, 2) or target.ndim + 1 != 4:
        raise ValueError(
            "expected a target (N, 68, 2) and sources (N, K, 68, 2), got "
            f"{tuple(target.shape)} and {tuple(sources.shape)}"
        )
    dtype = torch.promote_types(target.dtype, torch.float32)
    target, sources = target.to(dtype), sources.to(dtype)
    face = target.new_tensor(FACE)
    seen, cameras = _fit(face, target, _STIFFNESS), _fit(face, sources, _STIFFNESS)
    column = torch.arange(width, dtype=dtype, device=target.device)
    row = torch.arange(height, dtype=dtype, device=target.device)
    pixels = torch.stack(torch.meshgrid(column, row, indexing="xy"), -1).flatten(0, 1)
    moved = _moved(pixels.expand(target.shape[0], -1, -1), seen, cameras)  # (N, K, H W, 2)
    flow = (moved - pixels).mT.unflatten(-1, (height, width))
    left = sources - _moved(target, seen, cameras)
    flow = flow + _spread(left.mT, target, seen.scale * _REACH, column, row)
    there = (_size(target)[:, None] * _size(sources) > 0)[..., None, None, None]
    return torch.where(there, flow, torch.zeros_like(flow))


def landmarks_from_drawing(maps: Tensor) -> Tensor:
    """The landmarks that :meth:`FaceLandmarks.encode` drew, as far as its lines tell.

    Lines have no ends that can be told apart, so the mean face is laid over the middles of the
    parts and then drawn to the lines, each point to those of its colour. On procedural faces the
    points are off by 1.5 % of the image's height on average, along the lines for the most part.

    Args:
        maps: (..., 3, H, W) of any floating dtype in [-1, 1]; one leading axis at least.

    Returns:
        (..., 68, 2), float32 at least: x and y in pixels; zeros if a part of the face is not drawn.

    Example:
        >>> from rfwarp.data import render_face
        >>> from rfwarp.poses import FaceLandmarks, landmarks_from_drawing
        >>> points = render_face(0, [1], 64).landmarks[0]
        >>> drawing = FaceLandmarks(points.numpy(), 64, 64).encode(64, 64)
        >>> found = landmarks_from_drawing(drawing[None])[0]
        >>> (found - points).norm(dim=-1).mean().item() < 2  # pixels
        True
    """
    maps = maps.to(torch.promote_types(maps.dtype, torch.float32))
    # Finer drawings tell no more, and take longer.
    cell = max(1, maps.shape[-2] // _ROWS)
    ink = F.avg_pool2d(_ink(maps).flatten(0, -4), cell).unflatten(0, maps.shape[:-3])
    row, column = (
        cell * (torch.arange(side, dtype=maps.dtype, device=maps.device) + 0.5) - 0.5
        for side in ink.shape[-2:]
    )
    total = cell**2 * ink.sum((-2, -1))
    drawn = total.clamp_min(_INK) / cell**2
    x = (ink.sum(-2) * column).sum(-1) / drawn
    y = (ink.sum(-1) * row).sum(-1) / drawn
    face = maps.new_tensor(FACE)
    middles = torch.stack([_middle(face, colour) for colour in _COLOURS])
    camera = _fit(middles, torch.stack([x, y], -1), _STIFFER)
    points = _seen(face, camera)
    for place, step in enumerate(_STEPS, 1):
        reach = (step * camera.scale).clamp_min(float(cell))[..., None]
        points = _drawn_to(points, ink, reach, column, row)
        if place < len(_STEPS):
            points = _seen(face, _fit(face, points, _STIFFNESS))
    whole = (total > _INK).all(-1)[..., None, None]
    return torch.where(whole, points, torch.zeros_like(points))


# ------------------------------------------------------------------ the head


def _size(points: Tensor) -> Tensor:
    """Squared extent (...) of points (..., 68, 2), 0 if they are all at one place."""
    return (points - points.mean(-2, keepdim=True)).square().sum((-2, -1))


def _fit(face: Tensor, points: Tensor, stiffness: float) -> _Camera:
    """The camera that sees points (J, 3) of the face at (..., J, 2): that nearest to the affine one
    of least squares."""
    middle, centre = face.mean(0), points.mean(-2)
    x, p = face - middle, points - centre[..., None, :]
    scale = (p.square().sum((-2, -1)) / x[:, :2].square().sum()).sqrt().clamp_min(_SMALLEST)
    front = torch.eye(2, 3, dtype=x.dtype, device=x.device)
    stiff = stiffness * x.square().sum()
    # (p' x + stiff scale front) (x' x + stiff)^-1, of which the inverse is a constant.
    inverse = _inverse(x.mT @ x + stiff * torch.eye(3, dtype=x.dtype, device=x.device))
    affine = (p.mT @ x + stiff * scale[..., None, None] * front) @ inverse
    # Its polar decomposition: of G = A A', sqrt G = (G + d) / t with d^2 = det G, t^2 = tr G + 2 d.
    first, second = affine.unbind(-2)
    a, b, c = (first * first).sum(-1), (first * second).sum(-1), (second * second).sum(-1)
    d = (a * c - b * b).clamp_min(1e-6).sqrt()
    scale = (a + c + 2 * d).sqrt() / 2
    # sqrt G^-1 times the mean of its values.
    rows = ((c + d)[..., None] * first - b[..., None] * second) / (2 * d[..., None])
    below = ((a + d)[..., None] * second - b[..., None] * first) / (2 * d[..., None])
    matrix = torch.stack([rows, below], -2)
    return _Camera(matrix, centre - (matrix * middle).sum(-1), scale)


def _inverse(m: Tensor) -> Tensor:
    """Of a matrix (3, 3), by its adjugate: exports know it."""
    a, b, c = m.unbind(0)
    adjugate = torch.stack([_cross(b, c), _cross(c, a), _cross(a, b)], -1)
    return adjugate / (a * adjugate[:, 0]).sum()


def _cross(a: Tensor, b: Tensor) -> Tensor:
    ax, ay, az = a.unbind(-1)
    bx, by, bz = b.unbind(-1)
    return torch.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], -1)


def _seen(face: Tensor, camera: _Camera) -> Tensor:
    """Places (..., J, 2) of points (J, 3)."""
    return (face @ camera.matrix.mT) + camera.shift[..., None, :]


def _moved(places: Tensor, target: _Camera, sources: _Camera) -> Tensor:
    """Where the sources' cameras (N, K) see what the target's (N) sees at places (N, P, 2): the
    head's surface, and beyond its rim what moves with the rim: (N, K, P, 2)."""
    radii, head = places.new_tensor(_RADII), places.new_tensor(_HEAD)
    # In radii from the middle of the head, whose rays are lines u0 + t d.
    matrix = target.matrix * radii
    first, second = matrix.unbind(-2)
    a, b, c = (first * first).sum(-1), (first * second).sum(-1), (second * second).sum(-1)
    d = (a * c - b * b)[..., None, None]
    middle = (target.matrix * head).sum(-1) + target.shift
    x, y = (places - middle[:, None]).unsqueeze(-1).unbind(-2)
    a, b, c = (v[..., None, None] for v in (a, b, c))
    u0 = ((c * x - b * y) * first[:, None] + (a * y - b * x) * second[:, None]) / d
    ray = F.normalize(_cross(first, second), dim=-1)[:, None]
    squared = u0.square().sum(-1, keepdim=True)
    rim = u0 / squared.clamp_min(1.0).sqrt()
    surface = rim + (1 - squared).clamp_min(0.0).sqrt() * ray
    beyond = places - middle[:, None] - rim @ matrix.mT
    beyond = torch.where(squared > 1, beyond, torch.zeros_like(beyond))
    zoom = (sources.scale / target.scale[:, None]).clamp(0.25, 4.0)
    at = (surface * radii + head)[:, None] @ sources.matrix.mT + sources.shift[:, :, None]
    return at + zoom[..., None, None] * beyond[:, None]


def _spread(left: Tensor, target: Tensor, reach: Tensor, column: Tensor, row: Tensor) -> Tensor:
    """A field (N, K, 2, H, W) that is about ``left`` (N, K, 2, 68) at the target's landmarks and
    fades away from them within ``reach`` (N)."""
    along = _bump(target[..., 0], column, reach[:, None])  # (N, 68, W)
    down = _bump(target[..., 1], row, reach[:, None])
    total = (down.mT @ along)[:, None, None] + _FAINT
    weighted = left[..., None] * down[:, None, None]  # (N, K, 2, 68, H)
    return (weighted.mT @ along[:, None, None]) / total


def _bump(places: Tensor, line: Tensor, reach: Tensor) -> Tensor:
    """Gaussians (..., J, L) about places (..., J) along a line of pixels (L,)."""
    away = (line - places[..., None]) / reach[..., None]
    return (-away.square() / 2).exp()


# ------------------------------------------------------------------ the drawing


def _ink(maps: Tensor) -> Tensor:
    """(..., 5, H, W) how much of each colour of a drawing there is, in [0, 1]."""
    ink = (1 - maps) / 2  # from white
    colours = 1 - maps.new_tensor(_COLOURS) / 255
    length = colours.square().sum(-1)
    along = (ink.movedim(-3, -1) @ colours.T).movedim(-1, -3) / length[:, None, None]
    off = ink.square().sum(-3, keepdim=True) - along.square() * length[:, None, None]
    return along.clamp(0, 1) * (-off.clamp_min(0.0) / _PURITY).exp()


def _middle(face: Tensor, colour: tuple[int, int, int]) -> Tensor:
    """The middle (3,) of the face's lines of a colour, seen from the front."""
    lines = [(first, last) for first, last, other in PARTS if other == colour]
    starts = [i for first, last in lines for i in range(first, last)]
    ends = [i + 1 for i in starts]
    length = (face[ends, :2] - face[starts, :2]).square().sum(-1, keepdim=True).sqrt()
    return (length * (face[starts] + face[ends]) / 2).sum(0) / length.sum()


def _drawn_to(points: Tensor, ink: Tensor, reach: Tensor, column: Tensor, row: Tensor) -> Tensor:
    """Points (..., 68, 2) moved to the mean of the ink of their colours, near by more than far;
    those that have none within reach stay."""
    along, down = _bump(points[..., 0], column, reach), _bump(points[..., 1], row, reach)
    both = torch.stack([down, down * row], -2)  # (..., 68, 2, H)
    sums: dict[int, Tensor] = {}
    for colour, drawn in zip(_COLOURS, ink.unbind(-3), strict=True):
        for first, last in ((a, b + 1) for a, b, other in PARTS if other == colour):
            # Of each row of ink its sum within reach, and the same times the row's number.
            lines = (both[..., first:last, :, :].flatten(-3, -2) @ drawn).unflatten(-2, (-1, 2))
            near = lines * along[..., first:last, None, :]
            across = (near[..., 0, :] * column).sum(-1, keepdim=True)
            sums[first] = torch.cat([near.sum(-1), across], -1)
    total, y, x = torch.cat([sums[first] for first in sorted(sums)], -2).unbind(-1)
    mean = torch.stack([x, y], -1) / total.clamp_min(1e-6)[..., None]
    return torch.where((total > 1e-3)[..., None], mean, points)
