"""``rfwarp prepare``"""

from pathlib import Path

import pytest
from test_cli_chairs import Refused
from test_person_photos import JACKETS, write_people

from rfwarp.cli import main
from rfwarp.data.deepfashion import DEEPFASHION


@pytest.fixture
def fashion(tmp_path: Path) -> Path:
    for split in ("train", "test"):
        write_people(tmp_path, DEEPFASHION, JACKETS, split)
    return tmp_path


def test_prepare_writes_tuples_and_a_report(
    fashion: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (fashion / "test" / JACKETS[0]).unlink()
    given = ["prepare", "deepfashion", "--root", str(fashion), "--sources", "1", "--decode"]
    assert main(given) == 0
    shown = capsys.readouterr().out
    assert "       12 train tuples of 1 sources\n" in shown
    assert "        8 test tuples of 1 sources\n" in shown
    assert f"        1 problems, see {fashion / 'prepare-report.txt'}\n" in shown
    report = (fashion / "prepare-report.txt").read_text().splitlines()
    assert report[-1] == f"{fashion / 'test' / JACKETS[0]} is missing"
    first = (fashion / "deepfashion-train-1.csv").read_bytes()
    assert main(given) == 0
    assert (fashion / "deepfashion-train-1.csv").read_bytes() == first


def test_unusable_downloads_fail(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prepare", "kitti", "--root", str(tmp_path)]) == 1
    shown = capsys.readouterr()
    assert "       11 problems, see" in shown.out
    assert "train: 9 of its sequences or images are missing or broken" in shown.err
    assert len((tmp_path / "prepare-report.txt").read_text().splitlines()) > 11


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--sources", "0"], 2, "--sources must be at least 1"),
        (["--pairs"], 2, "--pairs needs --sources 1"),
        (["--seed", "-1"], 2, "--seed must be at least 0"),
        (["--root", "nowhere"], 1, "there is no folder nowhere"),
    ],
)
def test_wrong_arguments(
    arguments: list[str], status: int, message: str, tmp_path: Path, refused: Refused
) -> None:
    given = ["prepare", "deepfashion", "--root", tmp_path, *arguments]
    assert message in refused(*given, status=status)
