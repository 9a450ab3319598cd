"""What the paper reports of its own network (Tables 1 to 3 and 8), to hold results against."""

from __future__ import annotations

from typing import NamedTuple


class Published(NamedTuple):
    """One line; lower is better."""

    sources: int
    fid: float
    lpips: float
    mask_lpips: float | None = None


PUBLISHED: dict[str, tuple[Published, ...]] = {
    "deepfashion": (
        Published(1, 9.750, 0.1867),
        Published(2, 10.135, 0.1766),
        Published(3, 12.785, 0.1689),
    ),
    "market1501": (
        Published(1, 17.362, 0.2730, 0.1418),
        Published(2, 15.716, 0.2668, 0.1339),
        Published(3, 16.263, 0.2604, 0.1277),
        Published(5, 15.169, 0.2510, 0.1186),
        Published(7, 14.194, 0.2423, 0.1130),
        Published(10, 14.242, 0.2360, 0.1075),
    ),
    "shapenet-chairs": (Published(2, 10.123, 0.0961), Published(4, 7.697, 0.0729)),
    "kitti": (Published(2, 8.505, 0.1721),),
    "voxceleb2": (Published(2, 7.100, 0.2130), Published(4, 7.690, 0.2084)),
}
"""By the dataset's name."""
