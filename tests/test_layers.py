"""The table of layers in CONTRIBUTING.md: each imports only those above it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE_ITSELF = {"__init__", "__main__"}


def layers() -> list[str]:
    """The first column, from the top and from the left: ``ops`` for ``rfwarp/ops``."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (`.*?`) \|", text, re.MULTILINE)
    names = re.findall("`(?:rfwarp/)?(.*?)(?:[.]py)?`", "".join(rows))
    return names[: names.index("tests")]


def modules() -> Iterator[tuple[str, Path]]:
    """Every module with its layer."""
    for path in (ROOT / "rfwarp").rglob("*.py"):
        layer = path.relative_to(ROOT / "rfwarp").parts[0].removesuffix(".py")
        if layer not in PACKAGE_ITSELF:
            yield layer, path
    for path in (ROOT / "rfwarp_cuda").rglob("*.py"):
        yield "rfwarp_cuda", path


def imported(path: Path) -> Iterator[str]:
    """What a module imports of ours, at its top or later, ``ops.functional`` for one of ``ops``."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path} names what it imports by its place"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            if name.startswith(("rfwarp.", "rfwarp_cuda")):
                yield name.removeprefix("rfwarp.")


def test_every_module_has_a_layer() -> None:
    known = layers()
    assert len(known) == len(set(known))
    assert set(known) - {"csrc"} == {layer for layer, _ in modules()}


def test_each_layer_imports_only_those_above_it() -> None:
    known, found = layers(), 0
    for layer, path in modules():
        below = known[known.index(layer) + 1 :]
        for name in imported(path):
            assert name.split(".")[0] not in below, f"{path} imports {name}"
            found += 1
    assert found > 500
