"""Tables of jobs: three formats that say the same, and what is refused in each."""

import json
import pathlib
import sys
import tracemalloc
from pathlib import Path

import pyarrow as pa
import pytest
from pyarrow import parquet

from rfwarp.jobs import Job, read_table, table

JOBS = [
    Job(0, ("a.png", "b, c.png"), ("0:10", None), "40:10", "new/é.png"),
    Job(1, ("a.png",), (), "pose.npy", "00000001.png"),
    Job(2, ("a.png", "b.png", "d.png"), ("p.npy", "0:0", "20:0"), "0:0", "x.jpg"),
]
CSV = """\
source_0,pose_0,source_1,pose_1,target,out,pose_2,source_2
a.png,0:10,"b, c.png",,40:10,new/é.png,,

a.png,,,,pose.npy,,,
,,,,,,,
a.png , p.npy,b.png,0:0, 0:0,.//x.jpg,20:0,d.png
"""
RECORDS = [
    {"sources": ["a.png", "b, c.png"], "poses": ["0:10", None], "target": "40:10"}
    | {"out": "new/é.png"},
    {"sources": ["a.png"], "poses": None, "target": "pose.npy", "out": None},
    {"sources": ["a.png", "b.png", "d.png"], "poses": ["p.npy", "0:0", "20:0"], "target": "0:0"}
    | {"out": "x.jpg"},
]


def write(folder: Path, name: str, text: str, encoding: str = "utf-8") -> Path:
    path = folder / name
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_csv(encoding: str, newline: str, tmp_path: Path) -> None:
    path = write(tmp_path, "jobs.csv", CSV.replace("\n", newline), encoding)
    assert list(read_table(path)) == JOBS


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_json_lines(encoding: str, tmp_path: Path) -> None:
    text = "\n\n".join(map(json.dumps, RECORDS)) + "\n  \n"
    assert list(read_table(write(tmp_path, "jobs.jsonl", text, encoding))) == JOBS


def test_parquet(tmp_path: Path) -> None:
    table = pa.Table.from_pylist(RECORDS)
    table = table.append_column("__index_level_0__", pa.array([7, 8, 9]))  # as pandas writes
    parquet.write_table(table, tmp_path / "jobs.parquet", row_group_size=2)
    assert list(read_table(tmp_path / "jobs.parquet")) == JOBS


def test_vectors_are_poses(tmp_path: Path) -> None:
    record = {"sources": ["a.png"], "poses": [[1, 0.5]], "target": [0, -1e-3], "out": "x.png"}
    expected = [Job(0, ("a.png",), ((1.0, 0.5),), (0.0, -1e-3), "x.png")]
    assert list(read_table(write(tmp_path, "jobs.jsonl", json.dumps(record)))) == expected
    parquet.write_table(pa.Table.from_pylist([record]), tmp_path / "jobs.parquet")
    assert list(read_table(tmp_path / "jobs.parquet")) == expected


def test_outputs_and_poses_may_be_left_out(tmp_path: Path) -> None:
    for name, text in (
        ("jobs.csv", "target,source_0\n0:0,a.png\n"),
        ("jobs.jsonl", '{"sources": ["a.png"], "target": "0:0"}'),
    ):
        path = write(tmp_path, name, text)
        assert list(read_table(path)) == [Job(0, ("a.png",), (), "0:0", "00000000.png")]


def test_key_follows_what_the_image_depends_on() -> None:
    job = JOBS[0]
    same = job._replace(row=5, out="elsewhere.png")
    others = [
        job.key("other weights"),
        job._replace(sources=("a.png", "b.png")).key("weights"),
        job._replace(poses=("0:0", None)).key("weights"),
        job._replace(target="60:10").key("weights"),
        job._replace(target=(60.0, 10.0)).key("weights"),
    ]
    assert same.key("weights") == job.key("weights")
    assert len({job.key("weights"), *others}) == 6
    assert job.key("weights") == 0xEAEC5EE73E594D69


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: a header is expected, but the table is empty"),
        ("source_0;target\na.png;0:0\n", "line 1: unknown column 'source_0;target'; expected"),
        ("source_0,target,angle\n", "line 1: unknown column 'angle'"),
        ("source_1,target\n", "line 1: missing column 'source_0'"),
        ("source_0,pose_1,target\n", "line 1: missing column 'source_1'"),
        ("source_0,source_0,target\n", "line 1: doubled column 'source_0'"),
        ("source_0,out\n", "line 1: missing column 'target'"),
        ("source_0,target\n\na.png\n", "line 3: 2 cells expected, got 1"),
        ("source_0,target\na.png,0:0,b.png\n", "line 2: 2 cells expected, got 3"),
        ("source_0,target\n,0:0\n", "line 2: at least one source is needed"),
        ("source_0,target\na.png,\n", "line 2: target must be AZIMUTH:ELEVATION"),
        ("source_0,pose_0,target\n,0:0,0:0\n", "line 2: pose_0 is '0:0', but source_0 is empty"),
        ('source_0,target\n"a.png,0:0\n', "line 2: unexpected end of data"),
    ],
)
def test_csv_errors_name_the_line(text: str, message: str, tmp_path: Path) -> None:
    path = write(tmp_path, "jobs.csv", text)
    with pytest.raises(ValueError, match=r"jobs\.csv, line") as error:
        list(read_table(path))
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "no valid JSON"),
        ("[1]", r"a JSON object is expected, got \[1\]"),
        ('{"sources": ["a.png"], "target": "0:0", "pose": 1}', "unknown column 'pose'"),
        ('{"sources": ["a.png"]}', "missing column 'target'"),
        ('{"sources": "a.png", "target": "0:0"}', "sources must be a list of paths, got 'a.png'"),
        ('{"sources": ["a.png", null], "target": "0:0"}', "sources must be a list of paths"),
        ('{"sources": [], "target": "0:0"}', "at least one source is needed"),
        ('{"sources": ["a.png"], "poses": "0:0", "target": "0:0"}', "poses must be a list"),
        (
            '{"sources": ["a.png"], "poses": ["0:0", "0:0"], "target": "0:0"}',
            "1 sources need 1 poses, got 2",
        ),
        ('{"sources": ["a.png"], "poses": [[]], "target": "0:0"}', "a pose must be"),
        ('{"sources": ["a.png"], "target": null}', "target must be"),
        ('{"sources": ["a.png"], "target": [true]}', "target must be"),
        (f'{{"sources": ["a.png"], "target": [1{"0" * 400}]}}', "too large"),
        ('{"sources": ["a.png"], "target": "0:0", "out": 3}', "out must be a path"),
        ('{"sources": ["a.png"], "target": "0:0", "out": "a\\u0000.png"}', "printable"),
        ('{"sources": ["a.png"], "target": "0:0", "out": "\\ud800.png"}', "printable"),
    ],
)
def test_json_errors_name_the_line(line: str, message: str, tmp_path: Path) -> None:
    path = write(tmp_path, "jobs.jsonl", '{"sources": ["a.png"], "target": "0:0"}\n\n' + line)
    with pytest.raises(ValueError, match=f"jobs.jsonl, line 3: .*{message}"):
        list(read_table(path))


@pytest.mark.parametrize("out", ["/x.png", "../x.png", "a/../../x.png", "a/.."])
def test_outputs_stay_in_the_folder(out: str, tmp_path: Path) -> None:
    path = write(tmp_path, "jobs.csv", f"source_0,target,out\na.png,0:0,{out}\n")
    with pytest.raises(ValueError, match="line 2: out must lie in the output folder, got"):
        list(read_table(path))


@pytest.mark.parametrize("out", ["x", "x.tiff", "folder/"])
def test_outputs_are_images(out: str, tmp_path: Path) -> None:
    path = write(tmp_path, "jobs.csv", f"source_0,target,out\na.png,0:0,{out}\n")
    with pytest.raises(ValueError, match=r"line 2: out: images can be written to \.png"):
        list(read_table(path))


def test_parquet_errors(tmp_path: Path) -> None:
    path = tmp_path / "jobs.parquet"
    path.write_bytes(b"PAR1 and nothing else")
    with pytest.raises(ValueError, match=r"jobs\.parquet, .*cannot be read as Parquet"):
        list(read_table(path))
    parquet.write_table(pa.table({"sources": [["a.png"]], "goal": ["0:0"]}), path)
    with pytest.raises(ValueError, match="its schema: unknown column 'goal'"):
        list(read_table(path))
    parquet.write_table(pa.table({"sources": [["a.png"], None], "target": ["0:0", "0:0"]}), path)
    with pytest.raises(ValueError, match="row 1: sources must be a list of paths, got None"):
        list(read_table(path))
    whole = path.read_bytes()
    path.write_bytes(whole[:4] + b"\xff" * 20 + whole[24:])
    with pytest.raises(ValueError, match="cannot be read as Parquet"):
        list(read_table(path))


def test_other_tables(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"a table of jobs is \.csv, \.jsonl, \.parquet, got"):
        read_table(write(tmp_path, "jobs.xlsx", ""))
    with pytest.raises(FileNotFoundError, match="no table of jobs at"):
        read_table(tmp_path / "none.csv")
    with pytest.raises(ValueError, match="must be UTF-8"):
        list(read_table(write(tmp_path, "jobs.csv", CSV, "utf-16")))


def test_parquet_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    path = write(tmp_path, "jobs.parquet", "")
    with pytest.raises(ImportError, match=r"rfwarp\[scale\]"):
        list(read_table(path))


@pytest.mark.parametrize("name", ["jobs.csv", "jobs.jsonl"])
def test_rows_are_not_kept(name: str, tmp_path: Path) -> None:
    rows = 2000
    line = {
        "jobs.csv": f"{'a' * 400}.png,0:0\n",
        "jobs.jsonl": json.dumps({"sources": ["a" * 400], "target": "0:0"}) + "\n",
    }[name]
    header = "source_0,target\n" if name.endswith("csv") else ""
    path = write(tmp_path, name, header + rows * line)
    # Only what the reader allocates. pathlib interns names, and now and then the process's table of
    # interned strings grows by megabytes: that is none of the reader's.
    ours = tracemalloc.Filter(True, table.__file__, all_frames=True)
    interned = tracemalloc.Filter(False, pathlib.__file__)
    tracemalloc.start(25)
    try:
        for job in read_table(path):
            if job.row == rows - 1:
                kept = tracemalloc.take_snapshot().filter_traces([ours, interned])
    finally:
        tracemalloc.stop()
    assert 0 < sum(trace.size for trace in kept.traces) < 0.1 * path.stat().st_size
