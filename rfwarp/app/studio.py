"""What the app does, without its pages: models, sources, poses and results."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from threading import Lock
from typing import TypeAlias

import numpy as np
import torch
from PIL import Image

from rfwarp import pretrained
from rfwarp.data import HELD_OUT_FIRST_SEED, render_person, render_views
from rfwarp.data.catalog import Fit
from rfwarp.data.framing import frame_image
from rfwarp.familiarity import Familiar
from rfwarp.images import image_from_bytes, load_image
from rfwarp.nn import Generator
from rfwarp.nn.config import GeneratorConfig
from rfwarp.poses import BodyDetector, Keypoints, Viewpoint
from rfwarp.poses.body_detection import BACKENDS
from rfwarp.poses.text import viewpoint_of_file
from rfwarp.viz import draw_maps, enlarge, where_from

MAX_SOURCES = 16
MAX_FILE_MB = 20
FRAMES = 12
"""Frames of a clip from one pose to another, without those of the way back."""
EXAMPLE_SEEDS = range(HELD_OUT_FIRST_SEED + 8, HELD_OUT_FIRST_SEED + 14)
EXAMPLE_VIEWS = (Viewpoint(120, 10), Viewpoint(320, 10))
EXAMPLE_POSES = 8
SHOWN = 384
"""Side that small results are enlarged towards, pixels."""

AppPose: TypeAlias = "Viewpoint | Keypoints"
KINDS = (Viewpoint.kind, Keypoints.kind)


@dataclass(frozen=True)
class Source:
    """An image as the model gets it.

    Attributes:
        name: of its file, for people.
        image: RGB, of the model's size.
        shape: height and width of the image that came, pixels.
        notices: lines about what is far from what the model knows.
    """

    name: str
    image: Image.Image
    shape: tuple[int, int]
    notices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Drawing:
    """A new image with what led to it.

    Attributes:
        image: RGB, of the model's size.
        origins: the same, in the colours of the sources, see :func:`rfwarp.viz.where_from`.
        maps: a sheet of the finest level's maps, see :func:`rfwarp.viz.draw_maps`.
        notices: lines about what is far from what the model knows.
    """

    image: Image.Image
    origins: Image.Image
    maps: Image.Image
    notices: list[str]


@dataclass(frozen=True)
class Example:
    """Images of something that no training saw, with their poses, and poses to draw."""

    sources: list[Source]
    poses: list[AppPose]
    targets: list[AppPose]


class Model:
    """A generator that reads uploaded files.

    Args:
        name: as for ``Generator.from_pretrained``.
        device: where it computes.

    Raises:
        FileNotFoundError, ValueError: as ``Generator.from_pretrained`` does; also if the model
            takes neither viewpoints nor keypoints, or does not say its size.
    """

    def __init__(self, name: str, device: torch.device) -> None:
        self.name = name
        generator = Generator.from_pretrained(name, device=device)
        self.size = checked(name, generator.config)
        self.kind = generator.config.pose_kind
        self.familiar = Familiar.to(name, generator.config)
        self.generator = generator.optimize()
        # A slider asks for the same sources again and again. What was uploaded does not change:
        # a file's folder is named after its content.
        self._read = lru_cache(maxsize=256)(self._read_anew)

    @property
    def scale(self) -> int:
        """Factor that makes a small result well visible."""
        return max(1, SHOWN // max(self.size))

    def read(self, paths: Sequence[str], fit: Fit) -> list[Source]:
        """Uploaded images.

        Raises:
            ValueError: if there are none or too many, or one cannot be read.
        """
        if not 1 <= len(paths) <= MAX_SOURCES:
            raise ValueError(f"1 to {MAX_SOURCES} source images are needed, got {len(paths)}")
        return [self._read(path, fit) for path in paths]

    def _read_anew(self, path: str, fit: Fit) -> Source:
        name = Path(path).name
        image = read_image(path)
        notices = tuple(f"{name}: {text}" for text in self.familiar.of_image(image))
        shape = (image.height, image.width)
        return Source(name, frame_image(image, self.size, fit), shape, notices)

    def draw(self, sources: Sequence[Source], poses: Sequence[AppPose], target: AppPose) -> Drawing:
        """The thing or person in another pose.

        Args:
            poses: of the sources, as they are framed; ``target`` likewise.

        Raises:
            ValueError, FloatingPointError: see :meth:`rfwarp.nn.Generator.generate`.
        """
        images = [source.image for source in sources]
        image, maps = self.generator.generate_with_maps(images, poses, target)
        sheet = draw_maps(images, image, maps[-1:])
        origins = where_from(maps[-1], image)
        return Drawing(image, origins, sheet, self.notices(sources, [*poses, target]))

    def animate(
        self, sources: Sequence[Source], poses: Sequence[AppPose], targets: Sequence[AppPose]
    ) -> list[Image.Image]:
        """The frames of an animation, enlarged; errors as of :meth:`draw`."""
        images = [source.image for source in sources]
        frames = self.generator.generate_many(images, poses, targets)
        return [enlarge(frame, self.scale) for frame in frames]

    def notices(self, sources: Sequence[Source], poses: Sequence[AppPose]) -> list[str]:
        """Lines about sources and poses that are far from what the model knows."""
        return [n for source in sources for n in source.notices] + self.familiar.of_poses(poses)

    def example(self, number: int) -> Example:
        """One of the held-out chairs or people, rendered.

        Args:
            number: of :data:`EXAMPLE_SEEDS`.
        """
        seed = EXAMPLE_SEEDS[number]
        side = max(self.size)
        if self.kind == Viewpoint.kind:
            images = [load_image("view", x) for x in render_views(seed, EXAMPLE_VIEWS, side)]
            names = [f"{seed}_{v.azimuth:03d}_{v.elevation:02d}" for v in EXAMPLE_VIEWS]
            poses: list[AppPose] = list(EXAMPLE_VIEWS)
            targets: list[AppPose] = [Viewpoint(60, 10)]
        else:
            drawn = render_person(seed, range(3), self.size)
            images = [load_image("person", x) for x in drawn.images[:2]]
            names = [f"{seed}_{view}" for view in range(2)]
            people = [Keypoints(x.numpy(), *self.size) for x in drawn.keypoints]
            poses, targets = list(people[:2]), list(people[2:])
        sources = [
            Source(name, frame_image(image, self.size, "pad"), (image.height, image.width))
            for name, image in zip(names, images, strict=True)
        ]
        return Example(sources, poses, targets)

    @cached_property
    def example_poses(self) -> list[Keypoints]:
        """Poses of a person to draw others in."""
        drawn = render_person(EXAMPLE_SEEDS[0], range(3, 3 + EXAMPLE_POSES), self.size)
        return [Keypoints(joints.numpy(), *self.size) for joints in drawn.keypoints]

    @cached_property
    def thumbnails(self) -> list[Image.Image]:
        """An image of every example."""
        examples = [self.example(number) for number in range(len(EXAMPLE_SEEDS))]
        return [enlarge(e.sources[0].image, max(1, 128 // self.size[1])) for e in examples]


@dataclass
class Studio:
    """The models of an app, each loaded when first asked for.

    Args:
        names: as for ``Generator.from_pretrained``; nothing else is ever loaded.
        device: where they compute.
    """

    names: Sequence[str]
    device: torch.device
    _models: dict[str, Model] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)
    _detector: BodyDetector | None = None

    def kinds(self) -> dict[str, list[str]]:
        """Names of the models by the kind of pose that they take; errors as of :class:`Model`."""
        found: dict[str, list[str]] = {}
        for name in self.names:
            values = pretrained.read_config(pretrained.resolve(name))
            values.pop("optimized", None)
            config = GeneratorConfig.from_dict(values)
            checked(name, config)
            found.setdefault(str(config.pose_kind), []).append(name)
        return found

    def model(self, name: str) -> Model:
        """A model by name; ValueError if it is none of the app's."""
        if name not in self.names:
            raise ValueError(f"no model {name!r} here; there are {', '.join(self.names)}")
        with self._lock:
            if name not in self._models:
                self._models[name] = Model(name, self.device)
            return self._models[name]

    def find(self, path: str) -> Keypoints:
        """Joints of the largest person in an image, in its pixels.

        Raises:
            ImportError: if no detector is installed; the message says how to.
            ValueError: if the image cannot be read, or nobody is found.
        """
        image = read_image(path)
        with self._lock:
            if self._detector is None:
                self._detector = first_detector()
            found = self._detector.detect_largest(image)
        if found is None:
            raise ValueError(f"nobody was found in {Path(path).name}")
        return found.keypoints


def first_detector() -> BodyDetector:
    """A detector of people by the first backend that is installed.

    Raises:
        ImportError: if none is, or weights are missing.
    """
    reasons = []
    for backend in BACKENDS:
        try:
            return BodyDetector(backend)
        except (ImportError, FileNotFoundError) as error:
            reasons.append(str(error))
    raise ImportError("no detector of people can be used here: " + "; ".join(reasons))


def checked(name: str, config: GeneratorConfig) -> tuple[int, int]:
    """Height and width of a model's images; ValueError if the app cannot show the model."""
    if config.pose_kind not in KINDS:
        raise ValueError(
            f"the app draws models of {' or '.join(KINDS)}, but {name} takes {config.pose_kind}"
        )
    if config.image_size is None:
        raise ValueError(f"{name} does not say the size of its images, which the app needs")
    size = config.image_size
    return (size, size) if isinstance(size, int) else size


def read_image(path: str) -> Image.Image:
    """An uploaded image in RGB; ValueError, which names no folder, if it cannot be read."""
    file = Path(path)
    if not file.is_file():
        raise ValueError(f"{file.name} was deleted in the meantime: upload it again")
    if file.stat().st_size > MAX_FILE_MB * 2**20:
        raise ValueError(f"{file.name} is larger than {MAX_FILE_MB} MB")
    return load_image(file.name, image_from_bytes(file.name, file.read_bytes()))


def guess_view(name: str) -> Viewpoint:
    """The viewpoint that a file's name ends in, else the front from a little above."""
    try:
        return viewpoint_of_file(name)
    except ValueError:
        return Viewpoint(0, 10)


def turn(elevation: float) -> list[Viewpoint]:
    """The viewpoints of a turntable."""
    return [Viewpoint(azimuth, elevation) for azimuth in Viewpoint.AZIMUTHS]


def move(first: Keypoints, last: Keypoints) -> list[Keypoints]:
    """The poses of a clip, there and back, smoothly: those joints that both have, on straight
    lines.

    Raises:
        ValueError: if no joint is in both, or the images differ in size.
    """
    if (first.height, first.width) != (last.height, last.width):
        raise ValueError("both poses of a clip must be of images of one size")
    both = first.points[:, 2] * last.points[:, 2]
    if not both.any():
        raise ValueError("the first source and the target have no joint in common")
    times = [(1 - math.cos(math.pi * k / (FRAMES - 1))) / 2 for k in range(FRAMES)]
    poses = []
    for time in [*times, *times[-2:0:-1]]:
        xy = (1 - time) * first.points[:, :2] + time * last.points[:, :2]
        points = np.concatenate([xy, both[:, None]], axis=1)
        poses.append(Keypoints(points, first.height, first.width))
    return poses
