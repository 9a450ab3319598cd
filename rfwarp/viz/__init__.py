"""Visualisation: sheets, animations, and the networks' maps in colours."""

from rfwarp.viz.maps import draw_maps, flow_to_rgb, map_to_rgb
from rfwarp.viz.origins import source_colour, where_from
from rfwarp.viz.poses import draw_pose, draw_skeletons
from rfwarp.viz.samples import draw_samples
from rfwarp.viz.sheet import draw_sheet, enlarge, legible
from rfwarp.viz.write import image_format, write_animation, write_image

__all__ = [
    "draw_maps",
    "draw_pose",
    "draw_samples",
    "draw_sheet",
    "draw_skeletons",
    "enlarge",
    "flow_to_rgb",
    "image_format",
    "legible",
    "map_to_rgb",
    "source_colour",
    "where_from",
    "write_animation",
    "write_image",
]
