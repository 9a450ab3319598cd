"""``rfwarp render-faces``."""

from collections.abc import Callable
from pathlib import Path

import pytest

from rfwarp.cli import main
from rfwarp.data import write_faces_folder

Refused = Callable[..., str]


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_render_faces_writes_the_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["--count", "2", "--first-seed", "900001", "--size", "32", "--views", "2"]
    assert main(["render-faces", "-o", str(tmp_path / "cli"), *given]) == 0
    assert "wrote 2 faces to" in capsys.readouterr().out
    write_faces_folder(tmp_path / "api", 2, 32, 900_001, views=2)
    written = files(tmp_path / "cli")
    assert written == files(tmp_path / "api")
    assert len(written) == 8


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--count", "0"], "--count and --views must be at least 1"),
        (["--views", "0"], "--count and --views must be at least 1"),
        (["--size", "0"], "--size must lie in 1..4096, got 0"),
        (["--first-seed", "-1"], "--first-seed at least 0"),
    ],
)
def test_render_faces_refuses_bad_arguments(
    arguments: list[str], message: str, tmp_path: Path, refused: Refused
) -> None:
    assert message in refused("render-faces", "--out", tmp_path / "out", *arguments)
    assert list(tmp_path.iterdir()) == []


def test_render_faces_needs_a_folder(tmp_path: Path, refused: Refused) -> None:
    (tmp_path / "file").write_text("")
    message = refused("render-faces", "--out", tmp_path / "file", status=1)
    assert "exists and is no folder" in message
