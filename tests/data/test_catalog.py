"""Every example of a configuration, on the procedural sets whose images need no download."""

from dataclasses import fields, replace
from pathlib import Path

import pytest

import rfwarp
from rfwarp.data.catalog import DATASETS, DataConfig, dataset_record, open_dataset
from rfwarp.poses import POSE_KINDS

OWN = "folder"  # whose files, and the kind of pose in them, are its owner's
PROCEDURAL = {
    "chairs": "viewpoint",
    "people": "keypoints",
    "faces": "landmarks",
    "streets": "camera",
}


PACKAGE = Path(rfwarp.__file__).parent
DOWNLOADS = [name for name in DATASETS if name not in PROCEDURAL]


@pytest.mark.parametrize("name", DATASETS)
def test_records_are_whole(name):
    record = dataset_record(name)
    assert record.name == name
    assert record.pose_kind in POSE_KINDS or name == OWN
    assert record.is_download == bool(record.prepare) == (name in DOWNLOADS)
    assert bool(record.origins) == (name in DOWNLOADS and name != OWN)
    rendered = {*PROCEDURAL, "furniture"}
    assert record.gives_truth == (name in rendered)
    assert record.has_any_size == (name in {*rendered, "eth80", OWN})
    assert record.validates == (name == "eth80")
    assert set(record.options) < {field.name for field in fields(DataConfig)}
    assert record.description.format(size="8 x 8", first=0, last=1)


@pytest.mark.parametrize("name", DOWNLOADS)
def test_no_other_module_knows_a_dataset_by_name(name):
    """Only the catalogue and the dataset's own do: other lists of names would miss the next one."""
    naming = {p.name for p in PACKAGE.rglob("*.py") if f'"{name}"' in p.read_text("utf-8")}
    assert len(naming - {"catalog.py"}) == 1


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("name", PROCEDURAL)
def test_procedural_sets_need_no_download(name, split):
    dataset = open_dataset(DataConfig(name, size=32, count=3), split)
    assert dataset.pose_kind == dataset_record(name).pose_kind == PROCEDURAL[name]
    assert dataset.max_sources == dataset_record(name).max_sources
    (row,) = dataset.draw(0, 0, 1, 2)
    sample = dataset.load(row)
    assert sample.sources.shape == (2, 3, 32, 32)
    kind = POSE_KINDS[dataset.pose_kind]
    assert kind.expand(sample.poses, 32, 32).shape == (2, kind.channels, 32, 32)


@pytest.mark.parametrize("name", PROCEDURAL)
def test_splits_share_nothing(name):
    config = DataConfig(name, size=16, count=4)
    train, test = (open_dataset(config, split) for split in ("train", "test"))
    seen, held_out = (
        {dataset.load(row).target.numpy().tobytes() for row in dataset.draw(0, 0, 40, 1)}
        for dataset in (train, test)
    )
    assert len(seen) > 20
    assert not seen & held_out
    message = f"{name} from seed 900000 are held out"
    with pytest.raises(ValueError, match=message):
        open_dataset(replace(config, first_seed=899_999), "train")


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (DataConfig("people", root=Path()), "people has no root; its options are size, first_seed"),
        (
            DataConfig("kitti", root=Path(), count=3),
            "kitti has no count; its options are size, root",
        ),
        (DataConfig("chairs", size=(64, 32)), "these images are square, but size is 64 x 32"),
        *((DataConfig(n), f"{n} needs root") for n in DATASETS if n not in PROCEDURAL),
    ],
    ids=str,
)
def test_fields_that_do_not_go_with_a_dataset(config, message):
    with pytest.raises(ValueError, match=message):
        open_dataset(config, "train")
