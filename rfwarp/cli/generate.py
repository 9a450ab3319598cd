"""``rfwarp generate``"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import UseAppendAction, arg

from rfwarp.cli.arguments import (
    UsageError,
    choose_device,
    parse_pose,
    parse_viewpoint,
    viewpoint_of_file,
)
from rfwarp.cli.generate_jobs import JobsOptions

if TYPE_CHECKING:
    from PIL import Image

    from rfwarp.poses import PoseLike

TURNTABLE_COLUMNS = 6


@dataclass(frozen=True)
class Generate:
    """Draw something from a viewpoint that no source shows, or from all around; or, with --jobs,
    many such pictures."""

    out: Annotated[Path, arg(aliases=["-o"], metavar="PICTURE|FOLDER")]
    """What to write: .png, .jpg, .webp or .gif; with --jobs, the folder of the pictures."""
    sources: Annotated[
        UseAppendAction[tuple[tuple[Path, ...], ...]], arg(aliases=["-s"], metavar="PICTURE ...")
    ] = ()
    """Pictures of one thing; at least one."""
    poses: Annotated[tuple[str, ...], arg(aliases=["-p"], metavar="POSE")] = ()
    """Poses of the sources in their order: AZIMUTH:ELEVATION in degrees, .json files of OpenPose,
    .csv tables of keypoints (TABLE.csv:NAME; without a name, the picture's own), .npy files (68
    landmarks, or any vector or map), or camera:RX,RY,RZ,TX,TY,TZ in radians and metres. If there
    are none, they are read from the names of the pictures:
    NAME_AZIMUTH_ELEVATION.png."""
    target: Annotated[str | None, arg(aliases=["-t"], metavar="POSE")] = None
    """Pose to draw. Joints and landmarks are in pixels of a picture of the first source's size, or
    of the size that follows: person.json@HEIGHTxWIDTH."""
    turntable: bool = False
    """Draw all 18 azimuths instead: an animation if the output is a .gif, else a sheet."""
    elevation: int = 10
    """Elevation of the turntable in degrees; chairs-64 knows 0, 10 and 20."""
    weights: Annotated[str, arg(aliases=["-w"], metavar="MODEL")] = "chairs-64"
    """Bundled model, folder, or Hugging Face Hub id owner/name."""
    scale: int = 1
    """Enlarge the result that many times."""
    maps: Annotated[Path | None, arg(metavar="PICTURE")] = None
    """Also draw what the network did: flow, residual, occlusion and attention of every source."""
    device: str = "auto"
    """cpu, cuda, cuda:1, ...; auto takes a GPU if there is one."""
    many: Annotated[JobsOptions, arg(name="")] = field(default_factory=JobsOptions)

    def __post_init__(self) -> None:
        if self.many.jobs is not None:
            self._refuse_options_of_one_picture()
            return
        self.many.refuse()
        if not self.pictures:
            raise UsageError("at least one source picture is needed: -s PICTURE")
        if self.poses and len(self.poses) != len(self.pictures):
            raise UsageError(
                f"{len(self.pictures)} source pictures need {len(self.pictures)} poses, "
                f"got {len(self.poses)}"
            )
        if (self.target is None) != self.turntable:
            raise UsageError("give either --target POSE or --turntable")
        if self.maps is not None and self.turntable:
            raise UsageError("--maps draws the maps of one --target, not of a turntable")
        if not 1 <= self.scale <= 16:
            raise UsageError(f"--scale must lie in 1..16, got {self.scale}")

    def _refuse_options_of_one_picture(self) -> None:
        refused = ("sources", "poses", "target", "turntable", "elevation", "scale", "maps")
        for option in fields(self):
            if option.name in refused and getattr(self, option.name) != option.default:
                raise UsageError(f"--{option.name} is for a single picture, not for --jobs")

    @property
    def pictures(self) -> list[Path]:
        """The sources of all -s options."""
        return list(chain.from_iterable(self.sources))

    def run(self) -> None:
        if self.many.jobs is not None:
            self.many.run(self.many.jobs, self.out, self.weights, self.device)
        else:
            self._draw()

    def _draw(self) -> None:
        from rfwarp import Generator
        from rfwarp.images import load_image
        from rfwarp.viz import (
            draw_maps,
            enlarge,
            picture_format,
            write_animation,
            write_picture,
        )

        for path in filter(None, (self.out, self.maps)):
            try:
                picture_format(path)
            except ValueError as error:
                raise UsageError(error) from error
        poses, targets = self._poses(), self._targets()
        device = choose_device(self.device)
        generator = Generator.from_pretrained(self.weights, device=device).optimize()
        if self.maps is None:
            drawn = generator.generate_many(self.pictures, poses, targets)
        else:
            picture, maps = generator.generate_with_maps(self.pictures, poses, targets[0])
            drawn = [picture]
        results = [enlarge(picture, self.scale) for picture in drawn]
        if not self.turntable:
            write_picture(self.out, results[0])
        elif picture_format(self.out) == "GIF":
            write_animation(self.out, results)
        else:
            write_picture(self.out, _turntable_sheet(results))
        print(f"wrote {self.out}")
        if self.maps is not None:
            sources = [load_image(str(path), path) for path in self.pictures]
            write_picture(self.maps, draw_maps(sources, drawn[0], maps))
            print(f"wrote {self.maps}")

    def _poses(self) -> list[PoseLike]:
        if self.poses:
            given = zip(self.poses, self.pictures, strict=True)
            return [parse_pose(text, picture) for text, picture in given]
        return [viewpoint_of_file(path) for path in self.pictures]

    def _targets(self) -> list[PoseLike]:
        from rfwarp.poses import Viewpoint

        if self.target is not None:
            return [parse_pose(self.target, self.pictures[0])]
        return [parse_viewpoint(f"{azimuth}:{self.elevation}") for azimuth in Viewpoint.AZIMUTHS]


def _turntable_sheet(pictures: list[Image.Image]) -> Image.Image:
    from rfwarp.viz import draw_sheet

    begins = range(0, len(pictures), TURNTABLE_COLUMNS)
    return draw_sheet([pictures[i : i + TURNTABLE_COLUMNS] for i in begins])
