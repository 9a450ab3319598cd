"""Checks of downloaded datasets, file by file, and their preparation for training."""

from __future__ import annotations

from pathlib import Path

from rfwarp.data.catalog import Split, dataset_record, source_note
from rfwarp.data.check_report import Options, Progress, Report


def prepare(
    name: str, root: Path, options: Options, progress: Progress = lambda done, total: None
) -> Report:
    """Check a download, and write the files that training needs into it.

    People get files of tuples; VoxCeleb2 gets lists of frames, and landmarks where there are too
    few.

    Args:
        name: of the dataset, a key of :data:`rfwarp.data.catalog.DATASETS`.
        root: folder of the download.
        progress: called with (files done, files), split by split.

    Raises:
        FileNotFoundError: if there is no such folder.
        ImportError: if an extra is not installed.
        ValueError: if there is no such dataset, or nothing to prepare.
    """
    record = dataset_record(name)
    if record.prepare is None:
        raise ValueError(f"{record.title} need no preparation")
    if not root.is_dir():
        raise FileNotFoundError(f"there is no folder {root}{source_note(record)}")
    report = Report()
    splits: list[Split] = ["train", "validation", "test"] if record.validates else ["train", "test"]
    for split in splits:
        try:
            record.prepare(root, split, options, report, progress)
        except (FileNotFoundError, ValueError) as error:
            report.unusable.append(f"{split}: {error}")
    return report
