"""Pictures for people: sheets, animations, and the networks' maps in colours."""

from rfwarp.viz.maps import draw_maps, flow_to_rgb, map_to_rgb
from rfwarp.viz.origins import source_colour, where_from
from rfwarp.viz.poses import draw_pose
from rfwarp.viz.samples import draw_samples
from rfwarp.viz.sheet import draw_sheet, enlarge
from rfwarp.viz.write import picture_format, write_animation, write_picture

__all__ = [
    "draw_maps",
    "draw_pose",
    "draw_samples",
    "draw_sheet",
    "enlarge",
    "flow_to_rgb",
    "map_to_rgb",
    "picture_format",
    "source_colour",
    "where_from",
    "write_animation",
    "write_picture",
]
