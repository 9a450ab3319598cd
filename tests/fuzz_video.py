"""Reads mutated videos, and writes what was read: run by ``test_video.py``, as FFmpeg could crash.

    python tests/fuzz_video.py FOLDER_OF_VIDEOS COUNT SEED

Prints a JSON object: how many were read, and how many refused. Anything but one line that names the
file ends it with a traceback; so does a video that takes more than 30 seconds.
"""

from __future__ import annotations

import faulthandler
import json
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np

from rfwarp.video import VideoReader, write_video

SECONDS = 30
EXTREMES = (0, 1, 0x7F, 0x80, 0xFF)


def mutated(data: bytes, rng: np.random.Generator) -> bytes:
    """One to eight changes: of bits, of bytes, of 32-bit numbers, or of blocks."""
    content = bytearray(data)
    for _ in range(int(rng.integers(1, 9))):
        # Half of them in the first kilobyte or the last one, where headers are.
        at = int(rng.integers(len(content)))
        if rng.random() < 0.5:
            at = at % 1024 if rng.random() < 0.5 else max(0, len(content) - 1 - at % 1024)
        kind = int(rng.integers(6))
        length = int(rng.integers(1, 64))
        if kind == 0:
            content[at] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            content[at] = int(rng.integers(256))
        elif kind == 2:
            content[at : at + 4] = bytes([EXTREMES[int(rng.integers(5))]] * 4)
        elif kind == 3:
            del content[at : at + length]
        elif kind == 4:
            content[at:at] = content[at : at + length]
        else:
            del content[max(64, at) :]
        if not content:
            break
    return bytes(content)


def attempt(path: Path, out: Path) -> str:
    """What became of a video: read, or refused with one line that names it."""
    try:
        video = VideoReader(path)
        sound = path if video.has_sound else None
        write_video(out, video, video.rate, sound=sound)
    except (ValueError, OSError) as error:
        message = str(error)
        named = str(path) in message or str(out) in message
        if len(message.splitlines()) != 1 or not named or len(message) > 500:
            raise AssertionError(f"not one clear line: {message!r}") from error
        return "refused" if isinstance(error, ValueError) else "not written"
    return "read"


def main() -> None:
    folder, count, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    files = sorted(folder.iterdir())
    given = [(file.suffix, file.read_bytes()) for file in files]
    found: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name:
        for number in range(count):
            rng = np.random.default_rng([seed, number])
            suffix, data = given[number % len(given)]
            path = Path(name, f"mutated{suffix}")
            path.write_bytes(mutated(data, rng))
            faulthandler.dump_traceback_later(SECONDS, exit=True)
            try:
                found[attempt(path, Path(name, "out.mkv"))] += 1
            except BaseException:
                print(f"{files[number % len(given)].name}, seed {seed}, number {number}:")
                raise
            faulthandler.cancel_dump_traceback_later()
    print(json.dumps(found))


if __name__ == "__main__":
    faulthandler.enable()
    main()
