"""Furniture as 3D models: packages of Sweet Home 3D, rendered from any viewpoint."""

from rfwarp.data.furniture.dataset import Furniture
from rfwarp.data.furniture.mesh import Mesh, load_mesh
from rfwarp.data.furniture.packages import Piece, find_pieces
from rfwarp.data.furniture.render import RENDERER_VERSION, render_mesh

__all__ = [
    "RENDERER_VERSION",
    "Furniture",
    "Mesh",
    "Piece",
    "find_pieces",
    "load_mesh",
    "render_mesh",
]
