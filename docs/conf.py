"""Settings of the documentation: ``make docs`` builds it, warnings are errors."""

from __future__ import annotations

import os
import re
from contextlib import redirect_stdout, suppress
from io import StringIO

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

import rfwarp
from rfwarp.cli import main

project = "rfwarp"
author = "The rfwarp authors"
copyright = "The rfwarp authors, Apache-2.0"
version = release = rfwarp.__version__

extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "myst_parser"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
napoleon_custom_sections = [("Convention", "notes_style")]
napoleon_numpy_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
python_use_unqualified_type_names = True

nitpicky = True
# Other projects' objects: their documentation is not fetched, as the build runs offline.
nitpick_ignore_regex = [
    ("py:obj", r".*"),  # words in single backticks
    (
        "py:.*",
        r"(torch|numpy|np|PIL|os|pathlib|collections|typing|zipfile|annotated_types|re|fractions)\..*|Tensor|Fraction|Path|Image\.Image|(tuple|list)\[.*",
    ),
    # Type aliases, which the signatures spell out.
    ("py:class", r"(PoseLike|ImageSize|ImageLike|PoseText|Row|Part)"),
    # Metadata of annotated types: texts, and bounds that are fractions.
    ("py:class", r"Doc|[0-9.]+"),
    # Names that are not part of the reference.
    ("py:.*", r"rfwarp\.(metrics|data|nn)\.[a-z_]+\..*"),
    ("py:.*", r"Config|LevelScores|People|person_bytes|TupleDataset\..*|PoseKind\..*|parse_[a-z]+"),
    ("py:class", r"Split|Options|Report|Progress|PaperResult|rfwarp\.training\.[a-z_]+\.(Run|T)"),
    ("py:class", r"DatasetRecord"),
    ("py:.*", r"rfwarp\.poses\.(kinds|keypoints|POSE_KINDS).*|rfwarp\.data\.TupleDataset"),
]
suppress_warnings = ["ref.python"]  # words in single backticks that several classes know

html_theme = "furo"
html_title = f"rfwarp {version}"
html_show_sphinx = False


class CommandHelp(SphinxDirective):
    """``{command-help} train`` is what ``rfwarp train --help`` prints."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        os.environ["COLUMNS"] = "100"
        with redirect_stdout(StringIO()) as text, suppress(SystemExit):
            main([self.arguments[0], "--help"])
        return [nodes.literal_block(text.getvalue(), text.getvalue(), language="none")]


def setup(app: Sphinx) -> None:
    app.add_directive("command-help", CommandHelp)
    app.connect("source-read", link_files)
    app.connect("autodoc-process-docstring", read_literally, priority=1)


def read_literally(
    app: object, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Escape text that reads well in the code but means something else to Sphinx."""
    if lines and lines[0].startswith("Alias for field number"):
        lines.clear()
    if lines and what in ("attribute", "data", "property"):
        lines[0] = f":{lines[0]}"  # or what precedes a colon counts as the type
    lines[:] = [line.replace("*code", r"\*code") for line in lines]  # no emphasis


def link_files(app: object, name: str, source: list[str]) -> None:
    """Links to Markdown files outside of the documentation, which are not pages of it."""
    up = "../" * (name.count("/") + 1)
    source[0] = re.sub(rf"\]\(({re.escape(up)}[^)#]*\.md)(#[^)]*)?\)", r"](path:\1)", source[0])
