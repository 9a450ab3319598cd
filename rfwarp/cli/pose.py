"""``rfwarp pose``"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from tyro.conf import Positional, arg

from rfwarp.cli.arguments import UsageError
from rfwarp.video import READABLE

if TYPE_CHECKING:
    from PIL import Image

    from rfwarp.poses import FaceLandmarks, Keypoints

TABLE = ".csv"
FACES = ("face-alignment", "facemesh")  # backends that find faces
SHEET_COLUMNS, SHEET_IMAGES, SHEET_SIDE = 6, 120, 256
CUT_SIDE = 256  # pixels of the faces that are cut out


class Photo(NamedTuple):
    """An image to look for people in, and when it was taken."""

    path: Path
    """Of a frame of a video, its name."""
    image: Image.Image
    seconds: float
    place: Path
    """Where its result goes in the folder of results, without ending."""


@dataclass(frozen=True)
class Pose:
    """Find people or faces in photographs or in a video, and write their keypoints or landmarks."""

    images: Annotated[Positional[tuple[Path, ...]], arg(metavar="IMAGE|FOLDER|VIDEO")]
    """Images, folders of images, or one video, whose frames are called VIDEO_000000.png and so
    on."""
    out: Annotated[Path | None, arg(aliases=["-o"], metavar="TABLE.csv|FOLDER")] = None
    """Table of the largest person of every image, in whole pixels, or folder of a file for each
    image: OpenPose's .json of a person, a .npy of the 68 landmarks of a face."""
    beside: bool = False
    """Instead of -o: write the file of an image beside it."""
    cut: Annotated[Path | None, arg(metavar="FOLDER")] = None
    """Instead of -o: write faces, cut out of their images as procedural faces are shown (256 x 256
    pixels), and their landmarks into this folder; of a folder of images, into one of its name."""
    everybody: bool = False
    """Write all people into the .json files, the largest first."""
    backend: Literal["rtmpose", "blazepose", "face-alignment", "facemesh"] = "rtmpose"
    """What finds people: rtmpose (rfwarp[body]) or blazepose (rfwarp[blazepose]). What finds
    faces: face-alignment (rfwarp[face]) or facemesh (rfwarp[blazepose])."""
    weights: Annotated[Path | None, arg(metavar="FOLDER")] = None
    """Folder of the weights. Without one, rtmpose downloads them once, blazepose and facemesh take
    those of the package mediapipe, and face-alignment those in the torch hub's folder."""
    threshold: float = 0.3
    """Confidence, 0 to 1, below which a joint is missing."""
    smooth: bool = False
    """Make the joints of a video steady over time, by the one-euro filter."""
    draw: Annotated[Path | None, arg(metavar="IMAGE|FOLDER")] = None
    """Also draw what was found over the images: all on one sheet, at most 120, or each into the
    folder as a .png file."""
    device: str = "cpu"
    """cpu; for rtmpose also cuda, cuda:1, ..., with the package onnxruntime-gpu; for
    face-alignment also cuda or mps."""

    def __post_init__(self) -> None:
        if not 0 <= self.threshold <= 1:
            raise UsageError(f"--threshold must lie in 0..1, got {self.threshold}")
        if (self.out is not None) + self.beside + (self.cut is not None) != 1:
            raise UsageError("one of -o TABLE.csv|FOLDER, --beside and --cut FOLDER is needed")
        if self.out is not None and self.out.suffix not in ("", TABLE):
            raise UsageError(f"-o must be a {TABLE} table or a folder, got {self.out}")
        if self.everybody and self._table:
            raise UsageError("--everybody needs a folder: a table has one person for each image")
        if not self.images:
            raise UsageError("an image, a folder of images or a video is needed")
        if self._video and len(self.images) > 1:
            raise UsageError(f"a video is read alone, got {len(self.images)} paths")
        if self._video and self.out is None:
            raise UsageError(
                "--beside and --cut are for images: frames of a video have no folder, so use -o"
            )
        if self.smooth and not self._video:
            raise UsageError("--smooth is for a video: images have no time")
        if self.smooth and self.everybody:
            raise UsageError("--smooth follows the largest person, so not with --everybody")
        if self._faces and (self._table or self.everybody or self.smooth):
            raise UsageError(
                f"--backend {self.backend} writes the largest face of each image into a folder or "
                f"--beside it: no {TABLE}, --everybody or --smooth"
            )
        if self.cut is not None and not self._faces:
            raise UsageError(f"--cut is for faces, by --backend {' or '.join(FACES)}")

    @property
    def _table(self) -> bool:
        return self.out is not None and self.out.suffix == TABLE

    @property
    def _faces(self) -> bool:
        return self.backend in FACES

    @property
    def _video(self) -> bool:
        return any(path.suffix.lower() in READABLE for path in self.images)

    def run(self) -> None:
        from rfwarp.poses import FaceSquare, OneEuroFilter, write_annotations

        drawings = None if self.draw is None else _Drawings(self.draw)
        frames = _read_video(self.images[0]) if self._video else self._read_images()
        self._make_folders()
        detect = self._detector()
        steady = OneEuroFilter()
        count = 0
        table: dict[str, Keypoints] = {}
        try:
            for path, image, seconds, place in frames:
                poses = detect(image)
                print(f"{path.name}: {_summary(poses)}", flush=True)
                if not poses:
                    continue
                if self.smooth:
                    poses[0] = steady.smooth(poses[0], seconds)
                poses = poses if self.everybody else poses[:1]
                if drawings is not None:
                    drawings.add(path.name, image, poses)
                face = None
                if self.cut is not None:
                    square = FaceSquare.around(poses[0])
                    face, poses = square.cut(image, CUT_SIDE), [square.move(poses[0], CUT_SIDE)]
                if self._table:
                    table[path.name] = poses[0]
                else:
                    self._write(place, poses, face)
                count += 1
        finally:  # an image that cannot be read does not cost what was found before it
            if table and self.out is not None:
                write_annotations(self.out, table)
        if not count:
            raise ValueError("nobody was found, so nothing is written")
        print(f"wrote {self.out or self.cut or f'{count} files'}")
        if drawings is not None:
            drawings.finish()

    def _make_folders(self) -> None:
        """Make the folders of the results, so that unusable ones are an error before any work."""
        given = [path for path in (self.out, self.draw) if path is not None]
        files = [path for path in given if path.suffix]
        folders = [path for path in given if not path.suffix]
        for path in files:
            if path.is_dir():
                raise UsageError(f"a file is to be written, but {path} is a folder")
            folders.append(path.parent)
        if self.cut is not None:
            folders.append(self.cut)
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=folder).close()  # it can be written to

    def _detector(self) -> Callable[[Image.Image], list[Any]]:
        """Gives the poses in an image, the largest first."""
        from rfwarp.poses import BodyDetector, FaceDetector

        if self._faces:
            return FaceDetector(self.device, backend=self.backend, weights=self.weights).detect
        bodies = BodyDetector(
            self.backend, threshold=self.threshold, device=self.device, weights=self.weights
        )
        return lambda image: [person.keypoints for person in bodies.detect(image)]

    def _read_images(self) -> Iterator[Photo]:
        from rfwarp.images import load_image

        images = [
            (path, self._place(given, path)) for given in self.images for path in _images_of(given)
        ]
        for name, count in Counter(place for _, place in images).items():
            if count > 1:
                raise UsageError(f"{count} images are called {name}, and would share one result")
        sources = {path.resolve() for path, _ in images}
        for path, place in images:
            written = {
                "draw": None if self.draw is None else _drawing(self.draw, path.name),
                "cut": None if self.cut is None else self.cut / f"{place}.png",
            }
            for option, target in written.items():
                if target is not None and target.resolve() in sources:
                    raise UsageError(f"{target} is to be read, and --{option} would replace it")
        for path, _ in images:  # before networks are loaded
            if not path.is_file():
                raise FileNotFoundError(f"no image file at {path}")
        return (Photo(path, load_image(str(path), path), 0, place) for path, place in images)

    def _place(self, given: Path, path: Path) -> Path:
        """Where the result of an image goes in its folder, without ending."""
        if self.beside:
            return path.with_suffix("")
        if self.cut is not None and given.is_dir():
            return Path(given.name, path.stem)
        return Path(path.stem)

    def _write(self, place: Path, poses: list[Any], cut: Image.Image | None) -> None:
        """Write the keypoints or landmarks of an image, and the face if it was cut out."""
        from rfwarp.poses import write_openpose
        from rfwarp.viz import write_image

        folder = self.out or self.cut
        target = place if folder is None else folder / place
        target.parent.mkdir(parents=True, exist_ok=True)
        if cut is not None:
            write_image(f"{target}.png", cut)
        if self._faces:
            poses[0].write(Path(f"{target}.npy"))
        else:
            write_openpose(Path(f"{target}.json"), poses)


class _Drawings:
    """Images with findings: on a sheet if ``out`` has the name of an image, else in a folder."""

    def __init__(self, out: Path) -> None:
        from rfwarp.viz import image_format

        self._out = out
        self._cells: list[Image.Image] = []
        try:
            self._sheet = bool(out.suffix and image_format(out))
        except ValueError as error:
            raise UsageError(error) from error

    def add(
        self, name: str, image: Image.Image, poses: list[Keypoints] | list[FaceLandmarks]
    ) -> None:
        from PIL import ImageOps

        from rfwarp.poses import FaceLandmarks
        from rfwarp.viz import draw_skeletons, write_image

        if isinstance(poses[0], FaceLandmarks):
            drawn = poses[0].draw_over(image)
        else:
            drawn = draw_skeletons(image, poses)
        if not self._sheet:
            write_image(_drawing(self._out, name), drawn)
        elif len(self._cells) < SHEET_IMAGES:
            self._cells.append(ImageOps.pad(drawn, (SHEET_SIDE, SHEET_SIDE), color="white"))

    def finish(self) -> None:
        from rfwarp.viz import draw_sheet, write_image

        if self._sheet:
            begins = range(0, len(self._cells), SHEET_COLUMNS)
            rows = [self._cells[i : i + SHEET_COLUMNS] for i in begins]
            write_image(self._out, draw_sheet(rows))
        print(f"wrote {self._out}")


def _drawing(out: Path, name: str) -> Path:
    """The file that --draw writes for an image."""
    return out if out.suffix else out / f"{Path(name).stem}.png"


def _summary(poses: list[Keypoints] | list[FaceLandmarks]) -> str:
    from rfwarp.poses import Keypoints

    if not poses:
        return "nobody"
    people = [pose for pose in poses if isinstance(pose, Keypoints)]
    if not people:
        return "1 face" if len(poses) == 1 else f"{len(poses)} faces"
    joints = ", ".join(f"{int(person.points[:, 2].sum())}" for person in people)
    who = "1 person" if len(people) == 1 else f"{len(people)} people"
    return f"{who}, {joints} of {people[0].channels} joints"


def _images_of(path: Path) -> list[Path]:
    """The images of a folder, without those of folders within it; of a file, itself."""
    from rfwarp.images import SUFFIXES

    if not path.is_dir():
        return [path]
    found = sorted(p for p in path.iterdir() if p.suffix.lower() in SUFFIXES)
    if not found:
        raise ValueError(f"{path} has no images ({', '.join(SUFFIXES)})")
    return found


def _read_video(path: Path) -> Iterator[Photo]:
    from rfwarp.video import VideoReader

    for number, frame in enumerate(VideoReader(path)):
        name = f"{path.stem}_{number:06d}"
        yield Photo(Path(f"{name}.png"), frame.image, float(frame.time), Path(name))
