"""The app, served for a module's tests."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

from rfwarp import Generator
from rfwarp.app.studio import Model, Studio
from rfwarp.poses import body_detection, face_detection


@pytest.fixture(scope="session")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Folders of networks by the kind of pose, for what needs no picture."""
    folders = {}
    for kind, channels in (("landmarks", 3), ("camera", 6)):
        folder = tmp_path_factory.mktemp(kind)
        network = Generator(width=0.125, pose_channels=channels, pose_kind=kind, image_size=64)
        folders[kind] = str(network.save_pretrained(folder))
    return folders


@pytest.fixture(scope="session")
def chairs() -> Model:
    return Model("chairs-64", torch.device("cpu"))


@pytest.fixture(scope="session")
def people() -> Model:
    return Model("people-64", torch.device("cpu"))


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory, untrained: dict[str, str]) -> Iterator[str]:
    """Where the app is served, with a model of each kind."""
    pytest.importorskip("gradio", reason="the app needs gradio: pip install 'rfwarp[app]'")
    from rfwarp.app import server

    with pytest.MonkeyPatch.context() as patch:
        # Its files: cleared with all others of the tests.
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("gradio")))
        # A proxy of the machine is not for what is on the machine.
        patch.setenv("NO_PROXY", ",".join(filter(None, ["127.0.0.1", os.environ.get("NO_PROXY")])))
        names = ("chairs-64", "people-64", *untrained.values())
        pages = server.build(Studio(names, torch.device("cpu")))
        yield server.launch(pages, None, wait=False)
        pages.close(verbose=False)


@pytest.fixture
def crowd(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How large the people, or the faces, are that stand-ins for detectors find in any image, in
    their order: from (1, 1) on, along the diagonal. The test may change it."""
    sizes = [10, 40, 20]

    def along(shape: tuple[int, int], size: int) -> npt.NDArray[np.float64]:
        points = np.ones(shape)
        points[:, :2] = np.linspace(1, size, len(points))[:, None]
        return points

    def stand_in(shape: tuple[int, int]) -> Callable[..., Any]:
        return lambda device, weights: lambda image: [along(shape, size) for size in sizes]

    monkeypatch.setitem(body_detection.BACKENDS, "rtmpose", stand_in((17, 3)))
    monkeypatch.setitem(face_detection.BACKENDS, "facemesh", stand_in((68, 2)))
    return sizes


@pytest.fixture(scope="session")
def chair_files(chairs: Model, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two images of a chair, with their viewpoints in their names."""
    folder = tmp_path_factory.mktemp("chairs")
    paths = []
    for source in chairs.example(0).sources:
        paths.append(folder / f"{source.name}.png")
        source.image.save(paths[-1])
    return paths


@pytest.fixture(scope="session")
def person_files(people: Model, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two images of a person."""
    folder = tmp_path_factory.mktemp("people")
    paths = []
    for source in people.example(0).sources:
        paths.append(folder / f"{source.name}.png")
        source.image.save(paths[-1])
    return paths
