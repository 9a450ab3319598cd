"""Lays out the operators as a project of the Hugging Face kernel hub, for kernel-builder.

    python packaging/kernel_hub.py FOLDER

``packaging/kernel-hub`` has what is written for the hub alone; all else is copied from here, so
that nothing is kept twice. In FOLDER, ``nix run .#build-and-copy`` or kernel-builder's container
then builds the variants; docs/guides/packaging.md says what of that was tried.
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HUB = ROOT / "packaging" / "kernel-hub"
# The hub imports packages from anywhere, so that they must not know their own name.
RELATIVE = (
    (r"^from rfwarp\.ops import", "from . import"),
    (r"^from rfwarp\.ops\.(\w+) import", r"from .\1 import"),
    (r"^from rfwarp\.deprecation import", "from .deprecation import"),
    (r"^from rfwarp_cuda import", "from .rfwarp_cuda import"),
    (r"^import rfwarp_cuda$", "from . import rfwarp_cuda"),
)


def lay_out(folder: Path) -> None:
    """Write the project into a folder that is empty or does not exist.

    Raises:
        SystemExit: if there is something in it.
    """
    if folder.exists() and any(folder.iterdir()):
        sys.exit(f"{folder}: expected a new or an empty folder")
    shutil.copytree(HUB, folder, dirs_exist_ok=True)
    shutil.copy(ROOT / "LICENSE", folder)
    for source in sorted((ROOT / "csrc").rglob("*")):
        if source.suffix in (".h", ".cpp", ".cu") and source.stem not in ("module", "information"):
            copy = folder / source.relative_to(ROOT)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, copy)
    package = folder / "torch-ext" / "rfwarp"
    for module in (*sorted((ROOT / "rfwarp" / "ops").glob("*.py")), ROOT / "rfwarp/deprecation.py"):
        code = module.read_text(encoding="utf-8")
        for pattern, relative in RELATIVE:
            code = re.sub(pattern, relative, code, flags=re.MULTILINE)
        (package / module.name).write_text(code, encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("expected one folder: python packaging/kernel_hub.py FOLDER")
    lay_out(Path(sys.argv[1]))
