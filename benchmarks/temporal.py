"""How much generated videos of walking people flicker, by the noise of their poses and smoothing.

    python benchmarks/temporal.py --out benchmarks/results/temporal

Held-out people walk on the spot before a camera that stands still; each is drawn from four images
in other poses. The driving poses are the walk's own joints, with noise, or those that a detector
finds in another person who walks alike, retargeted; each with and without the one-euro filter. The
warping error (rfwarp.metrics.WarpingError, times 1000) is by the flow of the frames themselves and
by that of the truth, the same person rendered in the true poses. With --out it writes temporal.json
and temporal.md.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
import tyro
from harness import machine
from harness.warp.report import heading, markdown, write_results
from PIL import Image

from rfwarp import Generator
from rfwarp.data.people import render_person, render_poses, walk
from rfwarp.files import write_atomically
from rfwarp.metrics import WarpingError
from rfwarp.poses import BodyDetector, Keypoints, OneEuroFilter, retarget
from rfwarp.poses.driving import held
from rfwarp.video import Frame, write_video

SOURCES = 4
DETECTED_SIZE = 256
COLUMNS = (
    *("poses", "smoothed", "joints off", "trembling", "error, own flow", "error, truth's flow"),
    "PSNR",
)


class Walk(NamedTuple):
    """A person walking: frames (T, 3, H, W) uint8 and the joints in them."""

    frames: torch.Tensor
    poses: list[Keypoints]


class Person(NamedTuple):
    """Whom to draw: images with their poses, what the walk truly looks like, and the same walk of
    somebody else."""

    sources: list[Image.Image]
    source_poses: list[Keypoints]
    truth: Walk
    driver: Walk


@dataclass(frozen=True)
class Temporal:
    """Warping errors of generated walks."""

    weights: str = "people-64"
    """Model; it takes keypoints."""
    people: int = 8
    """People, each once."""
    first_seed: int = 900_200
    """Seed of the first; the driver is that person and one hundred."""
    frames: int = 56
    """Frames of each walk, at 25 per second; 28 are a pair of steps."""
    noise: tuple[float, ...] = (0.03, 0.06)
    """Standard deviations of the noise of joints, independent in every frame, torsos."""
    backend: str = "blazepose"
    """Detector; without its package or weights its rows are left out."""
    pose_weights: Path | None = None
    """Folder of its weights."""
    threads: int = 1
    """Threads of PyTorch."""
    seed: int = 0
    """Seed of the noise and of the cameras."""
    videos: Path | None = None
    """Folder for the first person's videos."""
    out: Path | None = None
    """Folder for temporal.json and temporal.md."""

    def run(self) -> dict[str, Any]:
        torch.set_num_threads(self.threads)
        generator = Generator.from_pretrained(self.weights).optimize()
        size = generator.config.image_size
        if not isinstance(size, int):
            raise ValueError(f"{self.weights} must say one side of its images, got {size}")
        missing = {}
        try:
            detector = BodyDetector(self.backend, weights=self.pose_weights)
        except (FileNotFoundError, ImportError) as error:
            detector = None
            missing[self.backend] = str(error)
        rows: dict[tuple[str, bool], list[dict[str, float | None]]] = {}
        references: dict[str, list[float]] = {"the truth": [], "the driver": []}
        for number in range(self.people):
            person = self._person(number, size)
            references["the truth"].append(flicker(person.truth.frames))
            driver = F.interpolate(person.driver.frames.float(), (size, size), mode="area")
            references["the driver"].append(flicker(driver.round().byte()))
            for name, poses in self._driving(number, person, detector):
                for smooth in (False, True):
                    given = smoothed(poses) if smooth else poses
                    drawn = draw(generator, person, given)
                    own = name != self.backend  # else the walk is in another place than the truth
                    row = measure(drawn, given, person.truth if own else None)
                    rows.setdefault((name, smooth), []).append(row)
                    if number == 0 and self.videos is not None:
                        file = f"{name}{' smoothed' if smooth else ''}.mp4".replace(" ", "-")
                        write(self.videos / file, drawn)
        return {
            "schema": "temporal 1",
            "machine": machine.facts("cpu"),
            "settings": {k: str(v) if isinstance(v, Path) else v for k, v in asdict(self).items()},
            "missing": missing,
            "references": {name: mean(values) for name, values in references.items()},
            "measurements": [
                {"poses": name, "smoothed": smooth}
                | {key: mean([row[key] for row in found]) for key in found[0]}
                for (name, smooth), found in rows.items()
            ],
        }

    def _person(self, number: int, size: int) -> Person:
        seed = self.first_seed + number
        views = render_person(seed, range(SOURCES), size)
        motion = walk(self.frames, 2 * math.pi * (number + 0.5) / self.people)

        def walking(seed: int, size: int) -> Walk:
            drawn = render_poses(seed, motion, size)
            return Walk(drawn.images, [Keypoints(x, size, size) for x in drawn.keypoints.numpy()])

        return Person(
            [Image.fromarray(x.permute(1, 2, 0).numpy()) for x in views.images],
            [Keypoints(x, size, size) for x in views.keypoints.numpy()],
            walking(seed, size),
            walking(seed + 100, DETECTED_SIZE),
        )

    def _driving(
        self, number: int, person: Person, detector: BodyDetector | None
    ) -> Iterator[tuple[str, list[Keypoints]]]:
        poses = person.truth.poses
        yield "true", poses
        rng = np.random.default_rng([self.seed, number])
        for level in self.noise:
            yield f"noise {level}", [noisy(pose, level, rng) for pose in poses]
        if detector is None:
            return
        found = [detector.detect_largest(frame) for frame in person.driver.frames]
        driving = held([None if one is None else one.keypoints for one in found])
        yield self.backend, retarget(driving, person.source_poses[0])


def noisy(pose: Keypoints, level: float, rng: np.random.Generator) -> Keypoints:
    """Gaussian noise on every joint, of ``level`` times the torso."""
    torso = np.linalg.norm(pose.points[1, :2] - pose.points[[8, 11], :2].mean(axis=0))
    points = pose.points.copy()
    points[:, :2] += rng.normal(0, level * torso, (18, 2))
    return Keypoints(points, pose.height, pose.width)


def smoothed(poses: Sequence[Keypoints]) -> list[Keypoints]:
    steady = OneEuroFilter()
    return [steady.smooth(pose, n / 25) for n, pose in enumerate(poses)]


def draw(generator: Generator, person: Person, poses: Sequence[Keypoints]) -> torch.Tensor:
    """(T, 3, H, W) uint8."""
    encoded = generator.encode_images(person.sources, person.source_poses)
    images = generator.stream(encoded, poses)
    return torch.stack([torch.from_numpy(np.array(x)).permute(2, 0, 1) for x in images])


def measure(
    drawn: torch.Tensor, poses: Sequence[Keypoints], truth: Walk | None
) -> dict[str, float | None]:
    """A row of one person; without the truth, None for what it takes."""
    points = np.stack([pose.points for pose in poses])
    row: dict[str, float | None] = {
        "joints_off": None,
        "trembling": trembling(points),
        "error_own": flicker(drawn),
        "error_truth": None,
        "psnr": None,
    }
    if truth is None:
        return row
    true = np.stack([pose.points for pose in truth.poses])
    both = (true[..., 2] > 0) & (points[..., 2] > 0)
    row["joints_off"] = float(np.linalg.norm(points - true, axis=-1)[both].mean())
    row["error_truth"] = flicker(drawn, truth.frames)
    difference = (drawn.double() - truth.frames.double()) / 255
    row["psnr"] = float(-10 * difference.square().flatten(1).mean(1).log10().mean())
    return row


def trembling(points: np.ndarray[Any, Any]) -> float:
    """Mean length of the joints' second differences in time, pixels: the walk's and the noise's."""
    there = points[..., 2] > 0
    three = there[:-2] & there[1:-1] & there[2:]
    return float(np.linalg.norm(np.diff(points[..., :2], 2, axis=0), axis=-1)[three].mean())


def flicker(frames: torch.Tensor, motion: torch.Tensor | None = None) -> float:
    """The warping error of a video, times 1000."""
    return 1000 * (WarpingError.of(frames, motion).mean or 0.0)


def mean(values: Sequence[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return sum(there) / len(there) if there else None


def write(path: Path, drawn: torch.Tensor) -> None:
    images = (Image.fromarray(x.permute(1, 2, 0).numpy()) for x in drawn)
    write_video(path, (Frame(x, Fraction(n, 25)) for n, x in enumerate(images)), 25)


def table(results: dict[str, Any]) -> str:
    """The measurements as Markdown."""

    def shown(value: float | None, digits: int, unit: str = "") -> str:
        return "" if value is None else f"{value:.{digits}f}{unit}"

    lines = [COLUMNS]
    for m in results["measurements"]:
        lines.append(
            (
                *(m["poses"], "yes" if m["smoothed"] else "no"),
                *(shown(m["joints_off"], 2, " px"), shown(m["trembling"], 2, " px")),
                *(shown(m["error_own"], 3), shown(m["error_truth"], 3), shown(m["psnr"], 2, " dB")),
            )
        )
    videos = [("video", "error, own flow")]
    videos += [(name, f"{value:.3f}") for name, value in results["references"].items()]
    missing = [f"{name} was not measured: {why}" for name, why in results["missing"].items()]
    return "\n\n".join([heading(results), markdown(lines), markdown(videos), *missing]) + "\n"


def main() -> None:
    config = tyro.cli(Temporal)
    results = config.run()
    text = table(results)
    if config.out is not None:
        write_results(results, config.out / "temporal.json")
        write_atomically(config.out / "temporal.md", lambda path: path.write_text(text))
    print(text)


if __name__ == "__main__":
    main()
