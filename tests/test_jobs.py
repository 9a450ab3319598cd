"""Running tables of jobs: the right pictures, what is done again, what fails, what memory holds."""

import errno
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from rfwarp import Generator
from rfwarp.jobs import Job, Summary, read_table, run_jobs
from rfwarp.jobs.log import Results, ResultsLog
from rfwarp.jobs.plan import Share, make_plan
from rfwarp.jobs.ranks import Ranks
from rfwarp.jobs.runner import PREFETCH
from rfwarp.jobs.table import hash64
from rfwarp.nn.results import EncodedSources

Row = dict[str, Any]


@pytest.fixture(scope="module")
def generator() -> Generator:
    """In float64, where the order of sums does not change the rounded pictures."""
    torch.manual_seed(0)
    return Generator(pose_channels=3, image_size=64, width=0.125).double().eval()


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pictures of several sizes, maps of poses, and what is neither."""
    folder = tmp_path_factory.mktemp("pictures")
    random = np.random.default_rng(0)
    for name, size in (("a", 64), ("b", 64), ("c", 64), ("large", 96), ("larger", 128)):
        pixels = random.integers(0, 256, (size, size, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{name}.png")
    Image.new("RGB", (64, 32)).save(folder / "wide.png")
    (folder / "cut.png").write_bytes((folder / "a.png").read_bytes()[:5000])
    (folder / "text.png").write_text("no picture")
    np.save(folder / "map.npy", random.random((3, 64, 64)))
    np.save(folder / "short.npy", np.zeros(2))
    return folder


def row(sources: str, target: object = (0.5, 0.0, 1.0), poses: object = None, **more: Any) -> Row:
    """``sources``: names without their ends."""
    names = [f"{name}.png" for name in sources.split()]
    if poses is None:
        poses = [[0.1 * k, 1.0, -0.5] for k in range(len(names))]
    return {"sources": names, "poses": poses, "target": target, **more}


def targets(sources: str, count: int) -> list[Row]:
    return [row(sources, (n / count, 0.0, 1.0)) for n in range(count)]


def write_table(folder: Path, rows: Sequence[Row], name: str = "jobs.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(json.dumps(fields) + "\n" for fields in rows))
    return path


@pytest.fixture
def folder(pictures: Path, tmp_path: Path) -> Path:
    """With the pictures, and place for a table."""
    for path in pictures.iterdir():
        (tmp_path / path.name).hardlink_to(path)
    return tmp_path


def entries(out: Path) -> list[Row]:
    return [json.loads(line) for log in out.glob("*.jsonl") for line in log.open()]


def ended(out: Path) -> dict[int, list[str]]:
    """Row -> how it ended, each time."""
    found: dict[int, list[str]] = {}
    for entry in sorted(entries(out), key=lambda entry: entry["time"]):
        found.setdefault(entry["row"], []).append(entry["status"])
    return found


def run(generator: Generator, table: Path, **options: Any) -> Summary:
    options = {"workers": 0, "batch_size": 4, **options}
    return run_jobs(generator, table, table.parent / "out", **options)


def counts(summary: Summary) -> tuple[int, int, int]:
    return summary.done, summary.skipped, summary.failed


def as_array(text: object, folder: Path) -> np.ndarray:
    return np.load(folder / text) if isinstance(text, str) else np.array(text)


MIXED = [
    row("a b"),
    *targets("b c a", 6),  # shared, and across two batches
    row("a"),
    row("c a", "map.npy"),
    row("b", "map.npy", ["map.npy"]),
    *targets("a b", 3),
    row("large"),
    row("c b a", poses=[[1, 0, 0], "map.npy", [0, 1, 0]]),
    row("larger larger"),
]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("size", [None, "native"])
def test_pictures_equal_generate(
    generator: Generator, folder: Path, workers: int, size: Any
) -> None:
    table = write_table(folder, MIXED)
    summary = run(generator, table, workers=workers, size=size)
    assert counts(summary) == (len(MIXED), 0, 0)
    for number, job in enumerate(MIXED):
        expected = generator.generate(
            [folder / name for name in job["sources"]],
            [as_array(pose, folder) for pose in job["poses"]],
            as_array(job["target"], folder),
            size=size,
        )
        with Image.open(folder / "out" / f"{number:08d}.png") as written:
            assert np.array_equal(written, expected), number
    assert ended(folder / "out") == {number: ["done"] for number in range(len(MIXED))}
    others = {path.name for path in (folder / "out").iterdir() if path.suffix != ".png"}
    assert others == {"jobs-log-0.jsonl"}


def test_shared_sources_are_encoded_once(
    generator: Generator, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded: list[int] = []
    encode = Generator.encode

    def counted(self: Generator, sources: torch.Tensor, *others: Any) -> EncodedSources:
        encoded.append(len(sources))
        return encode(self, sources, *others)

    monkeypatch.setattr(Generator, "encode", counted)
    alternating = [
        job for pair in zip(targets("a b", 8), targets("c", 8), strict=True) for job in pair
    ]
    run(generator, write_table(folder, [*alternating, *targets("b", 9)]))
    assert encoded == [1, 1, 1]


def test_what_is_done_is_skipped(generator: Generator, folder: Path) -> None:
    table, out = write_table(folder, targets("a", 6)), folder / "out"
    assert counts(run(generator, table)) == (6, 0, 0)
    written = {path: path.stat().st_mtime_ns for path in out.glob("*.png")}
    assert counts(run(generator, table)) == (0, 6, 0)
    assert written == {path: path.stat().st_mtime_ns for path in out.glob("*.png")}
    (out / "00000001.png").unlink()
    (out / "00000004.png").write_bytes(b"")
    assert counts(run(generator, table)) == (2, 4, 0)
    assert ended(out)[1] == ended(out)[4] == ["done", "done"]
    assert (out / "00000004.png").stat().st_size > 0


def test_changed_rows_are_done_again(generator: Generator, folder: Path) -> None:
    rows, out = targets("a", 6), folder / "out"
    table = write_table(folder, rows)
    run(generator, table)
    before = (out / "00000003.png").read_bytes()
    rows[3] = row("b")
    assert counts(run(generator, write_table(folder, rows))) == (1, 5, 0)
    assert (out / "00000003.png").read_bytes() != before
    # The log now has both, and the first one is again what the table asks for.
    assert counts(run(generator, write_table(folder, targets("a", 6)))) == (1, 5, 0)
    assert (out / "00000003.png").read_bytes() == before
    longer = [{"sources": ["a.png"], "poses": [[0, 1, 0]], "target": [0, 0, 0]}, *targets("a", 6)]
    named = [fields | {"out": f"{n}.png"} for n, fields in enumerate(longer)]
    assert counts(run(generator, write_table(folder, named))) == (7, 0, 0)
    # A row's place does not matter to its picture.
    assert counts(run(generator, write_table(folder, named[::-1]))) == (0, 7, 0)


def test_other_settings_are_done_again(generator: Generator, folder: Path) -> None:
    table = write_table(folder, targets("a", 3))
    assert counts(run(generator, table)) == (3, 0, 0)
    assert counts(run(generator, table, size=64)) == (0, 3, 0)
    assert counts(run(generator, table, size=96)) == (3, 0, 0)
    assert counts(run(generator, table, size=96, dtype=torch.float32)) == (3, 0, 0)
    torch.manual_seed(1)
    other = Generator(pose_channels=3, image_size=64, width=0.125).double().eval()
    assert counts(run(other, table)) == (3, 0, 0)
    assert counts(run(other, table)) == (0, 3, 0)
    assert counts(run(generator, table)) == (3, 0, 0)


BAD = {
    "none": (row("none"), "no image file at"),
    "text": (row("a text"), "text.png cannot be read as an image"),
    "cut": (row("cut"), "cut.png cannot be read as an image"),
    "wide": (row("wide"), "would be distorted at 64 x 64"),
    "null character": (row("a\0"), "no image file at"),
    "half a pair": ({**row("a"), "sources": ["\ud800.png"]}, "no image file at"),
    "short": (row("a", [0.0, 1.0]), "target must be a map (3, 64, 64) or a vector (3,), got (2,)"),
    "short file": (row("a", poses=["short.npy"]), "poses[0] must be a map"),
    "no file": (row("a", "none.npy"), "No such file"),
    "infinite": (row("a", [0.0, 1.0, float("inf")]), "target has non-finite values"),
    "no name": (row("a", poses=[]), "does not end in _AZIMUTH_ELEVATION"),
    "text pose": (row("a", "front"), "a viewpoint is AZIMUTH:ELEVATION"),
    "channels": (row("a", "0:10"), "got (21, 64, 64)"),
    "folder": (row("a", out="folder.png/x.png"), "folder.png"),
    "long": (row("a", out=f"{'x' * 300}.png"), "File name too long"),
}


def test_bad_rows_fail_alone(generator: Generator, folder: Path) -> None:
    good = targets("a b", len(BAD) + 1)
    rows = [good[0]]
    for number, (bad, _) in enumerate(BAD.values(), start=1):
        rows += [bad, good[number]]
    table, out = write_table(folder, rows), folder / "out"
    out.mkdir()
    (out / "folder.png").write_text("a file where the row wants a folder")
    summary = run(generator, table)
    assert counts(summary) == (len(good), 0, len(BAD))
    errors = {entry["row"]: entry["error"] for entry in entries(out) if entry["error"]}
    assert sorted(errors) == list(range(1, 2 * len(BAD), 2))
    for error, (name, (_, message)) in zip(
        (errors[number] for number in sorted(errors)), BAD.items(), strict=True
    ):
        assert message in error, name
    assert summary.first_failure is not None
    assert any(error in summary.first_failure for error in errors.values())
    assert counts(run(generator, table)) == (0, len(good), len(BAD))  # tried again
    Image.new("RGB", (64, 64)).save(folder / "none.png")
    assert counts(run(generator, table)) == (1, len(good), len(BAD) - 1)


def test_kinds_of_poses_must_fit(folder: Path) -> None:
    body = Generator(pose_channels=21, pose_kind="body", width=0.125)
    summary = run(body, write_table(folder, [row("a", "0:10", ["0:10"])]))
    assert summary.first_failure is not None
    assert "is a viewpoint, but this model takes a body" in summary.first_failure


def test_values_that_are_not_finite_are_no_picture(folder: Path) -> None:
    broken = Generator(pose_channels=3, image_size=64, width=0.125)
    with torch.no_grad():
        broken.predictor.to_rgb.bias[0] = torch.nan
    summary = run(broken, write_table(folder, targets("a", 3)))
    assert counts(summary) == (0, 0, 3)
    assert "non-finite values" in str(summary.first_failure)
    assert not list((folder / "out").glob("*.png"))


@pytest.mark.parametrize("fitting", [2, 1, 0])
def test_what_does_not_fit_into_memory_is_halved(
    fitting: int, generator: Generator, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decode = Generator.decode

    def limited(self: Generator, encoded: EncodedSources, poses: torch.Tensor) -> torch.Tensor:
        if len(poses) > fitting:
            raise torch.OutOfMemoryError("out of memory")
        return decode(self, encoded, poses)

    monkeypatch.setattr(Generator, "decode", limited)
    rows = [*targets("a", 4), row("a"), row("b"), row("a b"), row("c")]
    summary = run(generator, write_table(folder, rows))
    assert counts(summary) == ((8, 0, 0) if fitting else (0, 0, 8))
    assert sorted(ended(folder / "out")) == list(range(8))
    if not fitting:
        assert "1 x 64 x 64 pixels do not fit" in str(summary.first_failure)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS])
def test_a_full_disk_ends_the_run(
    number: int, generator: Generator, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts = []

    def full(path: Path, image: Image.Image) -> None:
        attempts.append(path)
        raise OSError(number, os.strerror(number), str(path))

    table = write_table(folder, targets("a", 200))
    with monkeypatch.context() as patch:
        patch.setattr("rfwarp.jobs.writer.write_picture", full)
        with pytest.raises(OSError, match=os.strerror(number)):
            run(generator, table)
    assert len(attempts) <= 3 * 4  # what was on its way
    assert entries(folder / "out") == []
    assert counts(run(generator, write_table(folder, targets("a", 2)))) == (2, 0, 0)


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits of POSIX")
def test_pictures_that_cannot_be_written_whole(generator: Generator, folder: Path) -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            run(generator, write_table(folder, targets("a", 20)[:10]))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [path.name for path in (folder / "out").iterdir()] == ["jobs-log-0.jsonl"]
    assert entries(folder / "out") == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_log_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "jobs-log-0.jsonl").symlink_to("/dev/full")
    with ResultsLog(tmp_path) as log, pytest.raises(OSError, match="No space left"):
        log.append(Job(0, ("a.png",), (), "0:0", "x.png"), 1)


def test_the_folder_can_be_made(generator: Generator, folder: Path) -> None:
    table = write_table(folder, targets("a", 1))
    assert run_jobs(generator, table, folder / "new" / "out", workers=0).done == 1
    with pytest.raises(NotADirectoryError, match="exists and is no folder"):
        run_jobs(generator, table, folder / "a.png", workers=0)
    with pytest.raises(NotADirectoryError):
        run_jobs(generator, table, folder / "a.png" / "out", workers=0)


def test_two_runs_do_not_share_a_folder(generator: Generator, folder: Path) -> None:
    table = write_table(folder, targets("a", 1))
    (folder / "out").mkdir()
    log = folder / "out" / "jobs-log-0.jsonl"
    program = (
        "import fcntl, sys; file = open(sys.argv[1], 'ab'); fcntl.lockf(file, fcntl.LOCK_EX);"
        "print('locked', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, log], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"locked\n"
        with pytest.raises(BlockingIOError, match="two runs must not share an output folder"):
            run(generator, table)
        other.kill()
    assert run(generator, table).done == 1


def test_half_a_line_in_the_log_is_no_result(generator: Generator, folder: Path) -> None:
    table, log = write_table(folder, targets("a", 4)), folder / "out" / "jobs-log-0.jsonl"
    run(generator, table)
    whole = log.read_bytes()
    cut = whole[: whole.rindex(b'"key"') + 12]
    log.write_bytes(cut + "é".encode()[:1])
    assert counts(run(generator, table)) == (1, 3, 0)
    assert log.read_bytes().startswith(cut)
    assert counts(run(generator, table)) == (0, 4, 0)


def test_logs_of_all_ranks_count_and_the_last_entry_wins(tmp_path: Path) -> None:
    nothing = Results(tmp_path).done(np.ones(2, np.uint64), np.ones(2, np.uint64))
    assert nothing.tolist() == [False, False]
    lines = {
        0: [("x.png", 1, "done", 5.0), ("y.png", 7, "done", 1.0)],
        3: [("x.png", 2, "done", 6.0), ("x.png", 3, "failed", 9.0)],
    }
    for rank, entries_ in lines.items():
        fields = ("out", "key", "status", "time")
        text = "\n".join(
            json.dumps(dict(zip(fields, (out, f"{key:016x}", *others), strict=True)))
            for out, key, *others in entries_
        )
        (tmp_path / f"jobs-log-{rank}.jsonl").write_text(text)

    results = Results(tmp_path)
    outs = np.array(
        [hash64(out) for out in ("x.png", "x.png", "x.png", "y.png", "z.png")], np.uint64
    )
    keys = np.array([1, 2, 3, 7, 7], np.uint64)
    assert results.done(outs, keys).tolist() == [False, True, False, True, False]


def test_tables_with_two_rows_for_one_output(generator: Generator, folder: Path) -> None:
    rows = [row("a", out="x.png"), row("b"), row("b", out="./x.png")]
    with pytest.raises(ValueError, match=r"rows 0 and 2 \(from 0\) have the same output, 'x.png'"):
        run(generator, write_table(folder, rows))
    with pytest.raises(ValueError, match=r"rows 0 and 1 \(from 0\) have the same output"):
        run(generator, write_table(folder, [row("a", out="00000001.png"), row("b")]))
    assert not list((folder / "out").glob("*.png"))


def test_outputs_do_not_replace_sources(generator: Generator, folder: Path) -> None:
    table = write_table(folder, [row("b"), row("a"), row("a", out="b.png")])
    before = (folder / "b.png").read_bytes()
    with pytest.raises(ValueError, match=r"row 2 \(from 0\) would replace a source"):
        run_jobs(generator, table, folder, workers=0)
    assert (folder / "b.png").read_bytes() == before
    assert run(generator, table).done == 3  # in another folder


def test_nothing_is_done_for_a_bad_table(generator: Generator, folder: Path) -> None:
    table = write_table(folder, [*targets("a", 9), {"sources": ["a.png"]}])
    with pytest.raises(ValueError, match="line 10: missing column 'target'"):
        run(generator, table)
    with pytest.raises(ValueError, match="has no rows"):
        run(generator, write_table(folder, []))
    with pytest.raises(ValueError, match="batch_size must be at least 1"):
        run(generator, table, batch_size=0)
    with pytest.raises(ValueError, match="2 of 2"):
        run(generator, table, rank=2, world_size=2)
    assert not list(folder.glob("out/*.png"))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (targets("a", 30)[:5], "was cut during the run, from 30 to 5 rows"),
        ([*targets("a", 30), row("a")], r"was changed during the run, in row 30 \(from 0\)"),
        ([*targets("a", 29), row("b")], r"was changed during the run, in row 1 \(from 0\)"),
    ],
)
def test_a_table_that_changes_during_the_run(rows: list[Row], message: str, folder: Path) -> None:
    table = write_table(folder, targets("a", 30))

    plan = make_plan(table, folder / "out", "", Share(0, 1, 4), Results(folder))
    write_table(folder, rows)
    with pytest.raises(ValueError, match=message):
        list(plan.chunks(4))


@pytest.mark.parametrize("world_size", [1, 2, 3])
def test_processes_share_the_rows(world_size: int, generator: Generator, folder: Path) -> None:
    table = write_table(folder, targets("a", 21))
    summaries = [
        run(generator, table, rank=rank, world_size=world_size, batch_size=2)
        for rank in range(world_size)
    ]
    assert sum(summary.done for summary in summaries) == 21
    assert min(summary.done for summary in summaries) >= 21 // world_size - 2
    assert ended(folder / "out") == {number: ["done"] for number in range(21)}
    # However many there are the next time, they know of each other's results.
    again = [run(generator, table, rank=rank, world_size=4) for rank in range(4)]
    assert sum(summary.skipped for summary in again) == 21
    assert len(entries(folder / "out")) == 21


@pytest.mark.parametrize("workers", [0, 2])
def test_few_rows_are_in_memory(
    workers: int, generator: Generator, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From when a row leaves the table to when its picture is on the disk."""
    passes = 0
    begun: Counter[str] = Counter()
    most = 0

    def counted(path: Path) -> Iterator[Job]:
        nonlocal passes
        passes += 1
        planning = passes == 1
        for job in read_table(path):
            begun["rows"] += not planning
            yield job

    def watch(done: int, total: int) -> None:
        nonlocal most
        assert total == 100
        most = max(most, begun["rows"] - done)

    monkeypatch.setattr("rfwarp.jobs.plan.read_table", counted)
    table = write_table(folder, targets("a", 100))
    summary = run(generator, table, workers=workers, progress=watch)
    assert (passes, begun["rows"], summary.done) == (2, 100, 100)
    asked_for = max(1, workers * PREFETCH)
    assert 4 <= most <= 4 * (asked_for + 1) + 2 * 4


def test_a_reader_that_dies_is_no_hang(
    generator: Generator, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rfwarp.jobs.reader.JobReader.__getitem__", lambda self, jobs: os._exit(3))
    with pytest.raises(ChildProcessError, match="take fewer --workers"):
        run(generator, write_table(folder, targets("a", 4)), workers=1)


def test_place_among_processes() -> None:
    assert Ranks.from_environment({}) == Ranks(0, 1, 0, False)
    given = {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1"}
    assert Ranks.from_environment(given) == Ranks(5, 8, 1, False)
    assert Ranks.from_environment({**given, "TORCHELASTIC_RUN_ID": "none"}).launched
    for change in ({"RANK": "8"}, {"RANK": "-1"}, {"RANK": "one"}, {"LOCAL_RANK": ""}):
        with pytest.raises(ValueError, match="RANK"):
            Ranks.from_environment({**given, **change})
    with pytest.raises(ValueError, match="WORLD_SIZE"):
        Ranks.from_environment({"RANK": "0"})
