"""Datasets: pictures of things from several poses."""

from rfwarp.data.chairs import (
    ChairFolder,
    ChairViews,
    ProceduralChairs,
    ViewSets,
    render_chairs,
    render_views,
    sample_view_sets,
    write_chair_folder,
)
from rfwarp.data.people import ProceduralPeople, render_person, write_people_folder
from rfwarp.data.seeds import HELD_OUT_FIRST_SEED

__all__ = [
    "HELD_OUT_FIRST_SEED",
    "ChairFolder",
    "ChairViews",
    "ProceduralChairs",
    "ProceduralPeople",
    "ViewSets",
    "render_chairs",
    "render_person",
    "render_views",
    "sample_view_sets",
    "write_chair_folder",
    "write_people_folder",
]
