"""Meshes with materials, read from OBJ files."""

from __future__ import annotations

import dataclasses
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from rfwarp.data.chairs.camera import distance_to
from rfwarp.data.furniture.packages import Files, Piece
from rfwarp.data.furniture.textures import Textures
from rfwarp.images import open_unread

if TYPE_CHECKING:
    import trimesh

Array = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]

CREASE = 0.7
"""Cosine of the angle up to which neighbouring triangles are shaded as one smooth surface."""

CROWD = 64
"""Number of triangles around a point above which it is no part of a smooth surface."""

INVISIBLE = 0.02
"""Opacity below which nothing is drawn."""

_GREY = (0.64, 0.64, 0.64)
_OPTICAL = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
"""Rotation from the axes of packages (x right, y up, z to the front) to those of the chairs."""


@dataclass(frozen=True)
class Mesh:
    """T triangles of V points and M materials, all tensors on one device.

    The middle of its bounding box is the origin, and its farthest point is 1 away from it. The
    front faces +x, and z is up, as for chairs.
    """

    points: Tensor
    """(V, 3) float64."""
    triangles: Tensor
    """(3, T) int64: numbers of their points."""
    normals: Tensor
    """(3, T, 3) float32: unit vectors at their corners, on the side of :attr:`facing`."""
    facing: Tensor
    """(T, 3) float32: unit normals, on the side from which corners run counter-clockwise."""
    uv: Tensor
    """(3, T, 2) float64: texture coordinates of their corners."""
    material: Tensor
    """(T,) int64."""
    colour: Tensor
    """(M, 3) float32 RGB in [0, 1], where there is no texture."""
    opacity: Tensor
    """(M,) float32 in (0, 1]."""
    texture: Tensor
    """(M,) int64: number of the texture, or -1."""
    pierced: Tensor
    """(M,) bool: whether the texture has holes."""
    textures: Textures
    distance: float
    """Distance of the camera from the origin, so that the piece fits the images of all 54 views."""
    notes: tuple[str, ...] = ()
    """Missing or damaged things in the files that are not needed to draw the piece."""

    def to(self, device: torch.device | str) -> Mesh:
        where = torch.device(device)
        moved = {
            field.name: getattr(self, field.name).to(where)
            for field in dataclasses.fields(self)
            if isinstance(getattr(self, field.name), (Tensor, Textures))
        }
        return dataclasses.replace(self, **moved)


def load_mesh(piece: Piece) -> Mesh:
    """The mesh of a piece of furniture.

    Materials have a colour (Kd), an opacity (d) and a texture (map_Kd), which replaces the colour.
    Normals are made from the triangles, as two files in three have none. Triangles that cannot be
    seen are left out.

    Raises:
        ImportError: without ``pip install "rfwarp[furniture]"``.
        ValueError: if the model or its file of materials is missing or malformed, or it has nothing
            that can be seen.
    """
    try:
        import trimesh
    except ModuleNotFoundError as error:
        raise ImportError('furniture needs trimesh: pip install "rfwarp[furniture]"') from error
    folder = piece.files()
    source = f"{piece.package}: {piece.model}"
    text = _read(folder, piece.model.name)
    if text is None:
        raise ValueError(f"{source} is missing")
    files = _files(folder)
    try:
        scene = trimesh.load_scene(BytesIO(text), file_type="obj", resolver=files, process=False)
    except (ValueError, IndexError, KeyError, TypeError) as error:
        raise ValueError(f"{source} is no OBJ file: {error}") from error
    parts = [part for part in scene.geometry.values() if isinstance(part, trimesh.Trimesh)]
    if not sum(len(part.faces) for part in parts):
        raise ValueError(f"{source} has no triangles")
    lost = [name for name in files.missing if name.lower().endswith(".mtl")]
    if lost:
        raise ValueError(f"{source}: its file of materials {lost[0]} is missing")
    notes = [f"{source}: texture {name} is missing" for name in files.missing]
    notes += [f"{source}: texture {name} is no image" for name in files.damaged]
    materials = _Materials(source, notes, files.materials)
    columns: dict[str, list[Any]] = {"points": [], "triangles": [], "uv": [], "material": []}
    count = 0
    for part in parts:
        number = materials.add(part.visual)
        if number is None:
            continue
        columns["points"].append(np.asarray(part.vertices))
        columns["triangles"].append(np.asarray(part.faces).T + count)
        columns["uv"].append(_uv(part))
        columns["material"].append(np.full(len(part.faces), number))
        count += len(part.vertices)
    if not count:
        raise ValueError(f"{source} has nothing that can be seen")
    points = np.concatenate(columns["points"])
    if not np.isfinite(points).all():
        raise ValueError(f"{source} has points that are no numbers")
    triangles = np.concatenate(columns["triangles"], axis=1)
    points = _normalised(points @ (_OPTICAL @ np.reshape(piece.rotation, (3, 3))).T, triangles)
    across = _across(points, triangles)
    area = np.linalg.norm(across, axis=1)
    seen = area > 1e-12  # of the square of the piece's size
    if not seen.any():
        raise ValueError(f"{source} has no triangles of any size")
    triangles, unit = triangles[:, seen], across[seen] / area[seen, None]
    return Mesh(
        points=torch.from_numpy(points),
        triangles=torch.from_numpy(triangles),
        normals=torch.from_numpy(_smooth(points, triangles, unit).astype(np.float32)),
        facing=torch.from_numpy(unit.astype(np.float32)),
        uv=torch.from_numpy(np.concatenate(columns["uv"], axis=1)[:, seen]),
        material=torch.from_numpy(np.concatenate(columns["material"])[seen]),
        colour=torch.tensor(materials.colour, dtype=torch.float32),
        opacity=torch.tensor(materials.opacity, dtype=torch.float32),
        texture=torch.tensor(materials.texture),
        pierced=torch.tensor(materials.pierced),
        textures=Textures.of(materials.images),
        distance=_distance(points[np.unique(triangles)]),
        notes=tuple(notes),
    )


class _Materials:
    """Materials of the parts of a scene."""

    def __init__(self, source: str, notes: list[str], defined: set[str]) -> None:
        self._source, self._notes, self._defined = source, notes, defined
        self.colour: list[Sequence[float]] = []
        self.opacity: list[float] = []
        self.texture: list[int] = []
        self.pierced: list[bool] = []
        self.images: list[Image.Image] = []

    def add(self, visual: Any) -> int | None:
        """Add the material of a part's ``visual``; its number, or None if it is invisible."""
        material = getattr(visual, "material", None)
        # Instead of a malformed or missing material, trimesh has none or its own.
        if material is None or material.name not in self._defined:
            self._notes.append(f"{self._source}: a material that it uses is not defined")
            return self._append(_GREY, 1.0, None)
        name = material.name
        opacity = _numbers(material.kwargs.get("d", ["1"]), 1, f"{self._source}: d of {name}")[0]
        if opacity < INVISIBLE:
            return None
        colour = list(np.ravel(material.kwargs.get("kd", _GREY)))
        colour = _numbers(colour, 3, f"{self._source}: Kd of {name}")
        return self._append(colour, min(opacity, 1.0), self._image(visual, name))

    def _image(self, visual: Any, name: str) -> Image.Image | None:
        image: Image.Image | None = visual.material.image
        if image is None:
            return None
        if visual.uv is None:
            self._notes.append(f"{self._source}: {name} has a texture, but not all of its points")
            return None
        try:
            image.load()
        except (OSError, ValueError) as error:
            self._notes.append(f"{self._source}: the texture of {name} is damaged: {error}")
            return None
        return image

    def _append(self, colour: Sequence[float], opacity: float, image: Image.Image | None) -> int:
        self.colour.append([min(max(float(c), 0.0), 1.0) for c in colour])
        self.opacity.append(opacity)
        self.texture.append(-1 if image is None else len(self.images))
        self.pierced.append(image is not None and image.has_transparency_data)
        if image is not None:
            self.images.append(image)
        return len(self.colour) - 1


def _numbers(words: Sequence[Any], count: int, what: str) -> list[float]:
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        numbers = []
    if len(numbers) != count or not np.isfinite(numbers).all():
        raise ValueError(f"{what} must be {count} numbers, got {list(words)}")
    return numbers


def _read(folder: Files, name: str) -> bytes | None:
    """Bytes of a file in a folder; None if it is missing, or outside the folder."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or not path.parts:
        return None
    file = folder.joinpath(*path.parts)
    if not file.is_file():
        return None
    try:
        return file.read_bytes()
    except (OSError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"{file} cannot be read: {error}") from error


def _files(folder: Files) -> Any:
    """Resolver from which trimesh gets the files that a model names.

    It lists the names of files that are ``missing``, of files that should be images but are not
    (``damaged``), and of the ``materials`` that files define.
    """
    from trimesh.resolvers import Resolver

    class Files(Resolver):
        def __init__(self) -> None:
            self.missing: list[str] = []
            self.damaged: list[str] = []
            self.materials: set[str] = set()

        def get(self, name: str) -> bytes:
            data = _read(folder, name)
            if data is None:
                self.missing.append(name)
                raise FileNotFoundError(name)
            if name.lower().endswith(".mtl"):
                lines = (line.split() for line in data.decode("utf-8", "replace").splitlines())
                self.materials |= {" ".join(w[1:]) for w in lines if w[:1] == ["newmtl"]}
                return data
            try:
                # Of any other format trimesh's Pillow could run another program.
                open_unread(BytesIO(data)).close()
            except (OSError, ValueError, Image.DecompressionBombError):
                self.damaged.append(name)
                raise FileNotFoundError(name) from None
            return data

        def write(self, name: str, data: Any) -> None:
            raise NotImplementedError

        def namespaced(self, namespace: str) -> Resolver:
            raise NotImplementedError

        def keys(self) -> list[str]:
            return []

    return Files()


def _uv(part: trimesh.Trimesh) -> Array:
    """(3, T, 2) texture coordinates of corners; zeros if there are none."""
    uv = getattr(part.visual, "uv", None)
    if uv is None:
        return np.zeros((3, len(part.faces), 2))
    return np.nan_to_num(np.asarray(uv, np.float64)[np.asarray(part.faces).T, :2])


def _normalised(points: Array, triangles: Indices) -> Array:
    used = points[np.unique(triangles)]
    low, high = used.min(axis=0), used.max(axis=0)
    centre = (low + high) / 2
    reach = np.linalg.norm(used - centre, axis=1).max()
    return (points - centre) / (reach if reach > 0 else 1.0)


def _distance(points: Array) -> float:
    parts = np.array_split(points, len(points) // 4096 + 1)  # 54 views of all would be large
    return max(distance_to(part) for part in parts)


def _across(points: Array, triangles: Indices) -> Array:
    """(T, 3) normals, as long as twice the area of the triangles."""
    first, second, third = points[triangles]
    return np.cross(second - first, third - first)


def _smooth(points: Array, triangles: Indices, unit: Array) -> Array:
    """(3, T, 3) unit normals of corners: the mean over the triangles around a point whose normals
    (T, 3) lie within :data:`CREASE` of the corner's own, whichever way round they run, weighted by
    their angles there."""
    _, place = np.unique(points.round(9), axis=0, return_inverse=True)
    corner_place = place.reshape(-1)[triangles].reshape(-1)
    angle = _angles(points, triangles).reshape(-1)
    order = np.argsort(corner_place, kind="stable")
    degree = np.bincount(corner_place)
    first = (np.cumsum(degree) - degree)[corner_place]
    around = np.where(degree <= CROWD, degree, 0)[corner_place]
    own = np.tile(unit, (3, 1))
    total = own * 1e-12  # all that there is in a crowd
    for turn in range(around.max(initial=0)):
        corner = np.flatnonzero(around > turn)
        neighbour = order[first[corner] + turn]
        cosine = (own[corner] * own[neighbour]).sum(1)
        kept = np.abs(cosine) > CREASE
        corner, neighbour = corner[kept], neighbour[kept]
        weight = np.sign(cosine[kept]) * angle[neighbour]
        total[corner] += weight[:, None] * own[neighbour]
    return (total / np.linalg.norm(total, axis=1, keepdims=True)).reshape(3, -1, 3)


def _angles(points: Array, triangles: Indices) -> Array:
    """(3, T) angles at the corners, radians."""
    corners = points[triangles]
    ahead, behind = np.roll(corners, -1, 0) - corners, np.roll(corners, 1, 0) - corners
    length = np.linalg.norm(ahead, axis=2) * np.linalg.norm(behind, axis=2)
    return np.arccos(np.clip((ahead * behind).sum(2) / length, -1.0, 1.0))
