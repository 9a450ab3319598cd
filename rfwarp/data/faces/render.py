"""Images of faces, and the positions of their landmarks in them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rfwarp.data.faces.extras import LENS
from rfwarp.data.faces.head import EYES, TEETH, TONGUE, Integers
from rfwarp.data.faces.model import FaceModel, face_model, normals
from rfwarp.data.faces.paint import Paint, linear, noise
from rfwarp.data.faces.parameters import Background, Light
from rfwarp.data.faces.pose import FacePose
from rfwarp.data.faces.regions import smooth
from rfwarp.data.people.materials import Array
from rfwarp.data.people.raster import Hits, rasterise
from rfwarp.data.seeds import Dice, checked_seed

RENDERER_VERSION = 2
"""Raised whenever the images of a seed change, so that caches of older images are refused."""

SHADOW = 160
"""Side of the map of depths that shadows are found by."""

_TAPS = (
    *((-1.7, -0.6), (0.6, -1.7), (1.7, 0.6), (-0.6, 1.7)),
    *((-0.7, 0.5), (0.5, 0.7), (0.7, -0.5), (-0.5, -0.7)),
)

COVERED = 0.12
"""Thickness of what may lie over a landmark that counts as visible, decimetres: a beard."""

Flags = npt.NDArray[np.bool_]


class Faces(NamedTuple):
    """V images of one face."""

    images: Tensor
    """(V, 3, H, W) uint8 RGB."""
    landmarks: Tensor
    """(V, 68, 2) float32: x and y in pixels, of which (0, 0) is the middle of the top left pixel.
    They are points of the skin, also where hair or the head itself hides them: see
    ``visible``."""
    visible: Tensor
    """(V, 68) bool: inside the image, and not hidden by another part of the head."""


def draw_face(
    model: FaceModel, pose: FacePose, height: int, width: int
) -> tuple[Array, Array, Flags]:
    """(3, H, W) RGB in [0, 1]; (68, 2) landmarks; (68,) which are visible."""
    n = 3 if height < 96 else 2
    rows, columns = height * n, width * n
    points, marks = model.posed(pose)
    projected = pose.project(points, height, width)
    samples = projected.copy()
    samples[:, :2] = samples[:, :2] * n + (n - 1) / 2
    corners = samples.T.take(model.triangles, axis=1).transpose(1, 0, 2)
    hits = rasterise(corners, model.thin, rows, columns)
    colour = shade(model, hits, points)
    face = model.face
    canvas = np.repeat(backdrop(face.background, height, width), n, 1).repeat(n, 2).reshape(3, -1)
    canvas[:, hits.sample] = colour
    mean = canvas.reshape(3, height, n, width, n).mean((2, 4))
    image = np.clip(mean, 0, 1)

    places = pose.project(marks, height, width)
    return image, places[:, :2], _visible(places, hits, (rows, columns), n)


def _visible(places: Array, hits: Hits, size: tuple[int, int], n: int) -> Flags:
    depth = np.zeros(size[0] * size[1])
    depth[hits.sample] = hits.inverse
    column = np.rint(places[:, 0] * n + (n - 1) / 2).astype(np.intp)
    row = np.rint(places[:, 1] * n + (n - 1) / 2).astype(np.intp)
    inside = (column >= 0) & (column < size[1]) & (row >= 0) & (row < size[0])
    there = depth[np.where(inside, row * size[1] + column, 0)]
    return inside & (1 / places[:, 2] < 1 / np.maximum(there, 1e-9) + COVERED)


def shade(model: FaceModel, hits: Hits, points: Array) -> Array:
    """(3, M) sRGB in [0, 1] of what was hit, of a mesh with these points."""
    corner = model.triangles[:, hits.triangle]
    normal = normals(points, model.triangles)
    data = np.concatenate([normal.T, model.paint.T, model.sky[None], points.T])
    mixed = sum(
        weight * data.take(c, axis=1) for c, weight in zip(corner, hits.weights, strict=True)
    )
    part = model.part[hits.triangle]
    towards = mixed[:3] / np.sqrt((mixed[:3] ** 2).sum(0) + 1e-18)
    # Ribbons and rims are lit on the side that is seen.
    towards = np.where((towards[2] < 0) & model.thin[hits.triangle], -towards, towards)
    sky = mixed[6]
    albedo, gloss = Paint(model)(part, mixed[3:6], sky)
    light = model.face.light
    key = _direction(light)
    reached = _reached(key, points, model.triangles, mixed[7:10], normal=towards)
    return _lit(albedo, gloss, towards, sky, part, light, np.where(part == TEETH, 0.5, reached))


def _direction(light: Light) -> Array:
    cos = math.cos(light.elevation)
    return np.array(
        [math.sin(light.azimuth) * cos, math.sin(light.elevation), math.cos(light.azimuth) * cos]
    )


def _reached(key: Array, points: Array, triangles: Integers, places: Array, normal: Array) -> Array:
    """(M,) share of the key light that reaches places (3, M): soft shadows.

    A map of depths is drawn as the light sees the mesh, and the neighbours of each place in it are
    asked whether they lie before it.
    """
    x = np.cross([0.0, 1.0, 0.0], key)
    x /= np.linalg.norm(x)
    axes = np.stack([x, np.cross(key, x), key])
    per, far = SHADOW / (2 * 2.0), 60.0
    middle = np.array([0.0, 7.0, 0.5])

    def seen(at: Array) -> Array:
        local = axes @ (at - middle[:, None])
        return np.stack(
            [SHADOW / 2 + per * local[0], SHADOW / 2 - per * local[1], 1 / (far - local[2])]
        )

    corners = seen(points.T)[:, triangles].transpose(1, 0, 2)
    hits = rasterise(corners, np.ones(triangles.shape[1], bool), SHADOW, SHADOW)
    depth = np.full(SHADOW * SHADOW, np.inf)
    depth[hits.sample] = 1 / hits.inverse
    column, row, inverse = seen(places + 0.04 * normal)
    own = 1 / inverse - 0.015 - 0.05 * (1 - np.clip(key @ normal, 0, 1))
    total = np.zeros(len(own))
    for across, down in _TAPS:
        i = np.clip(np.rint(column + across), 0, SHADOW - 1).astype(np.intp)
        j = np.clip(np.rint(row + down), 0, SHADOW - 1).astype(np.intp)
        total += np.clip((depth[j * SHADOW + i] - own) / 0.04 + 1, 0, 1)
    return total / len(_TAPS)


def _lit(
    albedo: Array, gloss: Array, normal: Array, sky: Array, part: Integers, light: Light,
    reached: Array,
) -> Array:  # fmt: skip
    key = _direction(light)
    open_sky = np.clip(sky / 0.85, 0.08, 1.0)
    open_sky = np.where(part == EYES, np.clip(0.35 + 1.2 * sky, 0, 1), open_sky)
    # At rest the mouth is closed.
    open_sky = np.where(part == TEETH, 0.7, np.where(part == TONGUE, 0.35, open_sky))
    facing = key @ normal
    # Light that enters skin comes out past the edge of the shadow, red most of all.
    wrap = np.array([[0.32], [0.20], [0.16]])
    diffuse = np.clip((facing + wrap) / (1 + wrap), 0.0, None)
    # The edge of a shadow on skin is red too.
    diffuse = diffuse * (0.35 + 0.65 * open_sky) * reached ** np.array([[0.8], [1.0], [1.1]])
    above = 0.70 + 0.30 * normal[1]
    front = 0.75 + 0.25 * normal[2]
    # Light between folds is reddish too.
    between = open_sky ** np.array([[0.85], [1.0], [1.05]])
    total = np.array(light.key)[:, None] * diffuse + np.array(light.fill)[:, None] * (
        above * front * between
    )
    half = key + np.array([0.0, 0.0, 1.0])
    half = half / np.linalg.norm(half)
    cosine = np.maximum(half @ normal, 0.0)
    wet = (part == EYES) | (part == LENS)
    lobe = np.where(wet, 0.05 * cosine**14 + 1.6 * cosine**350, 0.55 * cosine**14)
    shine = gloss * open_sky * (0.2 + 0.8 * reached) * lobe
    rim = 0.06 * (1 - np.clip(normal[2], 0, 1)) ** 3 * open_sky
    radiance = albedo * total + (shine + rim) * np.array(light.key)[:, None]
    # A soft shoulder, as of film.
    radiance = radiance / (1 + 0.18 * radiance)
    return np.clip(radiance * 1.08, 0.0, 1.0) ** (1 / 2.2)


def backdrop(background: Background, height: int, width: int) -> Array:
    """(3, H, W) sRGB."""
    y, x = np.mgrid[0:height, 0:width] / height
    x, y = x.reshape(-1), y.reshape(-1)
    first, second = linear(background.first), linear(background.second)
    offset = (background.seed % 1009) / 13
    place = np.stack([x, y, np.full_like(x, offset)])
    if background.kind == "plain":
        mix = np.zeros_like(x)
    elif background.kind == "gradient":
        mix = 0.7 * y + 0.3 * x
    elif background.kind == "blobs":
        mix = 0.5 + 0.6 * noise(place, 2.5, offset) + 0.25 * noise(place, 6.0, offset)
    else:
        angle = offset
        across = np.cos(angle) * x + np.sin(angle) * y
        mix = smooth(np.sin(across * 28), -0.4, 0.4)
        if background.kind == "tiles":
            mix = mix * 0.5 + 0.5 * smooth(
                np.sin((np.cos(angle) * y - np.sin(angle) * x) * 28), -0.4, 0.4
            )
    mix = np.clip(mix + 0.03 * noise(place, 30.0), 0, 1)
    vignette = 1 - 0.25 * ((x - 0.5) ** 2 + (y - 0.5) ** 2)
    colour = (first + (second - first) * mix) * vignette
    return (np.clip(colour, 0, 1) ** (1 / 2.2)).reshape(3, height, width)


def drawn_poses(seed: int, views: Sequence[int]) -> list[FacePose]:
    """The pose of every image of a face."""
    return [FacePose.draw(Dice([seed, 1 + int(view)])) for view in views]


def render_face(seed: int, views: Sequence[int], size: int) -> Faces:
    """Images of one face.

    Args:
        seed: of the face.
        views: numbers of images, at least 0; each has an expression, a turn of the head and a
            framing of its own. Light and background are the same in all.
        size: height and width in pixels.

    Raises:
        ValueError: for a bad seed, view or size.

    An image depends on its seed, view and size alone; it is the same to the bit on one machine.

    Example:
        >>> from rfwarp.data import render_face
        >>> faces = render_face(seed=0, views=[0, 1], size=32)
        >>> faces.images.shape, faces.landmarks.shape
        (torch.Size([2, 3, 32, 32]), torch.Size([2, 68, 2]))
    """
    if any(view < 0 for view in views):
        raise ValueError(f"views must be at least 0, got {min(views)}")
    return render_expressions(seed, drawn_poses(checked_seed("face", seed), views), size)


def render_expressions(seed: int, poses: Sequence[FacePose], size: int) -> Faces:
    """Images of one face, one for each of the given poses; see :func:`rfwarp.data.render_face`.

    Raises:
        KeyError: if a pose names no action unit.
        ValueError: for a bad seed or size.

    Example:
        >>> from rfwarp.data.faces import FacePose, render_expressions
        >>> shut, shouting = FacePose({}), FacePose({"jawOpen": 1.0}, yaw=0.3)
        >>> drawn = render_expressions(900_000, [shut, shouting], size=64)
        >>> lips = drawn.landmarks[:, 66, 1] - drawn.landmarks[:, 62, 1]  # how far apart, pixels
        >>> (lips > 2).tolist()
        [False, True]
    """
    checked_side(size)
    model = face_model(checked_seed("face", seed))
    images = np.empty((len(poses), 3, size, size), np.uint8)
    landmarks = np.empty((len(poses), 68, 2), np.float32)
    seen = np.empty((len(poses), 68), bool)
    for number, pose in enumerate(poses):
        image, landmarks[number], seen[number] = draw_face(model, pose, size, size)
        images[number] = (image * 255 + 0.5).astype(np.uint8)
    return Faces(*(torch.from_numpy(array) for array in (images, landmarks, seen)))


def checked_side(size: int) -> int:
    """Height and width, which are equal.

    Raises:
        ValueError: if it is not at least 1 pixel.
    """
    if size < 1:
        raise ValueError(f"the image size must be at least 1 pixel, got {size}")
    return size
