"""``rfwarp generate --jobs``"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import arg

from rfwarp.cli.arguments import (
    Precision,
    UsageError,
    choose_device,
    choose_dtype,
    progress_bar,
)

if TYPE_CHECKING:
    from rfwarp.jobs import Summary


@dataclass(frozen=True)
class JobsOptions:
    """The options of ``rfwarp generate`` for many images."""

    jobs: Annotated[Path | None, arg(metavar="TABLE")] = None
    """Draw an image for each row of this .csv, .jsonl or .parquet table, with the columns
    source_0, pose_0, source_1, ..., target and out (not CSV: sources, poses, target, out). The same
    command goes on after an interruption; torchrun spreads it over GPUs and machines."""
    batch_size: int = 8
    """Images computed at a time."""
    workers: int = 2
    """Processes that read the sources."""

    def __post_init__(self) -> None:
        for name, least in (("batch_size", 1), ("workers", 0)):
            if getattr(self, name) < least:
                option = name.replace("_", "-")
                raise UsageError(f"--{option} must be at least {least}, got {getattr(self, name)}")

    def refuse(self) -> None:
        """Raise UsageError if any of the options was given without --jobs."""
        if self != JobsOptions():
            raise UsageError("--batch-size and --workers need --jobs TABLE")

    def run(
        self,
        table: Path,
        out: Path,
        weights: str,
        device: str,
        size: int | Literal["native"] | None,
        precision: Precision,
    ) -> None:
        import torch

        from rfwarp import Generator
        from rfwarp.jobs import run_jobs
        from rfwarp.jobs.ranks import Ranks

        try:
            ranks = Ranks.from_environment()
        except ValueError as error:
            raise UsageError(error) from error
        if ranks.world_size > 1 and device in ("auto", "cuda") and torch.cuda.is_available():
            device = f"cuda:{ranks.local_rank}"
        chosen = choose_device(device)
        generator = Generator.from_pretrained(weights, device=chosen)
        shown = f"rank {ranks.rank} of {ranks.world_size}" if ranks.world_size > 1 else None
        with progress_bar(0, "image", shown, hidden=ranks.rank != 0) as progress:
            summary = run_jobs(
                generator,
                table,
                out,
                batch_size=self.batch_size,
                workers=self.workers,
                size=size,
                dtype=choose_dtype(precision, chosen),
                rank=ranks.rank,
                world_size=ranks.world_size,
                progress=progress,
            )
        summaries = ranks.gather(summary)
        if summaries is not None:
            _report(summaries, out)


def _report(summaries: list[Summary], out: Path) -> None:
    """Print the outcome of all rows.

    Raises:
        ValueError: if some failed.
    """
    done, skipped, failed = (
        sum(getattr(summary, name) for summary in summaries)
        for name in ("done", "skipped", "failed")
    )
    seconds = max(summary.seconds for summary in summaries)
    rate = f" ({done / seconds:.1f} per second)" if done else ""
    there = f"; {skipped} were there already" if skipped else ""
    print(f"wrote {done} images to {out}{rate}{there}")
    if failed:
        first = next(s for s in summaries if s.failed)
        logs = ", ".join(str(summary.log) for summary in summaries if summary.failed)
        raise ValueError(
            f"{failed} of {done + skipped + failed} rows failed, see {logs}; the same command "
            f"tries them again; the first was {first.first_failure}"
        )
