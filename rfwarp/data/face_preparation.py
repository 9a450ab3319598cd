"""Frames of VoxCeleb2 for training: chosen, checked, and with landmarks."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

from rfwarp.data.catalog import Split
from rfwarp.data.check_report import Options, Progress, Report
from rfwarp.data.voxceleb import FRAMES, HEADER, Video, find_videos, read_landmarks, spread, table
from rfwarp.files import write_atomically
from rfwarp.images import load_image
from rfwarp.poses.face_detection import FaceDetector


def prepare_faces(
    root: Path, split: Split, options: Options, report: Report, progress: Progress
) -> None:
    """List the split's videos, each with :data:`FRAMES` frames.

    Raises:
        FileNotFoundError: if there is no folder of the split, or landmarks must be detected and
            the networks' weights are missing.
        ValueError: if no video has enough frames.
    """
    videos: list[Video] = []
    landmarks = _Landmarks(options, report)
    for done, (folder, frames, posed) in enumerate(find_videos(root, split), start=1):
        chosen = landmarks.choose(folder, frames, posed)
        if chosen:
            videos.append((folder.relative_to(root).as_posix(), *chosen))
        progress(done, done)  # their number is known only at the end
    report.usable[f"{split} videos"] = len(videos)
    if not videos:
        raise ValueError(f"no video has {FRAMES} frames (.jpg or .png) with landmarks (.npy)")
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([HEADER, *sorted(videos)])
    data = text.getvalue().encode("utf-8")
    write_atomically(table(root, split), lambda temporary: temporary.write_bytes(data))


class _Landmarks:
    """Chooses frames that have landmarks, detecting no more of them than needed."""

    def __init__(self, options: Options, report: Report) -> None:
        self._options, self._report = options, report
        self._detector: FaceDetector | None = None

    def choose(self, folder: Path, frames: list[str], posed: set[str]) -> list[str]:
        """:data:`FRAMES` frames spread over the video; none if there are too few good ones."""
        if len(frames) >= FRAMES:
            good, more = set(posed), self._detected(folder, frames, posed)
            while True:
                while len(good) < FRAMES and (frame := next(more, None)) is not None:
                    good.add(frame)
                if len(good) < FRAMES:
                    break
                chosen = spread(sorted(good))
                broken = {frame for frame in chosen if self._is_broken(folder / frame)}
                if not broken:
                    return chosen
                good -= broken
            self._report.complain(f"{folder} has {len(good)} good frames, {FRAMES} are needed")
        else:
            self._report.complain(f"{folder} has {len(frames)} frames, {FRAMES} are needed")
        return []

    def _detected(self, folder: Path, frames: list[str], posed: set[str]) -> Iterator[str]:
        """Frames that had no landmarks and now do; those spread over the video first."""
        for frame in dict.fromkeys([*spread(frames), *frames]):
            if frame in posed:
                continue
            if self._detector is None:
                self._detector = FaceDetector(self._options.device, backend=self._options.detector)
            path = folder / frame
            try:
                faces = self._detector.detect(path)
            except ValueError as error:
                self._report.complain(error)
                continue
            if faces:
                faces[0].write(path.with_suffix(".npy"))
                yield frame
            else:
                self._report.complain(f"{path} shows no face")

    def _is_broken(self, path: Path) -> bool:
        if not self._options.decode:
            return False
        try:
            image = load_image(str(path), path)
            read_landmarks(path.with_suffix(".npy"), image.height, image.width)
            if image.width != image.height:
                raise ValueError(f"{path} must be square, got {image.width} x {image.height}")
        except ValueError as error:
            self._report.complain(error)
            return True
        return False
