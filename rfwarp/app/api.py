"""The REST API: what the pages do, without a page's state."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import gradio as gr

from rfwarp.app.page import FITS, NETWORK, gif, log_notices, telling
from rfwarp.app.studio import AppPose, Model, Source, Studio, move, turn
from rfwarp.data.catalog import Fit
from rfwarp.data.framing import frame_pose
from rfwarp.poses import Keypoints, Viewpoint
from rfwarp.poses.keypoints import openpose_content
from rfwarp.poses.text import parse_viewpoint

MAX_SIDE = 65536
"""Pixels of an image that a pose may be said to be of."""


class Api:
    """The functions, with poses as JSON: ``"120:10"`` for a viewpoint, azimuth and elevation in
    degrees, or an object of OpenPose's files for a person.

    Each raises ValueError for what it cannot use.
    """

    def __init__(self, studio: Studio) -> None:
        self.studio = studio

    def models(self) -> dict[str, list[str]]:
        """The models by the kind of pose that they take, viewpoint or keypoints."""
        return self.studio.kinds()

    def generate(
        self, model: str, sources: list[str], poses: list[Any], target: Any, fit: Fit = "pad"
    ) -> tuple[Any, Any, Any, list[str]]:
        """Draw what the source images show in another pose.

        Args:
            model: a name that models gives.
            sources: images of one thing or person.
            poses: of the sources in their order: "AZIMUTH:ELEVATION" in degrees, or the object of
                an OpenPose file.
            target: the pose to draw, as one of poses. Joints are in pixels of an image of the first
                source's size, unless canvas_height and canvas_width say another.
            fit: pad or crop images of another shape.

        Returns:
            The image, the same coloured by the source that each pixel came from, a sheet of flows
            and attention, and lines about what is far from what the model knows.
        """
        used, framed, given = self._checked(model, sources, poses, fit)
        last = framed_pose(used, "target", target, given[0].shape, fit)
        drawing = used.draw(given, framed, last)
        return drawing.image, drawing.origins, drawing.maps, drawing.notices

    def animate(
        self, model: str, sources: list[str], poses: list[Any], target: Any, fit: Fit = "pad"
    ) -> str:
        """An animated GIF: a turntable at the target's elevation, or a person who moves from the
        first source's pose to the target's and back.

        Args: as of generate.
        """
        used, framed, given = self._checked(model, sources, poses, fit)
        last = framed_pose(used, "target", target, given[0].shape, fit)
        if isinstance(last, Viewpoint):
            return gif("turntable.gif", used.animate(given, framed, turn(last.elevation)))
        first = framed[0]
        assert isinstance(first, Keypoints)
        return gif("clip.gif", used.animate(given, framed, move(first, last)))

    def find_pose(self, image: str) -> dict[str, Any]:
        """The joints of the largest person in an image, as the object of an OpenPose file.

        Args:
            image: a photograph.
        """
        if not image:
            raise ValueError("an image is needed")
        return openpose_content([self.studio.find(image)])

    def _checked(
        self, name: str, paths: Sequence[str] | None, poses: Any, fit: Fit
    ) -> tuple[Model, list[AppPose], list[Source]]:
        model = self.studio.model(name)
        if fit not in FITS:
            raise ValueError(f"fit must be one of {', '.join(FITS)}, got {fit!r}")
        sources = model.read(paths or [], fit)
        if not isinstance(poses, list) or len(poses) != len(sources):
            count = len(poses) if isinstance(poses, list) else repr(poses)[:40]
            raise ValueError(f"{len(sources)} sources need a list of as many poses, got {count}")
        log_notices(model, sources)
        framed = [
            framed_pose(model, f"poses[{k}]", pose, source.shape, fit)
            for k, (pose, source) in enumerate(zip(poses, sources, strict=True))
        ]
        return model, framed, sources


def framed_pose(model: Model, name: str, given: Any, shape: tuple[int, int], fit: Fit) -> AppPose:
    """A pose from JSON in the image as the model gets it.

    Args:
        name: what errors call it.
        shape: height and width of the image that came, pixels.
    """
    if model.kind == Viewpoint.kind:
        if not isinstance(given, str):
            raise ValueError(f"{name} must be a viewpoint such as '120:10', got {given!r:.60}")
        try:
            return parse_viewpoint(given)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
    if not isinstance(given, dict):
        raise ValueError(f"{name} must be the object of an OpenPose file, got {given!r:.60}")
    return frame_pose(read_keypoints(name, json.dumps(given), shape), model.size, fit)


def read_keypoints(name: str, data: str | bytes, shape: tuple[int, int]) -> Keypoints:
    """The person of an OpenPose file's content, in an image of the size that it states, else of
    ``shape``, height and width; ValueError if it is none."""
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name} is no JSON: {error}") from error
    height, width = shape
    if isinstance(content, dict):
        height, width = (
            content.get(f"canvas_{side}", default)
            for side, default in (("height", height), ("width", width))
        )
    if not all(type(side) is int and 1 <= side <= MAX_SIDE for side in (height, width)):
        raise ValueError(f"{name}: its canvas of {height!r:.20} x {width!r:.20} is no size")
    return Keypoints.from_openpose_data(name, data, height, width)


def add_api(studio: Studio) -> None:
    """Offer the functions under their names, at ``/gradio_api``; within ``gr.Blocks``."""
    api = Api(studio)
    with gr.Row(visible=False):
        model = gr.Textbox(label="model")
        sources = gr.File(label="sources", file_count="multiple", file_types=["image"])
        poses = gr.JSON(label="poses")
        target = gr.JSON(label="target")
        fit = gr.Textbox("pad", label="fit")
        given = [model, sources, poses, target, fit]
        images = [gr.Image(label=x, format="png") for x in ("image", "where_from", "maps")]
        animation = gr.Image(label="animation", format="gif", type="filepath")
        photo = gr.File(label="image", file_types=["image"])
        answers = [gr.JSON(label=x) for x in ("notices", "pose", "models")]
        button = gr.Button()
    computes = {"concurrency_id": NETWORK, "concurrency_limit": 1}
    for function, inputs, outputs in (
        (api.models, [], answers[2]),
        (api.generate, given, [*images, answers[0]]),
        (api.animate, given, animation),
        (api.find_pose, photo, answers[1]),
    ):
        button.click(telling(function), inputs, outputs, api_name=function.__name__, **computes)
