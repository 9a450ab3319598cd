"""Reads the command line, runs a subcommand, and turns what goes wrong into a line and a status.

Nothing here, nor the modules of the subcommands, imports torch before a subcommand runs: ``--help``
and mistyped options answer at once.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from typing import Annotated, TypeAlias, TypeGuard

import tyro
from tyro.conf import FlagCreatePairsOff, subcommand

import rfwarp
from rfwarp.cli.animate import Animate
from rfwarp.cli.app import App
from rfwarp.cli.arguments import UsageError
from rfwarp.cli.evaluate import Evaluate
from rfwarp.cli.experiment import Experiment
from rfwarp.cli.export import Export
from rfwarp.cli.generate import Generate
from rfwarp.cli.info import Info
from rfwarp.cli.pose import Pose
from rfwarp.cli.prepare import Prepare
from rfwarp.cli.render_chairs import RenderChairs
from rfwarp.cli.render_faces import RenderFaces
from rfwarp.cli.render_people import RenderPeople
from rfwarp.cli.render_streets import RenderStreets
from rfwarp.cli.train import Train, configured
from rfwarp.memory import is_out_of_memory

logger = logging.getLogger(__name__)

Command: TypeAlias = (
    Annotated[Generate, subcommand("generate")]
    | Annotated[Animate, subcommand("animate")]
    | Annotated[Train, subcommand("train")]
    | Annotated[Evaluate, subcommand("evaluate")]
    | Annotated[Export, subcommand("export")]
    | Annotated[Experiment, subcommand("experiment")]
    | Annotated[Prepare, subcommand("prepare")]
    | Annotated[Pose, subcommand("pose")]
    | Annotated[RenderChairs, subcommand("render-chairs")]
    | Annotated[RenderPeople, subcommand("render-people")]
    | Annotated[RenderFaces, subcommand("render-faces")]
    | Annotated[RenderStreets, subcommand("render-streets")]
    | Annotated[App, subcommand("app")]
    | Annotated[Info, subcommand("info")]
)

DESCRIPTION = """New images of something from several images of it.

For example: rfwarp generate -s CHAIR_000_10.png CHAIR_080_10.png --target 40:10 -o new.png

Options of a subcommand: rfwarp SUBCOMMAND --help. Version: rfwarp -V or --version.

rfwarp -v SUBCOMMAND says more. The environment variable RFWARP_VERBOSITY (debug, info, warning, \
error) sets how much is logged; debug also shows where an error comes from."""

FAILED, MISUSED, INTERRUPTED = 1, 2, 130
VERBOSITIES = ("debug", "info", "warning", "error")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Args:
        arguments: what follows ``rfwarp``; None takes them from the command line.

    Returns:
        The exit status: 0 done, 1 failed, 2 wrong arguments, 130 interrupted.

    Raises:
        SystemExit: after ``--help`` (0), or if the arguments cannot be parsed (2).
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    if list(arguments) in (["--version"], ["-V"]):
        print(f"rfwarp {rfwarp.__version__}")
        return 0
    verbose = list(arguments[:1]) == ["-v"]
    arguments = arguments[verbose:]
    try:
        _configure_logging("info" if verbose else os.environ.get("RFWARP_VERBOSITY") or "warning")
        command = _parse(arguments)
        command.run()
        sys.stdout.flush()  # here, where a reader that has left can still be dealt with
    except UsageError as error:
        return _complain(error, MISUSED)
    except BrokenPipeError:  # whoever read our output, such as head, has had enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except (OSError, ValueError, TypeError, ImportError, ArithmeticError, MemoryError) as error:
        # What the library documents to raise for files and values that it cannot work with.
        return _complain(error, FAILED)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return _complain(MemoryError(f"out of memory: {error}"), FAILED)
    except KeyboardInterrupt as error:
        advice = f": {error}" if str(error) else ""
        print(f"rfwarp: interrupted{advice}", file=sys.stderr)
        return INTERRUPTED
    return 0


def _parse(arguments: Sequence[str]) -> Command:
    try:
        return tyro.cli(
            Command,
            prog="rfwarp",
            description=DESCRIPTION,
            args=list(arguments),
            default=configured(list(arguments)),
            config=(FlagCreatePairsOff,),
        )
    except ValueError as error:  # options that parse, but refuse each other or their value
        raise UsageError(error) from error


def _configure_logging(verbosity: str) -> None:
    verbosity = verbosity.lower()
    if verbosity not in VERBOSITIES:
        raise UsageError(
            f"RFWARP_VERBOSITY must be one of {', '.join(VERBOSITIES)}, got {verbosity!r}"
        )
    logging.basicConfig(format="%(name)s: %(levelname)s: %(message)s")
    logging.getLogger("rfwarp").setLevel(verbosity.upper())
    # Those of NumPy, PyTorch and others are for developers.
    logging.captureWarnings(True)
    talkative = verbosity in ("debug", "info")
    logging.getLogger("py.warnings").setLevel("WARNING" if talkative else "ERROR")


def _complain(error: Exception, status: int) -> int:
    logger.debug("traceback of the error", exc_info=error)
    text = f"{error.filename}: {error.strerror}" if _names_file(error) else str(error)
    message = " ".join(text.split()) or type(error).__name__
    print(f"rfwarp: error: {message}", file=sys.stderr)
    return status


def _names_file(error: Exception) -> TypeGuard[OSError]:
    return isinstance(error, OSError) and None not in (error.filename, error.strerror)
