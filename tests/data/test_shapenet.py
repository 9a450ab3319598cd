"""ShapeNet chairs, on small HDF5 files in their format: azimuths in tens of degrees."""

import os
import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest

from rfwarp.data.catalog import DataConfig, open_dataset
from rfwarp.data.preparation import Options, prepare
from rfwarp.data.shapenet import ShapeNetChairs, parse_group
from rfwarp.poses import Viewpoint


def write_chairs(root: Path, names: list[str], size: int = 8) -> None:
    """An image's red is its view's index, its green the chair's number."""
    lines = []
    with h5py.File(root / "data_chair.hdf5", "w") as file:
        for number, name in enumerate(names):
            for view in Viewpoint.grid():
                group = f"{name}_{view.azimuth // 10}_{view.elevation}"
                image = np.zeros((size, size, 3), np.uint8)
                image[..., 0], image[..., 1] = view.index, number
                file[f"{group}/image"] = image
                file[f"{group}/pose"] = [view.azimuth // 10, view.elevation]
                lines.append(group)
    for split in ("train", "test"):
        (root / f"id_chair_{split}.txt").write_text("\n".join(lines) + "\n")


@pytest.fixture
def root(tmp_path) -> Path:
    write_chairs(tmp_path, ["1a6f", "2b_7"])
    return tmp_path


def test_samples(root):
    dataset = open_dataset(DataConfig("shapenet-chairs", root=root, size=16), "train")
    assert (dataset.pose_kind, dataset.height, dataset.max_sources) == ("viewpoint", 16, 53)
    for row in dataset.draw(0, 0, 5, 4):
        sample = dataset.load(row)
        for image, code, number in zip(
            [*sample.sources, sample.target], [*sample.poses, sample.target_pose], row, strict=True
        ):
            assert image[:2, 3, 3].tolist() == [number % 54, number // 54]
            assert code.tolist() == Viewpoint.from_index(number % 54).code().tolist()


def test_other_processes_open_the_file_anew(root, monkeypatch):
    chairs = ShapeNetChairs(root, "train", 8)
    first = chairs.views(0, [3])
    assert (pickle.loads(pickle.dumps(chairs)).views(0, [3]) == first).all()
    assert chairs.views(0, []).shape == (0, 3, 8, 8)
    ours = chairs.open()
    assert chairs.open() is ours
    monkeypatch.setattr(os, "getpid", lambda: 0)  # a process that was forked
    assert chairs.open() is not ours
    assert (chairs.views(0, [3]) == first).all()


def test_chairs_without_all_views_are_left_out(root, caplog):
    path = root / "id_chair_test.txt"
    path.write_text("\n".join([*path.read_text().splitlines()[1:], "9_0_0"]) + "\n")
    chairs = ShapeNetChairs(root, "test")
    assert (chairs.count, chairs.incomplete) == (1, {"1a6f": 53, "9": 0})
    assert "2 test chairs lack views" in caplog.text
    report = prepare("shapenet-chairs", root, Options())
    assert report.usable == {"train chairs": 2, "test chairs": 1}
    assert "test chair 9 has 0 of its views" in report.problems[1]
    path.write_text("1a6f_0_0\n")
    with pytest.raises(ValueError, match="has no test chair with all its 54 views"):
        ShapeNetChairs(root, "test")


def test_without_lists_a_fifth_is_for_testing(tmp_path):
    write_chairs(tmp_path, [f"chair{i}" for i in range(20)], size=1)
    (tmp_path / "id_chair_train.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"id_chair_train\.txt"):  # not with one of them
        ShapeNetChairs(tmp_path, "train")
    (tmp_path / "id_chair_test.txt").unlink()
    with h5py.File(tmp_path / "data_chair.hdf5", "a") as file:
        file["chair0_1_0/image"] = np.zeros((1, 1, 3), np.uint8)  # between the 54 views
    train, test = (ShapeNetChairs(tmp_path, split).chairs for split in ("train", "test"))
    assert sorted([*train, *test]) == sorted(f"chair{i}" for i in range(20))
    assert 2 <= len(test) <= 6


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1a6f_0", "line 1: expected ID_AZIMUTH_ELEVATION, got '1a6f_0'"),
        ("1a6f_7_0", "line 1: azimuth must be one of 0, 2, ..., 34"),
        ("1a6f_40_0", "line 1: azimuth must be one of 0, 2, ..., 34"),
        ("1a6f_2_15", "line 1: elevation must be one of 0, 10, 20"),
    ],
)
def test_wrong_lists(root, line, message):
    (root / "id_chair_train.txt").write_text(line + "\n")
    with pytest.raises(ValueError, match=message):
        ShapeNetChairs(root, "train")


def test_groups():
    assert parse_group("2b_7_34_20") == ("2b_7", Viewpoint(340, 20))


def test_truncated_files(root):
    path = root / "data_chair.hdf5"
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(ValueError, match=r"data_chair.hdf5 cannot be read as HDF5"):
        ShapeNetChairs(root, "train")
    path.unlink()
    with pytest.raises(FileNotFoundError, match=r"no file .*data_chair.hdf5"):
        ShapeNetChairs(root, "train")


def test_wrong_images(root):
    with h5py.File(root / "data_chair.hdf5", "a") as file:
        del file["1a6f_0_0/image"]
        file["1a6f_0_0/image"] = np.zeros((8, 8))
        del file["2b_7_0_0/image"]
    chairs = ShapeNetChairs(root, "train", 8)
    with pytest.raises(ValueError, match=r"1a6f_0_0/image must be \(H, W, 3\) uint8, got float64"):
        chairs.views(0, [0])
    with pytest.raises(ValueError, match="2b_7_0_0 cannot be read"):
        chairs.views(1, [0])
    report = prepare("shapenet-chairs", root, Options(decode=True))
    assert len(report.problems) == 4
    assert report.unusable[0] == "train: 2 chairs have images that cannot be read"
    assert report.usable["train chairs"] == 2


def test_poses_that_contradict_the_names(root):
    with h5py.File(root / "data_chair.hdf5", "a") as file:
        file["1a6f_4_10/pose"][...] = [4, 20]
    report = prepare("shapenet-chairs", root, Options(decode=True))
    assert report.problems[0].endswith("data_chair.hdf5: 1a6f_4_10 has the pose (4, 20)")
