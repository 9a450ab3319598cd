"""Tables of jobs: the right images, in bounded memory."""

from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from job_tables import counts, ended, row, run, targets, write_table
from PIL import Image

from rfwarp import Generator
from rfwarp.jobs import Job, read_table
from rfwarp.jobs.runner import PREFETCH
from rfwarp.nn.results import EncodedSources


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
def test_images_equal_generate(generator: Generator, folder: Path, workers: int, size: Any) -> None:
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


def gpu_without_memory() -> None:
    raise torch.OutOfMemoryError("out of memory")


def cpu_without_memory() -> None:
    torch.empty(2**60)


@pytest.mark.parametrize("exhaust", [gpu_without_memory, cpu_without_memory])
@pytest.mark.parametrize("fitting", [2, 1, 0])
def test_what_does_not_fit_into_memory_is_halved(
    fitting: int,
    exhaust: Callable[[], None],
    generator: Generator,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    decode = Generator.decode

    def limited(self: Generator, encoded: EncodedSources, poses: torch.Tensor) -> torch.Tensor:
        if len(poses) > fitting:
            exhaust()
        return decode(self, encoded, poses)

    monkeypatch.setattr(Generator, "decode", limited)
    rows = [*targets("a", 4), row("a"), row("b"), row("a b"), row("c")]
    summary = run(generator, write_table(folder, rows))
    assert counts(summary) == ((8, 0, 0) if fitting else (0, 0, 8))
    assert sorted(ended(folder / "out")) == list(range(8))
    if not fitting:
        assert "1 x 64 x 64 pixels do not fit" in str(summary.first_failure)


@pytest.mark.parametrize("workers", [0, 2])
def test_few_rows_are_in_memory(
    workers: int, generator: Generator, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows count from their reading from the table until their image is on the disk."""
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
