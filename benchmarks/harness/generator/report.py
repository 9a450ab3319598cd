"""Tables and plots of the generator's benchmark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from harness.generator.profile import KINDS, PARTS
from harness.warp.report import heading, markdown
from rfwarp.files import write_atomically

ORDER = (
    *("eager", "compile", "compile, max-autotune", "compile, freezing, our form"),
    *("ONNX Runtime, plain", "OpenVINO, plain", "ONNX Runtime, our form", "OpenVINO, our form"),
    *("ONNX Runtime, int8", "OpenVINO, int8", "rfwarp, torch", "rfwarp"),
)


def render(results: Mapping[str, Any], folder: Path | None) -> str:
    """The tables, as Markdown; with a folder, they and the plots are written there too."""
    parts = [heading(results), times(results)]
    if any("psnr" in m for m in results["measurements"]):
        parts += ["A star: other processes ran meanwhile. Each by its time:", rivals(results)]
    if "first_calls" in results:
        parts += ["One image in a process of its own:", first_calls(results)]
    parts += ["Where the time of one image goes, ms:", shares(results)]
    text = "\n\n".join(parts) + "\n"
    if folder is not None:
        write_atomically(folder / "generator.md", lambda path: path.write_text(text))
        _write(_bars(results), folder / "generator.png")
        _write(_profile(results), folder / "generator-profile.png")
    return text


def times(results: Mapping[str, Any]) -> str:
    """Milliseconds per image, and how many times as long as rfwarp others take.

    A star: other processes ran meanwhile.
    """
    found = results["measurements"]
    names = [name for name in ORDER if any(name in m["kinds"] for m in found)]
    others = [name for name in names if name != "rfwarp"]
    lines = [
        ["job", "N", "K", "type", *(f"{n} ms" for n in names), *(f"x {n}" for n in others), "error"]
    ]
    for m in found:
        case, by = m["case"], medians(m)
        star = "*" if m["invalid"] else ""
        cells = [f"{by[n]:.4g}{star}" if n in by else "" for n in names]
        ratios = [f"{by[n] / by['rfwarp']:.2f}" if n in by else "" for n in others]
        what = [case["job"], str(case["n"]), str(case["k"]), case["dtype"]]
        lines.append([*what, *cells, *ratios, f"{m['errors']['rfwarp']:.1g}"])
    return markdown(lines)


def rivals(results: Mapping[str, Any]) -> str:
    """Each candidate of each case with its time and the error of its images, fastest first."""
    lines = [["job", "N", "K", "type", "which", "ms", "x rfwarp", "PSNR to float64, dB"]]
    for m in results["measurements"]:
        case, by = m["case"], medians(m)
        star = "*" if m["invalid"] else ""
        what = [case["job"], str(case["n"]), str(case["k"]), case["dtype"]]
        for name in sorted(by, key=by.__getitem__):
            ratio = f"{by[name] / by['rfwarp']:.2f}"
            lines.append([*what, name, f"{by[name]:.4g}{star}", ratio, f"{m['psnr'][name]:.1f}"])
    return markdown(lines)


def medians(measurement: Mapping[str, Any]) -> dict[str, float]:
    """Milliseconds per image, by candidate."""
    clock = measurement["clock"]
    return {name: by[clock]["median"] for name, by in measurement["timings"].items()}


def first_calls(results: Mapping[str, Any]) -> str:
    lines = [["which", "first call s", "peak memory MiB"]]
    for call in results["first_calls"]:
        lines.append([call["name"], f"{call['seconds']:.2f}", f"{call['peak'] / 2**20:.0f}"])
    return markdown(lines)


def shares(results: Mapping[str, Any]) -> str:
    kinds = [*KINDS, "other"]
    lines = [["which", "part", *kinds, "all"]]
    for name, by_part in results["profile"].items():
        for part in (*PARTS, "around"):
            cells = [by_part.get(part, {}).get(kind, 0.0) for kind in kinds]
            lines.append([name, part, *(f"{c:.1f}" for c in cells), f"{sum(cells):.1f}"])
    return markdown(lines)


def _bars(results: Mapping[str, Any]) -> Figure:
    found: Sequence[Mapping[str, Any]] = results["measurements"]
    figure = Figure(figsize=(10, 1.6 + 0.7 * len(found)), layout="constrained")
    axes = figure.add_subplot()
    names = [name for name in ORDER if any(name in m["kinds"] for m in found)]
    height = 0.8 / len(names)
    for i, name in enumerate(names):
        rows = [
            (y, medians(m)[name] / medians(m)["rfwarp"])
            for y, m in enumerate(found)
            if name in m["kinds"]
        ]
        positions = [y + (i - len(names) / 2 + 0.5) * height for y, _ in rows]
        bars = axes.barh(positions, [ratio for _, ratio in rows], height * 0.9, label=name)
        axes.bar_label(bars, fmt="%.2f", fontsize=7, padding=2)
    labels = [f"{m['case']['job']}\nN={m['case']['n']}, K={m['case']['k']}" for m in found]
    axes.set_yticks(range(len(found)), labels, fontsize=8)
    axes.invert_yaxis()
    axes.set(xlabel="time per image, times rfwarp's", title=heading(results))
    axes.title.set_fontsize(9)
    axes.grid(axis="x", alpha=0.3)
    figure.legend(loc="outside lower center", ncols=len(names), fontsize=8)
    return figure


def _profile(results: Mapping[str, Any]) -> Figure:
    rows = [
        (f"{name}\n{part}", by_part[part])
        for name, by_part in results["profile"].items()
        for part in (*PARTS, "around")
        if part in by_part
    ]
    figure = Figure(figsize=(10, 1.6 + 0.45 * len(rows)), layout="constrained")
    axes = figure.add_subplot()
    left = [0.0] * len(rows)
    for kind in (*KINDS, "other"):
        widths = [by.get(kind, 0.0) for _, by in rows]
        axes.barh(range(len(rows)), widths, left=left, label=kind)
        left = [a + b for a, b in zip(left, widths, strict=True)]
    axes.set_yticks(range(len(rows)), [label for label, _ in rows], fontsize=8)
    axes.invert_yaxis()
    axes.set(xlabel="ms of one image", title=heading(results))
    axes.title.set_fontsize(9)
    axes.grid(axis="x", alpha=0.3)
    figure.legend(loc="outside lower center", ncols=6, fontsize=8)
    return figure


def _write(figure: Figure, path: Path) -> None:
    write_atomically(path, lambda temporary: figure.savefig(temporary, dpi=110, format="png"))
