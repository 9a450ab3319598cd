"""Market-1501: pedestrians as six street cameras saw them, posed by keypoints."""

from __future__ import annotations

import re
from functools import partial

from rfwarp.data.catalog import DatasetRecord
from rfwarp.data.paper_results import PAPER, ablations_of, results_of
from rfwarp.data.person_photos import (
    PAPER_PROTOCOL,
    PeopleFormat,
    open_photos,
    prepare_photos,
)
from rfwarp.poses.keypoints import Keypoints

MARKET1501 = PeopleFormat(
    "market1501",
    ("bounding_box_{split}", "{split}"),
    ("market-annotation-{split}.csv",),
    ("market-pairs-{split}.csv",),
    128,
    64,
    (128, 64),
    "edge",
    # Distractors are person 0000, junk is person -1.
    re.compile(r"(?!0000)(\d{4})_c\d+s\d+_\d{6}_\d{2}\.jpg", re.ASCII),
)
"""As published, or in the folders of PATN, whose keypoints it has.

>>> from rfwarp.data import MARKET1501
>>> MARKET1501.identity("0002_c1s1_000451_03.jpg")
'0002'
"""

# Table 1 is the first part of Table 8.
PAPER_RESULTS = (
    *results_of(
        "Table 8",
        (1, "DSC", 24.861, 0.2984, 0.1495),
        (1, "PATN", 22.753, 0.3181, 0.1585),
        (1, "GFLA", 19.750, 0.2817, 0.1483),
        (1, "ABF", 32.588, 0.3015, 0.1480),
        (1, PAPER, 17.362, 0.2730, 0.1418),
        (2, "ABF", 30.274, 0.2878, 0.1390),
        (2, PAPER, 15.716, 0.2668, 0.1339),
        (3, "ABF", 33.270, 0.2870, 0.1314),
        (3, PAPER, 16.263, 0.2604, 0.1277),
        (5, "ABF", 31.105, 0.2791, 0.1274),
        (5, PAPER, 15.169, 0.2510, 0.1186),
        (7, "ABF", 51.940, 0.2953, 0.1244),
        (7, PAPER, 14.194, 0.2423, 0.1130),
        (10, "ABF", 46.433, 0.2906, 0.1195),
        (10, PAPER, 14.242, 0.2360, 0.1075),
    ),
    *ablations_of(
        "Table 4",
        (2, "baseline", 15.298, 0.2714, 0.1393),
        (2, "w/o attn", 15.820, 0.2676, 0.1368),
        (2, "w/o occ", 15.249, 0.2689, 0.1349),
        (2, "w/o res", 17.701, 0.2679, 0.1483),
        (3, "w/o res", 18.092, 0.2645, 0.1302),
    ),
    *ablations_of(
        "Table 9",
        (5, "w/o res", 17.709, 0.2629, 0.1290),
        (7, "w/o res", 18.225, 0.2605, 0.1273),
        (10, "w/o res", 18.169, 0.2601, 0.1259),
    ),
)

RECORD = DatasetRecord(
    name=MARKET1501.name,
    title="Market-1501",
    open=partial(open_photos, MARKET1501),
    options=("root", "tuples", "align"),
    pose_kind=Keypoints.kind,
    max_sources=None,
    description="Market-1501: {size} pixels, 18 OpenPose keypoints.",
    limits="It knows pedestrians as six street cameras saw them, at low resolution. Parts that no "
    "source shows are guessed.",
    tag="pose-transfer",
    image_files="JPEG",
    origins=(
        "https://zheng-lab.cecs.anu.edu.au/Project/project_reid.html",
        "https://github.com/tengteng95/Pose-Transfer",
    ),
    prepare=partial(prepare_photos, MARKET1501),
    lists_sets=True,
    paper_results=PAPER_RESULTS,
    paper_protocol=PAPER_PROTOCOL,
)
