"""A new dataset: it needs no more than is written in this module.

Training, evaluation, model cards and preparation know it by its record alone.
"""

import json
from pathlib import Path

import pytest
import torch

from rfwarp.cli import main
from rfwarp.data.catalog import DATASETS, DatasetRecord
from rfwarp.data.paper_results import PAPER, results_of
from rfwarp.data.sampling import sample_view_sets
from rfwarp.data.tuples import Sample
from rfwarp.poses import Viewpoint

# ---------------------------------------------------------------- the dataset

VIEWS = 6


class Gradients:
    """Squares of one colour each, brighter from view to view: image c * VIEWS + v is colour c."""

    pose_kind, height, width, max_sources = Viewpoint.kind, 64, 64, VIEWS - 1

    def __init__(self, colours: range) -> None:
        self.colours = colours

    def draw(self, seed, step, batch_size, sources):
        count = len(self.colours)
        return sample_view_sets(seed, step, batch_size, sources, count, range(VIEWS)).rows(VIEWS)

    def evaluation_rows(self, seed, count, sources):
        return self.draw(seed, 0, count, sources)

    def load(self, row):
        images = torch.stack([self._image(*divmod(number, VIEWS)) for number in row])
        codes = Viewpoint.codes()[[number % VIEWS for number in row]]
        return Sample(images[:-1], codes[:-1], images[-1], codes[-1])

    def _image(self, colour: int, view: int):
        shade = torch.tensor([self.colours[colour] * 20, 100, view * 40], dtype=torch.uint8)
        return shade[:, None, None].expand(3, self.height, self.width)


def prepare_gradients(root, split, options, report, progress) -> None:
    report.usable[f"{split} colours"] = len(list(root.iterdir()))


RECORD = DatasetRecord(
    name="gradients",
    title="gradients of colour",
    open=lambda config, split: Gradients(range(4, 6) if split == "test" else range(4)),
    options=("root",),
    pose_kind=Gradients.pose_kind,
    max_sources=Gradients.max_sources,
    description="Squares of {size} pixels.",
    limits="It knows squares.",
    tag="novel-view-synthesis",
    image_files="none",
    origins=("https://example.org/gradients",),
    prepare=prepare_gradients,
    paper_results=results_of("Table 0", (1, PAPER, 1.5, 0.25)),
)

# ---------------------------------------------------------------- what it gets


@pytest.fixture(autouse=True)
def _known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DATASETS, RECORD.name, RECORD)


@pytest.mark.slow
def test_it_is_trained_on_evaluated_and_described(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("accelerate")
    run, report = tmp_path / "run", tmp_path / "report.json"
    data = ["--data.name", "gradients", "--data.root", str(tmp_path), "--sources", "1", "2"]
    small = [
        "--network.width",
        "0.015625",
        "--batch-size",
        "1",
        "--workers",
        "0",
        "--device",
        "cpu",
    ]
    short = ["--flow-steps", "1", "--steps", "1", "--sample-every", "1", "--precision", "float32"]
    plain = ["--features", "oriented-pyramid", "--weights.adversarial", "0"]
    assert main(["train", "--out", str(run), *data, *small, *short, *plain]) == 0
    card = run / "model" / "README.md"
    text = card.read_text()
    assert text.startswith("---\nlibrary_name: rfwarp\nlicense: other\n")
    assert "# rfwarp generator, gradients of colour at 64 x 64\n" in text
    assert "Squares of 64 x 64 pixels. Source: https://example.org/gradients\n" in text
    assert text.endswith("## Limits\n\nIt knows squares.\n")

    given = ["-w", str(run / "model"), "--dataset", "gradients", "--root", str(tmp_path)]
    assert main(["evaluate", *given, "--sources", "1", "5", "--json", str(report), "--card"]) == 0
    shown = capsys.readouterr().out
    assert "256 sets of images of gradients." in shown
    assert "the paper, Table 0" in shown
    facts = json.loads(report.read_text())
    assert facts["dataset"] == {"name": "gradients", "size": 64}
    assert facts["protocol"] == {"sets": "drawn", "images": "none, resized by Lanczos"}
    text = card.read_text()
    for result in facts["results"]:
        assert f"| {result['sources']} | model | {result['model']['psnr']:.2f} |" in text


def test_it_is_prepared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "red").mkdir()
    assert main(["prepare", "gradients", "--root", str(tmp_path)]) == 0
    assert "        1 train colours\n        1 test colours\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["prepare", "gradients", "--root", "nowhere"],
            "get it from https://example.org/gradients",
        ),
        (
            ["evaluate", "--dataset", "gradients"],
            "gradients needs root, the folder of its files",
        ),
        (["evaluate", "--dataset", "gradients", "--align"], "gradients has no align"),
        (["evaluate", "--dataset", "gradients", "--sources", "6"], "at most 5 of gradients of"),
        (["evaluate", "--dataset", "gradient"], "voxceleb2, folder, gradients"),
    ],
)
def test_what_it_has_not_is_refused(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 1
    assert message in capsys.readouterr().err


def test_procedural_datasets_need_no_preparation(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prepare", "people", "--root", "."]) == 1
    assert "procedural people need no preparation" in capsys.readouterr().err
