"""Images of meshes, and the depth and normals of the surfaces in them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from rfwarp.data.chairs.camera import FOCAL, Direction, camera_axes
from rfwarp.data.chairs.raycast import light_on
from rfwarp.data.furniture.mesh import Mesh
from rfwarp.data.furniture.raster import Fragments, Planes, fragments, nearest

RENDERER_VERSION = 1
"""Raised whenever images or traces of a mesh change, so that caches of older ones are refused."""

LAYERS = 4
"""Largest number of translucent surfaces that are drawn in front of each other."""

SOLID = 0.5
"""Opacity from which on :func:`trace_mesh` does not look through a surface."""


def render_mesh(
    mesh: Mesh,
    views: Sequence[Direction],
    size: int,
    *,
    supersample: int | None = None,
) -> Tensor:
    """Images of a mesh, with the camera, light and white background of chairs.

    Surfaces have two sides. Translucent ones, up to ``LAYERS``, are mixed with what lies behind
    them; textures have holes where they are less than half opaque.

    Args:
        mesh: on the device that computes.
        views: V viewpoints, which need not be those of the protocol.
        size: height and width in pixels.
        supersample: each pixel is the mean of supersample^2 samples; by default 3, or 2 from 128
            pixels on.

    Returns:
        (V, 3, size, size) uint8 RGB on the mesh's device.

    Raises:
        ValueError: for a bad size.
    """
    n = supersample or (3 if size < 128 else 2)
    if size < 1:
        raise ValueError(f"the image size must be at least 1 pixel, got {size}")
    samples = size * n
    images = torch.empty(len(views), 3, size, size, dtype=torch.uint8, device=mesh.points.device)
    for image, axes in zip(images, camera_axes(views), strict=True):
        planes = _project(mesh, axes, samples)
        canvas = torch.ones(samples * samples, 3, device=image.device)
        opaque = mesh.opacity[mesh.material] == 1
        solid = _nearest(mesh, planes, opaque, samples)
        layers = [solid]
        while not opaque.all() and len(layers) <= LAYERS:
            before = layers[-1] if len(layers) > 1 else None
            layer = _nearest(mesh, planes, ~opaque, samples, farther=before, nearer=solid)
            if (layer < 0).all():
                break
            layers.append(layer)
        for keys in (solid, *reversed(layers[1:])):  # from the farthest on
            found = fragments(planes, keys, samples)
            colour = _colour(mesh, planes, found)
            opacity = mesh.opacity[mesh.material[found.triangle], None]
            canvas[found.sample] = torch.lerp(canvas[found.sample], colour, opacity)
        mean = F.avg_pool2d(canvas.T.reshape(1, 3, samples, samples), n)[0]
        image.copy_((mean * 255 + 0.5).to(torch.uint8))
    return images


def trace_mesh(mesh: Mesh, views: Sequence[Direction], size: int) -> tuple[Tensor, Tensor]:
    """Depth and normals of the surfaces that rays through the middles of pixels meet: the nearest
    one of at least half opacity, or the nearest translucent one where there is none.

    Args:
        mesh: on the device that computes.
        views: V viewpoints.
        size: height and width in pixels.

    Returns:
        (V, size, size) float32 distance along the optical axis over that of the camera from the
        origin, 0 on the background; and (V, 3, size, size) int8, 127 times the triangle's normal on
        the side that is seen.
    """
    count, device = len(views), mesh.points.device
    depth = torch.zeros(count, size * size, device=device)
    normal = torch.zeros(count, size * size, 3, dtype=torch.int8, device=device)
    solid = mesh.opacity[mesh.material] >= SOLID
    for number, axes in enumerate(camera_axes(views)):
        planes = _project(mesh, axes, size)
        keys = _nearest(mesh, planes, solid, size)
        if not solid.all():
            keys = torch.where(keys < 0, _nearest(mesh, planes, ~solid, size), keys)
        found = fragments(planes, keys, size)
        depth[number, found.sample] = (1 / (found.inverse * mesh.distance)).float()
        facing = mesh.facing[found.triangle] * _side(planes, found)
        normal[number, found.sample] = (facing * 127).round().to(torch.int8)
    shape = (count, size, size)
    return depth.reshape(shape), normal.reshape(*shape, 3).permute(0, 3, 1, 2).contiguous()


def _project(mesh: Mesh, axes: np.ndarray, samples: int) -> Planes:
    local = torch.from_numpy(axes).to(mesh.points) @ mesh.points.T
    inverse = 1 / (mesh.distance - local[2])
    x = (local[0] * inverse * FOCAL + 1) * (samples / 2) - 0.5
    y = (1 - local[1] * inverse * FOCAL) * (samples / 2) - 0.5
    return Planes.of(x[mesh.triangles], y[mesh.triangles], inverse[mesh.triangles], samples)


def _nearest(
    mesh: Mesh, planes: Planes, wanted: Tensor, samples: int, **bounds: Tensor | None
) -> Tensor:
    """Nearest fragments of the wanted (T,) triangles, without the holes of textures."""
    pierced = mesh.pierced[mesh.material]

    def shows(found: Fragments) -> Tensor:
        kept = torch.ones_like(found.triangle, dtype=torch.bool)
        doubtful = pierced[found.triangle].nonzero()[:, 0]
        part = Fragments(
            found.sample[doubtful],
            found.triangle[doubtful],
            found.weights[:, doubtful],
            found.inverse[doubtful],
        )
        kept[doubtful] = _texel(mesh, planes, part)[:, 3] >= 0.5
        return kept

    chosen = wanted.nonzero()[:, 0]
    holes = bool(pierced[chosen].any())
    return nearest(planes, chosen, samples, shows=shows if holes else None, **bounds)


def _side(planes: Planes, found: Fragments) -> Tensor:
    """(M, 1): 1 on the side of a triangle's normal, -1 on the other."""
    return torch.where(planes.front[found.triangle], 1.0, -1.0)[:, None]


def _texel(mesh: Mesh, planes: Planes, found: Fragments) -> Tensor:
    """(M, 4) RGBA of the textures of fragments, all of which have one."""
    triangle = found.triangle
    texture = mesh.texture[mesh.material[triangle]]
    u, v = mesh.uv[1:, triangle] - mesh.uv[:1, triangle]
    covered = (u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]).abs() / 2 / planes.area[triangle]
    level = mesh.textures.level(texture, covered)
    return mesh.textures.sample(texture, level, found.mix(mesh.uv))


def _colour(mesh: Mesh, planes: Planes, found: Fragments) -> Tensor:
    """(M, 3) RGB in [0, 1], lit."""
    material = mesh.material[found.triangle]
    colour = mesh.colour[material]
    textured = (mesh.texture[material] >= 0).nonzero()[:, 0]
    part = Fragments(
        found.sample[textured],
        found.triangle[textured],
        found.weights[:, textured],
        found.inverse[textured],
    )
    colour[textured] = _texel(mesh, planes, part)[:, :3]
    normal = found.mix(mesh.normals) * _side(planes, found)
    return (colour * light_on(normal.unbind(1))[:, None]).clamp(0, 1)
