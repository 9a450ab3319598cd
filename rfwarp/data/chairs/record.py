"""Record of the procedural chairs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rfwarp.data.catalog import OWN_LICENCE, DataConfig, DatasetRecord, Split
from rfwarp.data.chairs.dataset import VIEW_COUNT, ProceduralChairs
from rfwarp.data.chairs.folder import ChairFolder
from rfwarp.data.chairs.render import RENDERER_VERSION
from rfwarp.data.chairs.tuples import ChairTuples
from rfwarp.data.disk_cache import MEMORY
from rfwarp.data.seeds import DEFAULT_SIZE
from rfwarp.poses.viewpoint import Viewpoint


def open_chairs(config: DataConfig, split: Split) -> ChairTuples:
    """Chairs of a split's seeds; see :meth:`DataConfig.seeds`."""
    size, (first_seed, count) = config.side(DEFAULT_SIZE), config.seeds(split)
    # Keeping some would not help: of thousands of chairs the wanted one is rarely among them.
    kept = count if VIEW_COUNT * 3 * size * size * count <= MEMORY else 0
    chairs = ProceduralChairs(first_seed, count, size, cache=config.cache, memory_chairs=kept)
    return ChairTuples(chairs, truth=config.truth)


RECORD = DatasetRecord(
    name="chairs",
    title="procedural chairs",
    open=open_chairs,
    options=("first_seed", "count", "cache", "truth"),
    pose_kind=ChairTuples.pose_kind,
    max_sources=VIEW_COUNT - 1,
    description="Procedural chairs of rfwarp (`rfwarp.data.ProceduralChairs`): {size} pixels, "
    "white background, 18 azimuths x 3 elevations, seeds {first} to {last}.",
    limits="It knows these chairs and their 54 viewpoints, on a white background, and nothing "
    "else: neither photographs nor other objects. Parts that no source shows are guessed.",
    tag="novel-view-synthesis",
    image_files="rendered",
    background="white",
    elevations=(Viewpoint.ELEVATIONS[0], Viewpoint.ELEVATIONS[-1]),
    licence=OWN_LICENCE,
    renderer_version=RENDERER_VERSION,
)


def folder_record(folder: Path) -> DatasetRecord:
    """Record of a folder of chairs, all of them for testing.

    Raises:
        ValueError: see :class:`ChairFolder`.
    """
    chairs = ChairTuples(ChairFolder(folder))
    return replace(
        RECORD,
        name=str(folder),
        title=f"chairs in {folder}",
        open=lambda config, split: chairs,
        options=(),
        max_sources=chairs.max_sources,
        image_files="PNG",
        renderer_version=None,
    )
