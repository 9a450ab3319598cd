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
    from rfwarp.data.eth80 import Eth80
    from rfwarp.data.faces import ProceduralFaces, render_face, write_faces_folder
    from rfwarp.data.folder import ImageFolder
    from rfwarp.data.furniture import Furniture
    from rfwarp.data.kitti import KittiFrames
    from rfwarp.data.market1501 import MARKET1501
    from rfwarp.data.people import ProceduralPeople, render_person, write_people_folder
    from rfwarp.data.person_photos import PeopleFormat, PersonPhotos
    from rfwarp.data.sampling import ViewSets, sample_view_sets
    from rfwarp.data.shapenet import ShapeNetChairs
    from rfwarp.data.streets import ProceduralStreets, write_street_folder
    from rfwarp.data.truth import Truth
    from rfwarp.data.tuples import Clip, ClipDataset, Sample, TupleDataset
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
    "rfwarp.data.sampling": (
        "ViewSets",
        "sample_view_sets",
    ),
    "rfwarp.data.eth80": ("Eth80",),
    "rfwarp.data.faces": (
        "ProceduralFaces",
        "render_face",
        "write_faces_folder",
    ),
    "rfwarp.data.folder": ("ImageFolder",),
    "rfwarp.data.furniture": ("Furniture",),
    "rfwarp.data.kitti": ("KittiFrames",),
    "rfwarp.data.market1501": ("MARKET1501",),
    "rfwarp.data.people": (
        "ProceduralPeople",
        "render_person",
        "write_people_folder",
    ),
    "rfwarp.data.person_photos": (
        "PeopleFormat",
        "PersonPhotos",
    ),
    "rfwarp.data.shapenet": ("ShapeNetChairs",),
    "rfwarp.data.streets": (
        "ProceduralStreets",
        "write_street_folder",
    ),
    "rfwarp.data.truth": ("Truth",),
    "rfwarp.data.tuples": (
        "Clip",
        "ClipDataset",
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
    "Clip",
    "ClipDataset",
    "DataConfig",
    "DatasetRecord",
    "Eth80",
    "Furniture",
    "ImageFolder",
    "KittiFrames",
    "PeopleFormat",
    "PersonPhotos",
    "ProceduralChairs",
    "ProceduralFaces",
    "ProceduralPeople",
    "ProceduralStreets",
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
    "render_face",
    "render_person",
    "render_views",
    "sample_view_sets",
    "write_chair_folder",
    "write_faces_folder",
    "write_people_folder",
    "write_street_folder",
]

__getattr__, __dir__ = exports(__name__, _MODULES)
