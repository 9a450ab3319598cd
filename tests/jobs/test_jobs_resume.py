"""Tables of jobs: rows that are done again or skipped, by any number of processes."""

import json
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor, TimeoutError
from pathlib import Path

import numpy as np
import pytest
import torch
from job_tables import Row, counts, ended, entries, row, run, targets, write_table

from rfwarp import Generator
from rfwarp.jobs import Summary, lock
from rfwarp.jobs.log import Results
from rfwarp.jobs.plan import Share, make_plan
from rfwarp.jobs.ranks import Ranks
from rfwarp.jobs.table import hash64


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
    # A row's place does not matter to its image.
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


def test_a_killed_run_leaves_no_image_of_other_weights(
    generator: Generator, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ended between the writing of its images and the lines that say so."""
    table, out = write_table(folder, targets("a", 3)), folder / "out"
    run(generator, table)
    before = [path.read_bytes() for path in sorted(out.glob("*.png"))]
    torch.manual_seed(1)
    other = Generator(pose_channels=3, image_size=64, width=0.125).double().eval()
    with monkeypatch.context() as patch:
        patch.setattr("rfwarp.jobs.log.ResultsLog.append", lambda *given: None)
        run(other, table)
    assert all(
        path.read_bytes() != image
        for path, image in zip(sorted(out.glob("*.png")), before, strict=True)
    )
    assert counts(run(generator, table)) == (3, 0, 0)
    assert [path.read_bytes() for path in sorted(out.glob("*.png"))] == before
    assert counts(run(generator, table)) == (0, 3, 0)


def locking(folder: Path, then: str) -> list[str]:
    """The command that locks a folder, from the file of the lock alone: that needs no torch."""
    program = (
        "import runpy, sys; from pathlib import Path\n"
        f"with runpy.run_path(sys.argv[1])['FolderLock'](Path(sys.argv[2]), 0): {then}"
    )
    return [sys.executable, "-c", program, lock.__file__, str(folder)]


def test_two_runs_do_not_share_a_folder(generator: Generator, folder: Path) -> None:
    table = write_table(folder, targets("a", 1))
    (folder / "out").mkdir()
    with subprocess.Popen(
        locking(folder / "out", "print('locked', flush=True); sys.stdin.read()"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"locked\n"
        with pytest.raises(BlockingIOError, match="two runs must not share an output folder"):
            run(generator, table)
        other.kill()
    assert run(generator, table).done == 1


def test_a_run_keeps_the_folder_to_its_end(generator: Generator, folder: Path) -> None:
    """Whatever it opens and closes meanwhile, another process cannot have it."""
    table = write_table(folder, targets("a", 2))
    command, statuses = locking(folder / "out", "pass"), []

    def attempt(done: int, todo: int) -> None:
        statuses.append(subprocess.run(command, stderr=subprocess.PIPE, check=False))

    run(generator, table)  # leaves a log, which the next run reads
    run(generator, write_table(folder, targets("a", 3)), progress=attempt)
    assert len(statuses) >= 2
    assert all(b"two runs must not share" in status.stderr for status in statuses)
    assert sorted(path.suffix for path in (folder / "out").iterdir()) == [".jsonl", *3 * [".png"]]


def test_a_rejected_table_leaves_nothing_behind(generator: Generator, folder: Path) -> None:
    table = write_table(folder, [])
    with pytest.raises(ValueError, match="has no rows"):
        run(generator, table)
    assert list((folder / "out").iterdir()) == []


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
        4: [("v.png", 7, "begun", 1.0), ("v.png", 7, "done", 1.0), ("w.png", 7, "done", 1.0)],
        5: [("w.png", 8, "begun", 2.0), ("w.png", 8, "failed", 3.0)],
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
    outs = np.array([hash64(out) for out in ("v.png", "w.png", "w.png")], np.uint64)
    assert results.done(outs, np.array([7, 7, 8], np.uint64)).tolist() == [True, False, False]


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


def test_rank_0_waits_for_all_and_learns_what_they_did(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("MASTER_PORT", str(free.getsockname()[1]))
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    first = Summary(3, 1, 0, 2.5, None, Path("out/jobs-log-0.jsonl"))
    second = Summary(2, 1, 1, 3.5, "row 4 (x.png): no file", Path("out/jobs-log-1.jsonl"))
    assert Ranks(0, 2).gather(first) == [first]  # not started by torchrun: each for itself
    with ThreadPoolExecutor(1) as pool:
        gathered = pool.submit(Ranks(0, 2, 0, launched=True).gather, first)
        with pytest.raises(TimeoutError):
            gathered.result(timeout=0.5)
        assert Ranks(1, 2, 1, launched=True).gather(second) is None
        assert gathered.result(timeout=60) == [first, second]
