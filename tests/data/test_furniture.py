"""Furniture, on a package that is made here; and on real ones, if their folder is named."""

import csv
import io
import json
import os
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from rfwarp.cli import main
from rfwarp.data.catalog import DataConfig, open_dataset
from rfwarp.data.chairs.camera import FILL, FOCAL, camera_axes
from rfwarp.data.check_report import Options
from rfwarp.data.preparation import prepare
from rfwarp.ops import warp
from rfwarp.poses import Viewpoint
from rfwarp.poses.projection import depth_flow, orbiting_cameras

pytest.importorskip("trimesh")
pytest.importorskip("javaproperties")

from rfwarp.data.furniture import Furniture, dataset, find_pieces, load_mesh, render_mesh
from rfwarp.data.furniture.render import trace_mesh

# ---------------------------------------------------------------- a package

BOX = [(x, y, z) for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)]  # right, up, to the front
FACES = [(1, 2, 4, 3), (5, 7, 8, 6), (1, 5, 6, 2), (3, 4, 8, 7), (1, 3, 7, 5), (2, 6, 8, 4)]
FRONT = FACES[-1]
UV = [(0, 0), (1, 0), (1, 1), (0, 1)]  # as the corners of FRONT: low left, low right, ...


def obj(points, faces, materials=None, uv=UV):
    """An OBJ file; the material of each face, if they differ."""
    lines = ["mtllib model.mtl", *(f"v {x} {y} {z}" for x, y, z in points)]
    lines += [f"vt {u} {v}" for u, v in uv]
    for face, material in zip(faces, materials or ["paint"] * len(faces), strict=True):
        lines.append(f"usemtl {material}")
        lines.append("f " + " ".join(f"{p}/{k % 4 + 1}" for k, p in enumerate(face)))
    return "\n".join(lines) + "\n"


def box(half, middle=(0, 0, 0)):
    return [tuple(m + h * c for m, h, c in zip(middle, half, p, strict=True)) for p in BOX]


def mtl(**materials):
    return "".join(f"newmtl {name}\n{text}\n" for name, text in materials.items())


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(np.asarray(pixels, np.uint8)).save(file, format="PNG")
    return file.getvalue()


# Red, green above blue, yellow.
QUARTERS = np.kron([[0, 1], [2, 3]], np.ones((32, 32), int))
COLOURS = np.array([[200, 0, 0], [0, 200, 0], [0, 0, 200], [200, 200, 0]])

PAINT = "Kd 0.5 0.25 0.125"
CRATE = {
    "model.obj": obj(box((3, 2, 1)), FACES),
    "model.mtl": mtl(paint=PAINT + "\nmap_Kd quarters.png"),
    "quarters.png": png(COLOURS[QUARTERS]),
}
# A seat, its back and two legs of different sizes.
STOOL_PARTS = [
    box((2, 0.3, 2)),
    box((2, 2, 0.3), (0, 2, -1.8)),
    box((0.3, 1.5, 0.3), (1.5, -1.5, 1.5)),
    box((0.4, 1.5, 0.4), (-1.4, -1.5, -1.4)),
]
STOOL = {
    "model.obj": obj(
        [p for part in STOOL_PARTS for p in part],
        [tuple(c + 8 * n for c in face) for n in range(4) for face in FACES],
        [material for material in ("paint", "wood", "wood", "paint") for _ in FACES],
    ),
    "model.mtl": mtl(paint=PAINT, wood="Kd 0.6 0.5 0.2\nd 1.0"),
}
MODELS = {
    "crate": ("Crate", "Kitchen", "Box, Wood", CRATE),
    "stool": ("Tabour\\u00e9t", "Living room", "Outdoor, Seat", STOOL),
    "broken": (
        "Broken",
        "Kitchen",
        "",
        {"model.obj": "v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 99\n", "model.mtl": ""},
    ),
    "bare": ("Bare box", "Kitchen", "", {k: CRATE[k] for k in ("model.obj", "model.mtl")}),
    "rug": ("Rug", "Living room", "", {**CRATE, "model.obj": obj(box((2, 0.001, 3)), FACES)}),
}


def write_package(path: Path, models=MODELS, catalogue="", zipped=True):
    """A package with models by name: (title, category, tags, files)."""
    files = {}
    lines = ["id=Made#Here", "license=CC0 \\u2014 public domain", catalogue]
    for number, (name, (title, category, tags, content)) in enumerate(models.items(), start=1):
        lines += [
            f"id#{number}=Made#{name}",
            f"name#{number}={title}",
            f"category#{number}={category}",
            f"tags#{number}={tags}",
            f"creator#{number}=Someone, Else",
            f"model#{number}=/made/{name}/model.obj",
        ]
        files |= {f"made/{name}/{file}": data for file, data in content.items()}
    files["PluginFurnitureCatalog.properties"] = "\n".join(lines)
    if zipped:
        with zipfile.ZipFile(path, "w") as package:
            for name, data in files.items():
                package.writestr(name, data)
        return
    for name, data in files.items():
        file = path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data if isinstance(data, bytes) else data.encode())


def split(name):
    return "test" if zlib.crc32(f"Made#{name}".encode()) % 10 == 0 else "train"


@pytest.fixture
def root(tmp_path):
    write_package(tmp_path / "made.sh3f")
    return tmp_path


def mesh_of(tmp_path, content, catalogue=""):
    write_package(tmp_path / "one.sh3f", {"one": ("One", "Kitchen", "", content)}, catalogue)
    (piece,) = find_pieces(tmp_path)
    return load_mesh(piece)


# ---------------------------------------------------------------- packages


@pytest.mark.parametrize("zipped", [True, False])
def test_catalogues(tmp_path, zipped):
    write_package(tmp_path / "below" / "it" if not zipped else tmp_path / "a.sh3f", zipped=zipped)
    pieces = {piece.id: piece for piece in find_pieces(tmp_path)}
    assert list(pieces) == sorted(f"Made#{name}" for name in MODELS)
    stool = pieces["Made#stool"]
    assert (stool.name, stool.creator) == ("Tabourét", "Someone, Else")
    assert (stool.licence, stool.category) == ("CC0 — public domain", "Living room")
    assert [p.id for p in pieces.values() if p.belongs("seats")] == ["Made#stool"]
    assert stool.belongs("living ROOM")
    assert not stool.belongs("kitchen")
    assert load_mesh(stool).triangles.shape == (3, 4 * 6 * 2)


def test_packages_that_cannot_be_used(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no package of furniture .* \.sh3f"):
        find_pieces(tmp_path)
    path = tmp_path / "made.sh3f"
    path.write_bytes(b"no zip")
    with pytest.raises(ValueError, match=r"made.sh3f cannot be read as a package"):
        find_pieces(tmp_path)
    with zipfile.ZipFile(path, "w") as package:
        package.writestr("else.txt", "")
    with pytest.raises(ValueError, match="it has no PluginFurnitureCatalog"):
        find_pieces(tmp_path)
    for line, message in (
        ("model#9=/a.obj", "lacks name#9"),
        ("model#9=/../a.obj\nname#9=A\ncategory#9=B", "leaves the package"),
        (
            "model#9=/a.obj\nname#9=A\ncategory#9=B\nmodelRotation#9=1 0 0 0 1 0 0 0 -1",
            "must be 9 elements of a rotation, got",
        ),
    ):
        write_package(path, {}, line)
        with pytest.raises(ValueError, match=message):
            find_pieces(tmp_path)
    write_package(path)
    write_package(tmp_path / "unpacked", zipped=False)
    with pytest.raises(ValueError, match="both have a piece 'Made#"):
        find_pieces(tmp_path)


# ---------------------------------------------------------------- meshes


def test_sizes_and_axes(tmp_path):
    mesh = mesh_of(tmp_path, CRATE)
    half = mesh.points.abs().amax(0)
    assert half.norm().item() == pytest.approx(1)
    # The package's x, y, z are right, up and to the front; ours front, right and up.
    assert (half / half[0]).tolist() == pytest.approx([1, 3, 2])
    quarter_turn = mesh_of(tmp_path, CRATE, "modelRotation#1=0 0 1 0 1 0 -1 0 0")
    half = quarter_turn.points.abs().amax(0)
    assert (half / half[0]).tolist() == pytest.approx([1, 1 / 3, 2 / 3])


def test_it_fills_the_images(tmp_path):
    mesh = mesh_of(tmp_path, CRATE)
    places = []
    for axes in camera_axes(list(Viewpoint.grid())):
        local = mesh.points.numpy() @ axes.T
        places.append(np.abs(local[:, :2] * FOCAL / (mesh.distance - local[:, 2:])).max())
    assert max(places) == pytest.approx(FILL)


def test_edges_are_sharp_and_round_things_smooth(tmp_path):
    mesh = mesh_of(tmp_path, CRATE)
    assert (mesh.normals - mesh.facing).abs().max() < 1e-6
    turns = 2 * np.pi * np.arange(24) / 24
    ring = [(np.cos(a), h, np.sin(a)) for h in (-1, 1) for a in turns]
    sides = [(k + 1, k + 25, (k + 1) % 24 + 25, (k + 1) % 24 + 1) for k in range(24)]
    sides[3] = sides[3][::-1]  # whichever way round its corners run
    content = {"model.obj": obj(ring, sides), "model.mtl": mtl(paint=PAINT)}
    mesh = mesh_of(tmp_path, content)
    radial = mesh.points[mesh.triangles][..., :2]
    radial = radial / radial.norm(dim=-1, keepdim=True)
    cosine = (radial * mesh.normals[..., :2]).sum(-1)
    assert cosine.abs().min() > 0.9999
    assert mesh.normals[..., 2].abs().max() < 1e-6
    assert ((mesh.normals * mesh.facing).sum(-1) > 0).all()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (MODELS["broken"][3], "model.obj is no OBJ file"),
        ({}, "model.obj is missing"),
        ({"model.obj": "v 0 0 0\n"}, "has no triangles"),
        ({"model.obj": CRATE["model.obj"]}, r"file of materials model\.mtl is missing"),
        ({**CRATE, "model.mtl": mtl(paint="d x")}, "d of paint must be 1 numbers"),
        ({**CRATE, "model.mtl": mtl(paint="d 0")}, "has nothing that can be seen"),
        ({**CRATE, "model.obj": obj([(0, 0, 0)] * 8, FACES)}, "no triangles of any size"),
        ({**CRATE, "model.obj": obj([("nan", 0, 0)] * 8, FACES)}, "points that are no numbers"),
    ],
)
def test_models_that_cannot_be_drawn(tmp_path, content, message):
    with pytest.raises(ValueError, match=message):
        mesh_of(tmp_path, content)


def postscript() -> bytes:
    """An image that Pillow can only open by running another program."""
    file = io.BytesIO()
    Image.new("RGB", (8, 8)).save(file, "EPS")
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"quarters.png": None}, "texture quarters.png is missing"),
        ({"quarters.png": CRATE["quarters.png"][:60]}, "the texture of paint is damaged"),
        ({"quarters.png": b"no image"}, "texture quarters.png is no image"),
        ({"quarters.png": postscript()}, "texture quarters.png is no image"),
        ({"model.mtl": mtl(other=PAINT)}, "a material that it uses is not defined"),
        ({"model.mtl": mtl(paint="Kd 1 2")}, "a material that it uses is not defined"),
        ({"model.obj": obj(box((3, 2, 1)), FACES, ["other"] * 6)}, "uses is not defined"),
        ({"model.mtl": mtl(paint="map_Kd /etc/passwd")}, "texture /etc/passwd is missing"),
        ({"model.mtl": mtl(paint="map_Kd ../crate/quarters.png")}, "quarters.png is missing"),
    ],
)
def test_what_is_missing_but_not_needed_is_noted(tmp_path, content, message):
    files = {name: data for name, data in {**CRATE, **content}.items() if data is not None}
    mesh = mesh_of(tmp_path, files)
    (note,) = mesh.notes
    assert message in note
    assert (mesh.texture == -1).all()


# ---------------------------------------------------------------- images


def lit(colour, normal):
    """The light of chairs, by its numbers."""
    facing = np.dot((0.621, -0.421, 0.661), normal)
    return np.asarray(colour) * (
        0.56 + 0.09 * normal[2] + 0.38 * max(facing, 0) - 0.12 * min(facing, 0)
    )


def front_of(mesh, size):
    """Columns and rows of the image of the front's sides: left, right, top, bottom."""
    x, y, z = mesh.points.abs().amax(0).tolist()
    scale = FOCAL / (mesh.distance - x) * size / 2
    return size / 2 - y * scale, size / 2 + y * scale, size / 2 - z * scale, size / 2 + z * scale


def test_textures_stand_upright(tmp_path):
    mesh = mesh_of(tmp_path, CRATE)
    (image,) = render_mesh(mesh, [Viewpoint(0, 0)], 64).float()
    left, right, top, bottom = front_of(mesh, 64)
    for corner, (i, j) in enumerate(((0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75))):
        x, y = left + i * (right - left), top + j * (bottom - top)
        expected = lit(COLOURS[corner], (1, 0, 0))
        assert image[:, int(y), int(x)].tolist() == pytest.approx(expected, abs=1)
    rows = (image[2, :, 20] < 255).nonzero()[:, 0]  # blue is 0 or 200 on the front
    assert rows[[0, -1]].tolist() == pytest.approx([top, bottom - 1], abs=0.7)


def test_light_on_both_sides(tmp_path):
    content = {"model.obj": obj(box((3, 2, 1)), FACES), "model.mtl": mtl(paint=PAINT)}
    images = []
    for faces in (FACES, [face[::-1] for face in FACES]):
        mesh = mesh_of(tmp_path, {**content, "model.obj": obj(box((3, 2, 1)), faces)})
        images.append(render_mesh(mesh, [Viewpoint(0, 0), Viewpoint(100, 20)], 48))
    assert torch.equal(*images)
    expected = 255 * lit((0.5, 0.25, 0.125), (1, 0, 0))
    assert images[0][0, :, 24, 24].tolist() == pytest.approx(expected, abs=0.51)


def test_edges_are_smooth(tmp_path):
    """A pixel's colour is its share of the front, to a ninth of it along each side."""
    content = {"model.obj": obj(box((3, 2, 1)), FACES), "model.mtl": mtl(paint="Kd 0 0 0")}
    mesh = mesh_of(tmp_path, content)
    left, right, top, bottom = front_of(mesh, 32)
    for n in (3, 8):
        image = render_mesh(mesh, [Viewpoint(0, 0)], 32, supersample=n)[0, 0] / 255
        assert (1 - image).sum().item() == pytest.approx(
            (right - left) * (bottom - top), abs=2 * (right - left + bottom - top) / (2 * n)
        )
        assert ((image > 0.01) & (image < 0.99)).any()


def test_what_is_translucent_is_mixed(tmp_path):
    """A box of glass: its far side is seen through its near side, and white through both."""
    content = {**CRATE, "model.mtl": mtl(paint="Kd 0.4 0.2 0\nd 0.25")}
    (image,) = render_mesh(mesh_of(tmp_path, content), [Viewpoint(0, 0)], 32).float()
    near, far = (255 * lit((0.4, 0.2, 0), (1, 0, 0)) for _ in range(2))
    behind = 0.25 * far + 0.75 * 255
    assert image[:, 16, 16].tolist() == pytest.approx(0.25 * near + 0.75 * behind, abs=1)
    assert (image[:, 0, 0] == 255).all()


def test_textures_have_holes(tmp_path):
    holed = np.dstack([COLOURS[QUARTERS], np.where(QUARTERS == 0, 0, 255)])
    faces = [FRONT]
    files = {**CRATE, "model.obj": obj(box((3, 2, 1)), faces), "quarters.png": png(holed)}
    mesh = mesh_of(tmp_path, files)
    views = [Viewpoint(0, 0)]
    (image,) = render_mesh(mesh, views, 32)
    assert (image[:, 12, 8] == 255).all()
    assert (image[:, 12, 24] != 255).any()
    depth = trace_mesh(mesh, views, 32)[0][0]
    assert depth[12, 8] == 0
    assert depth[12, 24] > 0


def test_textures_far_away_are_means(tmp_path):
    """Stripes of one texel, on some three pixels in all: none is seen by itself."""
    stripes = np.zeros((256, 256, 3)) + 255 * (np.arange(256)[:, None, None] % 2)
    mesh = mesh_of(tmp_path, {**CRATE, "quarters.png": png(stripes)})
    (image,) = render_mesh(mesh, [Viewpoint(0, 0)], 8).float()
    assert image[:, 4, 4].tolist() == pytest.approx(lit([127.5] * 3, (1, 0, 0)), abs=8)


def test_sizes_and_free_viewpoints(tmp_path):
    mesh = mesh_of(tmp_path, CRATE)

    class Above:
        azimuth, elevation = 33.3, 71.0

    images = render_mesh(mesh, [Above(), Viewpoint(20, 10)], 50)
    assert images.shape == (2, 3, 50, 50)
    assert (images.dtype, images.min() < 100) == (torch.uint8, True)
    assert render_mesh(mesh, [], 50).shape == (0, 3, 50, 50)
    with pytest.raises(ValueError, match="at least 1 pixel"):
        render_mesh(mesh, [], 0)


# ---------------------------------------------------------------- rays, in closed form


def rays_meet(mesh, origins, rays):
    """(N,) the least t > 0 at which origin + t ray is on a triangle, inf if there is none."""
    a, b, c = mesh.points.numpy()[mesh.triangles.numpy()]
    nearest = np.full(len(rays), np.inf)
    for first, second, third in zip(a, b, c, strict=True):
        system = np.stack(
            [
                np.broadcast_to(second - first, rays.shape),
                np.broadcast_to(third - first, rays.shape),
                -rays,
            ],
            -1,
        )
        regular = np.abs(np.linalg.det(system)) > 1e-12
        u, v, t = np.full((3, len(rays)), -1.0)
        solved = np.linalg.solve(system[regular], (origins - first)[regular][..., None])[..., 0]
        u[regular], v[regular], t[regular] = solved.T
        inside = (u >= 0) & (v >= 0) & (u + v <= 1) & (t > 1e-9)
        nearest = np.where(inside, np.minimum(nearest, t), nearest)
    return nearest


def camera_rays(mesh, view, size):
    """Position of a camera, its axes, and (size^2, 3) rays, 1 long along the optical axis."""
    ((right, up, back),) = camera_axes([view])
    middles = (np.arange(size) + 0.5) / size * 2 - 1
    x, y = (grid.reshape(-1, 1) for grid in np.meshgrid(middles, -middles))
    return back * mesh.distance, (right, up, back), (x * right + y * up) / FOCAL - back


def test_depth_is_where_rays_meet_the_mesh(tmp_path):
    mesh, size = mesh_of(tmp_path, STOOL), 40
    views = [Viewpoint(20, 10), Viewpoint(240, 20), Viewpoint(100, 0)]
    depths, normals = trace_mesh(mesh, views, size)
    for view, depth, normal in zip(views, depths, normals, strict=True):
        eye, _, rays = camera_rays(mesh, view, size)
        met = rays_meet(mesh, np.broadcast_to(eye, rays.shape), rays)
        expected = np.where(np.isinf(met), 0, met / mesh.distance).reshape(size, size)
        agree = np.abs(depth.numpy() - expected) < 1e-6
        assert agree.mean() > 0.998  # rays along an edge meet either side or none
        assert (depth > 0).float().mean() > 0.1
        facing = (torch.from_numpy(rays.T.reshape(3, size, size)) * normal.double()).sum(0)
        assert (facing[depth > 0] <= 0).all()


def test_truth_is_where_points_lie(tmp_path):
    write_package(tmp_path / "one.sh3f", {"one": ("One", "Kitchen", "", STOOL)})
    pieces, size = find_pieces(tmp_path), 40
    mesh, furniture = load_mesh(pieces[0]), Furniture(pieces, size)
    pairs = []
    for row in ([1, 40, 5], [14, 30, 33]):
        truth = furniture.truth(0, row)
        views = [Viewpoint.from_index(view) for view in row]
        eye, _, rays = camera_rays(mesh, views[-1], size)
        met = rays_meet(mesh, np.broadcast_to(eye, rays.shape), rays)
        sure = np.abs(truth.depth.numpy().reshape(-1) - met / mesh.distance) < 1e-6
        points = (eye + np.where(sure, met, 0)[:, None] * rays)[sure]
        row_, column = np.divmod(np.flatnonzero(sure), size)
        assert len(points) > 100
        for k, view in enumerate(views[:-1]):
            source, (right, up, back), _ = camera_rays(mesh, view, size)
            scale = FOCAL / (mesh.distance - points @ back) * size / 2
            x, y = size / 2 + points @ right * scale, size / 2 - points @ up * scale
            goal = np.stack([x - 0.5 - column, y - 0.5 - row_])
            flow = truth.flow[k].numpy()[:, row_, column]
            assert np.abs(flow - goal).max() < 1e-3
            # From a little before the point, nothing is in the way of the camera.
            free = np.isinf(rays_meet(mesh, points + 1e-6 * (source - points), source - points))
            pairs.append((free, truth.visible[k].numpy()[row_, column]))
    free, visible = map(np.concatenate, zip(*pairs, strict=True))
    assert (free == visible).mean() > 0.94  # pixels on the rim of a surface differ
    assert (~free).sum() > 500
    assert visible[~free].mean() < 0.1


def test_depth_gives_the_flow(tmp_path):
    """The projection of depth flows, with the chairs' camera, gives the true flow."""
    write_package(tmp_path / "one.sh3f", {"one": ("One", "Kitchen", "", STOOL)})
    row, codes = [10, 50, 4], Viewpoint.codes()
    truth = Furniture(find_pieces(tmp_path), 48).truth(0, row)
    cameras = orbiting_cameras(codes[row[:-1]][None], codes[row[-1:]])
    flow = depth_flow(truth.depth[None, None], cameras, 3.2, (48, 48))[0]
    error = (flow - truth.flow).norm(dim=1)[:, truth.foreground]
    assert error.numel() > 300
    assert error.max() < 1e-3
    assert truth.flow.abs().max() > 3


def test_a_view_shows_all_of_itself_where_it_is(tmp_path):
    write_package(tmp_path / "one.sh3f", {"one": ("One", "Kitchen", "", STOOL)})
    truth = Furniture(find_pieces(tmp_path), 40).truth(0, [7, 30, 7])
    assert truth.flow[0].abs().max() < 1e-4
    assert torch.equal(truth.visible[0], truth.foreground)
    assert not truth.visible[:, ~truth.foreground].any()
    assert torch.equal(truth.depth > 0, truth.foreground)


def test_warping_by_the_truth_shows_the_target(tmp_path):
    waves = np.sin(2 * np.pi * np.arange(128) / 128)
    smooth = np.stack(np.meshgrid(waves, -waves), -1) * 100 + 128
    files = {
        **STOOL,
        "model.mtl": mtl(**dict.fromkeys(("paint", "wood"), "map_Kd waves.png")),
        "waves.png": png(np.dstack([smooth, smooth[..., 1]])),
    }
    # Light is fixed to the furniture: it is part of what is warped.
    write_package(tmp_path / "one.sh3f", {"one": ("One", "Kitchen", "", files)})
    furniture = Furniture(find_pieces(tmp_path), 64)

    def psnr(moved=(0.0, 0.0)):
        errors = []
        for row in ([0, 10, 4], [20, 30, 26], [50, 5, 53], [33, 12, 18]):
            images, truth = furniture.views(0, row).float() / 255, furniture.truth(0, row)
            warped = warp(images[:-1], truth.flow + torch.tensor(moved)[:, None, None])
            visible = F.avg_pool2d(truth.visible.float(), 3, 1, 1) > 0.999
            errors.append(((warped - images[-1]) ** 2).mean(1)[visible])
        error = torch.cat(errors)
        assert len(error) > 1000
        return float(-10 * error.mean().log10())

    right = psnr()
    assert right > 27  # measured: 28.6 dB; a pixel aside, 20 to 22
    for moved in ((1.0, 0.0), (-1.0, 0.0), (0.0, 1.0), (0.0, -1.0)):
        assert psnr(moved) < right - 5


# ---------------------------------------------------------------- the dataset


def test_prepare_and_open(root):
    with pytest.raises(FileNotFoundError, match=r"furniture.csv: rfwarp prepare furniture"):
        open_dataset(DataConfig("furniture", root=root), "train")
    report = prepare("furniture", root, Options())
    usable = [name for name in ("bare", "crate", "stool") if split(name) == "train"]
    assert report.usable["train models"] == len(usable)
    problems = "\n".join(report.problems)
    assert "Made#broken is left out" in problems
    assert "Made#rug is left out: it covers 0" in problems
    assert "texture quarters.png is missing" in problems
    assert len(report.problems) == 3
    with (root / "furniture.csv").open(encoding="utf-8", newline="") as file:
        rows = {row["id"]: row for row in csv.DictReader(file)}
    assert list(rows) == sorted(f"Made#{name}" for name in MODELS)
    assert rows["Made#stool"] == {
        "id": "Made#stool",
        "name": "Tabourét",
        "creator": "Someone, Else",
        "licence": "CC0 — public domain",
        "category": "Living room",
        "package": "made.sh3f",
        "model": "made/stool/model.obj",
        "split": split("stool"),
        "problem": "",
    }
    assert {name for name, row in rows.items() if row["problem"]} == {"Made#broken", "Made#rug"}
    again = (root / "furniture.csv").read_bytes()
    prepare("furniture", root, Options())
    assert (root / "furniture.csv").read_bytes() == again

    dataset = open_dataset(DataConfig("furniture", root=root, size=16, truth=True), "train")
    assert [piece.id for piece in dataset.views.pieces] == [f"Made#{name}" for name in usable]
    sample = dataset.load(dataset.draw(0, 0, 1, 3)[0])
    assert sample.sources.shape == (3, 3, 16, 16)
    assert sample.truth.flow.shape == (3, 2, 16, 16)
    config = DataConfig("furniture", root=root, size=16, cache=root / "cache")
    assert config.beside_training() == config
    for part in ("train", "test"):  # both in one cache
        open_dataset(config, part)
    config = DataConfig("furniture", root=root, size=16, category="Seats")
    (seat,) = open_dataset(config, split("stool")).views.pieces
    assert seat.id == "Made#stool"
    with pytest.raises(ValueError, match="of category 'sofas'; there are seats, kitchen, living"):
        open_dataset(DataConfig("furniture", root=root, category="sofas"), "train")
    write_package(root / "more.sh3f", {"new": ("New", "Kitchen", "", CRATE)})
    with pytest.raises(ValueError, match="of other packages: run rfwarp prepare furniture again"):
        open_dataset(DataConfig("furniture", root=root), "train")


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"id,name\n", "must be a table with the columns id,"),
        (b"\xff", "cannot be read as a table"),
    ],
)
def test_a_malformed_table_is_written_anew(tmp_path, content, problem):
    names = [
        next(f"m{n}" for n in range(100) if split(f"m{n}") == part) for part in ("train", "test")
    ]
    models = dict.fromkeys(names, ("Crate", "Kitchen", "", CRATE))
    write_package(tmp_path / "made.sh3f", models)
    (tmp_path / "furniture.csv").write_bytes(content)
    report = prepare("furniture", tmp_path, Options())
    assert report.unusable == []
    (line,) = report.problems
    assert f"furniture.csv {problem}" in line
    assert line.endswith("; it is written anew")
    for part in ("train", "test"):
        assert len(open_dataset(DataConfig("furniture", root=tmp_path), part).views.pieces) == 1


def test_splits(tmp_path):
    tiny = {"model.obj": CRATE["model.obj"], "model.mtl": mtl(paint=PAINT)}
    write_package(tmp_path / "many.sh3f", {f"m{n}": ("M", "Kitchen", "", tiny) for n in range(60)})
    prepare("furniture", tmp_path, Options())
    train, test = (
        {
            piece.id
            for piece in open_dataset(DataConfig("furniture", root=tmp_path), part).views.pieces
        }
        for part in ("train", "test")
    )
    assert test == {f"Made#m{n}" for n in range(60) if split(f"m{n}") == "test"}
    assert not train & test
    assert len(train | test) == 60


def test_the_cache_outlives_the_dataset(root, monkeypatch):
    pieces = [piece for piece in find_pieces(root) if piece.id in ("Made#crate", "Made#stool")]
    cache = root / "cache"
    first = Furniture(pieces, 16, cache)
    images, truth = first.views(1, range(54)), first.truth(1, [3, 8, 4])
    assert torch.equal(images, render_mesh(load_mesh(pieces[1]), list(Viewpoint.grid()), 16))

    loaded = []
    monkeypatch.setattr(
        dataset, "load_mesh", lambda piece: loaded.append(piece) or load_mesh(piece)
    )
    again = Furniture(pieces, 16, cache)
    assert torch.equal(again.views(1, range(54)), images)
    assert torch.equal(again.truth(1, [3, 8, 4]).flow, truth.flow)
    assert loaded == []
    again.views(0, [0])  # what was interrupted goes on
    assert loaded == [pieces[0]]
    for other in ((pieces, 8), (pieces[::-1], 16), (pieces[:1], 16)):
        with pytest.raises(ValueError, match=r"cache .* was made with"):
            Furniture(*other, cache)


def test_bad_numbers(root):
    pieces = find_pieces(root)
    with pytest.raises(ValueError, match="number of pieces must be at least 1"):
        Furniture([], 8)
    with pytest.raises(ValueError, match="size must be at least 1"):
        Furniture(pieces, 0)
    furniture = Furniture(pieces, 8)
    with pytest.raises(IndexError, match=r"must lie in 0\.\.4"):
        furniture.views(5, [0])
    with pytest.raises(ValueError, match="must end with the target"):
        furniture.truth(0, [])


def test_evaluation(tmp_path, capsys):
    used, held_out = (
        next(f"x{n}" for n in range(100) if split(f"x{n}") == part) for part in ("train", "test")
    )
    models = {held_out: ("Stool", "Kitchen", "Seat", STOOL), used: MODELS["crate"]}
    write_package(tmp_path / "made.sh3f", models)
    assert main(["prepare", "furniture", "--root", str(tmp_path)]) == 0
    assert "1 test models to sit on\n" in capsys.readouterr().out
    out = tmp_path / "scores.json"
    given = ["evaluate", "--dataset", "furniture", "--root", str(tmp_path), "--category", "seats"]
    given += ["--cache", str(tmp_path / "cache"), "--sets", "2", "--sources", "1", "2"]
    assert main([*given, "--json", str(out)]) == 0
    report = json.loads(out.read_text())
    assert report["dataset"] == {"name": "furniture", "category": "seats", "size": 64}
    assert (tmp_path / "cache" / "test" / "images.npy").is_file()


# ---------------------------------------------------------------- real packages


@pytest.mark.skipif(
    "RFWARP_FURNITURE" not in os.environ,
    reason="RFWARP_FURNITURE names no folder with packages of Sweet Home 3D",
)
def test_real_models():
    pieces = find_pieces(Path(os.environ["RFWARP_FURNITURE"]))
    assert len(pieces) > 50
    assert sum(piece.is_seat for piece in pieces) > 5
    for piece in pieces[:: len(pieces) // 6]:
        mesh = load_mesh(piece)
        assert piece.creator != "unknown"
        (image,) = render_mesh(mesh, [Viewpoint(340, 20)], 64).float()
        drawn = (image < 250).any(0)
        assert 0.01 < drawn.float().mean() < 0.9
        touched = drawn.nonzero()
        assert touched.min() >= 1  # it stays inside the image
        assert touched.max() <= 62
        assert image[:, drawn].std() > 1
