"""The page of scenes through which a camera moves."""

from __future__ import annotations

import math
from typing import Any

import gradio as gr

from rfwarp.app.canvas import to_number
from rfwarp.app.clips import clip
from rfwarp.app.page import Page, Scene, gif, log_notices
from rfwarp.data.catalog import Fit
from rfwarp.poses import CameraMotion

COLUMNS = ("right", "down", "forward", "pitch", "yaw", "roll")
"""Of a camera: where it is in metres, and its angles about these axes in degrees."""


class CameraPage(Page):
    """Scenes, by the motion of the camera."""

    animation = "Drive from the first source to the new place and back"

    def add_poses(self) -> None:
        self.table = gr.Dataframe(
            headers=["image", *COLUMNS],
            datatype=["str", *["number"] * 6],
            type="array",
            label="Cameras of the sources, seen from the first: metres, and degrees up, right, "
            "clockwise",
            static_columns=[0],
            interactive=True,
            buttons=[],
        )

    def add_target(self) -> None:
        with gr.Row():
            self.forward = gr.Slider(-10, 10, 3, step=0.1, label="Metres forward")
            self.right = gr.Slider(-3, 3, 0, step=0.1, label="Metres to the right")
            self.yaw = gr.Slider(-30, 30, 0, step=0.5, label="Turned to the right, degrees")

    def bind(self) -> None:
        place = [self.forward, self.right, self.yaw]
        self.view = [self.model, self.scene, self.table, *place]
        loaded = [self.scene, self.gallery, self.table]
        files = [self.model, self.files, self.fit, self.table]
        self.then_draw(self.on([self.files.upload, self.files.delete], self.load, files, loaded))
        again = [self.model, self.scene, self.table, self.fit]
        self.then_draw(self.on([self.model.change, self.fit.change], self.reload, again, loaded))
        example = [*loaded, *place, self.files]
        self.then_draw(self.on(self.examples.select, self.pick, [self.model], example))
        first = [*loaded, *place, self.examples]
        self.then_draw(self.on(self.opened(), self.first, [self.model], first))
        moved = [*(slider.input for slider in place), self.table.input]
        self.on(moved, self.draw, self.view, self.results)
        self.on(self.animate.click, self.drive, self.view, self.clip)

    def load(
        self, name: str, paths: list[str] | None, fit: Fit, rows: list[list[Any]]
    ) -> list[Any]:
        """Uploaded images, with cameras from the table or else a metre behind one another."""
        model = self.studio.model(name)
        sources = model.read(paths or [], fit)
        log_notices(model, sources)
        typed = {row[0]: row for row in rows}
        rows = [
            typed.get(source.name) or [source.name, 0, 0, float(metres), 0, 0, 0]
            for metres, source in enumerate(sources)
        ]
        scene = Scene(tuple(sources), files=tuple(paths or []))
        return [scene, self.shown(model, sources), rows]

    def reload(self, name: str, scene: Scene, rows: list[list[Any]], fit: Fit) -> list[Any]:
        if not scene.files:
            return self.of_example(name, scene.example)[:3]
        return self.load(name, list(scene.files), fit, rows)

    def first(self, name: str) -> list[Any]:
        return [*self.of_example(name, 0), self.studio.model(name).thumbnails]

    def pick(self, name: str, event: gr.SelectData) -> list[Any]:
        return [*self.of_example(name, event.index), None]

    def of_example(self, name: str, number: int) -> list[Any]:
        """The scene, its gallery and table, and the sliders' values."""
        model = self.studio.model(name)
        example = model.example(number)
        named = zip(example.sources, example.poses, strict=True)
        rows = [[source.name, *to_cells(pose)] for source, pose in named]
        right, _, forward, _, yaw, _ = to_cells(example.target)
        place = [round(forward, 1), round(right, 1), round(2 * yaw) / 2]  # the sliders' steps
        scene = Scene(tuple(example.sources), example=number)
        return [scene, self.shown(model, example.sources), rows, *place]

    def draw(
        self,
        name: str,
        scene: Scene,
        rows: list[list[Any]],
        forward: float,
        right: float,
        yaw: float,
    ) -> list[Any]:
        model, target = self.studio.model(name), place_of(forward, right, yaw)
        return self.results_of(model, model.draw(scene.sources, cameras(rows, scene), target))

    def drive(
        self,
        name: str,
        scene: Scene,
        rows: list[list[Any]],
        forward: float,
        right: float,
        yaw: float,
    ) -> gr.Image:
        """The clip."""
        model, poses = self.studio.model(name), cameras(rows, scene)
        way = clip(poses[0], place_of(forward, right, yaw))
        return gr.Image(gif("drive.gif", model.animate(scene.sources, poses, way)), visible=True)


def place_of(forward: float, right: float, yaw: float) -> CameraMotion:
    """The camera of the sliders, in the frame of the first source's."""
    return CameraMotion((0, math.radians(yaw), 0), (right, 0, forward))


def to_cells(pose: Any) -> list[float]:
    """A camera's cells in the table."""
    assert isinstance(pose, CameraMotion)
    angles = [round(math.degrees(angle), 2) for angle in pose.rotation]
    return [*(round(metres, 2) for metres in pose.translation), *angles]


def cameras(rows: list[list[Any]], scene: Scene) -> list[CameraMotion]:
    """The cameras of a table."""
    if not scene.sources:
        raise ValueError("at least one source image is needed")
    if len(rows) != len(scene.sources) or any(len(row) != 7 for row in rows):
        raise ValueError(
            f"{len(scene.sources)} images need {len(scene.sources)} rows: image, "
            + ", ".join(COLUMNS)
        )
    found = []
    for name, *cells in rows:
        named = zip(COLUMNS, cells, strict=True)
        right, down, ahead, *degrees = (to_number(f"{x} of {name}", cell) for x, cell in named)
        pitch, yaw, roll = map(math.radians, degrees)
        found.append(CameraMotion((pitch, yaw, roll), (right, down, ahead)))
    return found
