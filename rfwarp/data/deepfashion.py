"""DeepFashion, In-shop Clothes Retrieval: fashion photographs of people, posed by keypoints."""

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

DEEPFASHION = PeopleFormat(
    "deepfashion",
    ("{split}",),
    ("fasion-resize-annotation-{split}.csv", "fasion-annotation-{split}.csv"),
    ("fasion-resize-pairs-{split}.csv", "fasion-pairs-{split}.csv"),
    256,
    176,
    (256, 256),
    (255, 255, 255),
    # The person is what is before the last "_": categories contain "_" too.
    re.compile(r"(?:(.+)_)?.*\.(?:jpg|png)", re.IGNORECASE),
)
"""As PATN and GFLA distribute it, spelling included. Images have 256 x 176 pixels, or that shape
(those of high resolution), and get 40 white columns on either side; or they are square and have
such columns already.

>>> from rfwarp.data import DEEPFASHION
>>> DEEPFASHION.identity("fashionMENDenimid0000008001_1front.jpg")
'fashionMENDenimid0000008001'
"""

# Table 1 is the first part of Table 8. Tables 4 and 9 give the full network of K = 3 an LPIPS of
# 0.1679, Tables 1 and 8 one of 0.1689; their other repetitions agree.
PAPER_RESULTS = (
    *results_of(
        "Table 8",
        (1, "DSC", 21.542, 0.2384),
        (1, "PATN", 20.632, 0.2553),
        (1, "GFLA", 9.872, 0.1963),
        (1, "ADG", 14.476, 0.2253),
        (1, "PISE", 11.524, 0.2077),
        (1, "ABF", 27.303, 0.2753),
        (1, PAPER, 9.750, 0.1867),
        (2, "ABF", 23.529, 0.2577),
        (2, PAPER, 10.135, 0.1766),
        (3, "ABF", 26.759, 0.2376),
        (3, PAPER, 12.785, 0.1689),
    ),
    *ablations_of(
        "Table 4",
        (2, "baseline", 11.078, 0.1857),
        (2, "w/o attn", 10.835, 0.1774),
        (2, "w/o occ", 10.421, 0.1830),
        (2, "w/o res", 10.292, 0.1777),
        (3, "w/o res", 13.306, 0.1710),
    ),
)

RECORD = DatasetRecord(
    name=DEEPFASHION.name,
    title="DeepFashion",
    open=partial(open_photos, DEEPFASHION),
    options=("root", "tuples", "align"),
    pose_kind=Keypoints.kind,
    max_sources=None,
    description="DeepFashion, In-shop Clothes Retrieval benchmark: {size} pixels, 18 OpenPose "
    "keypoints.",
    limits="It knows people as fashion photographs show them, before a plain background. Parts "
    "that no source shows are guessed.",
    tag="pose-transfer",
    image_files="JPEG or PNG",
    origins=(
        "https://mmlab.ie.cuhk.edu.hk/projects/DeepFashion/InShopRetrieval.html",
        "https://github.com/RenYurui/Global-Flow-Local-Attention",
    ),
    prepare=partial(prepare_photos, DEEPFASHION),
    lists_sets=True,
    paper_results=PAPER_RESULTS,
    paper_protocol=PAPER_PROTOCOL,
)
