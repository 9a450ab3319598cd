"""The page of things on a turntable."""

from __future__ import annotations

from typing import Any

import gradio as gr

from rfwarp.app.clips import turn
from rfwarp.app.page import Scene, gif
from rfwarp.app.studio import guess_view
from rfwarp.app.table_page import Rows, TablePage
from rfwarp.poses import Viewpoint


class ViewpointPage(TablePage):
    """Things on a turntable."""

    animation = "Turntable"
    columns = ("azimuth", "elevation")
    title = "Viewpoints of the sources, degrees: azimuth 0 is the front, 90 the thing's left"

    def add_target(self) -> None:
        with gr.Row():
            self.sliders = [
                gr.Slider(0, 360, 60, step=1, label="Azimuth to draw, degrees"),
                gr.Slider(-30, 90, 10, step=1, label="Elevation, degrees"),
            ]

    def default_row(self, number: int, name: str) -> list[float]:
        return self.example_row(guess_view(name))

    def example_row(self, pose: Any) -> list[float]:
        assert isinstance(pose, Viewpoint)
        return [pose.azimuth, pose.elevation]

    def dialled(self, target: Any) -> list[float]:
        return self.example_row(target)

    def draw(self, name: str, scene: Scene, rows: Rows, *place: float) -> list[Any]:
        model, poses = self.studio.model(name), self.viewpoints(rows, scene)
        return self.results_of(model, model.draw(scene.sources, poses, Viewpoint(*place)))

    def move(self, name: str, scene: Scene, rows: Rows, *place: float) -> gr.Image:
        model, (_, elevation) = self.studio.model(name), place
        poses = self.viewpoints(rows, scene)
        frames = model.animate(scene.sources, poses, turn(elevation))
        return gr.Image(gif("turntable.gif", frames), visible=True)

    def viewpoints(self, rows: Rows, scene: Scene) -> list[Viewpoint]:
        """The viewpoints of the table."""
        return [Viewpoint(*row) for row in self.numbers(rows, scene)]
