"""The benchmark on photographs of faces, on rendered ones in their place."""

import csv
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import real_faces
from real_faces import BothWays, RealFaces, kept, table, write_photos

from rfwarp import Generator
from rfwarp.data.faces import FacePose, render_expressions
from rfwarp.poses.alignment import FACE_CENTRE, FACE_HEIGHT
from rfwarp.viz import write_image

PEOPLE, SIDE = (900_000, 900_003, 900_004), 240
SMILE = {"mouthSmileLeft": 0.9, "mouthSmileRight": 0.9, "jawOpen": 0.3}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("faces")
    for seed in PEOPLE:
        poses = [FacePose({}, scale=0.7), FacePose(SMILE, scale=0.7, shift=(0.03, 0.02))]
        for name, image in zip(
            real_faces.EXPRESSIONS, render_expressions(seed, poses, SIDE).images, strict=True
        ):
            write_image(
                folder / name / f"{seed}.jpg", Image.fromarray(image.permute(1, 2, 0).numpy())
            )
    return folder


@pytest.fixture(scope="module")
def photos(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("ai_edge_litert")
    pytest.importorskip("mediapipe")
    folder = tmp_path_factory.mktemp("work") / "photos"
    write_photos(root, folder, train_people=2)
    return folder


def test_photographs_are_cut_as_procedural_faces_are(photos: Path) -> None:
    with (photos / "folder.csv").open(newline="") as file:
        splits = [(line["identity"], line["split"]) for line in csv.DictReader(file)]
    train, test = [str(seed) for seed in PEOPLE[:2]], str(PEOPLE[2])
    assert splits == [(name, "train") for name in train for _ in range(2)] + [(test, "test")] * 2
    neutral, smiling = (np.load(photos / test / f"{n}.npy") for n in ("neutral", "smiling"))
    low, high = neutral.min(axis=0), neutral.max(axis=0)
    assert (high - low)[1] / real_faces.SIDE == pytest.approx(FACE_HEIGHT, abs=0.01)
    assert (high + low) / 2 / real_faces.SIDE == pytest.approx(FACE_CENTRE, abs=0.01)
    # Both by the square of the first, so that the face moves as it did.
    assert (smiling[27:31] - neutral[27:31]).mean(axis=0)[0] > 3
    with Image.open(photos / test / "smiling.png") as image:
        assert image.size == (real_faces.SIDE, real_faces.SIDE)


def test_scores_of_weights_beside_those_of_the_source(
    photos: Path, root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Colour:
        """In place of the network: the mean colour."""

        def __call__(self, image, face):
            assert (face.height, image.height) == (real_faces.SIDE, 32)
            return np.asarray(image, float).mean(axis=(0, 1)) / 255

    monkeypatch.setattr(real_faces, "Embedding", Colour)
    torch.manual_seed(0)
    generator = Generator(pose_channels=3, pose_kind="landmarks", image_size=32, width=0.125)
    weights = str(generator.save_pretrained(tmp_path / "model"))
    out = tmp_path / "out"
    given = {"weights": (weights,), "st_lpips": False, "out": out, "train_people": 2}
    results = RealFaces(root, photos, **given).run()
    source, ours = results["measurements"]
    assert (source["weights"], ours["weights"]) == ("source", weights)
    assert source["psnr"] > ours["psnr"] + 3  # untrained
    assert source["distance"] < ours["distance"]
    assert source["same_person"] == 1
    people = BothWays(photos, "test", (32, 32))
    assert people.evaluation_rows(0, 9, 1) == [(4, 5), (5, 4)]
    sheet = Image.open(out / "real_faces.jpg")
    assert sheet.width == 4 * (4 * 32 + 4) + 4  # enlarged fourfold
    assert f"| {weights} |" in table(results)


def test_how_often_it_is_the_same_person() -> None:
    assert kept([0.2, 0.4, 0.9]) == pytest.approx((0.5, 2 / 3))


def test_too_few_people(root: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"more than 3 people are needed, .* has 3"):
        write_photos(root, tmp_path / "photos", train_people=3)
    assert not (tmp_path / "photos").exists()
