"""What the app does, without its pages: models, sources, poses and results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from threading import Lock
from typing import TypeAlias

import torch
from PIL import Image

from rfwarp import pretrained
from rfwarp.app.examples import EXAMPLES, SEEDS, AppPose, example_points
from rfwarp.data.catalog import Fit
from rfwarp.data.framing import frame_image
from rfwarp.familiarity import Familiar
from rfwarp.images import image_from_bytes, load_image
from rfwarp.nn import Generator
from rfwarp.nn.config import GeneratorConfig
from rfwarp.poses import (
    BodyDetector,
    CameraMotion,
    FaceDetector,
    FaceLandmarks,
    Keypoints,
    Viewpoint,
    body_detection,
    face_detection,
)
from rfwarp.poses.text import viewpoint_of_file
from rfwarp.viz import draw_maps, enlarge, legible, where_from

MAX_SOURCES = 16
MAX_FILE_MB = 20
SHOWN = 384
"""Side that small results are enlarged towards, pixels."""

Detector: TypeAlias = "BodyDetector | FaceDetector"


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
class ReadExample:
    """An example as a model gets it: sources with their poses, and a pose to draw."""

    sources: list[Source]
    poses: list[AppPose]
    target: AppPose


class Model:
    """A generator that reads uploaded files.

    Args:
        name: as for ``Generator.from_pretrained``.
        device: where it computes.

    Raises:
        FileNotFoundError, ValueError: as ``Generator.from_pretrained`` does; also if the model
            does not say its kind of pose or its size.
    """

    def __init__(self, name: str, device: torch.device) -> None:
        self.name = name
        generator = Generator.from_pretrained(name, device=device)
        self.size = checked(name, generator.config)
        self.kind = str(generator.config.pose_kind)
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
            poses: of the sources, as they are framed; ``target`` likewise. Cameras are given in any
                one frame of reference.

        Raises:
            ValueError, FloatingPointError: see :meth:`rfwarp.nn.Generator.generate`.
        """
        images = [source.image for source in sources]
        image, maps = self.generator.generate_with_maps(images, *seen_from(target, poses))
        sheet = draw_maps(images, image, maps[-1:])
        origins = where_from(maps[-1], image)
        return Drawing(image, origins, sheet, self.notices(sources, [*poses, target]))

    def animate(
        self, sources: Sequence[Source], poses: Sequence[AppPose], targets: Sequence[AppPose]
    ) -> list[Image.Image]:
        """The frames of an animation, enlarged; errors as of :meth:`draw`."""
        images = [source.image for source in sources]
        if self.kind == CameraMotion.kind:  # the sources' poses are relative to the target's
            every = [seen_from(target, poses) for target in targets]
            frames = [self.generator.generate(images, *given) for given in every]
        else:
            frames = self.generator.generate_many(images, poses, targets)
        return [enlarge(frame, self.scale) for frame in frames]

    def notices(self, sources: Sequence[Source], poses: Sequence[AppPose]) -> list[str]:
        """Lines about sources and poses that are far from what the model knows."""
        return [n for source in sources for n in source.notices] + self.familiar.of_poses(poses)

    def example(self, number: int) -> ReadExample:
        """Something held out, rendered.

        Args:
            number: of :data:`SEEDS`.
        """
        example = EXAMPLES[self.kind](SEEDS[number], self.size)
        sources = [
            Source(name, frame_image(image, self.size, "pad"), (image.height, image.width))
            for name, image in zip(example.names, example.images, strict=True)
        ]
        return ReadExample(sources, list(example.poses), example.target)

    @cached_property
    def example_poses(self) -> list[Keypoints | FaceLandmarks]:
        """Poses of a person, or expressions of a face, to draw others in."""
        return example_points(self.kind, self.size)

    @cached_property
    def thumbnails(self) -> list[Image.Image]:
        """An image of every example."""
        examples = [self.example(number) for number in range(len(SEEDS))]
        return [enlarge(e.sources[0].image, legible(self.size[1])) for e in examples]


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
    _detectors: dict[str, Detector] = field(default_factory=dict)

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

    def find(self, path: str, kind: str) -> Keypoints | FaceLandmarks:
        """Joints of the largest person in an image, or landmarks of the largest face, in its
        pixels.

        Raises:
            ImportError: if no detector is installed; the message says how to.
            ValueError: if the image cannot be read, nobody is found, or no detector finds poses of
                this kind.
        """
        if kind not in DETECTORS:
            raise ValueError(f"poses of {' and '.join(DETECTORS)} are found in images, not {kind}")
        image = read_image(path)
        with self._lock:
            if kind not in self._detectors:
                self._detectors[kind] = first_detector(kind)
            found = self._detectors[kind].detect(image)
        if not found:
            raise ValueError(f"nobody was found in {Path(path).name}")
        largest = found[0]
        return largest if isinstance(largest, FaceLandmarks) else largest.keypoints


DETECTORS: dict[str, tuple[str, Sequence[str], Callable[[str], Detector]]] = {
    Keypoints.kind: ("people", tuple(body_detection.BACKENDS), BodyDetector),
    FaceLandmarks.kind: (
        "faces",
        tuple(face_detection.BACKENDS)[::-1],  # FaceMesh needs no download
        lambda backend: FaceDetector(backend=backend),
    ),
}
"""What detectors find, their backends in the order to try them, and how to make one."""


def first_detector(kind: str) -> Detector:
    """A detector of people or of faces by the first backend that is installed.

    Raises:
        ImportError: if none is, or weights are missing.
    """
    what, backends, make = DETECTORS[kind]
    reasons = []
    for backend in backends:
        try:
            return make(backend)
        except (ImportError, FileNotFoundError) as error:
            reasons.append(str(error))
    raise ImportError(f"no detector of {what} can be used here: " + "; ".join(reasons))


def seen_from(target: AppPose, poses: Sequence[AppPose]) -> tuple[list[AppPose], AppPose]:
    """Poses of the sources and the target's as networks take them: cameras in the target's frame.

    Raises:
        ValueError: if only some are cameras.
    """
    if not isinstance(target, CameraMotion):
        return list(poses), target
    centre = target.to_matrix()
    moved: list[AppPose] = []
    for pose in [*poses, target]:
        if not isinstance(pose, CameraMotion):
            raise ValueError(f"the target is a camera, but a source has {pose.kind}")
        moved.append(CameraMotion.relative(pose.to_matrix(), centre))
    return moved[:-1], moved[-1]


def checked(name: str, config: GeneratorConfig) -> tuple[int, int]:
    """Height and width of a model's images; ValueError if the app cannot show the model."""
    if config.pose_kind not in EXAMPLES:
        raise ValueError(
            f"the app draws models of {', '.join(EXAMPLES)}, but {name} takes {config.pose_kind}"
        )
    if config.image_shape is None:
        raise ValueError(f"{name} does not say the size of its images, which the app needs")
    height, width = config.image_shape
    if config.pose_kind == FaceLandmarks.kind and height != width:
        raise ValueError(f"the app's faces are square, but {name} is for {height} x {width} pixels")
    return height, width


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
