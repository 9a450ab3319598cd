"""Images of streets."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from rfwarp.data.streets.drive import drive
from rfwarp.data.streets.parameters import StreetParameters
from rfwarp.data.streets.polygons import CORNERS, UP
from rfwarp.data.streets.raster import Pairs, nearest
from rfwarp.data.streets.ripmaps import Ripmaps
from rfwarp.data.streets.scene import Scene, scene

Array = npt.NDArray[Any]

RENDERER_VERSION = 1
"""Raised whenever the images of a seed change, so that caches of older images are refused."""

FOCAL = 718.856 / 188
"""Focal length of the camera over half of the image's height: KITTI's, of 376 rows."""

NEAR = 0.4
"""Least distance of what is drawn, metres along the optical axis."""

SUPERSAMPLING = 2
"""Samples of a pixel along each side."""

_SHADOW_CELL = 0.22  # metres
_SHADOW_REACH = 62.0  # metres around a point ahead
_BIAS = 0.12  # metres that a surface may lie behind what the map shows without being in shadow,
_STEEPEST = 4.0  # and cells for every cell that it recedes from the light, so many at most
_AIR = 600.0  # metres over which haze takes all but 1/e of the light


@dataclass(frozen=True)
class Camera:
    """A pinhole camera, in units of samples; its optical axis goes through the image's middle."""

    pose: Array
    """(3, 4) [R | t], to the street's axes."""
    focal: float
    size: tuple[int, int]

    @property
    def centre(self) -> Array:
        return self.pose[:, 3]

    def local(self, vectors: Array) -> Array:
        """(..., 3) vectors in the camera's axes."""
        turned: Array = vectors @ self.pose[:, :3]
        return turned

    def affine(self, vectors: Array) -> Array:
        """(P, 3): products of vectors of the street with a sample's ray, whose part along the
        optical axis is 1, as ``[0] + [1] column + [2] row``."""
        x, y, z = self.local(vectors).T / np.array([[self.focal], [self.focal], [1.0]])
        height, width = self.size
        return np.asfortranarray(
            np.stack([z + x * (0.5 - width / 2) + y * (0.5 - height / 2), x, y], 1)
        )

    def project(self, points: Array) -> Array:
        """(..., 2) columns and rows of points in the camera's axes."""
        height, width = self.size
        flat: Array = points[..., :2] / points[..., 2:] * self.focal
        return flat + np.array([width / 2 - 0.5, height / 2 - 0.5])


def camera_at(pose: Array, size: tuple[int, int], samples: int = 1) -> Camera:
    """The camera of an image of so many rows and columns, with samples^2 of a pixel."""
    height, width = (side * samples for side in size)
    return Camera(pose, FOCAL * height / 2, (height, width))


class View(NamedTuple):
    """What the middles of an image's pixels show."""

    depth: Array
    """(H, W) float32, metres along the optical axis; 0 for the sky."""
    surface: Array
    """(H, W) int16 numbers of surfaces, see :class:`.Polygons`; 0 for the sky."""


class _Drawn(NamedTuple):
    """Polygons in front of a camera, as affine functions of column and row."""

    number: Array
    """(D,) of the scene's."""
    corners: Array
    """(D, CORNERS + 1, 2)."""
    inverse: Array
    """(D, 3): inverse depth."""
    u: Array
    v: Array
    """(D, 3): texture coordinates over depth, but for their values at the camera."""
    start: Array
    """(2, D): those values."""


def _front(scene: Scene, camera: Camera) -> _Drawn:
    polygons, centre = scene.polygons, camera.centre
    distance = polygons.offset - polygons.normal @ centre
    facing = np.flatnonzero(distance < -1e-9)
    points = camera.local(polygons.corners[facing] - centre)
    z = points[..., 2]
    height, width = camera.size
    # Half-spaces of the image's borders, a sample wider.
    x_reach = z * ((width / 2 + 1) / camera.focal)
    y_reach = z * ((height / 2 + 1) / camera.focal)
    x, y = points[..., 0], points[..., 1]
    seen = (z > NEAR).any(1)
    for beyond in (x > x_reach, x < -x_reach, y > y_reach, y < -y_reach):
        seen &= ~beyond.all(1)
    chosen, points = facing[seen], points[seen]
    flat = np.empty((len(chosen), CORNERS + 1, 2))
    whole = (points[..., 2] > NEAR).all(1)
    flat[whole, :CORNERS] = camera.project(points[whole])
    flat[whole, CORNERS] = flat[whole, CORNERS - 1]
    for number in np.flatnonzero(~whole):
        cut = _clipped(points[number])
        flat[number] = camera.project(
            np.concatenate([cut, cut[-1:].repeat(CORNERS + 1 - len(cut), 0)])
        )
    normal = polygons.normal[chosen] / distance[chosen, None]
    u, v = polygons.u[chosen], polygons.v[chosen]
    start = np.stack([m[:, :3] @ centre + m[:, 3] for m in (u, v)])
    return _Drawn(
        chosen, flat, camera.affine(normal), camera.affine(u[:, :3]), camera.affine(v[:, :3]), start
    )


def _clipped(points: Array) -> Array:
    """The part of a polygon (V, 3) beyond NEAR."""
    kept: list[Array] = []
    for one, two in zip(points, np.roll(points, -1, 0), strict=True):
        if one[2] >= NEAR:
            kept.append(one)
        if (one[2] >= NEAR) != (two[2] >= NEAR):
            kept.append(one + (NEAR - one[2]) / (two[2] - one[2]) * (two - one))
    return np.array(kept)


def _along(coefficients: Array, pairs: Pairs) -> Array:
    a, b, c = (coefficients[:, i].take(pairs.polygon) for i in range(3))
    value: Array = a + b * pairs.column + c * pairs.row
    return value


def _uv(drawn: _Drawn, pairs: Pairs) -> tuple[Array, Array, Array]:
    """Depth (M,), texture coordinates (2, M) and their extents over a sample (2, M)."""
    z = 1 / np.maximum(_along(drawn.inverse, pairs), 1e-9)
    zx, zy = (drawn.inverse[:, i].take(pairs.polygon) for i in (1, 2))
    uv, extent = np.empty((2, len(z))), np.empty((2, len(z)))
    for axis, coefficients in enumerate((drawn.u, drawn.v)):
        over = _along(coefficients, pairs)
        along_x, along_y = (coefficients[:, i].take(pairs.polygon) for i in (1, 2))
        uv[axis] = over * z + drawn.start[axis].take(pairs.polygon)
        # d(over z) = z d over - over z^2 d(1 / z)
        extent[axis] = np.abs(z * (along_x - over * z * zx)) + np.abs(z * (along_y - over * z * zy))
    return z, uv, extent


def _trace(scene: Scene, drawn: _Drawn, size: tuple[int, int]) -> tuple[Array, Array]:
    """Numbers among the drawn polygons (H, W), and depth."""
    texture = scene.polygons.texture[drawn.number]
    number, near = nearest(
        drawn.corners, drawn.inverse, size, _holes(scene.textures, texture, drawn)
    )
    there = number >= 0
    depth = np.where(there, 1 / np.where(there, near, 1.0), 0.0).astype(np.float32)
    return number, depth


def _holes(textures: Ripmaps, texture: Array, drawn: _Drawn) -> Any:
    pierced = textures.pierced[texture]

    def shows(pairs: Pairs) -> Array:
        kept = np.ones(len(pairs.polygon), bool)
        doubtful = np.flatnonzero(pierced[pairs.polygon])
        part = Pairs(*(p[doubtful] for p in pairs))
        _, uv, extent = _uv(drawn, part)
        kept[doubtful] = textures.opaque(texture[part.polygon], uv, extent)
        return kept

    return shows


def checked_size(size: int | tuple[int, int]) -> tuple[int, int]:
    """Height and width.

    Raises:
        ValueError: if one is less than 1.
    """
    height, width = (size, size) if isinstance(size, int) else size
    if min(height, width) < 1:
        raise ValueError(f"size must be at least 1, got {size}")
    return height, width


def trace_street(seed: int, pose: Array, size: tuple[int, int]) -> View:
    """Depth and surfaces of an image of a street."""
    street, camera = scene(seed), camera_at(pose, size)
    drawn = _front(street, camera)
    number, depth = _trace(street, drawn, size)
    surface = street.polygons.surface[drawn.number[number]]
    return View(depth, np.where(number >= 0, surface, 0).astype(np.int16))


def render_street(seed: int, pose: Array, size: tuple[int, int]) -> Array:
    """The image (H, W, 3) uint8 of a street's camera."""
    street, camera = scene(seed), camera_at(pose, size, SUPERSAMPLING)
    drawn = _front(street, camera)
    number, _ = _trace(street, drawn, camera.size)
    image = _sky(street, camera)
    row, column = np.nonzero(number >= 0)
    pairs = Pairs(number[row, column], column, row)
    image[row, column] = _colour(seed, street, camera, drawn, pairs)
    height, width = size
    parts = image.reshape(height, SUPERSAMPLING, width, SUPERSAMPLING, 3)
    mean = parts.mean((1, 3)) * street.gain
    return (mean.clip(0, 1) * 255 + 0.5).astype(np.uint8)


def _colour(seed: int, street: Scene, camera: Camera, drawn: _Drawn, pairs: Pairs) -> Array:
    polygons = street.polygons
    number = drawn.number[pairs.polygon]
    z, uv, extent = _uv(drawn, pairs)
    texture = polygons.texture[number]
    colour = polygons.tint[number].astype(np.float32)
    painted = np.flatnonzero(texture)
    colour[painted] *= street.textures.sample(texture[painted], uv[:, painted], extent[:, painted])[
        :, :3
    ]
    upward = (polygons.shade @ UP)[number].astype(np.float32)
    if street.sun is None:
        light = (0.86 * (0.72 + 0.28 * upward))[:, None]
    else:
        foliage = polygons.surface < 0
        toward = polygons.shade @ street.sun
        toward = np.where(foliage, 0.5 * toward + 0.5, toward).clip(0)[number]
        cosine = (polygons.shade @ street.sun).clip(0.05, 1)
        recedes = np.where(foliage, 1.0, np.minimum(np.sqrt(1 / cosine**2 - 1), _STEEPEST))
        bias = _BIAS + _SHADOW_CELL * recedes[number]
        lit = toward * _lit(seed, camera, pairs, z, bias)
        light = (0.5 * (0.8 + 0.2 * upward))[:, None] * np.array([0.95, 1.0, 1.08], np.float32)
        light = light + (0.72 * lit)[:, None] * np.array([1.04, 1.0, 0.92], np.float32)
    colour *= light
    air = 1 - np.exp(-z / _AIR).astype(np.float32)[:, None]
    return colour + air * (street.haze.astype(np.float32) - colour)


def _sky(street: Scene, camera: Camera) -> Array:
    height, width = camera.size
    column, row = np.meshgrid(np.arange(width), np.arange(height))
    local = np.stack(
        [
            (column + 0.5 - width / 2) / camera.focal,
            (row + 0.5 - height / 2) / camera.focal,
            np.ones(camera.size),
        ],
        -1,
    )
    x, y, z = np.moveaxis(local @ camera.pose[:, :3].T, -1, 0)
    around, rise = np.arctan2(x, z), np.degrees(np.arctan2(-y, np.hypot(x, z)))
    rows, columns = street.sky.shape[:2]
    u = (around / (2 * np.pi) % 1) * columns
    v = ((40 - rise) / 45 * (rows - 1)).clip(0, rows - 1.001)
    left, top = np.floor(u).astype(int), np.floor(v).astype(int)
    p, q = (u - left)[..., None].astype(np.float32), (v - top)[..., None].astype(np.float32)
    left, right = left % columns, (left + 1) % columns
    sky = street.sky
    upper = sky[top, left] * (1 - p) + sky[top, right] * p
    lower = sky[top + 1, left] * (1 - p) + sky[top + 1, right] * p
    return upper * (1 - q) + lower * q


class _Shadows(NamedTuple):
    axes: Array
    """(3, 3): rows are the map's columns, rows, and the way of the light."""
    origin: Array
    depth: Array
    """(H, W) float32 metres along the light; infinite where nothing is hit."""


@lru_cache(maxsize=8)
def _shadows(seed: int) -> _Shadows:
    """What the sun meets first."""
    street = scene(seed)
    assert street.sun is not None
    way = -street.sun
    across = np.cross(way, UP)
    across /= np.linalg.norm(across)
    axes = np.stack([across, np.cross(way, across), way])
    polygons = street.polygons
    count = int(2 * _SHADOW_REACH / _SHADOW_CELL)
    rise = float(street.sun @ UP)
    size = (max(64, int(count * max(rise, 0.5))), count)
    middle = np.array([0.0, 0.0, 35.0])
    origin = middle - (axes[0] * size[1] + axes[1] * size[0]) * (_SHADOW_CELL / 2) - 300 * way
    facing = np.flatnonzero(polygons.normal @ way < -1e-6)
    local = (polygons.corners[facing] - origin) @ axes.T
    flat = local[..., :2] / _SHADOW_CELL
    near = (flat.max(1) >= 0).all(1) & (flat.min(1) <= np.array(size[::-1])).all(1)
    facing, flat = facing[near], flat[near]
    normal = polygons.normal[facing]
    slope = normal @ way
    # depth = (offset - normal . (origin + columns + rows)) / slope
    depth = np.stack(
        [
            (polygons.offset[facing] - normal @ origin) / slope,
            -(normal @ axes[0]) / slope * _SHADOW_CELL,
            -(normal @ axes[1]) / slope * _SHADOW_CELL,
        ],
        1,
    )
    nearness = -depth
    nearness[:, 0] += 1000
    texture = polygons.texture[facing]
    pierced = street.textures.pierced[texture]
    u, v = polygons.u[facing], polygons.v[facing]

    def shows(pairs: Pairs) -> Array:
        kept = np.ones(len(pairs.polygon), bool)
        doubtful = np.flatnonzero(pierced[pairs.polygon])
        part = Pairs(*(p[doubtful] for p in pairs))
        far = _along(depth, part)
        point = (
            origin
            + (part.column[:, None] * axes[0] + part.row[:, None] * axes[1]) * (_SHADOW_CELL)
            + far[:, None] * way
        )
        uv = np.stack([(m[part.polygon, :3] * point).sum(1) + m[part.polygon, 3] for m in (u, v)])
        kept[doubtful] = street.textures.opaque(texture[part.polygon], uv, np.full_like(uv, 0.05))
        return kept

    _, found = nearest(flat, nearness, size, shows)
    return _Shadows(axes, origin, np.where(found > 0, 1000 - found, np.inf).astype(np.float32))


def _lit(seed: int, camera: Camera, pairs: Pairs, z: Array, bias: Array) -> Array:
    """(M,) float32: part of the sunlight that reaches points at depths ``z``."""
    shadows = _shadows(seed)
    height, width = camera.size
    x = (pairs.column + 0.5 - width / 2) * z / camera.focal
    y = (pairs.row + 0.5 - height / 2) * z / camera.focal
    turn = shadows.axes @ camera.pose[:, :3]
    start = shadows.axes @ (camera.centre - shadows.origin)
    u, v, far = (turn[i, 0] * x + turn[i, 1] * y + turn[i, 2] * z + start[i] for i in range(3))
    u, v = u / _SHADOW_CELL, v / _SHADOW_CELL
    left, top = np.floor(u).astype(int), np.floor(v).astype(int)
    p, q = u - left, v - top
    rows, columns = shadows.depth.shape
    inside = (left >= 0) & (left < columns - 1) & (top >= 0) & (top < rows - 1)
    at = np.where(inside, top * columns + left, 0)
    flat, far = shadows.depth.ravel(), far - bias
    lit = np.zeros(len(z))
    for i, across in ((0, 1 - p), (1, p)):
        for j, down in ((0, 1 - q), (1, q)):
            lit += across * down * (flat.take(at + i + j * columns) >= far)
    return np.where(inside, lit, 1.0).astype(np.float32)


@lru_cache(maxsize=64)
def poses(seed: int, frames: int) -> Array:
    """(frames, 3, 4) poses of the drive in the street's axes; do not change them."""
    return drive(StreetParameters.from_seed(seed), frames)
