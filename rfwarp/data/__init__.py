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
from rfwarp.data.seeds import HELD_OUT_FIRST_SEED

__all__ = [
    "HELD_OUT_FIRST_SEED",
    "ChairFolder",
    "ChairViews",
    "ProceduralChairs",
    "ViewSets",
    "render_chairs",
    "render_views",
    "sample_view_sets",
    "write_chair_folder",
]
