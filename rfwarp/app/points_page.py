"""The pages of people and of faces, whose joints and landmarks are found, taken from examples, or
moved by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from rfwarp.app.api import read_keypoints, read_landmarks
from rfwarp.app.canvas import (
    NAMES,
    PointPose,
    draw_canvas,
    from_rows,
    point_at,
    to_rows,
    with_point,
)
from rfwarp.app.clips import clip
from rfwarp.app.page import Page, Scene, gif, log_notices, picture, thumbnails
from rfwarp.app.studio import Model
from rfwarp.data.catalog import Fit
from rfwarp.data.framing import frame_pose
from rfwarp.poses import FaceLandmarks, Keypoints

TARGET = "the new image"


class PointsPage(Page):
    """What the pages of people and of faces have in common."""

    kind: str
    point: str
    """What a point of the pose is called."""
    file: str
    """Files that poses are read from: their ending,"""
    file_title: str
    """and what they are called."""
    animation = "Clip from the first source's pose to the new one"

    def read_pose(self, path: Path, shape: tuple[int, int]) -> PointPose:
        """The pose in a file.

        Args:
            shape: height and width of the image that it is of, unless it says another, pixels.
        """
        raise NotImplementedError

    def add_poses(self) -> None:
        self.poses = thumbnails("For the pose to change take an example's,")
        self.photo = gr.File(
            label=f"or one from an image, or from {self.file_title},",
            file_types=["image", self.file],
            height=150,
        )
        with gr.Accordion("or type it, in pixels of the model's image", open=False):
            self.table = gr.Dataframe(
                headers=[self.point, "x", "y"],
                datatype=["str", "number", "number"],
                type="array",
                static_columns=[0],
                interactive=True,
                buttons=[],
            )

    def add_target(self) -> None:
        with gr.Row():
            self.which = gr.Radio([TARGET], value=TARGET, label="Pose to change, that of", scale=2)
            self.picked = gr.Dropdown(
                [(name, number) for number, name in enumerate(NAMES[self.kind])],
                value=None,
                label=f"{self.point.capitalize()} picked up",
            )

    def add_canvas(self) -> None:
        self.canvas = picture(f"Click a {self.point}, then where it goes", buttons=[])

    def bind(self) -> None:
        self.view = [self.model, self.scene]
        edited = [self.scene, self.canvas, self.table, self.picked, self.which]
        loaded = [*edited, self.gallery]
        files = [self.model, self.files, self.fit, self.scene]
        self.then_draw(self.on([self.files.upload, self.files.delete], self.load, files, loaded))
        again = [self.model, self.scene, self.fit]
        self.then_draw(self.on(self.model.change, self.reload, again, loaded))
        self.then_draw(self.on(self.fit.change, self.reframe, again, loaded))
        example = [*loaded, self.files]
        self.then_draw(self.on(self.examples.select, self.pick, [self.model], example))
        first = [*loaded, self.examples, self.poses]
        self.then_draw(self.on(self.opened(), self.first, [self.model], first))
        chosen = [self.model, self.scene, self.which]
        self.on(self.which.input, self.edited, chosen, edited)
        self.on(self.picked.input, self.edited, [*chosen, self.picked], edited)
        self.then_draw(self.on(self.canvas.select, self.click, [*chosen, self.picked], edited))
        self.then_draw(self.on(self.table.input, self.type, [*chosen, self.table], edited))
        self.then_draw(self.on(self.poses.select, self.take, chosen, edited))
        given = [*chosen, self.photo, self.fit]
        self.then_draw(self.on(self.photo.upload, self.find, given, edited))
        self.on(self.animate.click, self.move, self.view, self.clip)

    # -------------------------------------------------------------- sources

    def load(
        self, name: str, paths: list[str] | None, fit: Fit, before: Scene | None = None
    ) -> list[Any]:
        """Uploaded images, with the poses of the people in them.

        Args:
            before: the scene whose poses are kept, of the images that stay.
        """
        model = self.studio.model(name)
        sources, paths = model.read(paths or [], fit), paths or []
        log_notices(model, sources)
        if before is None or not before.files:
            before = Scene(target=model.example_poses[0])
        known = dict(zip(before.files, before.poses, strict=False))  # poses may be unknown
        missing: dict[str, str] = {}
        for source, path in zip(sources, paths, strict=True):
            if path not in known:
                try:
                    known[path] = frame_pose(self.studio.find(path, self.kind), model.size, fit)
                except (ImportError, ValueError) as error:
                    known[path] = model.example_poses[0]
                    missing[source.name] = str(error)
        poses = tuple(known[path] for path in paths)
        remark = self.remark_of(missing)
        return self.loaded(
            model, Scene(tuple(sources), poses, before.target, tuple(paths), remark=remark)
        )

    def reload(self, name: str, scene: Scene, fit: Fit) -> list[Any]:
        """The same sources and poses for another model."""
        if not scene.files:
            return self.of_example(name, scene.example)
        size = self.studio.model(name).size
        poses = tuple(frame_pose(pose, size, "pad") for pose in scene.poses)
        kept = replace(scene, poses=poses, target=frame_pose(scene.target, size, "pad"))
        return self.load(name, list(scene.files), fit, kept)

    def reframe(self, name: str, scene: Scene, fit: Fit) -> list[Any]:
        """The same sources framed otherwise, with their poses anew."""
        if not scene.files:
            return self.of_example(name, scene.example)
        return self.load(name, list(scene.files), fit, replace(scene, poses=()))

    def first(self, name: str) -> list[Any]:
        """The first example, and poses to take."""
        model = self.studio.model(name)
        poses = [draw_canvas(None, pose, 2, None) for pose in model.example_poses]
        return [*self.of_example(name, 0), model.thumbnails, poses]

    def pick(self, name: str, event: gr.SelectData) -> list[Any]:
        """The example that was clicked."""
        return [*self.of_example(name, event.index), None]

    def of_example(self, name: str, number: int) -> list[Any]:
        model = self.studio.model(name)
        example = model.example(number)
        scene = Scene(tuple(example.sources), tuple(example.poses), example.target, example=number)
        return self.loaded(model, scene)

    def loaded(self, model: Model, scene: Scene) -> list[Any]:
        choices = [TARGET, *(f"source {k + 1}" for k in range(len(scene.sources)))]
        *edited, _ = self.edited(model.name, scene, TARGET)
        which = gr.Radio(choices, value=TARGET)
        return [*edited, which, self.shown(model, scene.sources)]

    # -------------------------------------------------------------- poses

    def edited(self, name: str, scene: Scene, which: str, picked: int | None = None) -> list[Any]:
        """The pose to change as a drawing and a table."""
        model, number = self.studio.model(name), chosen(which, scene)
        image: Image.Image | None = None if number is None else scene.sources[number].image
        pose = pose_of(scene, number)
        canvas = draw_canvas(image, pose, model.scale, picked)
        return [scene, canvas, to_rows(pose), picked, which]

    def click(
        self, name: str, scene: Scene, which: str, picked: int | None, event: gr.SelectData
    ) -> list[Any]:
        """Pick up the point that was clicked, or put down that which was picked up."""
        scale, number = self.studio.model(name).scale, chosen(which, scene)
        x, y = ((float(place) + 0.5) / scale - 0.5 for place in event.index)
        pose = pose_of(scene, number)
        if picked is None:
            return self.edited(name, scene, which, point_at(pose, x, y))
        return self.edited(name, with_pose(scene, number, with_point(pose, picked, x, y)), which)

    def type(self, name: str, scene: Scene, which: str, rows: list[list[Any]]) -> list[Any]:
        """Take the points of the table."""
        number = chosen(which, scene)
        pose = from_rows(rows, pose_of(scene, number))
        return self.edited(name, with_pose(scene, number, pose), which)

    def take(self, name: str, scene: Scene, which: str, event: gr.SelectData) -> list[Any]:
        """Take an example's pose."""
        number, pose = chosen(which, scene), self.studio.model(name).example_poses[event.index]
        return self.edited(name, with_pose(scene, number, pose), which)

    def find(self, name: str, scene: Scene, which: str, path: str, fit: Fit) -> list[Any]:
        """Take the pose of who is in an uploaded image, or of an uploaded file."""
        model, number = self.studio.model(name), chosen(which, scene)
        if Path(path).suffix == self.file:
            pose = self.read_pose(Path(path), scene.sources[number or 0].shape)
        else:
            pose = self.studio.find(path, self.kind)
        pose = frame_pose(pose, model.size, fit)
        return self.edited(name, with_pose(scene, number, pose), which)

    # -------------------------------------------------------------- results

    def draw(self, name: str, scene: Scene) -> list[Any]:
        model = self.studio.model(name)
        target = pose_of(scene, None)
        return self.results_of(model, model.draw(scene.sources, scene.poses, target), scene.remark)

    def move(self, name: str, scene: Scene) -> gr.Image:
        """The clip."""
        model, poses = self.studio.model(name), clip(pose_of(scene, 0), pose_of(scene, None))
        path = gif("clip.gif", model.animate(scene.sources, scene.poses, poses))
        return gr.Image(path, visible=True)

    def remark_of(self, missing: dict[str, str]) -> str:
        """What is to be said of poses that were not found, by the image's name and why."""
        if not missing:
            return ""
        reasons = "; ".join(dict.fromkeys(missing.values()))
        return (
            f"Move the {self.point}s of {', '.join(missing)} to where they are, or upload "
            f"{self.file_title}: they stand in some pose, as {reasons}"
        )


class KeypointsPage(PointsPage):
    """People."""

    kind = Keypoints.kind
    point = "joint"
    file, file_title = ".json", "an OpenPose .json"

    def read_pose(self, path: Path, shape: tuple[int, int]) -> Keypoints:
        return read_keypoints(path.name, path.read_bytes(), shape)


class LandmarksPage(PointsPage):
    """Faces."""

    kind = FaceLandmarks.kind
    point = "landmark"
    file, file_title = ".npy", "a .npy of 68 x 2 numbers"

    def read_pose(self, path: Path, shape: tuple[int, int]) -> FaceLandmarks:
        return read_landmarks(path, shape)


def chosen(which: str, scene: Scene) -> int | None:
    """Number of the source whose pose is to be changed; None for the target.

    Raises:
        ValueError: if there is no such source.
    """
    if which == TARGET:
        return None
    number = which.removeprefix("source ")
    if not number.isdecimal() or not 1 <= int(number) <= len(scene.sources):
        raise ValueError(f"there is no pose of {which!r} to change")
    return int(number) - 1


def pose_of(scene: Scene, number: int | None) -> PointPose:
    """The pose of a source, or the target's; ValueError if nothing was loaded."""
    if scene.target is None or not scene.poses:
        raise ValueError("at least one source image is needed")
    pose = scene.target if number is None else scene.poses[number]
    assert isinstance(pose, Keypoints | FaceLandmarks)
    return pose


def with_pose(scene: Scene, number: int | None, pose: PointPose) -> Scene:
    """The scene with another pose of a source, or of the target."""
    if number is None:
        return replace(scene, target=pose)
    poses = list(scene.poses)
    poses[number] = pose
    return replace(scene, poses=tuple(poses))
