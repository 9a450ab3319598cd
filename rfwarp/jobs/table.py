"""Tables of jobs, CSV, JSON lines or Parquet, read row by row.

A malformed row (an unknown column, an empty target, an output outside of the folder) is an error of
the table. Whether files are there and poses fit is checked when the row is worked on, and concerns
that row alone.
"""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Iterator, Mapping
from hashlib import blake2b
from pathlib import Path, PurePath
from typing import Any, NamedTuple, TypeAlias

from rfwarp.files import shortened
from rfwarp.viz import image_format

PoseText: TypeAlias = "str | tuple[float, ...]"

COLUMNS = ("sources", "poses", "target", "out")
_NUMBERED = re.compile(r"(source|pose)_(\d+)", re.ASCII)
_PANDAS_INDEX = "__index_level_"  # a column that pandas adds to its Parquet files
_PARQUET_ROWS = 1024


class Job(NamedTuple):
    r"""One row.

    Attributes:
        row: its number, from 0; blank lines are not counted.
        sources: paths, relative to the folder of the table.
        poses: for each source a text that :func:`rfwarp.poses.parse_pose` takes (joints and
            landmarks are in pixels of that source, if the text names no size), a vector (c_p,), or
            None for the viewpoint in the image's name. Empty if all are None.
        target: the pose to draw, a text (the size is then the first source's) or a vector.
        out: path in the output folder, with slashes.

    Example:
        >>> from pathlib import Path
        >>> from rfwarp.jobs import read_table
        >>> _ = Path("jobs.csv").write_text("source_0,target,out\na_120_10.png,60:10,new.png\n")
        >>> next(read_table("jobs.csv"))
        Job(row=0, sources=('a_120_10.png',), poses=(), target='60:10', out='new.png')
    """

    row: int
    sources: tuple[str, ...]
    poses: tuple[PoseText | None, ...]
    target: PoseText
    out: str

    def key(self, settings: str) -> int:
        """64 bits that change with anything that the image depends on, except files' contents."""
        return hash64(json.dumps([self.sources, self.poses, self.target, settings]))


def hash64(text: str) -> int:
    """The same number in every process and on every machine."""
    # Half a surrogate pair, which JSON can hold, has no UTF-8.
    data = text.encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "big")


def read_table(path: str | os.PathLike[str]) -> Iterator[Job]:
    """The rows of a table, as they are asked for; only a few are in memory at a time.

    Args:
        path: ``.csv`` with a header of ``source_0``, ``pose_0``, ``source_1``, ..., ``target`` and
            ``out``, cells empty where a row has fewer sources; ``.jsonl`` with an object per line,
            or ``.parquet``, both with the lists ``sources`` and ``poses``, and ``target`` and
            ``out``. Text is UTF-8. Poses and ``out`` may be missing: then the poses are read from
            the names of the images, and ``out`` is the row's number.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: for another kind of file, or if the table is malformed; it names the place.
        ImportError: for Parquet without pyarrow.

    Example:
        >>> from pathlib import Path
        >>> from rfwarp.jobs import read_table
        >>> row = '{"sources": ["a.png", "b.png"], "poses": ["40:0", "80:0"], "target": "60:10"}'
        >>> _ = Path("jobs.jsonl").write_text(row)
        >>> [(job.sources, job.poses, job.target, job.out) for job in read_table("jobs.jsonl")]
        [(('a.png', 'b.png'), ('40:0', '80:0'), '60:10', '00000000.png')]
    """
    path = Path(path)
    readers = {".csv": _csv_rows, ".jsonl": _json_rows, ".parquet": _parquet_rows}
    if path.suffix.lower() not in readers:
        raise ValueError(f"a table of jobs is {', '.join(readers)}, got {str(path)!r}")
    if not path.is_file():
        raise FileNotFoundError(f"no table of jobs at {path}")
    return _jobs(path, readers[path.suffix.lower()](path))


_Rows: TypeAlias = Iterator[tuple[str, Mapping[str, Any]]]  # place of the row, its fields


def _jobs(path: Path, rows: _Rows) -> Iterator[Job]:
    try:
        for number, (place, fields) in enumerate(rows):
            try:
                job = _job(number, fields)
            except ValueError as error:
                raise ValueError(f"{place}: {error}") from error
            yield job
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} must be UTF-8: {error}") from error
    except ValueError as error:
        raise ValueError(f"{path}, {shortened(error, 400)}") from error


def _csv_rows(path: Path) -> _Rows:
    with path.open(newline="", encoding="utf-8-sig") as file:  # Excel writes a BOM
        lines = csv.reader(file, strict=True)
        numbers: list[int] | None = None
        try:
            for cells in lines:
                cells = [cell.strip() for cell in cells]
                if not any(cells):
                    continue
                place = f"line {lines.line_num}"
                if numbers is None:
                    header, numbers = cells, _check_header(cells, place)
                    continue
                if len(cells) != len(header):
                    raise ValueError(f"{place}: {len(header)} cells expected, got {len(cells)}")
                yield place, _from_cells(dict(zip(header, cells, strict=True)), numbers, place)
        except csv.Error as error:
            raise ValueError(f"line {lines.line_num}: {error}") from error
    if numbers is None:
        raise ValueError("line 1: a header is expected, but the table is empty")


def _check_header(header: list[str], place: str) -> list[int]:
    """The numbers of the sources in order."""
    matches = {name: _NUMBERED.fullmatch(name) for name in header}
    unknown = [name for name, match in matches.items() if not match and name not in COLUMNS[2:]]
    if unknown:
        raise ValueError(
            f"{place}: unknown column {', '.join(map(repr, unknown))}; expected source_0, pose_0, "
            "source_1, ..., target, out"
        )
    doubled = sorted({name for name in header if header.count(name) > 1})
    missing = [name for name in ("source_0", "target") if name not in header]
    missing += [
        f"source_{match[2]}"
        for match in matches.values()
        if match and match[1] == "pose" and f"source_{match[2]}" not in header
    ]
    for problem, names in (("doubled", doubled), ("missing", missing)):
        if names:
            raise ValueError(f"{place}: {problem} column {', '.join(map(repr, names))}")
    return sorted(int(match[2]) for match in matches.values() if match and match[1] == "source")


def _from_cells(cells: dict[str, str], numbers: list[int], place: str) -> Mapping[str, Any]:
    sources, poses = [], []
    for number in numbers:
        source, pose = cells[f"source_{number}"], cells.get(f"pose_{number}", "")
        if source:
            sources.append(source)
            poses.append(pose or None)
        elif pose:
            raise ValueError(f"{place}: pose_{number} is {pose!r}, but source_{number} is empty")
    return {
        "sources": sources,
        "poses": poses,
        "target": cells["target"],
        "out": cells.get("out") or None,
    }


def _json_rows(path: Path) -> _Rows:
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            place = f"line {number}"
            try:
                fields = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise ValueError(f"{place}: no valid JSON: {error}") from error
            if not isinstance(fields, dict):
                raise ValueError(
                    f"{place}: a JSON object is expected, got {shortened(repr(fields))}"
                )
            _check_names(fields, place)
            yield place, fields


def _parquet_rows(path: Path) -> _Rows:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        raise ImportError('Parquet tables need pyarrow: pip install "rfwarp[scale]"') from error
    try:
        # Buffered ahead, a whole row group would be in memory, and it can be the whole file.
        with parquet.ParquetFile(path, pre_buffer=False) as file:
            names = [name for name in file.schema_arrow.names if not name.startswith(_PANDAS_INDEX)]
            _check_names(names, "its schema")
            number = 0
            for batch in file.iter_batches(_PARQUET_ROWS, columns=names):
                for fields in batch.to_pylist():
                    yield f"row {number}", fields
                    number += 1
    except (ArrowException, OSError) as error:  # damaged pages are an OSError
        raise ValueError(f"its bytes: they cannot be read as Parquet: {error}") from error


def _check_names(names: Mapping[str, Any] | list[str], place: str) -> None:
    unknown = [name for name in names if name not in COLUMNS]
    if unknown:
        raise ValueError(
            f"{place}: unknown column {', '.join(map(repr, unknown))}; expected "
            f"{', '.join(COLUMNS)}"
        )
    missing = [name for name in ("sources", "target") if name not in names]
    if missing:
        raise ValueError(f"{place}: missing column {', '.join(map(repr, missing))}")


def _job(row: int, fields: Mapping[str, Any]) -> Job:
    sources, poses = fields["sources"], fields.get("poses") or []
    if not isinstance(sources, list) or not all(isinstance(s, str) and s for s in sources):
        raise ValueError(f"sources must be a list of paths, got {shortened(repr(sources))}")
    if not sources:
        raise ValueError("at least one source is needed, got none")
    if not isinstance(poses, list):
        raise ValueError(f"poses must be a list, got {shortened(repr(poses))}")
    if poses and len(poses) != len(sources):
        raise ValueError(f"{len(sources)} sources need {len(sources)} poses, got {len(poses)}")
    given = tuple(None if pose is None else _pose("a pose", pose) for pose in poses)
    return Job(
        row,
        tuple(sources),
        () if all(pose is None for pose in given) else given,
        _pose("target", fields["target"]),
        _out(f"{row:08d}.png" if fields.get("out") is None else fields["out"]),
    )


def _pose(name: str, pose: Any) -> PoseText:
    if isinstance(pose, str) and pose:
        return pose
    if isinstance(pose, list) and pose and all(type(x) in (int, float) for x in pose):
        try:
            return tuple(map(float, pose))
        except OverflowError as error:
            raise ValueError(f"{name}: {error}") from error
    raise ValueError(
        f"{name} must be AZIMUTH:ELEVATION, camera:..., a .npy or .json file or a list of "
        f"numbers, got {shortened(repr(pose))}"
    )


def _out(out: Any) -> str:
    if not isinstance(out, str) or not out.isprintable():
        raise ValueError(f"out must be a path of printable characters, got {shortened(repr(out))}")
    path = PurePath(out)
    if path.anchor or ".." in path.parts:
        raise ValueError(f"out must lie in the output folder, got {shortened(repr(out))}")
    try:
        image_format(path)
    except ValueError as error:
        raise ValueError(f"out: {error}") from error
    return path.as_posix()
