"""The page of things on a turntable."""

from __future__ import annotations

from typing import Any

import gradio as gr

from rfwarp.app.canvas import to_number
from rfwarp.app.clips import turn
from rfwarp.app.page import Page, Scene, gif, log_notices
from rfwarp.app.studio import guess_view
from rfwarp.data.catalog import Fit
from rfwarp.poses import Viewpoint


class ViewpointPage(Page):
    """Things on a turntable."""

    animation = "Turntable"

    def add_poses(self) -> None:
        self.table = gr.Dataframe(
            headers=["image", "azimuth", "elevation"],
            datatype=["str", "number", "number"],
            type="array",
            label="Viewpoints of the sources, degrees: azimuth 0 is the front, 90 the thing's left",
            static_columns=[0],
            interactive=True,
            buttons=[],
        )

    def add_target(self) -> None:
        with gr.Row():
            self.azimuth = gr.Slider(0, 360, 60, step=1, label="Azimuth to draw, degrees")
            self.elevation = gr.Slider(-30, 90, 10, step=1, label="Elevation, degrees")

    def bind(self) -> None:
        self.view = [self.model, self.scene, self.table, self.azimuth, self.elevation]
        loaded = [self.scene, self.gallery, self.table]
        files = [self.model, self.files, self.fit, self.table]
        self.then_draw(self.on([self.files.upload, self.files.delete], self.load, files, loaded))
        again = [self.model, self.scene, self.table, self.fit]
        self.then_draw(self.on([self.model.change, self.fit.change], self.reload, again, loaded))
        example = [*loaded, self.azimuth, self.elevation, self.files]
        self.then_draw(self.on(self.examples.select, self.pick, [self.model], example))
        self.then_draw(self.on(self.opened(), self.first, [self.model], [*loaded, self.examples]))
        moved = [self.azimuth.input, self.elevation.input, self.table.input]
        self.on(moved, self.draw, self.view, self.results)
        turned = [self.model, self.scene, self.table, self.elevation]
        self.on(self.animate.click, self.turn, turned, self.clip)

    def load(
        self, name: str, paths: list[str] | None, fit: Fit, rows: list[list[Any]]
    ) -> list[Any]:
        """Uploaded images, with viewpoints from the table or else from their names."""
        model = self.studio.model(name)
        sources = model.read(paths or [], fit)
        log_notices(model, sources)
        typed = {row[0]: row for row in rows}
        rows = [typed.get(source.name) or row_of(source.name) for source in sources]
        scene = Scene(tuple(sources), files=tuple(paths or []))
        return [scene, self.shown(model, sources), rows]

    def reload(self, name: str, scene: Scene, rows: list[list[Any]], fit: Fit) -> list[Any]:
        if not scene.files:
            return self.of_example(name, scene.example)
        return self.load(name, list(scene.files), fit, rows)

    def first(self, name: str) -> list[Any]:
        return [*self.of_example(name, 0), self.studio.model(name).thumbnails]

    def pick(self, name: str, event: gr.SelectData) -> list[Any]:
        target = self.studio.model(name).example(event.index).target
        assert isinstance(target, Viewpoint)
        return [*self.of_example(name, event.index), target.azimuth, target.elevation, None]

    def of_example(self, name: str, number: int) -> list[Any]:
        model = self.studio.model(name)
        example = model.example(number)
        pairs = zip(example.sources, example.poses, strict=True)
        rows = [[s.name, v.azimuth, v.elevation] for s, v in pairs if isinstance(v, Viewpoint)]
        scene = Scene(tuple(example.sources), example=number)
        return [scene, self.shown(model, example.sources), rows]

    def draw(
        self, name: str, scene: Scene, rows: list[list[Any]], azimuth: float, elevation: float
    ) -> list[Any]:
        model = self.studio.model(name)
        target = Viewpoint(azimuth, elevation)
        return self.results_of(model, model.draw(scene.sources, views(rows, scene), target))

    def turn(self, name: str, scene: Scene, rows: list[list[Any]], elevation: float) -> gr.Image:
        model = self.studio.model(name)
        frames = model.animate(scene.sources, views(rows, scene), turn(elevation))
        return gr.Image(gif("turntable.gif", frames), visible=True)


def row_of(name: str) -> list[Any]:
    """The row of an image whose viewpoint only its name can tell."""
    view = guess_view(name)
    return [name, view.azimuth, view.elevation]


def views(rows: list[list[Any]], scene: Scene) -> list[Viewpoint]:
    """The viewpoints of a table."""
    if not scene.sources:
        raise ValueError("at least one source image is needed")
    if len(rows) != len(scene.sources) or any(len(row) != 3 for row in rows):
        raise ValueError(
            f"{len(scene.sources)} images need {len(scene.sources)} rows: image, azimuth, elevation"
        )
    return [
        Viewpoint(
            to_number(f"azimuth of {name}", azimuth), to_number(f"elevation of {name}", elevation)
        )
        for name, azimuth, elevation in rows
    ]
