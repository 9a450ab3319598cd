"""Record of the procedural faces."""

from __future__ import annotations

from rfwarp.data.catalog import OWN_LICENCE, DataConfig, DatasetRecord, Split
from rfwarp.data.disk_cache import fit_in_memory
from rfwarp.data.faces.dataset import VIEWS, ProceduralFaces, face_bytes
from rfwarp.data.faces.render import RENDERER_VERSION
from rfwarp.data.seeds import DEFAULT_SIZE


def open_faces(config: DataConfig, split: Split) -> ProceduralFaces:
    """Faces of a split's seeds; see :meth:`DataConfig.seeds`."""
    size, (first_seed, count) = config.side(DEFAULT_SIZE), config.seeds(split)
    return ProceduralFaces(
        first_seed,
        count,
        size,
        cache=config.cache,
        memory_faces=fit_in_memory(face_bytes(VIEWS, size, config.truth)),
        truth=config.truth,
    )


RECORD = DatasetRecord(
    name="faces",
    title="procedural faces",
    open=open_faces,
    options=("first_seed", "count", "cache", "truth"),
    pose_kind=ProceduralFaces.pose_kind,
    max_sources=VIEWS - 1,
    description="Procedural faces of rfwarp (`rfwarp.data.ProceduralFaces`), on MakeHuman's head: "
    "{size} pixels, 68 facial landmarks drawn as lines, seeds {first} to {last}.",
    limits="It learned from rendered faces alone. On photographs cut as it knows them "
    "(`rfwarp pose --cut`) it works, less sharply; lips open and close too little. Parts that no "
    "source shows are guessed.",
    tag="face-reenactment",
    image_files="rendered",
    licence=OWN_LICENCE,
    renderer_version=RENDERER_VERSION,
)
