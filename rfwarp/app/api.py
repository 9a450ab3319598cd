"""The REST API: what the pages do, without a page's state."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np

from rfwarp.app.clips import clip
from rfwarp.app.examples import AppPose
from rfwarp.app.page import FITS, NETWORK, gif, log_notices, telling
from rfwarp.app.studio import Model, Source, Studio
from rfwarp.data.catalog import Fit
from rfwarp.data.framing import frame_pose
from rfwarp.poses import CameraMotion, FaceLandmarks, Keypoints, Viewpoint
from rfwarp.poses.keypoints import openpose_content
from rfwarp.poses.text import parse_camera, parse_viewpoint, read_array

MAX_SIDE = 65536
"""Pixels of an image that a pose may be said to be of."""


class Api:
    """The functions, with poses as JSON: ``"120:10"`` for a viewpoint, azimuth and elevation in
    degrees; ``"camera:0,0.1,0,0,0,1.5"`` for a camera, angles in radians and its place in metres,
    in any one frame of reference; an object of OpenPose's files for a person; for a face
    ``{"canvas_height": 256, "canvas_width": 256, "landmarks": [[x, y], ...]}``, 68 in pixels.

    Each raises ValueError for what it cannot use.
    """

    def __init__(self, studio: Studio) -> None:
        self.studio = studio

    def models(self) -> dict[str, list[str]]:
        """The models by the kind of pose: viewpoint, keypoints, landmarks or camera."""
        return self.studio.kinds()

    def generate(
        self, model: str, sources: list[str], poses: list[Any], target: Any, fit: Fit = "pad"
    ) -> tuple[Any, Any, Any, list[str]]:
        """Draw what the source images show in another pose.

        Args:
            model: a name that models gives.
            sources: images of one thing or person.
            poses: of the sources in their order: "AZIMUTH:ELEVATION" in degrees,
                "camera:RX,RY,RZ,TX,TY,TZ" in radians and metres, the object of an OpenPose file, or
                {"landmarks": [[x, y], ...]} of a face.
            target: the pose to draw, as one of poses. Joints and landmarks are in pixels of an
                image of the first source's size, unless canvas_height and canvas_width say another.
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
        """An animated GIF: a turntable at the target's elevation; of a person, a face or a scene
        the way from the first source's pose to the target's and back.

        Args: as of generate.
        """
        used, framed, given = self._checked(model, sources, poses, fit)
        last = framed_pose(used, "target", target, given[0].shape, fit)
        name = "turntable.gif" if isinstance(last, Viewpoint) else "clip.gif"
        return gif(name, used.animate(given, framed, clip(framed[0], last)))

    def find_pose(self, image: str, kind: str = Keypoints.kind) -> dict[str, Any]:
        """The joints of the largest person in an image, as the object of an OpenPose file, or the
        landmarks of the largest face.

        Args:
            image: a photograph.
            kind: keypoints or landmarks.
        """
        if not image:
            raise ValueError("an image is needed")
        found = self.studio.find(image, kind)
        if isinstance(found, Keypoints):
            return openpose_content([found])
        sides = {"canvas_height": found.height, "canvas_width": found.width}
        return sides | {"landmarks": found.points.tolist()}

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
    parse = TEXTS.get(model.kind)
    if parse is not None:
        if not isinstance(given, str):
            example = "a viewpoint such as '120:10'"
            if model.kind == CameraMotion.kind:
                example = "a camera such as 'camera:0,0.1,0,0,0,1.5'"
            raise ValueError(f"{name} must be {example}, got {given!r:.60}")
        try:
            return parse(given)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
    wanted = "the object of an OpenPose file"
    if model.kind == FaceLandmarks.kind:
        wanted = "an object with landmarks"
    if not isinstance(given, dict):
        raise ValueError(f"{name} must be {wanted}, got {given!r:.60}")
    if model.kind == FaceLandmarks.kind:
        return frame_pose(face_of(name, given, shape), model.size, fit)
    return frame_pose(read_keypoints(name, json.dumps(given), shape), model.size, fit)


TEXTS: dict[str, Callable[[str], AppPose]] = {
    Viewpoint.kind: parse_viewpoint,
    CameraMotion.kind: parse_camera,
}
"""Poses that are texts, by kind."""


def read_keypoints(name: str, data: str | bytes, shape: tuple[int, int]) -> Keypoints:
    """The person of an OpenPose file's content, in an image of the size that it states, else of
    ``shape``, height and width; ValueError if it is none."""
    try:
        content = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name} is no JSON: {error}") from error
    return Keypoints.from_openpose_data(name, data, *canvas_of(name, content, shape))


def canvas_of(name: str, content: Any, shape: tuple[int, int]) -> tuple[int, int]:
    """Height and width of the image that JSON of a pose is of; ValueError if they are no size."""
    height, width = shape
    if isinstance(content, dict):
        height, width = (
            content.get(f"canvas_{side}", default)
            for side, default in (("height", height), ("width", width))
        )
    if not all(type(side) is int and 1 <= side <= MAX_SIDE for side in (height, width)):
        raise ValueError(f"{name}: its canvas of {height!r:.20} x {width!r:.20} is no size")
    return height, width


def face_of(name: str, given: dict[str, Any], shape: tuple[int, int]) -> FaceLandmarks:
    """The face of an object with landmarks; sizes and errors as of :func:`read_keypoints`."""
    try:
        points = np.array(given.get("landmarks"), dtype=np.float32)
        return FaceLandmarks(points, *canvas_of(name, given, shape))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{name}: {error}") from error


def read_landmarks(path: Path, shape: tuple[int, int]) -> FaceLandmarks:
    """The face of a ``.npy`` file, in an image of ``shape``, height and width; ValueError, which
    names no folder, if it is none."""
    try:
        return FaceLandmarks(read_array(path), *shape)
    except (ValueError, TypeError) as error:
        reason = str(error).replace(str(path), path.name)
        raise ValueError(f"{path.name} has no landmarks: {reason}") from error


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
        kind = gr.Textbox(Keypoints.kind, label="kind")
        answers = [gr.JSON(label=x) for x in ("notices", "pose", "models")]
        button = gr.Button()
    computes = {"concurrency_id": NETWORK, "concurrency_limit": 1}
    for function, inputs, outputs in (
        (api.models, [], answers[2]),
        (api.generate, given, [*images, answers[0]]),
        (api.animate, given, animation),
        (api.find_pose, [photo, kind], answers[1]),
    ):
        button.click(telling(function), inputs, outputs, api_name=function.__name__, **computes)
