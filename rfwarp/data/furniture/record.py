"""Record of the furniture, and its preparation: a table of usable models and their authors."""

from __future__ import annotations

import csv
import zlib
from dataclasses import astuple, dataclass, fields
from pathlib import Path

from rfwarp.data.catalog import DataConfig, DatasetRecord, Split
from rfwarp.data.chairs.dataset import VIEW_COUNT
from rfwarp.data.chairs.tuples import ChairTuples
from rfwarp.data.check_report import Options, Progress, Report
from rfwarp.data.disk_cache import fit_in_memory
from rfwarp.data.furniture.dataset import Furniture, piece_bytes
from rfwarp.data.furniture.mesh import Mesh, load_mesh
from rfwarp.data.furniture.packages import SEATS, Piece, find_pieces
from rfwarp.data.furniture.render import RENDERER_VERSION, trace_mesh
from rfwarp.data.seeds import DEFAULT_SIZE
from rfwarp.files import write_atomically
from rfwarp.poses import Viewpoint

TABLE = "furniture.csv"
HELD_OUT = 10
"""One piece in so many, chosen by its id, is for testing."""

LEAST_SEEN = 0.01
"""Share of the image that a piece must cover: a rug seen edge-on covers nothing."""


@dataclass(frozen=True)
class Row:
    """A line of :data:`TABLE`."""

    id: str
    name: str
    creator: str
    licence: str
    category: str
    package: str
    """Relative to the root."""
    model: str
    split: str
    problem: str
    """Reason why it is left out; empty if it is not."""


def split_of(piece: Piece) -> Split:
    """The split of a piece: train or test."""
    return "test" if zlib.crc32(piece.id.encode("utf-8")) % HELD_OUT == 0 else "train"


def prepare_furniture(
    root: Path, split: Split, options: Options, report: Report, progress: Progress
) -> None:
    """Read every model of a split, and write its rows of the table; a malformed table is a problem
    in the report, and written anew.

    Raises:
        ImportError: without ``pip install "rfwarp[furniture]"``.
        FileNotFoundError: if there is no package.
        ValueError: if a package is malformed, or no model of the split can be used.
    """
    path, others = root / TABLE, []
    if path.is_file():
        try:
            others = [row for row in _read_table(path) if row.split != split]
        except ValueError as error:
            report.complain(f"{error}; it is written anew")
    pieces = [piece for piece in find_pieces(root) if split_of(piece) == split]
    rows, usable = [], []
    for done, piece in enumerate(pieces, start=1):
        problem = ""
        try:
            mesh = load_mesh(piece)
            _check_seen(mesh)
            for note in mesh.notes:
                report.complain(note)
            usable.append(piece)
        except ValueError as error:
            problem = str(error)
            report.complain(f"{piece.id} is left out: {problem}")
        rows.append(
            Row(
                *(piece.id, piece.name, piece.creator, piece.licence, piece.category),
                *(piece.package.relative_to(root).as_posix(), str(piece.model), split, problem),
            )
        )
        progress(done, len(pieces))
    report.usable[f"{split} models"] = len(usable)
    report.usable[f"{split} models to sit on"] = sum(piece.is_seat for piece in usable)
    write_atomically(path, lambda temporary: _write_table(temporary, rows + others))
    if not usable:
        raise ValueError("no model can be used")


def _check_seen(mesh: Mesh) -> None:
    """Raise ValueError if hardly anything is seen of a mesh from a side."""
    for view in (Viewpoint(0, 0), Viewpoint(40, 0), Viewpoint(80, 0), Viewpoint(100, 0)):
        depth, _ = trace_mesh(mesh, [view], DEFAULT_SIZE)
        share = float((depth > 0).float().mean())
        if share < LEAST_SEEN:
            raise ValueError(
                f"it covers {share:.1%} of the image at azimuth {view.azimuth}, elevation 0"
            )


def open_furniture(config: DataConfig, split: Split) -> ChairTuples:
    """The models of a split, of a category if one is asked for; each split has a folder in the
    cache."""
    assert config.root is not None
    path = config.root / TABLE
    if not path.is_file():
        raise FileNotFoundError(
            f"there is no file {path}: rfwarp prepare furniture --root {config.root} writes it"
        )
    rows = {row.id: row for row in _read_table(path)}
    found = find_pieces(config.root)
    if {piece.id for piece in found} != set(rows):
        raise ValueError(f"{path} is of other packages: run rfwarp prepare furniture again")
    usable = [piece for piece in found if not rows[piece.id].problem]
    pieces = [piece for piece in usable if piece.belongs(config.category)]
    if not pieces:
        categories = sorted({piece.category.lower() for piece in usable})
        raise ValueError(
            f"no furniture is of category {config.category!r}; there are {SEATS}, "
            f"{', '.join(categories)}"
        )
    pieces = [piece for piece in pieces if rows[piece.id].split == split]
    if not pieces:
        raise ValueError(f"no {split} furniture is of category {config.category!r}")
    size = config.side(DEFAULT_SIZE)
    cache = None if config.cache is None else config.cache / split
    furniture = Furniture(pieces, size, cache, memory_pieces=fit_in_memory(piece_bytes(size)))
    return ChairTuples(furniture, truth=config.truth)


def _read_table(path: Path) -> list[Row]:
    columns = [field.name for field in fields(Row)]
    try:
        with path.open(encoding="utf-8", newline="") as file:
            lines = list(csv.reader(file))
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{path} cannot be read as a table: {error}") from error
    if not lines or lines[0] != columns or any(len(line) != len(columns) for line in lines):
        raise ValueError(f"{path} must be a table with the columns {', '.join(columns)}")
    return [Row(*line) for line in lines[1:]]


def _write_table(path: Path, rows: list[Row]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([field.name for field in fields(Row)])
        writer.writerows(astuple(row) for row in sorted(rows, key=lambda row: row.id))


RECORD = DatasetRecord(
    name="furniture",
    title="furniture of Sweet Home 3D",
    open=open_furniture,
    options=("root", "category", "cache", "truth"),
    pose_kind=ChairTuples.pose_kind,
    max_sources=VIEW_COUNT - 1,
    description="3D models of furniture and other things of a home, from the packages of Sweet "
    "Home 3D, rendered by rfwarp: {size} pixels, white background, 18 azimuths x 3 elevations. One "
    "model in ten is held out. The models are public domain or CC BY 3.0; `furniture.csv`, which "
    "`rfwarp prepare furniture` writes, names the author of each.",
    limits="It knows rendered models from these 54 viewpoints, on a white background, not "
    "photographs. Parts that no source shows are guessed.",
    tag="novel-view-synthesis",
    image_files="rendered",
    background="white",
    elevations=(Viewpoint.ELEVATIONS[0], Viewpoint.ELEVATIONS[-1]),
    renderer_version=RENDERER_VERSION,
    origins=("Debian's package sweethome3d-furniture",),
    prepare=prepare_furniture,
)
