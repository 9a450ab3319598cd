"""Record of the procedural people."""

from __future__ import annotations

from rfwarp.data.catalog import OWN_LICENCE, DataConfig, DatasetRecord, Split
from rfwarp.data.disk_cache import fit_in_memory
from rfwarp.data.people.dataset import VIEWS, ProceduralPeople, person_bytes
from rfwarp.data.people.render import RENDERER_VERSION
from rfwarp.data.seeds import DEFAULT_SIZE


def open_people(config: DataConfig, split: Split) -> ProceduralPeople:
    """People of a split's seeds; see :meth:`DataConfig.seeds`."""
    size, (first_seed, count) = config.shape(DEFAULT_SIZE), config.seeds(split)
    return ProceduralPeople(
        first_seed,
        count,
        size,
        cache=config.cache,
        memory_people=fit_in_memory(person_bytes(VIEWS, *size, config.truth)),
        truth=config.truth,
    )


RECORD = DatasetRecord(
    name="people",
    title="procedural people",
    open=open_people,
    options=("first_seed", "count", "cache", "truth"),
    has_clips=True,
    pose_kind=ProceduralPeople.pose_kind,
    max_sources=VIEWS - 1,
    description="Procedural people of rfwarp (`rfwarp.data.ProceduralPeople`): {size} pixels, 18 "
    "OpenPose keypoints, seeds {first} to {last}.",
    limits="It knows these drawn figures and nothing else: it was never shown a photograph of a "
    "person. Parts that no source shows are guessed.",
    tag="pose-transfer",
    image_files="rendered",
    background="plain",
    licence=OWN_LICENCE,
    renderer_version=RENDERER_VERSION,
)
