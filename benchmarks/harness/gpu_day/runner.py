"""Runs tasks one after another, each a process with a limit, and keeps what came of them."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.warp.report import read_results
from rfwarp.files import write_atomically

SCHEMA = "gpu_day 1"
TAIL = 4000  # characters of output that the report keeps of a task that did not pass
LEAST = 20.0  # seconds, with less of its step's time left a task is not started

Facts = dict[str, Any]


@dataclass(frozen=True)
class Task:
    """One process.

    Attributes:
        step: the step it belongs to, by number.
        name: unique.
        command: program and arguments; it passes if it exits with 0.
        seconds: after which it is ended.
        read: what its output says, as JSON-able values; of one that was ended too.
        environment: variables besides those of this process.
        tool: a program without which it is skipped.
        after: the task without whose passing it is skipped.
    """

    step: int
    name: str
    command: Sequence[str]
    seconds: float
    read: Callable[[str], Facts] = lambda output: {}
    environment: Mapping[str, str] = field(default_factory=dict)
    tool: str | None = None
    after: str | None = None


class Day:
    """The results so far, in ``report.json`` of a folder. A task that has one is not run again.

    Args:
        folder: of the report; made with the first result.
        identity: on what the results depend: card, versions, sources.

    Raises:
        ValueError: if the folder has results of something else, or its report is none.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any]) -> None:
        self.file = folder / "report.json"
        self.report: dict[str, Any] = {"schema": SCHEMA, "machine": dict(identity), "tasks": {}}
        if self.file.exists():
            before = read_results(self.file, SCHEMA)
            for key, value in self.report["machine"].items():
                if before["machine"].get(key) != value:
                    raise ValueError(
                        f"{self.file} is of {key} {before['machine'].get(key)}, this is {value}:"
                        " give another --out"
                    )
            self.report = before

    @property
    def results(self) -> dict[str, Facts]:
        """By task, in the order in which they were run."""
        return self.report["tasks"]

    def run(self, tasks: Sequence[Task], step_seconds: float) -> None:
        """Run all tasks of a step that have no result; what is skipped is tried anew next time."""
        start = time.monotonic()
        for task in tasks:
            if self.results.get(task.name, {"state": "skipped"})["state"] != "skipped":
                continue
            left = step_seconds - (time.monotonic() - start)
            result = self._skipped(task, left, step_seconds) or execute(task, left)
            self.results[task.name] = {"step": task.step, **result}
            self.write()
            print(summary(task.name, result), flush=True)

    def _skipped(self, task: Task, left: float, step_seconds: float) -> Facts | None:
        reason = None
        if task.tool is not None and shutil.which(task.tool) is None:
            reason = f"there is no {task.tool}"
        elif task.after and self.results.get(task.after, {}).get("state") != "passed":
            reason = f"{task.after} did not pass"
        elif left < LEAST:
            reason = f"the {step_seconds:g} s of its step are spent"
        return reason and {"state": "skipped", "reason": reason}

    def write(self) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self.report, indent=1) + "\n"
        write_atomically(self.file, lambda path: path.write_text(text))


def execute(task: Task, seconds_left: float) -> Facts:
    """The result of a task: state, seconds, what its output says, and the end of that output."""
    limit = min(task.seconds, seconds_left)
    start = time.monotonic()
    with tempfile.TemporaryFile("w+", errors="replace") as output:
        # A group of its own, so that whatever it starts can be ended with it.
        process = subprocess.Popen(
            list(task.command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **task.environment},
            preexec_fn=os.setpgrp,
        )
        try:
            code = process.wait(limit)
            state, reason = ("passed", None) if code == 0 else ("failed", f"exit status {code}")
        except subprocess.TimeoutExpired:
            state, reason = "timed out", f"ended after {limit:.0f} s"
        finally:
            _end(process)
        output.seek(0)
        text = output.read()
    result: Facts = {"state": state, "seconds": round(time.monotonic() - start, 1)}
    if reason:
        result |= {"reason": reason, "tail": text[-TAIL:]}
    return {**result, "command": list(task.command), "facts": task.read(text)}


def _end(process: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):  # all of the group are gone
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def summary(name: str, result: Facts) -> str:
    """One line about a result."""
    seconds = f" in {result['seconds']} s" if "seconds" in result else ""
    reason = f": {result['reason']}" if result.get("reason") else ""
    return f"{name}: {result['state']}{seconds}{reason}"


def end_with_children_when_terminated() -> None:
    """Make SIGTERM end the running task too."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
