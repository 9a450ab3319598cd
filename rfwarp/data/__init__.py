"""Datasets: images of things from several poses, as tuples of sources and a target.

Names are imported on first use, so that reading a configuration does not wait for torch.
"""

from typing import TYPE_CHECKING

from rfwarp.lazy import exports

if TYPE_CHECKING:
    from rfwarp.data.catalog import (
        DATASETS,
        HELD_OUT_FIRST_SEED,
        DataConfig,
        DatasetRecord,
        dataset_record,
        open_dataset,
    )
    from rfwarp.data.chairs import (
        ChairFolder,
        ChairTuples,
        ChairViews,
        ProceduralChairs,
        TrueViews,
        render_chairs,
        render_views,
        write_chair_folder,
    )
    from rfwarp.data.deepfashion import DEEPFASHION
    from rfwarp.data.draws import ViewSets, sample_view_sets
    from rfwarp.data.eth80 import Eth80
    from rfwarp.data.furniture import Furniture
    from rfwarp.data.kitti import KittiFrames
    from rfwarp.data.market1501 import MARKET1501
    from rfwarp.data.people import ProceduralPeople, render_person, write_people_folder
    from rfwarp.data.people_pictures import PeopleFormat, PeoplePictures
    from rfwarp.data.shapenet import ShapeNetChairs
    from rfwarp.data.truth import Truth
    from rfwarp.data.tuples import Sample, TupleDataset
    from rfwarp.data.voxceleb import VoxCelebVideos

_MODULES = {
    "rfwarp.data.catalog": (
        "DATASETS",
        "HELD_OUT_FIRST_SEED",
        "DataConfig",
        "DatasetRecord",
        "dataset_record",
        "open_dataset",
    ),
    "rfwarp.data.chairs": (
        "ChairFolder",
        "ChairTuples",
        "ChairViews",
        "ProceduralChairs",
        "TrueViews",
        "render_chairs",
        "render_views",
        "write_chair_folder",
    ),
    "rfwarp.data.deepfashion": ("DEEPFASHION",),
    "rfwarp.data.draws": (
        "ViewSets",
        "sample_view_sets",
    ),
    "rfwarp.data.eth80": ("Eth80",),
    "rfwarp.data.furniture": ("Furniture",),
    "rfwarp.data.kitti": ("KittiFrames",),
    "rfwarp.data.market1501": ("MARKET1501",),
    "rfwarp.data.people": (
        "ProceduralPeople",
        "render_person",
        "write_people_folder",
    ),
    "rfwarp.data.people_pictures": (
        "PeopleFormat",
        "PeoplePictures",
    ),
    "rfwarp.data.shapenet": ("ShapeNetChairs",),
    "rfwarp.data.truth": ("Truth",),
    "rfwarp.data.tuples": (
        "Sample",
        "TupleDataset",
    ),
    "rfwarp.data.voxceleb": ("VoxCelebVideos",),
}

__all__ = [
    "DATASETS",
    "DEEPFASHION",
    "HELD_OUT_FIRST_SEED",
    "MARKET1501",
    "ChairFolder",
    "ChairTuples",
    "ChairViews",
    "DataConfig",
    "DatasetRecord",
    "Eth80",
    "Furniture",
    "KittiFrames",
    "PeopleFormat",
    "PeoplePictures",
    "ProceduralChairs",
    "ProceduralPeople",
    "Sample",
    "ShapeNetChairs",
    "TrueViews",
    "Truth",
    "TupleDataset",
    "ViewSets",
    "VoxCelebVideos",
    "dataset_record",
    "open_dataset",
    "render_chairs",
    "render_person",
    "render_views",
    "sample_view_sets",
    "write_chair_folder",
    "write_people_folder",
]

__getattr__, __dir__ = exports(__name__, _MODULES)
