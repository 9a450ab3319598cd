"""``rfwarp render-people``."""

from collections.abc import Callable
from pathlib import Path

import pytest

from rfwarp.cli import main
from rfwarp.data import write_people_folder

Refused = Callable[..., str]


def test_render_people_writes_the_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--count", "2", "--first-seed", "900001", "--size", "32", "--width", "16"]
    out = tmp_path / "cli"
    assert main(["render-people", "-o", str(out), *given, "--views", "2"]) == 0
    assert "wrote 2 people to" in capsys.readouterr().out
    write_people_folder(tmp_path / "api", 2, (32, 16), 900_001, views=2)
    written = {path.name: path.read_bytes() for path in out.iterdir()}
    assert written == {path.name: path.read_bytes() for path in (tmp_path / "api").iterdir()}
    assert len(written) == 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--count", "0"], "--count and --views must be at least 1"),
        (["--views", "0"], "--count and --views must be at least 1"),
        (["--size", "0"], "--size must lie in 1..4096, got 0"),
        (["--width", "5000"], "--width must lie in 1..4096, got 5000"),
        (["--first-seed", "-1"], "--first-seed at least 0"),
    ],
)
def test_render_people_refuses_bad_arguments(
    arguments: list[str], message: str, tmp_path: Path, refused: Refused
) -> None:
    assert message in refused("render-people", "--out", tmp_path / "out", *arguments)
    assert list(tmp_path.iterdir()) == []


def test_render_people_needs_a_folder(tmp_path: Path, refused: Refused) -> None:
    (tmp_path / "file").write_text("")
    message = refused("render-people", "--out", tmp_path / "file", status=1)
    assert "exists and is no folder" in message
