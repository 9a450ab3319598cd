"""The app's pages in a real browser, as visitors use them."""

from __future__ import annotations

import io
import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from rfwarp.app.canvas import with_point
from rfwarp.app.studio import Model
from rfwarp.poses import CameraMotion, Viewpoint
from rfwarp.viz import enlarge

pytest.importorskip("gradio", reason="the app needs gradio: pip install 'rfwarp[app]'")
playwright = pytest.importorskip(
    "playwright.sync_api", reason="a browser is driven by playwright: pip install playwright"
)
from rfwarp.app.camera_page import place_of, to_cells  # noqa: E402

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium"),
]
OPTIONS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
)
PATIENCE = 60_000  # milliseconds: machines that train networks are slow


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        found = driver.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield found
        found.close()


class Visitor:
    """A page of the app, open in a window of its own."""

    def __init__(self, browser: Any, address: str, tab: str) -> None:
        self.requests: list[str] = []
        self.context = browser.new_context(viewport={"width": 1400, "height": 1100})
        self.page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(address)
        self.page.get_by_role("tab", name=tab).first.click()
        self.panel = self.page.get_by_role("tabpanel").filter(visible=True)
        self.panel.locator(".image-frame img").first.wait_for()

    def source(self, label: str) -> str | None:
        """Address of the image with a label; None if it shows none."""
        block = self.panel.locator(".block", has=self.page.get_by_text(label, exact=True))
        image = block.locator("img").last
        return image.get_attribute("src") if image.count() else None

    def pixels(self, label: str) -> np.ndarray:
        data = self.context.request.get(self.source(label)).body()
        with Image.open(io.BytesIO(data)) as image:
            return np.asarray(image.convert("RGB"))

    def wait_for(self, label: str, expected: Image.Image) -> None:
        """Until the image with a label has exactly these pixels."""
        wanted = np.asarray(expected)
        for _ in range(PATIENCE // 250):
            if self.source(label) is not None:
                shown = self.pixels(label)
                if shown.shape == wanted.shape and (shown == wanted).all():
                    return
            self.page.wait_for_timeout(250)
        shown = self.pixels(label)
        raise AssertionError(f"{label} shows another image, {shown.shape}, than {wanted.shape}")

    def upload(self, files: list[Path], place: int = 0) -> None:
        self.panel.locator("input[type=file]").nth(place).set_input_files(list(map(str, files)))

    def dial(self, name: str, value: float) -> None:
        """Move a slider, as its field of a number does it."""
        field = self.panel.get_by_label(f"number input for {name}")
        field.fill(str(value))
        field.press("Enter")


@pytest.fixture
def visit(browser: Any, address: str) -> Iterator[Any]:
    visitors: list[Visitor] = []

    def come(tab: str) -> Visitor:
        visitors.append(Visitor(browser, address, tab))
        return visitors[-1]

    yield come
    for visitor in visitors:
        # Nothing is fetched from elsewhere: fonts, scripts, statistics.
        away = [x for x in visitor.requests if not x.startswith((address, "data:", "blob:"))]
        visitor.context.close()
        assert away == []


THINGS, PEOPLE = "Things, by viewpoint", "People, by keypoints"
FACES, STREETS = "Faces, by landmarks", "Streets, by camera"
AZIMUTH, ELEVATION = "Azimuth to draw, degrees", "Elevation, degrees"


def view(model: Model, files: list[Path], poses: list[Viewpoint], target: Viewpoint) -> Image.Image:
    return enlarge(model.generator.generate(files, poses, target), model.scale)


def test_a_visitor_turns_a_chair(visit, chairs, chair_files):
    visitor = visit(THINGS)

    def wait_for(files: list[Path], poses: list[Viewpoint], target: Viewpoint) -> None:
        visitor.wait_for("New image", view(chairs, files, poses, target))

    first, second = Viewpoint(120, 10), Viewpoint(320, 10)
    wait_for(chair_files, [first, second], Viewpoint(60, 10))  # the first example
    visitor.upload(chair_files[:1])
    wait_for(chair_files[:1], [first], Viewpoint(60, 10))
    visitor.dial(AZIMUTH, 200)
    wait_for(chair_files[:1], [first], Viewpoint(200, 10))
    assert not visitor.panel.get_by_label("Notice").is_visible()
    visitor.dial(ELEVATION, 45)
    wait_for(chair_files[:1], [first], Viewpoint(200, 45))
    visitor.panel.get_by_label("Notice").wait_for()
    assert "from 0 to 20 degrees" in visitor.panel.get_by_label("Notice").input_value()
    visitor.panel.get_by_role("button", name="Turntable").click()
    visitor.page.wait_for_function(
        "() => [...document.querySelectorAll('img')].some(x => x.src.includes('turntable.gif'))"
    )


def test_bad_files_are_named(visit, tmp_path, chair_files):
    visitor = visit(THINGS)
    bad = tmp_path / "bad.png"
    bad.write_text("no image")
    before = visitor.source("New image")
    visitor.upload([bad])
    toast = visitor.page.get_by_text("bad.png cannot be read as an image")
    toast.first.wait_for()
    assert "PNG, JPEG" in toast.first.inner_text()
    assert visitor.source("New image") == before  # and what was there is still there


def test_two_visitors_at_once(visit, chairs, chair_files):
    one, two = visit(THINGS), visit(THINGS)
    one.upload(chair_files[:1])
    two.upload(chair_files[1:])
    one.dial(AZIMUTH, 20)
    two.dial(AZIMUTH, 240)
    first, second = Viewpoint(120, 10), Viewpoint(320, 10)
    one.wait_for("New image", view(chairs, chair_files[:1], [first], Viewpoint(20, 10)))
    two.wait_for("New image", view(chairs, chair_files[1:], [second], Viewpoint(240, 10)))
    one.dial(AZIMUTH, 40)
    one.wait_for("New image", view(chairs, chair_files[:1], [first], Viewpoint(40, 10)))
    two.wait_for("New image", view(chairs, chair_files[1:], [second], Viewpoint(240, 10)))


def test_a_joint_is_picked_up_and_put_down(visit, people):
    visitor = visit(PEOPLE)
    example = people.example(0)
    sources, target = [s.image for s in example.sources], example.target

    def drawn(pose: Any) -> Image.Image:
        return enlarge(people.generator.generate(sources, example.poses, pose), people.scale)

    visitor.wait_for("New image", drawn(target))
    canvas = (
        visitor.panel.locator(
            ".block", has=visitor.page.get_by_text("Click a joint, then where it goes")
        )
        .locator("img")
        .last
    )
    box = canvas.bounding_box()
    # A square image in a frame of another shape is centred in it.
    side = min(box["width"], box["height"])
    left, top = (box["width"] - side) / 2, (box["height"] - side) / 2

    def click(x: float, y: float) -> None:
        pixel = side / people.size[0]
        canvas.click(position={"x": left + (x + 0.5) * pixel, "y": top + (y + 0.5) * pixel})

    wrist = 4
    x, y, _ = target.points[wrist].tolist()
    before = visitor.source("Click a joint, then where it goes")
    click(x, y)
    playwright.expect(visitor.panel.get_by_label("Joint picked up")).to_have_value(
        "right wrist", timeout=PATIENCE
    )
    click(20, 50)
    playwright.expect(visitor.panel.get_by_label("Joint picked up")).to_have_value(
        "", timeout=PATIENCE
    )
    assert visitor.source("Click a joint, then where it goes") != before
    visitor.panel.get_by_text("or type it, in pixels").click()
    cells = visitor.panel.get_by_role("row").filter(has_text="right wrist").get_by_role("gridcell")
    playwright.expect(cells).to_have_count(3, timeout=PATIENCE)
    placed = [float(text) for text in cells.all_inner_texts()[1:]]
    assert placed == pytest.approx([20, 50], abs=0.5)
    expected = np.asarray(drawn(with_point(target, wrist, *placed))).astype(int)
    for _ in range(PATIENCE // 250):
        away = np.abs(visitor.pixels("New image") - expected).mean()
        if away < 0.5:  # levels of 255: the table has tenths of a pixel
            break
        visitor.page.wait_for_timeout(250)
    assert away < 0.5 < np.abs(np.asarray(drawn(target)) - expected).mean()


def test_a_face_is_drawn(visit, untrained):
    model, visitor = Model(untrained["landmarks"], torch.device("cpu")), visit(FACES)
    example = model.example(0)
    drawn = model.draw(example.sources, example.poses, example.target)
    visitor.wait_for("New image", enlarge(drawn.image, model.scale))


def test_a_camera_is_turned(visit, untrained):
    model, visitor = Model(untrained["camera"], torch.device("cpu")), visit(STREETS)
    example = model.example(0)
    cells = [to_cells(pose) for pose in example.poses]  # as the table rounds them
    poses = [
        CameraMotion(tuple(map(math.radians, cell[3:])), tuple(map(float, cell[:3])))
        for cell in cells
    ]
    right, _, forward, _, yaw, _ = to_cells(example.target)

    def wait_for(degrees: float) -> None:
        place = place_of(round(forward, 1), round(right, 1), degrees)
        drawn = model.draw(example.sources, poses, place)
        visitor.wait_for("New image", enlarge(drawn.image, model.scale))

    wait_for(round(2 * yaw) / 2)
    visitor.dial("Turned to the right, degrees", 8)
    wait_for(8)
