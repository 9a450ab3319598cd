"""Tables of jobs: failures of single rows, and failures that end the run."""

import errno
import os
import sys
from pathlib import Path

import pytest
import torch
from job_tables import counts, entries, row, run, targets, write_table
from PIL import Image

from rfwarp import Generator
from rfwarp.jobs import Job, run_jobs
from rfwarp.jobs.log import ResultsLog

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
    "text pose": (row("a", "front"), "a pose is AZIMUTH:ELEVATION"),
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
    assert errors[1] in summary.first_failure
    assert counts(run(generator, table)) == (0, len(good), len(BAD))  # tried again
    Image.new("RGB", (64, 64)).save(folder / "none.png")
    assert counts(run(generator, table)) == (1, len(good), len(BAD) - 1)


def test_kinds_of_poses_must_fit(folder: Path) -> None:
    body = Generator(pose_channels=21, pose_kind="body", width=0.125)
    summary = run(body, write_table(folder, [row("a", "0:10", ["0:10"])]))
    assert summary.first_failure is not None
    assert "is a viewpoint, but this model takes a body" in summary.first_failure


def test_values_that_are_not_finite_are_no_image(folder: Path) -> None:
    broken = Generator(pose_channels=3, image_size=64, width=0.125)
    with torch.no_grad():
        broken.predictor.to_rgb.bias[0] = torch.nan
    summary = run(broken, write_table(folder, targets("a", 3)))
    assert counts(summary) == (0, 0, 3)
    assert "non-finite values" in str(summary.first_failure)
    assert not list((folder / "out").glob("*.png"))


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
        patch.setattr("rfwarp.jobs.writer.write_image", full)
        with pytest.raises(OSError, match=os.strerror(number)):
            run(generator, table)
    assert len(attempts) <= 3 * 4  # what was on its way
    assert entries(folder / "out") == []
    assert counts(run(generator, write_table(folder, targets("a", 2)))) == (2, 0, 0)


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits of POSIX")
def test_images_that_cannot_be_written_whole(generator: Generator, folder: Path) -> None:
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
    for size in (0, (64,), "big"):
        with pytest.raises(ValueError, match="size must be a side or a"):
            run(generator, table, size=size)
    assert not list(folder.glob("out/*.png"))


def test_a_reader_that_dies_is_no_hang(
    generator: Generator, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rfwarp.jobs.reader.JobReader.__getitem__", lambda self, jobs: os._exit(3))
    with pytest.raises(ChildProcessError, match="take fewer --workers"):
        run(generator, write_table(folder, targets("a", 4)), workers=1)
