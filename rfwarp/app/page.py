"""What the pages of all kinds of pose have in common, by gradio."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import Any
from uuid import uuid4

import gradio as gr
from gradio.context import Context
from gradio.utils import get_upload_folder
from PIL import Image

from rfwarp.app.examples import AppPose
from rfwarp.app.studio import MAX_SOURCES, Drawing, Model, Source, Studio
from rfwarp.viz import enlarge, source_colour, write_animation
from rfwarp.viz.origins import frame

logger = logging.getLogger(__name__)

FITS = ("pad", "crop")
NETWORK = "network"  # the queue of all that computes: one at a time
FAILURES = (OSError, ValueError, TypeError, ImportError, ArithmeticError, MemoryError)


@contextmanager
def told() -> Iterator[None]:
    """What goes wrong, as the page shows it: a line, as the command prints it."""
    try:
        yield
    except FAILURES as error:
        logger.debug("traceback of the error", exc_info=error)
        message = " ".join(str(error).split()) or type(error).__name__
        raise gr.Error(message, duration=None, print_exception=False) from error


def telling(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function of an event with its errors as :func:`told` has them."""

    @wraps(function)
    def run(*args: Any) -> Any:
        with told():
            return function(*args)

    return run


CSS = """
.quiet:not(:hover) .icon-button-wrapper { visibility: hidden }
.four .grid-container { grid-template-columns: repeat(4, minmax(0, 1fr)) !important }
.eight .thumbnail-item { aspect-ratio: 1; height: auto !important; min-height: 0 !important }
.eight .grid-container { grid-template-columns: repeat(8, minmax(0, 1fr)) !important }
"""


def gif(name: str, frames: Sequence[Image.Image]) -> str:
    """A file with an animation in gradio's own folder, which deletes it in time."""
    path = Path(get_upload_folder(), uuid4().hex, name)
    write_animation(path, frames)
    return str(path)


@dataclass(frozen=True)
class Scene:
    """What one visitor works on.

    Attributes:
        sources: the images.
        poses: of the sources, as they are framed, unless the page's table has them.
        target: a pose to draw, where it is no matter of sliders.
        files: paths of uploaded images, empty for an example.
        example: its number.
        remark: what visitors should know of the poses.
    """

    sources: tuple[Source, ...] = ()
    poses: tuple[AppPose, ...] = ()
    target: AppPose | None = None
    files: tuple[str, ...] = ()
    example: int = 0
    remark: str = ""


class Page:
    """What the pages of all kinds of pose have in common: sources to the left, results right."""

    def __init__(self, studio: Studio, names: list[str]) -> None:
        self.studio = studio
        with gr.Row():
            with gr.Column(scale=3):
                self.model = gr.Dropdown(names, value=names[0], label="Model")
                self.files = gr.File(
                    label=f"Images of one thing or person, up to {MAX_SOURCES}",
                    file_count="multiple",
                    file_types=["image"],
                    height=150,
                )
                self.examples = thumbnails("Or an example, which no training saw:")
                caption("Sources, as the model sees them, each in its colour:")
                self.gallery = gr.Gallery(
                    show_label=False,
                    columns=4,
                    height=150,
                    object_fit="contain",
                    interactive=False,
                    format="png",
                    buttons=["download"],
                    elem_classes="four",
                )
                self.scene = gr.State(Scene())
                self.add_poses()
                self.fit = gr.Radio(
                    FITS, value="pad", label="Images of another shape are padded or cropped"
                )
            with gr.Column(scale=5):
                self.add_target()
                with gr.Row():
                    self.add_canvas()
                    self.image = picture("New image")
                    self.origins = picture("Where each pixel came from")
                self.notices = gr.Textbox(label="Notice", visible=False, lines=1, max_lines=8)
                caption("Each source's flow, correction of it, visibility and attention:")
                self.maps = picture("Maps", show_label=False, height=None, elem_classes="quiet")
                self.animate = gr.Button(self.animation)
                self.clip = picture(
                    self.animation, format="gif", type="filepath", visible=False, height=400
                )
        self.results = [self.image, self.origins, self.maps, self.notices]
        self.bind()

    animation: str
    view: list[Any]
    """What :meth:`draw` takes."""

    @staticmethod
    def opened() -> Any:
        """The event of a visitor who comes."""
        assert Context.root_block is not None
        return Context.root_block.load

    def draw(self, *view: Any) -> list[Any]:
        """Values of :attr:`results`."""
        raise NotImplementedError

    def add_poses(self) -> None:
        """Components for the poses of the sources."""

    def add_target(self) -> None:
        """Components for the pose to draw."""

    def add_canvas(self) -> None:
        """What is beside the results."""

    def bind(self) -> None:
        """Events of the components."""

    def on(self, event: Any, function: Callable[..., Any], inputs: Any, outputs: Any) -> Any:
        """Let an event, or several, run a function in the queue, hidden from the API."""
        events = event if isinstance(event, list) else [event]
        return gr.on(
            events,
            telling(function),
            inputs,
            outputs,
            api_visibility="private",
            trigger_mode="always_last",
            show_progress="hidden",
            concurrency_id=NETWORK,
            concurrency_limit=1,
        )

    def then_draw(self, event: Any) -> None:
        """Let the result follow an event, if that succeeded."""
        event.success(
            telling(self.draw),
            self.view,
            self.results,
            api_visibility="private",
            show_progress="hidden",
            concurrency_id=NETWORK,
        )

    def results_of(self, model: Model, drawing: Drawing, remark: str = "") -> list[Any]:
        """Values of :attr:`results`."""
        lines = [*([remark] if remark else []), *drawing.notices]
        return [
            enlarge(drawing.image, model.scale),
            enlarge(drawing.origins, model.scale),
            drawing.maps,
            gr.Textbox("\n".join(lines), visible=bool(lines)),
        ]

    def shown(self, model: Model, sources: Sequence[Source]) -> list[tuple[Image.Image, str]]:
        """Sources for the gallery."""
        return [
            (frame(enlarge(source.image, model.scale), source_colour(k)), str(k + 1))
            for k, source in enumerate(sources)
        ]


def picture(label: str, **options: Any) -> gr.Image:
    """An image of a result."""
    settings: dict[str, Any] = {"format": "png", "interactive": False, "height": 320}
    settings["buttons"] = ["download", "fullscreen"]  # not "share", which uploads
    return gr.Image(label=label, **settings | options)


def caption(text: str) -> None:
    """A line above a component whose own label would hide a part of it."""
    gr.Markdown(text)


def thumbnails(text: str) -> gr.Gallery:
    """Small images to click."""
    caption(text)
    return gr.Gallery(
        show_label=False,
        columns=8,
        height=90,
        allow_preview=False,
        object_fit="contain",
        interactive=False,
        buttons=[],
        elem_classes="eight",
    )


def log_notices(model: Model, sources: Sequence[Source]) -> None:
    for notice in model.notices(sources, []):
        logger.warning("%s: %s", model.name, notice)
