"""``rfwarp generate``"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field, fields
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

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
    parse_viewpoint,
    place,
    trained_size,
    viewpoint_of_file,
)
from rfwarp.cli.generate_jobs import JobsOptions
from rfwarp.data.catalog import Fit

if TYPE_CHECKING:
    from PIL import Image

    from rfwarp.images import ImageLike
    from rfwarp.poses import PoseLike

TURNTABLE_COLUMNS = 6
STANDARD = Path("-")  # input or output


@dataclass(frozen=True)
class Generate:
    """Draw something in a pose that no source shows, or from all around; with --jobs, many such
    images."""

    out: Annotated[Path, arg(aliases=["-o"], metavar="IMAGE|FOLDER")] = Path("new.png")
    """File to write: .png, .jpg, .webp or .gif, or - for a PNG on standard output; with --jobs, the
    folder of the images, which must be given."""
    sources: Annotated[
        UseAppendAction[tuple[tuple[Path, ...], ...]], arg(aliases=["-s"], metavar="IMAGE ...")
    ] = ()
    """Images of one object or person; at least one. One of them can be -, standard input."""
    poses: Annotated[tuple[str, ...], arg(aliases=["-p"], metavar="POSE")] = ()
    """Poses of the sources in their order: AZIMUTH:ELEVATION in degrees, .json files of OpenPose,
    .csv tables of keypoints (TABLE.csv:NAME; without a name, the image's own), .npy files (68
    landmarks, or any vector or map), or camera:RX,RY,RZ,TX,TY,TZ in radians and metres. Without
    them, viewpoints are read from the names of the images: NAME_AZIMUTH_ELEVATION.png."""
    target: Annotated[str | None, arg(aliases=["-t"], metavar="POSE")] = None
    """Pose to draw. Joints and landmarks are in pixels of an image of the first source's size, or
    of the size that follows: person.json@HEIGHTxWIDTH."""
    turntable: bool = False
    """Draw all 18 azimuths instead: an animation if the output is a .gif, else a sheet."""
    elevation: int = 10
    """Elevation of the turntable in degrees; chairs-64 knows 0, 10 and 20."""
    weights: Annotated[str, arg(aliases=["-w"], metavar="MODEL")] = "chairs-64"
    """Bundled model, folder, or Hugging Face Hub id owner/name."""
    fit: Fit | None = None
    """Pad or crop sources, and joints and landmarks with them, to the model's shape, as --data.fit
    did in training; without it sources of another shape are refused."""
    align: bool = False
    """Scale and move the people of the sources onto the target's, as in the paper's evaluation:
    torsos of equal height, necks at one place. Faces in photographs, given by landmarks, are all
    cut as procedural faces are, see rfwarp.poses.FaceSquare, and so is the result."""
    scale: int = 1
    """Factor by which to enlarge the result."""
    maps: Annotated[Path | None, arg(metavar="IMAGE")] = None
    """Also draw the network's maps: flow, residual, occlusion and attention of every source."""
    no_overwrite: bool = False
    """Refuse to replace a file that is there already."""
    size: Annotated[int | Literal["native"] | None, arg(metavar="INT|native")] = None
    """Side that sources are resized to; without it, what the model was trained at."""
    precision: Precision = "auto"
    """Floating-point type to compute in; auto takes bfloat16 where the device multiplies in it,
    else float32, and rfwarp info says which."""
    device: str = "auto"
    """cpu, cuda, cuda:1, ...; auto takes a GPU if there is one."""
    many: Annotated[JobsOptions, arg(name="")] = field(default_factory=JobsOptions)

    def __post_init__(self) -> None:
        check_size(self.size)
        if self.many.jobs is not None:
            self._refuse_options_of_one_image()
            return
        self.many.refuse()
        if self.images.count(STANDARD) > 1:
            raise UsageError("standard input, -s -, can only be read once")
        if STANDARD in self.images and not self.poses:
            raise UsageError("the pose of an image from standard input must be given: --poses")
        check_sources(self.images, self.poses)
        if (self.target is None) != self.turntable:
            raise UsageError("give either --target POSE or --turntable")
        if self.maps is not None and self.turntable:
            raise UsageError("--maps draws the maps of one --target, not of a turntable")
        check_scale(self.scale)

    def _refuse_options_of_one_image(self) -> None:
        if self.out in (Generate.out, STANDARD):
            raise UsageError("--jobs needs a folder for its images: -o FOLDER")
        shared = ("out", "weights", "size", "precision", "device", "many")
        for option in fields(self):
            if option.name not in shared and getattr(self, option.name) != option.default:
                name = option.name.replace("_", "-")
                raise UsageError(f"--{name} is for a single image, not for --jobs")

    @property
    def images(self) -> list[Path]:
        """The sources of all -s options."""
        return list(chain.from_iterable(self.sources))

    def run(self) -> None:
        if self.many.jobs is not None:
            self.many.run(
                self.many.jobs, self.out, self.weights, self.device, self.size, self.precision
            )
        else:
            self._draw()

    def _draw(self) -> None:
        from rfwarp import Generator
        from rfwarp.data.framing import frame_image, frame_pose
        from rfwarp.familiarity import Familiar
        from rfwarp.images import image_from_bytes, load_image
        from rfwarp.poses import FaceLandmarks
        from rfwarp.viz import draw_maps, enlarge, write_image

        self._check_outputs()
        poses, targets = self._poses(), self._targets()
        device = choose_device(self.device)
        generator = Generator.from_pretrained(self.weights, device=device)
        familiar = Familiar.to(self.weights, generator.config)
        generator = generator.optimize(choose_dtype(self.precision, device))
        files: list[ImageLike] = [
            image_from_bytes("standard input", sys.stdin.buffer.read()) if p == STANDARD else p
            for p in self.images
        ]
        images = [load_image(f"sources[{k}]", file) for k, file in enumerate(files)]
        familiar.warn(images, [*poses, *targets])
        if self.fit is not None:
            size = trained_size(generator, self.weights)
            images = [frame_image(image, size, self.fit) for image in images]
            poses = [frame_pose(pose, size, self.fit) for pose in poses]
            targets = [frame_pose(pose, size, self.fit) for pose in targets]
        if self.align and all(isinstance(pose, FaceLandmarks) for pose in [*poses, *targets]):
            side = trained_size(generator, self.weights)[0]
            images, poses, targets = self._cut(images, poses, targets[0], side)
        elif self.align:
            images, poses = self._aligned(images, poses, targets[0])
        if self.maps is None:
            drawn = generator.generate_many(images, poses, targets, size=self.size)
        else:
            image, maps = generator.generate_with_maps(images, poses, targets[0], size=self.size)
            drawn = [image]
        self._write([enlarge(image, self.scale) for image in drawn])
        if self.maps is not None:
            write_image(self.maps, draw_maps(images, drawn[0], maps))
            print(f"wrote {self.maps}", file=sys.stderr if self.out == STANDARD else sys.stdout)

    def _aligned(
        self, images: list[Image.Image], poses: list[PoseLike], target: PoseLike
    ) -> tuple[list[Image.Image], list[PoseLike]]:
        """The sources with their people where the target's is."""
        from rfwarp.poses import Keypoints, align_person

        moved: list[Image.Image] = []
        moved_poses: list[PoseLike] = []
        for path, image, pose in zip(self.images, images, poses, strict=True):
            if not isinstance(pose, Keypoints) or not isinstance(target, Keypoints):
                raise UsageError(
                    "--align is for keypoints of people or landmarks of faces, given by --poses "
                    "and --target"
                )
            try:
                image, pose = align_person(image, pose, target, fill="edge")
            except ValueError as error:
                raise ValueError(f"{path}: {error}") from error
            moved.append(image)
            moved_poses.append(pose)
        return moved, moved_poses

    def _cut(
        self, images: list[Image.Image], poses: list[Any], target: Any, side: int
    ) -> tuple[list[Image.Image], list[PoseLike], list[PoseLike]]:
        """The faces of the sources, cut out; their landmarks, and the target's."""
        from rfwarp.poses import FaceSquare

        squares: list[FaceSquare] = []
        names = [*map(str, self.images), f"--target {self.target}"]
        for name, pose in zip(names, [*poses, target], strict=True):
            try:
                squares.append(FaceSquare.around(pose))
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from error
        *of_sources, of_target = squares
        cut = [square.cut(image, side) for square, image in zip(of_sources, images, strict=True)]
        moved: list[PoseLike] = [
            square.move(pose, side) for square, pose in zip(of_sources, poses, strict=True)
        ]
        return cut, moved, [of_target.move(target, side)]

    def _write(self, images: list[Image.Image]) -> None:
        from rfwarp.viz import image_format, write_animation, write_image

        if self.out == STANDARD:
            shown = _turntable_sheet(images) if self.turntable else images[0]
            shown.save(sys.stdout.buffer, format="PNG")
            return
        if not self.turntable:
            write_image(self.out, images[0])
        elif image_format(self.out) == "GIF":
            write_animation(self.out, images)
        else:
            write_image(self.out, _turntable_sheet(images))
        print(f"wrote {self.out}")

    def _check_outputs(self) -> None:
        """Raise UsageError if an output is no image file, would replace a source or, if that is not
        wanted, any file, or if image and maps are one file."""
        from rfwarp.viz import image_format

        sources = {p for path in self.images for p in (place(path), path.resolve())}
        for path in (path for path in (self.out, self.maps) if path not in (None, STANDARD)):
            try:
                image_format(path)
            except ValueError as error:
                raise UsageError(error) from error
            if place(path) in sources:
                raise UsageError(f"{path} is a source, and would be replaced by the output")
            if self.no_overwrite and os.path.lexists(path):
                raise UsageError(f"{path} is there already, and --no-overwrite was given")
        if self.maps == STANDARD:
            raise UsageError("--maps must be a file")
        if self.maps is not None and place(self.maps) == place(self.out):
            raise UsageError(f"-o and --maps are both {self.out}")

    def _poses(self) -> list[PoseLike]:
        if self.poses:
            given = zip(self.poses, self.images, strict=True)
            return [parse_pose(text, image) for text, image in given]
        return [viewpoint_of_file(path) for path in self.images]

    def _targets(self) -> list[PoseLike]:
        from rfwarp.poses import Viewpoint

        if self.target is not None:
            return [parse_pose(self.target, self.images[0])]
        return [parse_viewpoint(f"{azimuth}:{self.elevation}") for azimuth in Viewpoint.AZIMUTHS]


def _turntable_sheet(images: list[Image.Image]) -> Image.Image:
    from rfwarp.viz import draw_sheet

    begins = range(0, len(images), TURNTABLE_COLUMNS)
    return draw_sheet([images[i : i + TURNTABLE_COLUMNS] for i in begins])
