"""Record of the procedural streets."""

from __future__ import annotations

from rfwarp.data.catalog import OWN_LICENCE, DataConfig, DatasetRecord, Split
from rfwarp.data.disk_cache import fit_in_memory
from rfwarp.data.kitti import OFFSETS
from rfwarp.data.streets.dataset import ProceduralStreets, frame_bytes
from rfwarp.data.streets.render import RENDERER_VERSION

DEFAULT_SIZE = 128  # pixels, if no size is given


def open_streets(config: DataConfig, split: Split) -> ProceduralStreets:
    """Streets of a split's seeds; see :meth:`DataConfig.seeds`."""
    size, (first_seed, count) = config.shape(DEFAULT_SIZE), config.seeds(split)
    return ProceduralStreets(
        first_seed,
        count,
        size,
        cache=config.cache,
        memory_frames=fit_in_memory(frame_bytes(*size, config.truth)),
        truth=config.truth,
    )


RECORD = DatasetRecord(
    name="streets",
    title="procedural streets",
    open=open_streets,
    options=("first_seed", "count", "cache", "truth"),
    pose_kind=ProceduralStreets.pose_kind,
    max_sources=len(OFFSETS) // 2,
    description="Procedural streets of rfwarp (`rfwarp.data.ProceduralStreets`): {size} pixels, "
    "camera motion as in KITTI odometry, sources within ten frames of the target, seeds {first} to "
    "{last}.",
    limits="It knows these drawn streets and nothing else: it was never shown a photograph of a "
    "street, and nothing in them moves but the camera. Parts that no source shows are guessed.",
    tag="novel-view-synthesis",
    image_files="rendered",
    licence=OWN_LICENCE,
    renderer_version=RENDERER_VERSION,
)
