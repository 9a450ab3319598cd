"""Options and findings of the check of a downloaded dataset."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from rfwarp.files import write_atomically

REPORT = "prepare-report.txt"
Progress = Callable[[int, int], None]


@dataclass
class Report:
    """Findings of a check.

    Attributes:
        usable: numbers of items found, by name, such as ``"train tuples"``.
        problems: a line for each file that is missing or broken.
        unusable: reasons why splits cannot be used; empty if all can.
    """

    usable: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    unusable: list[str] = field(default_factory=list)

    def complain(self, error: object) -> None:
        """Note a problem."""
        self.problems.append(str(error))

    def write(self, path: Path) -> None:
        """Write the report as text, atomically."""
        counts = [f"{count} {name}" for name, count in self.usable.items()]
        lines = [*counts, *self.unusable, f"{len(self.problems)} problems", *self.problems]
        text = "\n".join(lines) + "\n"
        write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


@dataclass(frozen=True)
class Options:
    """Options of a check.

    Attributes:
        sources: K of the tuples.
        seed: decides which tuples are drawn.
        pairs: take the published pairs for tuples of one source, instead of drawing tuples.
        decode: also read every image, not only find it.
        device: torch device for the detection of landmarks.
        detector: backend of :class:`rfwarp.poses.FaceDetector` that detects them.
    """

    sources: int = 2
    seed: int = 0
    pairs: bool = False
    decode: bool = False
    device: str = "cpu"
    detector: str = "face-alignment"

    def __post_init__(self) -> None:
        if self.pairs and self.sources != 1:
            raise ValueError(f"published pairs have one source, but sources is {self.sources}")
