"""Notices about what a model does not know: said where it is so, and only there."""

import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rfwarp import Generator, list_models, pretrained
from rfwarp.cli import main
from rfwarp.data import render_views
from rfwarp.data.people import render_person
from rfwarp.familiarity import Familiar, strange_border
from rfwarp.images import load_image
from rfwarp.nn import GeneratorConfig
from rfwarp.poses import Keypoints, Viewpoint

CHAIRS = GeneratorConfig(pose_channels=21, pose_kind="viewpoint", image_size=64)
PEOPLE = GeneratorConfig(pose_channels=18, pose_kind="keypoints", image_size=64)
GREEN = Image.new("RGB", (200, 150), (90, 140, 60))


def config_of(name: str) -> GeneratorConfig:
    return GeneratorConfig.from_dict(pretrained.read_config(pretrained.resolve(name)))


@pytest.mark.parametrize("name", list_models())
def test_bundled_models_know_what_they_were_trained_on(name):
    familiar = Familiar.to(name, config_of(name))
    assert familiar.subject is not None
    assert (familiar.background is None) == name.startswith(("faces", "streets"))
    assert (familiar.elevations == (0, 20)) == name.startswith("chairs")


def test_held_out_chairs_and_people_are_familiar():
    views = [Viewpoint(0, 0), Viewpoint(60, 20), Viewpoint(200, 10)]
    for seed in (900_001, 900_002):
        chairs = [load_image("chair", view) for view in render_views(seed, views, size=64)]
        assert Familiar.to("chairs-64", CHAIRS).notices(chairs, views) == []
        drawn = render_person(seed, range(4), 64)
        people = [load_image("person", image) for image in drawn.images]
        poses = [Keypoints(joints.numpy(), 64, 64) for joints in drawn.keypoints]
        assert Familiar.to("people-64", PEOPLE).notices(people, poses) == []


def test_a_photograph_is_not():
    gradient = np.linspace(0, 255, 100, dtype=np.uint8)
    meadow = Image.fromarray(np.broadcast_to(gradient[:, None, None], (100, 100, 3)).copy())
    # Darker than 215 are 84 rows: of the border's 298 pixels 100 above and 83 on either side.
    assert Familiar.to("chairs-64", CHAIRS).notices([meadow]) == [
        "sources[0]: 89 % of its border is not white, as it is in what this model learned from, "
        "procedural chairs"
    ]
    (notice,) = Familiar.to("people-64", PEOPLE).notices([meadow])
    assert "not of one colour" in notice
    assert Familiar.to("people-64", PEOPLE).notices([GREEN]) == []


def test_a_border_is_that_of_three_sides():
    image = Image.new("RGB", (10, 10), "white")
    image.paste("black", (0, 9, 10, 10))  # what it stands on: two of 28 pixels
    assert strange_border(image, "white") == pytest.approx(2 / 28)
    image.paste("black", (0, 0, 10, 1))
    assert strange_border(image, "white") == pytest.approx(12 / 28)


def test_small_sources():
    familiar = Familiar(size=(128, 64))
    assert familiar.notices([Image.new("RGB", (32, 64)), Image.new("RGB", (16, 64))]) == []
    assert familiar.notices([Image.new("RGB", (64, 64)), Image.new("RGB", (31, 63))]) == [
        "sources[1]: 63 x 31 pixels (H x W) are few beside the 128 x 64 of what this model learned "
        "from"
    ]


def test_poses_out_of_range():
    familiar = Familiar.to("chairs-64", CHAIRS)
    assert familiar.notices([], [Viewpoint(90, 0), Viewpoint(111, 20)]) == []
    turntable = [Viewpoint(azimuth, 20.5) for azimuth in Viewpoint.AZIMUTHS]
    assert familiar.notices([], turntable) == [
        "elevation 20.5: this model learned from 0 to 20 degrees"
    ]
    far = Keypoints(np.full((18, 2), 100.0), height=64, width=64)
    (notice,) = Familiar.to("people-64", PEOPLE).notices([], [far])
    assert notice == "only 0 of 18 joints of a pose lie in its image"


@pytest.mark.parametrize("card", [None, "# A model\n", "```json\n[1]\n```\n", "```json\n{\n```\n"])
def test_a_card_that_says_nothing(tmp_path: Path, card: str | None):
    shutil.copy(pretrained.BUNDLED / "chairs-64" / "config.json", tmp_path)
    if card is not None:
        (tmp_path / "README.md").write_text(card)
    familiar = Familiar.to(tmp_path, CHAIRS)
    assert familiar == Familiar(size=(64, 64))
    assert familiar.notices([GREEN], [Viewpoint(0, 80)]) == []


def test_a_dataset_with_a_choice_of_backgrounds(tmp_path: Path):
    settings = '```json\n{"data": {"name": "eth80", "background": "%s"}}\n```\n'
    for background, known in (("white", "white"), ("photographed", None)):
        (tmp_path / "README.md").write_text(settings % background)
        assert Familiar.to(tmp_path, CHAIRS).background == known


def test_generate_says_it(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    GREEN.resize((64, 64)).save(tmp_path / "green.png")
    command = ["generate", "-s", str(tmp_path / "green.png"), "-p", "0:10", "-t"]
    with caplog.at_level(logging.WARNING, logger="rfwarp.familiarity"):
        assert main([*command, "40:50", "-o", str(tmp_path / "new.png")]) == 0
    assert [record.getMessage().split(":")[0] for record in caplog.records] == [
        "sources[0]",
        "elevation 50",
    ]


def test_a_saved_generator_knows_its_size(tmp_path: Path):
    generator = Generator(pose_channels=3, image_size=(32, 64), width=0.125)
    folder = generator.save_pretrained(tmp_path)
    assert Familiar.to(folder, generator.config) == Familiar(size=(32, 64))
