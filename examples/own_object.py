"""Your own object from all around, of a dozen photographs of it on a kitchen turntable.

    python examples/own_object.py photographs --steps 1000 --elevation 20

Checks the photographs, fine-tunes weights on them, and scores these before and after on photographs
held out of it. Writes a sheet of those (own_object.png) and the object turning (own_object.gif).

The angles are in the names of files, ``mug_120_20.jpg`` (azimuth, elevation), or in ``poses.csv``
(image, azimuth, elevation); docs/guides/own-object.md says how to photograph. Stop it at any time:
the same command goes on.

    python examples/own_object.py data/eth80/4/8 --eth80

takes eight photographs of an instance of ETH-80, at one elevation, for your own, and asks for those
between, below and above them.
"""

from __future__ import annotations

import argparse
import csv
import shutil
import sys
from pathlib import Path

from PIL import Image

from rfwarp import Generator
from rfwarp.data import ImageFolder
from rfwarp.data.check_report import REPORT, Options
from rfwarp.data.eth80 import find_photographs
from rfwarp.data.folder import read_table
from rfwarp.data.framing import frame_image
from rfwarp.data.preparation import prepare
from rfwarp.images import load_image
from rfwarp.metrics import EvaluationConfig, evaluate
from rfwarp.poses import Viewpoint, parse_pose
from rfwarp.sheets import result_sheet
from rfwarp.training import TrainConfig, Trainer, load_config
from rfwarp.viz import enlarge, write_animation, write_image

SETTINGS = Path(__file__).parent / "configs" / "own-object-128.yaml"
RING, NEAR = 24, range(46)  # degrees: elevations of ETH-80 that are given, and asked for
SETS = 64  # of sources and a held-out target
ROWS = 4


def eth80_as_own(instance: Path, out: Path) -> Path:
    """Photographs of an instance of ETH-80 as one's own: a ring of them to learn from, and those
    not far above and below it held out."""
    photographs, _ = find_photographs(instance)
    out.mkdir(parents=True, exist_ok=True)
    lines: list[tuple[object, ...]] = [("image", "azimuth", "elevation", "split")]
    for photo in photographs:
        if photo.view.elevation in NEAR:
            split = "train" if photo.view.elevation == RING else "test"
            lines.append((photo.path.name, photo.view.azimuth, photo.view.elevation, split))
            shutil.copyfile(photo.path, out / photo.path.name)
    with (out / "poses.csv").open("w", newline="") as file:
        csv.writer(file).writerows(lines)
    return out


def check(photographs: Path) -> None:
    """As ``rfwarp prepare folder``.

    Raises:
        ValueError: if they cannot be used.
    """
    if not photographs.is_dir():
        raise FileNotFoundError(f"there is no folder {photographs}")
    report = prepare("folder", photographs, Options())
    report.write(photographs / REPORT)
    for problem in report.problems:
        print(problem)
    if report.unusable:
        raise ValueError("; ".join(report.unusable))


def scores(name: str, generator: Generator, held_out: ImageFolder, counts: tuple[int, ...]) -> None:
    """Print PSNR on held-out photographs, as ``rfwarp evaluate``."""
    for result in evaluate(generator, held_out, EvaluationConfig(counts, SETS)):
        print(
            f"{name}, {result.sources} sources: {result.model.psnr:.2f} dB "
            f"(nearest photograph {result.nearest_source.psnr:.2f} dB)"
        )


def turn(generator: Generator, config: TrainConfig, elevation: float) -> list[Image.Image]:
    """The object from all azimuths, of all photographs for training, as ``rfwarp generate
    --turntable``."""
    data, root = config.data, config.data.root
    assert root is not None
    entries = [entry for entry in read_table(root) if entry.split == "train"]
    photographs = [load_image(entry.image, root / entry.image) for entry in entries]
    images = [frame_image(photo, data.shape(128), data.fit) for photo in photographs]
    poses = [parse_pose(entry.pose, root, entry.image) for entry in entries]
    around = [Viewpoint(azimuth, elevation) for azimuth in range(0, 360, 10)]
    return generator.generate_many(images, poses, around)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("photographs", type=Path, help="folder of them")
    parser.add_argument("--steps", type=int, default=1000, help="of fine-tuning")
    parser.add_argument("--weights", default="chairs-128", help="to start from: model or folder")
    parser.add_argument("--fit", choices=("pad", "crop"), default="crop", help="to a square")
    parser.add_argument("--elevation", type=float, default=RING, help="of the turntable, degrees")
    parser.add_argument("--eth80", action="store_true", help="it is an instance of ETH-80")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder for the results")
    options = parser.parse_args()

    try:
        root = options.photographs
        if options.eth80:
            root = eth80_as_own(root, options.out / "photographs")
        check(root)
        config = load_config(
            SETTINGS,
            TrainConfig,
            out=options.out / "run",
            init=options.weights,
            steps=options.steps,
            cooldown=options.steps // 2,
            data={"name": "folder", "root": str(root), "size": 128, "fit": options.fit},
        )
        trainer = Trainer(config)
        device = trainer.accelerator.device
        held_out = ImageFolder(root, "test", config.data.shape(128), options.fit)
        counts = tuple(sorted({1, min(4, held_out.max_sources)}))
        before = Generator.from_pretrained(options.weights, device=device)
        scores("before", before, held_out, counts)
        generator = Generator.from_pretrained(trainer.train(), device=device)
        scores("after", generator, held_out, counts)
        sheet, animation = (options.out / f"own_object.{ending}" for ending in ("png", "gif"))
        rows = held_out.evaluation_rows(0, ROWS, counts[-1])
        write_image(sheet, result_sheet(generator, held_out, rows, counts))
        frames = turn(generator, config, options.elevation)
        write_animation(animation, [enlarge(frame, 2) for frame in frames])
    except KeyboardInterrupt as interrupt:
        sys.exit(f"{parser.prog}: {interrupt or 'interrupted'}: the same command goes on")
    except (OSError, ValueError, ImportError) as error:
        sys.exit(f"{parser.prog}: error: {error}")
    print(f"held-out photographs: {sheet}\nturning: {animation}")


if __name__ == "__main__":
    main()
