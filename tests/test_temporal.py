"""The benchmark of flicker, on a walk of a few frames."""

import sys
from pathlib import Path

import numpy as np
import pytest

from rfwarp.poses import Keypoints
from rfwarp.poses.body_detection import BACKENDS

pytest.importorskip("cv2", reason="the warping error needs rfwarp[temporal]")
sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
from temporal import Temporal, noisy, smoothed, table, trembling

from rfwarp.video import VideoReader


def upright() -> Keypoints:
    points = np.ones((18, 3))
    points[:, :2] = np.stack([np.linspace(10, 40, 18), np.linspace(5, 60, 18)], axis=1)
    points[[1, 8, 11], :2] = [[30, 10], [25, 30], [35, 30]]
    return Keypoints(points, 64, 64)


def test_noise_is_in_torsos() -> None:
    rng, pose = np.random.default_rng(0), upright()
    off = np.stack([noisy(pose, 0.1, rng).points - pose.points for _ in range(200)])
    assert off[..., :2].std() == pytest.approx(0.1 * 20, rel=0.05)
    assert np.abs(off[..., :2].mean()) < 0.1


def test_trembling_is_that_of_joints_that_are_there() -> None:
    steady = np.stack([upright().points + np.array([2 * n, 0, 0]) for n in range(5)])
    assert trembling(steady) == pytest.approx(0, abs=1e-5)  # even motion
    jumping = steady.copy()
    jumping[::2, :, 1] += 3
    assert trembling(jumping) == pytest.approx(6, abs=1e-4)
    jumping[:, 1:, 2] = 0
    jumping[:, 0, 1] = 0
    assert trembling(jumping) == pytest.approx(0, abs=1e-4)
    rng = np.random.default_rng(1)
    poses = [noisy(upright(), 0.05, rng) for _ in range(30)]
    rough, calm = (np.stack([p.points for p in x]) for x in (poses, smoothed(poses)))
    assert trembling(calm) < 0.6 * trembling(rough)


def test_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("av", reason="videos need rfwarp[video]")

    def missing(device: str, weights: Path | None) -> None:
        raise FileNotFoundError("no weights here")

    monkeypatch.setitem(BACKENDS, "blazepose", missing)
    settings = Temporal(people=1, frames=4, noise=(0.08,), videos=tmp_path)
    results = settings.run()
    assert results["missing"] == {"blazepose": "no weights here"}
    rows = {(m["poses"], m["smoothed"]): m for m in results["measurements"]}
    assert list(rows) == [(p, s) for p in ("true", "noise 0.08") for s in (False, True)]
    assert rows["true", False]["joints_off"] == 0
    assert rows["noise 0.08", False]["error_truth"] > rows["true", False]["error_truth"] > 0
    assert rows["noise 0.08", False]["psnr"] < rows["true", False]["psnr"]
    text = table(results)
    assert "| noise 0.08 | yes      |" in text
    assert "blazepose was not measured: no weights here" in text
    assert len(list(VideoReader(tmp_path / "noise-0.08-smoothed.mp4"))) == 4
