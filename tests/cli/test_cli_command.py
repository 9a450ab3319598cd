"""The command itself: help, versions, mistyped options, ``rfwarp info``."""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import rfwarp
import rfwarp_cuda
from rfwarp import Generator
from rfwarp.cli import main

SUBCOMMANDS = (
    *("generate", "animate", "train", "evaluate", "experiment", "pose", "render-chairs", "app"),
    "info",
)

Refused = Callable[..., str]


@pytest.mark.parametrize("subcommand", [[], *([name] for name in SUBCOMMANDS)])
def test_help(subcommand: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main([*subcommand, "--help"])
    assert exit_.value.code == 0
    shown = capsys.readouterr().out
    assert f"usage: rfwarp{' ' if subcommand else ''}{''.join(subcommand)}" in shown
    if not subcommand:
        assert all(name in shown for name in SUBCOMMANDS)


def test_help_does_not_wait_for_torch() -> None:
    program = """
import sys, rfwarp.cli
for subcommand in sys.argv[1:]:
    try:
        rfwarp.cli.main([subcommand, "--help"])
    except SystemExit:
        pass
    if heavy := {"torch", "numpy", "PIL", "torchmetrics", "accelerate"} & set(sys.modules):
        sys.exit(f"{subcommand} imported {heavy}")
"""
    subcommands = ("generate", "animate", "train", "evaluate", "prepare", "pose")
    done = subprocess.run(
        [sys.executable, "-c", program, *subcommands], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_version() -> None:
    command = [sys.executable, "-m", "rfwarp", "--version"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, f"rfwarp {rfwarp.__version__}\n")


@pytest.mark.parametrize(
    "arguments", [[], ["generat"], ["generate", "--scael", "2"], ["evaluate", "--sets", "many"]]
)
def test_what_cannot_be_parsed_is_a_usage_error(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    assert exit_.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "Traceback" not in captured.err


def test_debug_shows_where_an_error_comes_from(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["generate", "-s", "none_000_10.png", "-t", "40:10", "-o", "x.png", "-w", "nope"]
    said = []
    with monkeypatch.context() as patch:
        patch.setattr(logging.getLogger(), "handlers", [])  # without pytest's, it logs to stderr
        for verbosity in ("", "debug"):
            patch.setenv("RFWARP_VERBOSITY", verbosity)
            assert main(arguments) == 1
            said.append(capsys.readouterr().err)
    quiet, loud = said
    assert quiet.count("\n") == 1
    assert "Traceback" in loud
    assert loud.endswith(quiet)


def test_unknown_verbosity(refused: Refused, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RFWARP_VERBOSITY", "loud")
    assert "must be one of debug, info, warning, error, got 'loud'" in refused("info")


def test_short_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-V"]) == 0
    assert capsys.readouterr().out == f"rfwarp {rfwarp.__version__}\n"
    assert main(["-v", "info"]) == 0
    talkative = capsys.readouterr().out
    assert main(["info"]) == 0
    assert capsys.readouterr().out == talkative
    arguments = ("generate", "-s", "none_000_10.png", "-t", "40:10", "-o", "x.tiff")
    assert main(["-v", *arguments]) == 2


def test_empty_verbosity_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RFWARP_VERBOSITY", "")
    assert main(["info"]) == 0


def test_files_are_named_without_numbers_of_errors(refused: Refused, tmp_path: Path) -> None:
    given = ["--jobs", tmp_path / "jobs.csv", "-o", tmp_path / "out"]
    (tmp_path / "jobs.csv").mkdir()
    assert "Errno" not in refused("generate", *given, status=1)
    config = tmp_path / "config"
    config.mkdir()
    message = refused("train", "--config", config, "--out", tmp_path / "run", status=1)
    assert "Errno" not in message


@pytest.mark.parametrize("unbuffered", ["", "1"])  # the pipe breaks at the end, or at once
def test_a_reader_that_leaves_is_no_error(unbuffered: str) -> None:
    program = [sys.executable, "-m", "rfwarp", "info"]
    environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
    with subprocess.Popen(
        program, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as run:
        assert run.stdout is not None
        assert run.stderr is not None
        run.stdout.close()
        assert run.stderr.read() == ""
    assert run.returncode == 1


def test_info(model: Path, monkeypatch: pytest.MonkeyPatch, capsys: object) -> None:
    assert isinstance(capsys, pytest.CaptureFixture)
    monkeypatch.setattr("rfwarp.pretrained.BUNDLED", model.parent)
    assert main(["info", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    backend = rfwarp.ops.backend()
    assert (facts["rfwarp"], facts["torch"]) == (rfwarp.__version__, torch.__version__)
    operators = facts["operators"]
    assert (operators["backend"], operators["cpu"]) == (backend.name, backend.cpu._asdict())
    assert operators["cuda"] == backend.cuda._asdict()
    assert operators["build"] == rfwarp_cuda.build_info()
    assert facts["devices"][0]["name"] == "cpu"
    expected = sum(p.numel() for p in Generator.from_pretrained(model).parameters())
    (bundled,) = facts["models"]
    assert (bundled["name"], bundled["parameters"]) == ("viewpoints", expected)
    assert main(["info"]) == 0
    shown = capsys.readouterr().out
    assert f"viewpoints: {expected:,} parameters" in shown
    assert f"cpu tensors: {backend.cpu.kind}, {backend.cpu.reason}" in shown
    assert f"cuda tensors: {backend.cuda.kind}, {backend.cuda.reason}" in shown
