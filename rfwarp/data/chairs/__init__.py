"""Procedural chairs in the ShapeNet-chair protocol, made from one integer each."""

from rfwarp.data.catalog import HELD_OUT_FIRST_SEED
from rfwarp.data.chairs.dataset import ChairViews, ProceduralChairs, TrueViews
from rfwarp.data.chairs.folder import ChairFolder, write_chair_folder
from rfwarp.data.chairs.parameters import ChairParameters
from rfwarp.data.chairs.render import RENDERER_VERSION, render_chairs, render_views
from rfwarp.data.chairs.tuples import ChairTuples

__all__ = [
    "HELD_OUT_FIRST_SEED",
    "RENDERER_VERSION",
    "ChairFolder",
    "ChairParameters",
    "ChairTuples",
    "ChairViews",
    "ProceduralChairs",
    "TrueViews",
    "render_chairs",
    "render_views",
    "write_chair_folder",
]
