"""``rfwarp animate``"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

from tyro.conf import UseAppendAction, arg

from rfwarp.cli.arguments import (
    Precision,
    UsageError,
    check_scale,
    check_size,
    check_sources,
    choose_device,
    choose_dtype,
    parse_pose,
    place,
    progress_bar,
    trained_size,
    viewpoint_of_file,
)
from rfwarp.data.catalog import Fit
from rfwarp.video import GIF, READABLE, check_writable

if TYPE_CHECKING:
    from PIL import Image

    from rfwarp import Generator
    from rfwarp.nn.results import EncodedSources
    from rfwarp.poses import BodyDetector, Keypoints, PoseLike, Viewpoint
    from rfwarp.video import Frame

FPS = Fraction(25)  # of tables and folders, if no other is given
_SIZED = re.compile(r"(.+?)(?:@(\d+)x(\d+))?", re.ASCII | re.DOTALL)


class Driving(NamedTuple):
    """What drives the animation: a pose for each frame, None if nobody was found, and its time."""

    poses: Sequence[Keypoints | Viewpoint | None]
    times: list[Fraction]
    rate: Fraction


@dataclass(frozen=True)
class Animate:
    """Draw a video in which somebody moves as a driving video, or a sequence of poses, does."""

    driving: Annotated[str, arg(metavar="VIDEO|TABLE.csv|FOLDER")]
    """A video, whose largest person is followed; a table of keypoints with a row for each frame, as
    rfwarp pose writes it; a folder of OpenPose's .json files; or a table of viewpoints, whose
    first line is azimuth:elevation. Keypoints are in pixels of an image of the first source's
    size, or as the .json files say, or of the size that follows: FOLDER@HEIGHTxWIDTH."""
    sources: Annotated[
        UseAppendAction[tuple[tuple[Path, ...], ...]], arg(aliases=["-s"], metavar="IMAGE ...")
    ] = ()
    """Images of one object or person; at least one."""
    poses: Annotated[tuple[str, ...], arg(aliases=["-p"], metavar="POSE")] = ()
    """Poses of the sources in their order, as for rfwarp generate. Without them people are found as
    rfwarp pose does, and viewpoints are read from the names of the images."""
    out: Annotated[Path, arg(aliases=["-o"], metavar="VIDEO|FOLDER")] = Path("new.mp4")
    """Video to write: .mp4, .m4v, .mov, .mkv, .webm, .gif, or a folder of frames."""
    weights: Annotated[str, arg(aliases=["-w"], metavar="MODEL")] = "people-64"
    """Bundled model, folder, or Hugging Face Hub id owner/name."""
    retarget: bool = True
    """Whether keypoints are brought to the place and size of the first source's person: scaled by
    the ratio of both torsos, necks together, the same for the whole clip, by medians over its
    frames. With --no-retarget they stay where the driver is."""
    smooth: bool = False
    """Make keypoints steady over time, by the one-euro filter."""
    fps: Annotated[str | None, arg(metavar="NUMBER")] = None
    """Frames per second of a table or folder, such as 30 or 30000/1001; without it 25."""
    sound: Annotated[Path | None, arg(metavar="VIDEO")] = None
    """Video to take the sound from; without it the driving video, if it has any."""
    backend: Literal["rtmpose", "blazepose"] = "rtmpose"
    """What finds people, see rfwarp pose."""
    pose_weights: Annotated[Path | None, arg(metavar="FOLDER")] = None
    """Folder of its weights, see rfwarp pose --weights."""
    threshold: float = 0.3
    """Confidence, 0 to 1, below which a joint is missing."""
    fit: Fit | None = None
    """Pad or crop sources, with their keypoints, to the model's shape; without it sources of
    another shape are refused."""
    scale: int = 1
    """Factor by which to enlarge the result."""
    no_overwrite: bool = False
    """Refuse to replace a file that is there already."""
    size: Annotated[int | Literal["native"] | None, arg(metavar="INT|native")] = None
    """Side that sources are resized to; without it, what the model was trained at."""
    precision: Precision = "auto"
    """Floating-point type to compute in; auto takes bfloat16 where the device multiplies in it,
    else float32, and rfwarp info says which."""
    device: str = "auto"
    """cpu, cuda, cuda:1, ...; auto takes a GPU if there is one."""

    def __post_init__(self) -> None:
        check_size(self.size)
        check_scale(self.scale)
        if not 0 <= self.threshold <= 1:
            raise UsageError(f"--threshold must lie in 0..1, got {self.threshold}")
        check_sources(self.images, self.poses)
        path, size = self._driving
        if self._is_video and (self.fps is not None or size is not None):
            raise UsageError("--fps and a size are for tables and folders: a video has its own")
        if not self._is_video and path.suffix.lower() not in (".csv", ""):
            raise UsageError(
                f"--driving must be a video ({', '.join(READABLE)}), a .csv table or a folder, "
                f"got {path}"
            )
        if size is not None and min(size) < 1:
            raise UsageError(f"the size in {self.driving} must be at least 1 pixel")
        self._rate()
        if self.sound is not None and self._silent:
            raise UsageError("--sound is for videos: a .gif or a folder has none")

    @property
    def images(self) -> list[Path]:
        """The sources of all -s options."""
        return list(chain.from_iterable(self.sources))

    @property
    def _driving(self) -> tuple[Path, tuple[int, int] | None]:
        match = _SIZED.fullmatch(self.driving)
        if match is None:
            raise UsageError("--driving must name a file or folder")
        return Path(match[1]), (int(match[2]), int(match[3])) if match[2] else None

    @property
    def _is_video(self) -> bool:
        return self._driving[0].suffix.lower() in READABLE

    @property
    def _silent(self) -> bool:
        return self.out.suffix.lower() in ("", GIF)

    def _rate(self) -> Fraction:
        if self.fps is None:
            return FPS
        try:
            rate = Fraction(self.fps)
        except (ValueError, ZeroDivisionError) as error:
            raise UsageError(
                f"--fps must be a number such as 25 or 30000/1001, got {self.fps!r}"
            ) from error
        if not Fraction(1, 1000) <= rate <= 1000:
            raise UsageError(f"--fps must lie in 0.001..1000, got {self.fps}")
        return rate

    def run(self) -> None:
        from rfwarp import Generator
        from rfwarp.data.framing import frame_image, frame_pose
        from rfwarp.images import load_image
        from rfwarp.poses.driving import held
        from rfwarp.video import write_video

        self._check_outputs()
        sound = self._sound()
        device = choose_device(self.device)
        generator = Generator.from_pretrained(self.weights, device=device)
        kind = generator.config.pose_kind
        if self._is_video and kind not in (None, "keypoints"):
            raise UsageError(f"{self.weights} takes a {kind}, and a video gives keypoints")
        shape = None if self.fit is None else trained_size(generator, self.weights)
        images = [load_image(str(path), path) for path in self.images]
        detector = None
        if self._is_video or (kind == "keypoints" and not self.poses):
            detector = self._detector()
        poses = self._poses(images, detector)
        framed = images
        if shape is not None and self.fit is not None:
            framed = [frame_image(image, shape, self.fit) for image in images]
            poses = [frame_pose(pose, shape, self.fit) for pose in poses]
        if self._is_video and self.retarget:
            source = _person(poses[0])
            self._retargeted([source], source)  # an error now, not after a long video is searched
        generator = generator.optimize(choose_dtype(self.precision, device))
        encoded = generator.encode_images(framed, poses, size=self.size)
        driving = self._driver(images[0], detector)
        targets = self._targets(driving.poses, images[0], poses[0], shape)
        seen: list[Keypoints | Viewpoint | None] = [
            pose if _seen(pose) else None for pose in targets
        ]
        frames = self._draw(generator, encoded, held(seen), driving.times)
        written = write_video(self.out, frames, driving.rate, sound=sound)
        missing = seen.count(None)
        if missing:
            print(f"{missing} of {len(seen)} frames hold the pose of another: nobody was seen")
        print(f"wrote {self.out}: {written} frames, {'sound' if sound else 'no sound'}")

    def _check_outputs(self) -> None:
        try:
            check_writable(self.out)
        except (ValueError, FileExistsError) as error:
            raise UsageError(error) from error
        read = [*self.images, self._driving[0], *([] if self.sound is None else [self.sound])]
        if place(self.out) in {p for path in read for p in (place(path), path.resolve())}:
            raise UsageError(f"{self.out} is to be read, and would be replaced by the output")
        if self.no_overwrite and os.path.lexists(self.out):
            raise UsageError(f"{self.out} is there already, and --no-overwrite was given")

    def _sound(self) -> Path | None:
        """The video whose sound goes into the output."""
        from rfwarp.video import VideoReader

        path = self._driving[0]
        if self.sound is not None:
            if not VideoReader(self.sound).has_sound:
                raise ValueError(f"{self.sound} has no sound")
            return self.sound
        return path if self._is_video and VideoReader(path).has_sound and not self._silent else None

    def _detector(self) -> BodyDetector:
        from rfwarp.poses import BodyDetector

        # BlazePose runs on CPUs only, and ONNX Runtime's CUDA is a package of its own.
        return BodyDetector(self.backend, threshold=self.threshold, weights=self.pose_weights)

    def _poses(self, images: list[Image.Image], detector: BodyDetector | None) -> list[PoseLike]:
        """The poses of the sources."""
        if self.poses:
            given = zip(self.poses, self.images, strict=True)
            return [parse_pose(text, image) for text, image in given]
        if detector is None:
            return [viewpoint_of_file(path) for path in self.images]
        found: list[PoseLike] = []
        for path, image in zip(self.images, images, strict=True):
            person = detector.detect_largest(image)
            if person is None:
                raise ValueError(f"nobody was found in {path}: give the poses with --poses")
            found.append(person.keypoints)
        return found

    def _driver(self, source: Image.Image, detector: BodyDetector | None) -> Driving:
        from rfwarp.poses import Keypoints, OneEuroFilter, Viewpoint, read_driving_poses
        from rfwarp.video import VideoReader

        path, size = self._driving
        poses: list[Keypoints | Viewpoint | None] = []
        times: list[Fraction] = []
        if detector is not None and self._is_video:
            video = VideoReader(path)
            with progress_bar(video.frames, "frame", "poses") as progress:
                for frame in video:
                    if not times:
                        self._check_shape(source, frame.image)
                    person = detector.detect_largest(frame.image)
                    poses.append(None if person is None else person.keypoints)
                    times.append(frame.time)
                    progress(len(times), max(len(times), video.frames))
            rate = video.rate
        else:
            rate = self._rate()
            if size is None and not path.is_dir():
                size = (source.height, source.width)
            poses = list(read_driving_poses(path, size))
            times = [number / rate for number in range(len(poses))]
        if self.smooth:
            if isinstance(poses[0], Viewpoint):
                raise UsageError("--smooth is for keypoints, got viewpoints")
            steady = OneEuroFilter()
            poses = [
                steady.smooth(pose, float(time)) if isinstance(pose, Keypoints) else None
                for pose, time in zip(poses, times, strict=True)
            ]
        return Driving(poses, times, rate)

    def _targets(
        self,
        driving: Sequence[Keypoints | Viewpoint | None],
        source: Image.Image,
        pose: PoseLike,
        shape: tuple[int, int] | None,
    ) -> Sequence[Keypoints | Viewpoint | None]:
        """The driving poses in the space of the first source, given its pose there."""
        from rfwarp.data.framing import frame_pose
        from rfwarp.poses import Keypoints

        people = [pose for pose in driving if isinstance(pose, Keypoints)]
        if not people:
            if all(pose is None for pose in driving):
                raise ValueError(f"nobody was found in {self.driving}")
            return driving
        if self.retarget:
            moved = self._retargeted(people, _person(pose))
        elif shape is not None and self.fit is not None:
            moved = [frame_pose(pose, shape, self.fit) for pose in people]
        else:
            self._check_shape(source, people[0])
            moved = people
        rest = iter(moved)
        return [None if pose is None else next(rest) for pose in driving]

    def _retargeted(self, people: Sequence[Keypoints], source: Keypoints) -> list[Keypoints]:
        from rfwarp.poses import retarget

        try:
            return retarget(people, source)
        except ValueError as error:
            raise ValueError(f"{error}; --no-retarget does without") from error

    def _check_shape(self, source: Image.Image, driver: Image.Image | Keypoints) -> None:
        """Raise ValueError if keypoints that stay where they are would be distorted by more than a
        pixel."""
        h, w = driver.height, driver.width
        stay = not self.retarget and self.fit is None
        if stay and abs(w * source.height - h * source.width) > max(h, w):
            raise ValueError(
                f"the driver's images are {h} x {w} (H x W) and the first source is "
                f"{source.height} x {source.width}: leave out --no-retarget, or give --fit"
            )

    def _draw(
        self,
        generator: Generator,
        encoded: EncodedSources,
        motion: Sequence[Keypoints | Viewpoint],
        times: list[Fraction],
    ) -> Iterator[Frame]:
        from rfwarp.video import Frame
        from rfwarp.viz import enlarge

        with progress_bar(len(motion), "frame", "images") as progress:
            drawn = generator.stream(encoded, motion)
            for number, (image, time) in enumerate(zip(drawn, times, strict=True)):
                yield Frame(enlarge(image, self.scale), time)
                progress(number + 1, len(motion))


def _person(source: PoseLike) -> Keypoints:
    """The pose of a source that keypoints are retargeted to."""
    from rfwarp.poses import Keypoints

    if not isinstance(source, Keypoints):
        raise UsageError("--poses must be keypoints, as the driving poses are")
    return source


def _seen(pose: Keypoints | Viewpoint | None) -> bool:
    """Whether there is a pose and, of keypoints, one in its image."""
    from rfwarp.poses import Keypoints

    return bool(pose.inside().any()) if isinstance(pose, Keypoints) else pose is not None
