"""The commands and code of the documentation, run page by page as a reader would.

The blocks of a page run in their order in one folder that looks like a clone. A fence's second word
says what does not run as it stands: ``slow`` runs with ``make test-all`` only, ``skip=REASON`` not
at all.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import nbformat
import pytest
from nbclient import NotebookClient

from rfwarp.cli import main

ROOT = Path(__file__).parents[1]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *(ROOT / folder / "README.md" for folder in ("csrc", "benchmarks")),
]
REASONS = {
    "make": "runs these tests itself, or what they test",
    "installs": "changes the environment; tests/test_package.py builds and installs",
    "hours": "takes minutes to hours",
    "data": "needs a dataset that is downloaded by hand",
    "devices": "needs several processors",
    "weights": "needs networks that others publish; tests/poses/test_body_detection.py",
    "server": "needs the app to be served; tests/app runs it",
    "vendoring": "tests/test_vendoring.py runs it",
}
# What takes hours as it stands takes seconds with these, and is otherwise what the page says.
FEWER = {
    ("rfwarp", "train"): (
        "--flow-steps 1 --teacher-steps 0 --steps 1 --cooldown 0 --batch-size 2 --sources 1"
        " --sample-every 0 --workers 0 --precision float32 --data.cache None"
    ),
    ("rfwarp", "evaluate"): "--sets 2",
}
FEWER_SEEDS = "--count 2"  # also, of procedural datasets


class Block(NamedTuple):
    """A fenced block: its page and line, the language, the word after it, and the code."""

    page: Path
    line: int
    language: str
    word: str
    code: str

    @property
    def name(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    found = re.finditer(
        r"^```(sh|bash|console|python)\b *(\S*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL
    )
    return [Block(page, text.count("\n", 0, m.start()) + 1, m[1], m[2], m[3]) for m in found]


ALL = [block for page in PAGES for block in blocks(page)]
SKIPPED = [block for block in ALL if block.word.startswith("skip=")]


def runs(page: Path, words: set[str]) -> bool:
    return any(block.page == page and block.word in words for block in ALL)


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder like a clone, that what is written does not change."""
    for name in ("examples", "benchmarks", "docs", "tests"):
        (tmp_path / name).symlink_to(ROOT / name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run_shell(block: Block) -> None:
    """Lines of rfwarp run in this process, which need not import torch anew; others in a shell."""
    commands = [shlex.split(line, comments=True) for line in block.code.splitlines()]
    if not all(command[:1] == ["rfwarp"] for command in commands if command):
        python = Path(sys.executable).parent
        environment = {**os.environ, "PATH": f"{python}{os.pathsep}{os.environ['PATH']}"}
        subprocess.run(["bash", "-euo", "pipefail", "-c", block.code], env=environment, check=True)
        return
    for command in filter(None, commands):
        fewer = FEWER.get((command[0], command[1]), "").split()
        if command[1] == "evaluate" and "folder" not in command:
            fewer += FEWER_SEEDS.split()
        assert main([*command[1:], *fewer]) == 0, f"{block.name}: {shlex.join(command)}"


def run_page(page: Path, words: set[str]) -> None:
    names: dict[str, Any] = {"__name__": "__main__"}
    for block in (block for block in ALL if block.page == page and block.word in words):
        print(f"{block.name}\n{block.code}")
        if block.language == "python":
            # Numbered as in the page, for tracebacks.
            code = "\n" * block.line + block.code
            exec(compile(code, str(page), "exec"), names)
        else:
            run_shell(block)


LONG = [
    ROOT / "docs/guides" / f"{name}.md"
    for name in ("evaluating", "own-object", "training", "video")
]

PAGES_THAT_RUN = [page for page in PAGES if runs(page, {""})]
PAGES_WITH_SLOW_BLOCKS = [page for page in PAGES if runs(page, {"slow"})]


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def marked(page: Path) -> Any:
    """The page as a parameter, slow if it trains or evaluates for more than ten seconds."""
    return pytest.param(page, id=name_of(page), marks=[pytest.mark.slow] if page in LONG else [])


@pytest.mark.parametrize("page", [marked(page) for page in PAGES_THAT_RUN])
@pytest.mark.usefixtures("clone")
def test_page_runs(page: Path) -> None:
    run_page(page, {""})


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES_WITH_SLOW_BLOCKS, ids=name_of)
@pytest.mark.usefixtures("clone")
def test_page_runs_with_slow_blocks(page: Path) -> None:
    run_page(page, {"", "slow"})


@pytest.mark.parametrize("block", SKIPPED, ids=lambda block: block.name)
def test_skipped_block_says_why(block: Block) -> None:
    reason = block.word.removeprefix("skip=")
    pytest.skip(f"{block.name}: {REASONS[reason]}")


def test_words_of_fences_are_known() -> None:
    unknown = [b.name for b in ALL if b.word not in ("", "slow") and b not in SKIPPED]
    assert not unknown


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_to_files(page: Path) -> None:
    """Links work where the pages are read without being built."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.M | re.S)
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text)
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= 1200


def test_notebook_runs_from_top_to_bottom() -> None:
    """In a kernel of its own, started where its text says."""
    notebook = nbformat.read(ROOT / "examples" / "tour.ipynb", as_version=4)
    folder = {"metadata": {"path": str(ROOT / "examples")}}
    NotebookClient(notebook, timeout=600, kernel_name="python3", resources=folder).execute()
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.outputs for cell in code)
    images = [o for cell in code for o in cell.outputs if "image/png" in o.get("data", {})]
    assert len(images) == 5


def test_notebook_is_stored_without_results() -> None:
    notebook = nbformat.read(ROOT / "examples" / "tour.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells)
