"""How well detectors of body keypoints find the joints of rendered people.

    python benchmarks/pose_detectors.py --out benchmarks/results/pose-detectors

PCK@a is the share of true joints that were found within a times the person's torso, which is the
true distance from the neck to the middle of the hips. Joints that a detector leaves out count as
wrong, and so do all those of a person that it does not find. Chairs, one for each person, show how
often somebody is seen where nobody is. With --out it writes pose_detectors.json and
pose_detectors.md.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
import tyro
from harness import machine
from harness.warp.report import heading, markdown, write_results

from rfwarp.data import render_person, render_views
from rfwarp.files import write_atomically
from rfwarp.poses import BodyDetector, Viewpoint

HIPS, NECK = [8, 11], 1
WITHIN = (0.1, 0.2)  # torsos
GROUPS = {
    "face": [0, 14, 15, 16, 17],
    "neck and shoulders": [1, 2, 5],
    "elbows and wrists": [3, 4, 6, 7],
    "hips": HIPS,
    "knees and ankles": [9, 10, 12, 13],
}
COLUMNS = (
    *("backend", "threshold", "people found", "on chairs", *(f"PCK@{a}" for a in WITHIN)),
    *(f"of visible joints @{a}" for a in WITHIN),
    *("true joints given", "given joints @0.2", "CPU ms per image"),
)


class Person(NamedTuple):
    """A rendered image with the truth: joints (18, 3), and (18,) which can be seen."""

    image: torch.Tensor
    joints: npt.NDArray[np.float32]
    visible: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class PoseDetectors:
    """PCK of detectors on procedural people."""

    backends: tuple[str, ...] = ("rtmpose", "blazepose")
    """Detectors; one whose package or weights are missing is reported so."""
    thresholds: tuple[float, ...] = (0.0, 0.3)
    """Confidences from which a joint is given."""
    count: int = 100
    """People, one image of each."""
    first_seed: int = 900_100
    """Seed of the first person. How BlazePose's regions are chosen, and which are of people, was
    settled on those of 900000 to 900099."""
    size: int = 256
    """Side of the images, pixels."""
    threads: int = 1
    """Threads of PyTorch and of LiteRT."""
    weights: Path | None = None
    """Folder of weights, of all backends."""
    out: Path | None = None
    """Folder for pose_detectors.json and pose_detectors.md."""

    def run(self) -> dict[str, Any]:
        torch.set_num_threads(self.threads)
        people = list(self._people())
        measurements, missing = [], {}
        for backend in self.backends:
            try:
                detector = BodyDetector(backend, weights=self.weights)
            except (FileNotFoundError, ImportError) as error:
                missing[backend] = "no package" if isinstance(error, ImportError) else "no weights"
                continue
            seen = sum(bool(detector.detect(chair)) for chair in self._chairs())
            rows = measure(backend, detector, people, self.thresholds)
            measurements += [{**row, "on_chairs": seen} for row in rows]
        settings = {k: str(v) if isinstance(v, Path) else v for k, v in asdict(self).items()}
        return {
            "schema": "pose detectors 1",
            "machine": machine.facts("cpu"),
            "settings": settings,
            "missing": missing,
            "measurements": measurements,
        }

    def _people(self) -> Iterator[Person]:
        for seed in range(self.first_seed, self.first_seed + self.count):
            drawn = render_person(seed, [seed % 24], self.size)  # any view
            yield Person(drawn.images[0], drawn.keypoints[0].numpy(), drawn.visible[0].numpy())

    def _chairs(self) -> Iterator[torch.Tensor]:
        for seed in range(self.first_seed, self.first_seed + self.count):
            yield render_views(seed, [Viewpoint(seed * 20 % 360, 10)], self.size)[0]


def measure(
    name: str, detector: BodyDetector, people: list[Person], thresholds: tuple[float, ...]
) -> list[dict[str, Any]]:
    """A row for each threshold."""
    detector.threshold = 0
    begin = time.process_time()
    found = [detector.detect_largest(person.image) for person in people]
    milliseconds = (time.process_time() - begin) * 1000 / len(people)
    errors = np.full((len(people), 18), np.inf)
    scores = np.zeros((len(people), 18))
    for i, (person, one) in enumerate(zip(people, found, strict=True)):
        if one is not None:
            errors[i] = torsos_off(one.keypoints.points, person.joints)
            scores[i] = one.scores
    true = np.stack([person.joints[:, 2] > 0 for person in people])
    visible = np.stack([person.visible for person in people])
    rows = []
    for threshold in thresholds:
        given = (scores > 0) & (scores >= threshold)
        row = {
            "backend": name,
            "threshold": threshold,
            "found": sum(one is not None for one in found),
            "given": share(given, true),
            "milliseconds": milliseconds,
        }
        for a in WITHIN:
            right = given & (errors <= a)
            row[f"pck@{a}"] = share(right, true)
            row[f"pck_visible@{a}"] = share(right, visible)
            row[f"pck_given@{a}"] = share(right, true & given)
            row[f"pck_groups@{a}"] = {
                group: share(right[:, joints], true[:, joints]) for group, joints in GROUPS.items()
            }
        rows.append(row)
    return rows


def torsos_off(
    found: npt.NDArray[np.float32], true: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """(18,) distances of joints (18, 3), in torsos of the person."""
    torso = np.linalg.norm(true[NECK, :2] - true[HIPS, :2].mean(axis=0))
    return np.linalg.norm(found[:, :2] - true[:, :2], axis=1) / torso


def share(right: npt.NDArray[np.bool_], among: npt.NDArray[np.bool_]) -> float:
    return float(right[among].mean())


def table(results: dict[str, Any]) -> str:
    """The measurements as Markdown."""
    count = results["settings"]["count"]
    lines = [COLUMNS]
    for m in results["measurements"]:
        shares = [m[f"{key}@{a}"] for key in ("pck", "pck_visible") for a in WITHIN]
        lines.append(
            (
                *(
                    m["backend"],
                    str(m["threshold"]),
                    f"{m['found']} of {count}",
                    str(m["on_chairs"]),
                ),
                *(f"{value:.3f}" for value in (*shares, m["given"], m["pck_given@0.2"])),
                f"{m['milliseconds']:.0f}",
            )
        )
    groups = [("backend", "threshold", "PCK", *GROUPS)]
    for m in results["measurements"]:
        for a in WITHIN:
            values = (f"{value:.3f}" for value in m[f"pck_groups@{a}"].values())
            groups.append((m["backend"], str(m["threshold"]), f"@{a}", *values))
    missing = [f"{name}: {why}, not measured." for name, why in results["missing"].items()]
    tables = [markdown(rows) for rows in (lines, groups) if len(rows) > 1]
    return "\n\n".join([heading(results), *tables, *missing]) + "\n"


def main() -> None:
    config = tyro.cli(PoseDetectors)
    results = config.run()
    text = table(results)
    if config.out is not None:
        write_results(results, config.out / "pose_detectors.json")
        write_atomically(config.out / "pose_detectors.md", lambda path: path.write_text(text))
    print(text)


if __name__ == "__main__":
    main()
