"""What the pages have in common on which a table has the poses of the sources."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from rfwarp.app.canvas import to_number
from rfwarp.app.page import Page, Scene, log_notices
from rfwarp.app.studio import Model
from rfwarp.data.catalog import Fit

Rows = list[list[Any]]


class TablePage(Page):
    """Sources whose poses are numbers in a table, and sliders for the pose to draw."""

    columns: Sequence[str]
    """Of the table, after the image's name."""
    title: str
    """Of the table."""
    sliders: list[gr.Slider]

    def default_row(self, number: int, name: str) -> list[float]:
        """The numbers of an image whose pose nobody has typed."""
        raise NotImplementedError

    def example_row(self, pose: Any) -> list[float]:
        """The numbers of a pose."""
        raise NotImplementedError

    def dialled(self, target: Any) -> list[float]:
        """The sliders' values for a pose."""
        raise NotImplementedError

    def add_poses(self) -> None:
        self.table = gr.Dataframe(
            headers=["image", *self.columns],
            datatype=["str", *["number"] * len(self.columns)],
            type="array",
            label=self.title,
            static_columns=[0],
            interactive=True,
            buttons=[],
        )

    def bind(self) -> None:
        self.view = [self.model, self.scene, self.table, *self.sliders]
        loaded = [self.scene, self.gallery, self.table]
        files = [self.model, self.files, self.fit, self.table, self.scene]
        self.then_draw(self.on([self.files.upload, self.files.delete], self.load, files, loaded))
        again = [self.model, self.scene, self.table, self.fit]
        self.then_draw(self.on([self.model.change, self.fit.change], self.reload, again, loaded))
        example = [*loaded, *self.sliders, self.files]
        self.then_draw(self.on(self.examples.select, self.pick, [self.model], example))
        first = [*loaded, *self.sliders, self.examples]
        self.then_draw(self.on(self.opened(), self.first, [self.model], first))
        moved = [*(slider.input for slider in self.sliders), self.table.input]
        self.on(moved, self.draw, self.view, self.results)
        self.on(self.animate.click, self.move, self.view, self.clip)

    def move(self, name: str, scene: Scene, rows: Rows, *place: float) -> gr.Image:
        """The animation."""
        raise NotImplementedError

    def load(
        self, name: str, paths: list[str] | None, fit: Fit, rows: Rows, before: Scene
    ) -> list[Any]:
        """Uploaded images; what was typed, ``rows`` of the scene before, stays."""
        model, paths = self.studio.model(name), paths or []
        sources = model.read(paths, fit)
        log_notices(model, sources)
        typed = dict(zip(before.files, rows, strict=False))  # an example has rows and no files
        rows = [
            typed.get(path) or [source.name, *self.default_row(number, source.name)]
            for number, (source, path) in enumerate(zip(sources, paths, strict=True))
        ]
        scene = Scene(tuple(sources), files=tuple(paths))
        return [scene, self.shown(model, sources), rows]

    def reload(self, name: str, scene: Scene, rows: Rows, fit: Fit) -> list[Any]:
        """The same sources for another model, or framed otherwise."""
        if scene.files:
            return self.load(name, list(scene.files), fit, rows, scene)
        return self.of_example(self.studio.model(name), scene.example)[:3]

    def first(self, name: str) -> list[Any]:
        """The first example."""
        model = self.studio.model(name)
        return [*self.of_example(model, 0), model.thumbnails]

    def pick(self, name: str, event: gr.SelectData) -> list[Any]:
        """The example that was clicked."""
        return [*self.of_example(self.studio.model(name), event.index), None]

    def of_example(self, model: Model, number: int) -> list[Any]:
        """The scene, its gallery and table, and the sliders' values."""
        example = model.example(number)
        named = zip(example.sources, example.poses, strict=True)
        rows = [[source.name, *self.example_row(pose)] for source, pose in named]
        scene = Scene(tuple(example.sources), example=number)
        return [scene, self.shown(model, example.sources), rows, *self.dialled(example.target)]

    def numbers(self, rows: Rows, scene: Scene) -> list[list[float]]:
        """The table's numbers, of every source in turn.

        Raises:
            ValueError: if there are no sources, rows of another number or length, or cells that
                are no numbers.
        """
        if not scene.sources:
            raise ValueError("at least one source image is needed")
        count = len(scene.sources)
        if len(rows) != count or any(len(row) != 1 + len(self.columns) for row in rows):
            named = ", ".join(self.columns)
            raise ValueError(f"{count} images need {count} rows: image, {named}")
        return [
            [
                to_number(f"{column} of {name}", cell)
                for column, cell in zip(self.columns, cells, strict=True)
            ]
            for name, *cells in rows
        ]
