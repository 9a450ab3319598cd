"""The page of scenes through which a camera moves."""

from __future__ import annotations

import math
from typing import Any

import gradio as gr

from rfwarp.app.clips import clip
from rfwarp.app.page import Scene, gif
from rfwarp.app.table_page import Rows, TablePage
from rfwarp.poses import CameraMotion


class CameraPage(TablePage):
    """Scenes, by the motion of the camera."""

    animation = "Drive from the first source to the new place and back"
    columns = ("right", "down", "forward", "pitch", "yaw", "roll")
    title = "Cameras of the sources, seen from the first: metres, and degrees up, right, clockwise"

    def add_target(self) -> None:
        with gr.Row():
            self.sliders = [
                gr.Slider(-10, 10, 3, step=0.1, label="Metres forward"),
                gr.Slider(-3, 3, 0, step=0.1, label="Metres to the right"),
                gr.Slider(-30, 30, 0, step=0.5, label="Turned to the right, degrees"),
            ]

    def default_row(self, number: int, name: str) -> list[float]:
        return [0, 0, number, 0, 0, 0]  # a metre behind one another

    def example_row(self, pose: Any) -> list[float]:
        return to_cells(pose)

    def dialled(self, target: Any) -> list[float]:
        right, _, forward, _, yaw, _ = to_cells(target)
        return [round(forward, 1), round(right, 1), round(2 * yaw) / 2]  # the sliders' steps

    def draw(self, name: str, scene: Scene, rows: Rows, *place: float) -> list[Any]:
        model = self.studio.model(name)
        poses = self.cameras(rows, scene)
        return self.results_of(model, model.draw(scene.sources, poses, place_of(*place)))

    def move(self, name: str, scene: Scene, rows: Rows, *place: float) -> gr.Image:
        model, poses = self.studio.model(name), self.cameras(rows, scene)
        frames = model.animate(scene.sources, poses, clip(poses[0], place_of(*place)))
        return gr.Image(gif("drive.gif", frames), visible=True)

    def cameras(self, rows: Rows, scene: Scene) -> list[CameraMotion]:
        """The cameras of the table."""
        return [
            CameraMotion(
                (math.radians(pitch), math.radians(yaw), math.radians(roll)), (right, down, ahead)
            )
            for right, down, ahead, pitch, yaw, roll in self.numbers(rows, scene)
        ]


def to_cells(pose: Any) -> list[float]:
    """A camera's numbers in the table."""
    assert isinstance(pose, CameraMotion)
    angles = [round(math.degrees(angle), 2) for angle in pose.rotation]
    return [*(round(metres, 2) for metres in pose.translation), *angles]


def place_of(forward: float, right: float, yaw: float) -> CameraMotion:
    """The camera of the sliders, in the frame of the first source's: metres and degrees."""
    return CameraMotion((0, math.radians(yaw), 0), (right, 0, forward))
