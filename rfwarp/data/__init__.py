"""Datasets: pictures of things from several poses.

Names are imported on first use, so that reading a configuration does not wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rfwarp.data.chairs import (
        HELD_OUT_FIRST_SEED,
        ChairFolder,
        ChairTuples,
        ChairViews,
        ProceduralChairs,
        TrueViews,
        render_chairs,
        render_views,
        write_chair_folder,
    )
    from rfwarp.data.draws import ViewSets, sample_view_sets
    from rfwarp.data.people import ProceduralPeople, render_person, write_people_folder

__all__ = [
    "HELD_OUT_FIRST_SEED",
    "ChairFolder",
    "ChairTuples",
    "ChairViews",
    "ProceduralChairs",
    "ProceduralPeople",
    "TrueViews",
    "ViewSets",
    "render_chairs",
    "render_person",
    "render_views",
    "sample_view_sets",
    "write_chair_folder",
    "write_people_folder",
]

_OF_PEOPLE = ("ProceduralPeople", "render_person", "write_people_folder")
_LAZY = dict.fromkeys(__all__, "rfwarp.data.chairs")
_LAZY |= dict.fromkeys(("ViewSets", "sample_view_sets"), "rfwarp.data.draws")
_LAZY |= dict.fromkeys(_OF_PEOPLE, "rfwarp.data.people")


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'rfwarp.data' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
