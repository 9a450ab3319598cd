"""Files that were mutated: every reader answers, or raises one of the errors it documents."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rfwarp.data.folder_preparation import read_lines
from rfwarp.data.person_tuples import read_tuples
from rfwarp.images import open_image, to_rgb
from rfwarp.jobs import read_table
from rfwarp.poses import parse_pose, read_annotations, read_kitti_poses
from rfwarp.training import TrainConfig, load_config

Reader = Callable[[Path], object]
PIECES = [b"", b"0", b"-1", b"1e999", b"NaN", b"null", b"[", b"]", b"{", b"}", b'"', b",", b":"]
PIECES += [b"\n", b"\r\n", b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"[" * 5000, b"9" * 400, b"\\u0"]


def mutated(data: bytes, draw: random.Random) -> bytes:
    """The bytes with one to four changes: flipped, cut, doubled, or what parsers dislike."""
    for _ in range(draw.randint(1, 4)):
        start = draw.randrange(len(data) + 1)
        stop = min(len(data), start + draw.choice([0, 1, 1, 2, 8, 40]))
        change = draw.randrange(5)
        if change == 0:
            middle = bytes(b ^ (1 << draw.randrange(8)) for b in data[start:stop])
        elif change == 1:
            middle = data[start:stop] * draw.choice([0, 2, 50])
        elif change == 2:
            stop, middle = len(data), b""
        else:
            middle = draw.choice(PIECES)
        data = data[:start] + middle + data[stop:]
    return data


def keypoints_table() -> bytes:
    rows = [f"a{i}.png: {[10 + i] * 18}: {[20.5] * 9 + [-1] * 9}" for i in range(3)]
    return "\n".join(["name:keypoints_y:keypoints_x", *rows, ""]).encode()


def openpose() -> bytes:
    person = {"pose_keypoints_2d": [10.0, 20.0, 0.9] * 25, "hand_left_keypoints_2d": [1.0] * 63}
    return json.dumps({"version": 1.3, "people": [person, person]}).encode()


def npy() -> bytes:
    file = io.BytesIO()
    np.save(file, np.full((68, 2), 20.0))
    return file.getvalue()


def image(kind: str) -> bytes:
    file = io.BytesIO()
    ramp = np.arange(32 * 24 * 3, dtype=np.uint8).reshape(24, 32, 3)
    exif = Image.Exif()
    exif[0x0112] = 6  # rotated
    Image.fromarray(ramp).save(file, kind, exif=exif)
    return file.getvalue()


READERS: dict[str, tuple[str, bytes, Reader]] = {
    "OpenPose": (".json", openpose(), lambda p: parse_pose(f"{p}@64x48")),
    "keypoints": (".csv", keypoints_table(), lambda p: read_annotations(p, 64, 48)),
    "landmarks": (".npy", npy(), lambda p: parse_pose(f"{p}@64x48")),
    "KITTI": (".txt", b"1 0 0 0.5 0 1 0 0 0 0 1 2.5\n" * 3, read_kitti_poses),
    "jobs": (
        ".csv",
        b"source_0,pose_0,source_1,pose_1,target,out\na.png,0:10,b.png,40:10,20:10,c.png\n",
        lambda p: list(read_table(p)),
    ),
    "jobs of lines": (
        ".jsonl",
        b'{"sources": ["a.png"], "poses": ["40:0"], "target": "60:10", "out": "b.png"}\n' * 2,
        lambda p: list(read_table(p)),
    ),
    "own folder": (
        ".csv",
        b"image,azimuth,elevation,split\na.png,0,20,train\nb.png,30,20,\n",
        read_lines,
    ),
    "tuples": (".csv", b"from_0,from_1,to\na.jpg,b.jpg,c.jpg\nd.jpg,e.jpg,f.jpg\n", read_tuples),
    "training": (
        ".yaml",
        b"data: {name: chairs, size: 64}\nnetwork: {width: 0.25, levels: [8, 4]}\nsteps: 10\n",
        lambda p: load_config(p, TrainConfig, out=Path("run")),
    ),
    "PNG": (".png", image("PNG"), lambda p: to_rgb(open_image(p))),
    "JPEG": (".jpg", image("JPEG"), lambda p: to_rgb(open_image(p))),
    "WebP": (".webp", image("WEBP"), lambda p: to_rgb(open_image(p))),
    "TIFF": (".tiff", image("TIFF"), lambda p: to_rgb(open_image(p))),
}


def try_mutations(name: str, count: int, folder: Path) -> None:
    suffix, data, read = READERS[name]
    path = folder / f"file{suffix}"
    path.write_bytes(data)
    assert read(path) is not None  # as it is, it can be read
    draw, messages = random.Random(name), []
    for number in range(count):
        path.write_bytes(mutated(data, draw))
        try:
            read(path)
        except (ValueError, FileNotFoundError) as error:
            messages.append(str(error))
        except Exception as error:
            raise AssertionError(f"mutation {number} of {name}: {error!r}") from error
    assert 0 < len(messages) < count
    assert max(map(len, messages)) < 1000


@pytest.mark.filterwarnings("ignore")  # Pillow's, of damaged metadata
@pytest.mark.parametrize(
    ("name", "count"),
    [
        *((name, 150) for name in READERS if name != "training"),
        ("training", 40),  # 150 take as long as those of all others
        pytest.param("training", 150, marks=pytest.mark.slow),
    ],
)
def test_mutated_files(name: str, count: int, tmp_path: Path) -> None:
    try_mutations(name, count, tmp_path)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", READERS)
def test_ten_thousand_mutated_files(name: str, tmp_path: Path) -> None:
    try_mutations(name, 1500, tmp_path)
