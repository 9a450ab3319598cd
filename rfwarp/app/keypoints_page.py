"""The page of people, whose joints are found, taken from examples, or moved by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from rfwarp.app.api import read_keypoints
from rfwarp.app.canvas import draw_canvas, from_rows, joint_at, to_rows, with_joint
from rfwarp.app.page import Page, Scene, gif, log_notices, picture, thumbnails
from rfwarp.app.studio import Model, move
from rfwarp.data.catalog import Fit
from rfwarp.data.framing import frame_pose
from rfwarp.poses import Keypoints
from rfwarp.poses.keypoints import JOINTS

TARGET = "the new image"


class KeypointsPage(Page):
    """People."""

    animation = "Clip from the first source's pose to the new one"

    def add_poses(self) -> None:
        self.poses = thumbnails("For the pose to change take an example's,")
        self.photo = gr.File(
            label="or one from an image, or from an OpenPose .json,",
            file_types=["image", ".json"],
            height=150,
        )
        with gr.Accordion("or type it, in pixels of the model's image", open=False):
            self.table = gr.Dataframe(
                headers=["joint", "x", "y"],
                datatype=["str", "number", "number"],
                type="array",
                static_columns=[0],
                interactive=True,
                buttons=[],
            )

    def add_target(self) -> None:
        with gr.Row():
            self.which = gr.Radio([TARGET], value=TARGET, label="Pose to change, that of", scale=2)
            self.joint = gr.Dropdown(
                [(name, number) for number, name in enumerate(JOINTS)],
                value=None,
                label="Joint picked up",
            )

    def add_canvas(self) -> None:
        self.canvas = picture("Click a joint, then where it goes", buttons=[])

    def bind(self) -> None:
        self.view = [self.model, self.scene]
        edited = [self.scene, self.canvas, self.table, self.joint, self.which]
        loaded = [*edited, self.gallery]
        files = [self.model, self.files, self.fit, self.scene]
        self.then_draw(self.on([self.files.upload, self.files.delete], self.load, files, loaded))
        again = [self.model, self.scene, self.fit]
        self.then_draw(self.on([self.model.change, self.fit.change], self.reload, again, loaded))
        example = [*loaded, self.files]
        self.then_draw(self.on(self.examples.select, self.pick, [self.model], example))
        first = [*loaded, self.examples, self.poses]
        self.then_draw(self.on(self.opened(), self.first, [self.model], first))
        chosen = [self.model, self.scene, self.which]
        self.on(self.which.input, self.edited, chosen, edited)
        self.on(self.joint.input, self.edited, [*chosen, self.joint], edited)
        self.then_draw(self.on(self.canvas.select, self.click, [*chosen, self.joint], edited))
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
        known = dict(zip(before.files, before.poses, strict=True))
        missing: dict[str, str] = {}
        for source, path in zip(sources, paths, strict=True):
            if path not in known:
                try:
                    known[path] = frame_pose(self.studio.find(path), model.size, fit)
                except (ImportError, ValueError) as error:
                    known[path] = model.example_poses[0]
                    missing[source.name] = str(error)
        poses = tuple(known[path] for path in paths)
        remark = remark_of(missing)
        return self.loaded(
            model, Scene(tuple(sources), poses, before.target, tuple(paths), remark=remark)
        )

    def reload(self, name: str, scene: Scene, fit: Fit) -> list[Any]:
        """The same sources for another model, or framed otherwise."""
        if scene.files:
            return self.load(name, list(scene.files), fit)
        return self.of_example(name, scene.example)

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
        poses = tuple(pose for pose in example.poses if isinstance(pose, Keypoints))
        (target,) = (pose for pose in example.targets if isinstance(pose, Keypoints))
        return self.loaded(model, Scene(tuple(example.sources), poses, target, example=number))

    def loaded(self, model: Model, scene: Scene) -> list[Any]:
        choices = [TARGET, *(f"source {k + 1}" for k in range(len(scene.sources)))]
        *edited, _ = self.edited(model.name, scene, TARGET)
        which = gr.Radio(choices, value=TARGET)
        return [*edited, which, self.shown(model, scene.sources)]

    # -------------------------------------------------------------- poses

    def edited(self, name: str, scene: Scene, which: str, joint: int | None = None) -> list[Any]:
        """The pose to change as a drawing and a table."""
        model, number = self.studio.model(name), chosen(which, scene)
        image: Image.Image | None = None if number is None else scene.sources[number].image
        pose = pose_of(scene, number)
        canvas = draw_canvas(image, pose, model.scale, joint)
        return [scene, canvas, to_rows(pose), joint, which]

    def click(
        self, name: str, scene: Scene, which: str, joint: int | None, event: gr.SelectData
    ) -> list[Any]:
        """Pick up the joint that was clicked, or put down that which was picked up."""
        scale, number = self.studio.model(name).scale, chosen(which, scene)
        x, y = ((float(place) + 0.5) / scale - 0.5 for place in event.index)
        pose = pose_of(scene, number)
        if joint is None:
            return self.edited(name, scene, which, joint_at(pose, x, y))
        return self.edited(name, with_pose(scene, number, with_joint(pose, joint, x, y)), which)

    def type(self, name: str, scene: Scene, which: str, rows: list[list[Any]]) -> list[Any]:
        """Take the joints of the table."""
        number = chosen(which, scene)
        pose = from_rows(rows, *self.studio.model(name).size)
        return self.edited(name, with_pose(scene, number, pose), which)

    def take(self, name: str, scene: Scene, which: str, event: gr.SelectData) -> list[Any]:
        """Take an example's pose."""
        number, pose = chosen(which, scene), self.studio.model(name).example_poses[event.index]
        return self.edited(name, with_pose(scene, number, pose), which)

    def find(self, name: str, scene: Scene, which: str, path: str, fit: Fit) -> list[Any]:
        """Take the pose of the person in an uploaded image, or of an uploaded file of OpenPose."""
        model, number = self.studio.model(name), chosen(which, scene)
        if Path(path).suffix == ".json":
            data = Path(path).read_bytes()
            pose = read_keypoints(Path(path).name, data, scene.sources[number or 0].shape)
        else:
            pose = self.studio.find(path)
        pose = frame_pose(pose, model.size, fit)
        return self.edited(name, with_pose(scene, number, pose), which)

    # -------------------------------------------------------------- results

    def draw(self, name: str, scene: Scene) -> list[Any]:
        model = self.studio.model(name)
        target = pose_of(scene, None)
        return self.results_of(model, model.draw(scene.sources, scene.poses, target), scene.remark)

    def move(self, name: str, scene: Scene) -> gr.Image:
        """The clip."""
        model, poses = self.studio.model(name), move(pose_of(scene, 0), pose_of(scene, None))
        path = gif("clip.gif", model.animate(scene.sources, scene.poses, poses))
        return gr.Image(path, visible=True)


def remark_of(missing: dict[str, str]) -> str:
    """What is to be said of poses that were not found, by the image's name and why."""
    if not missing:
        return ""
    reasons = "; ".join(dict.fromkeys(missing.values()))
    return (
        f"Move the joints of {', '.join(missing)} to where they are, or upload an OpenPose .json: "
        f"they stand in some pose, as {reasons}"
    )


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


def pose_of(scene: Scene, number: int | None) -> Keypoints:
    """The pose of a source, or the target's; ValueError if nothing was loaded."""
    if scene.target is None or not scene.poses:
        raise ValueError("at least one source image is needed")
    return scene.target if number is None else scene.poses[number]


def with_pose(scene: Scene, number: int | None, pose: Keypoints) -> Scene:
    """The scene with another pose of a source, or of the target."""
    if number is None:
        return replace(scene, target=pose)
    poses = list(scene.poses)
    poses[number] = pose
    return replace(scene, poses=tuple(poses))
