"""Options that a command must pass on, which its results alone do not show."""

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from test_voxceleb import points, write_videos

from rfwarp.cli import main
from rfwarp.poses.face_detection import BACKENDS

Array = npt.NDArray[np.float64]


@pytest.mark.parametrize("name", BACKENDS)
def test_prepare_detects_with_the_detector_asked_for(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[str, str, Path | None]] = []

    def stand_in(backend: str) -> Callable[[str, Path | None], object]:
        def opened(device: str, weights: Path | None) -> Callable[[Image.Image], list[Array]]:
            made.append((backend, device, weights))
            return lambda image: [points(20)]

        return opened

    for backend in BACKENDS:
        monkeypatch.setitem(BACKENDS, backend, stand_in(backend))
    for split in ("train", "test"):
        write_videos(tmp_path, split, landmarks=False)
    given = ["prepare", "voxceleb2", "--root", str(tmp_path), "--device", "cpu"]
    assert main([*given, "--detector", name]) == 0
    assert made == [(name, "cpu", None)] * 2  # one for each split


def test_verbose_commands_say_what_they_compute_in(
    model: Path,
    sources: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # without pytest's, it logs to stderr
    given = ["generate", "-s", *sources, "-t", "40:10", "-w", str(model), "--device", "cpu"]
    given += ["--precision", "float32", "-o", str(tmp_path / "x.png")]
    said = "computing in float32 on cpu\n"
    assert main(given) == 0
    assert said not in capsys.readouterr().err
    assert main(["-v", *given]) == 0
    assert said in capsys.readouterr().err
