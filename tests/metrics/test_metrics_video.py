"""The warping error in evaluations: of the truth, of flicker, and what a report says of it."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from rfwarp import Generator
from rfwarp.cli import main
from rfwarp.data import ChairTuples, ClipDataset, DataConfig, ProceduralChairs, ProceduralPeople
from rfwarp.data.catalog import DATASETS, dataset_record, open_dataset
from rfwarp.images import from_uint8
from rfwarp.metrics import (
    Evaluation,
    EvaluationConfig,
    MetricNetworks,
    WarpingError,
    evaluate,
)
from rfwarp.poses.kinds import POSE_KINDS

pytest.importorskip("cv2", reason="the warping error needs rfwarp[temporal]")
SIZE, VIDEO = 32, ("warping-error",)


class Replay(Generator):
    """Draws the frames of clips, every second one darker, and the first source in other poses."""

    def __init__(self, people: ProceduralPeople, darker: int) -> None:
        super().__init__(pose_channels=18, pose_kind="keypoints", image_size=SIZE, width=1 / 64)
        self.frames: dict[bytes, Tensor] = {}
        self.used: set[int] = set()
        for clip in people.clips(8, 1):
            for n, (image, code) in enumerate(zip(clip.frames, clip.frame_poses, strict=True)):
                (pose,) = POSE_KINDS["keypoints"].expand(code[None], SIZE, SIZE)
                dark = image.int() - darker * (n % 2)
                self.frames[key(pose)] = from_uint8(dark.clamp(0).to(torch.uint8))

    def forward(self, sources: Tensor, poses: Tensor, targets: Tensor) -> Tensor:
        there = [self.frames.get(key(pose)) for pose in targets]
        if there[0] is not None:
            self.used.add(sources.shape[1])
        return torch.stack([sources[n, 0] if x is None else x for n, x in enumerate(there)])


def key(pose: Tensor) -> bytes:
    return pose.numpy().tobytes()


@pytest.fixture(scope="module")
def people() -> ProceduralPeople:
    return ProceduralPeople(900_000, 2, SIZE, views=4)


def evaluated(people: ProceduralPeople, darker: int) -> list[Evaluation]:
    generator = Replay(people, darker).eval()
    config = EvaluationConfig((1, 2), sets=2, batch_size=5, metrics=VIDEO)
    results = evaluate(generator, people, config)
    assert generator.used == {1, 2}
    return results


def test_the_truth_scores_its_own(people: ProceduralPeople) -> None:
    pairs = [WarpingError.of(clip.frames).errors for clip in people.clips(8, 1)]
    assert [len(errors) for errors in pairs] == [15, 15]
    expected = sum(map(sum, pairs)) / 30
    for result in evaluated(people, 0):
        assert result.video is not None
        assert result.video.warping_error_truth == pytest.approx(expected)
        assert result.video.warping_error == pytest.approx(expected)
        assert result.to_dict()["model"]["warping_error"] == result.video.warping_error


def test_flicker_scores_more(people: ProceduralPeople) -> None:
    for result in evaluated(people, 25):
        scores = result.to_dict()["model"]
        more = scores["warping_error"] - scores["warping_error_truth"]
        assert more == pytest.approx((25 / 255) ** 2, rel=0.1)


def test_only_if_asked_for(people: ProceduralPeople) -> None:
    (result,) = evaluate(Replay(people, 0).eval(), people, EvaluationConfig((1,), sets=1))
    assert result.video is None
    assert "warping_error" not in result.to_dict()["model"]


class Features(nn.Module):
    """A stand-in for Inception, of which nothing is computed."""

    num_features = 8


def test_real_images_that_do_not_fit_are_refused_before_a_video_is_drawn(
    people: ProceduralPeople, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ProceduralPeople, "clips", lambda *_: pytest.fail("drawn"))
    networks = MetricNetworks(inception=Features(), real=[torch.zeros(2, 3, 16, 16).byte()])
    generator = Generator(pose_channels=18, pose_kind="keypoints", width=1 / 64).eval()
    config = EvaluationConfig((1,), sets=2, metrics=VIDEO)
    with pytest.raises(ValueError, match=r"real images must be uint8 \(N, 3, 32, 32\)"):
        evaluate(generator, people, config, networks=networks)


def test_whole_videos_need_as_many_frames_of_motion() -> None:
    frames = torch.zeros(3, 3, 16, 16, dtype=torch.uint8)
    assert WarpingError.of(frames, frames).errors == [0, 0]
    with pytest.raises(ValueError, match="shorter"):
        WarpingError.of(frames, frames[:2])


def test_records_know_who_has_clips() -> None:
    drawn = [name for name in DATASETS if "first_seed" in dataset_record(name).options]
    assert "people" in drawn
    for name in drawn:
        dataset = open_dataset(DataConfig(name, size=64, count=1), "test")
        assert isinstance(dataset, ClipDataset) == dataset_record(name).has_clips


def test_single_images_are_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    message = "warping-error needs consecutive frames, which these datasets have: people; got "
    report = tmp_path / "r.json"
    assert main(["evaluate", "--metrics", *VIDEO, "--json", str(report)]) == 1
    captured = capsys.readouterr()
    assert f"{message}procedural chairs" in captured.err.splitlines()[-1]
    assert captured.out == ""
    assert not report.exists()
    chairs = ChairTuples(ProceduralChairs(900_000, 1, 64))
    generator = Generator(pose_channels=21, width=1 / 64).eval()
    with pytest.raises(ValueError, match=f"{message}ChairTuples"):
        evaluate(generator, chairs, EvaluationConfig((1,), sets=1, metrics=VIDEO))


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A report, a table and a card have it like other scores, and say how it was made."""
    model = Generator(pose_channels=18, pose_kind="keypoints", image_size=64, width=1 / 64)
    card = tmp_path / "model" / "README.md"
    model.save_pretrained(card.parent, "# A model\n\n## Held-out results\n\n## Limits\n\nNone.\n")
    given = ["-w", str(card.parent), "--dataset", "people", "--count", "1", "--sets", "1"]
    report, table = tmp_path / "r.json", tmp_path / "t.md"
    out = ["--json", str(report), "--table", str(table), "--card"]
    assert main(["evaluate", *given, "--sources", "2", "--metrics", *VIDEO, *out]) == 0
    head = capsys.readouterr().out.splitlines()[2]
    assert head.endswith(" warping error truth's warping error")
    written = json.loads(report.read_text())
    scores = written["results"][0]["model"]
    assert scores["warping_error"] > 0
    assert scores["warping_error_truth"] > 0
    assert "opencv" in written["versions"]
    for text in (table.read_text(), card.read_text()):
        assert "| warping error (lower is better) |" in text
        assert "| truth's warping error (to compare with) |" in text
        assert f"| {scores['warping_error']:.6f} | {scores['warping_error_truth']:.6f} |" in text
        assert "videos of 8 clips at most, in their true poses" in text
    assert "type: warping_error\n" in card.read_text()


def test_without_opencv_nothing_is_evaluated(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    given = ["-w", "people-64", "--dataset", "people", "--count", "1", "--sets", "1"]
    assert main(["evaluate", *given, "--metrics", *VIDEO]) == 1
    captured = capsys.readouterr()
    assert 'pip install "rfwarp[temporal]"' in captured.err.splitlines()[-1]
    assert captured.out == ""
