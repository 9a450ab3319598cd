"""Videos, read and written a frame at a time: memory does not grow with their length.

With PyAV, FFmpeg's libraries: ``pip install "rfwarp[video]"``. OpenCV, the other choice, drops the
sound, and gives neither the times of frames nor the rate as a fraction.
"""

from __future__ import annotations

import math
import os
import shutil
import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from rfwarp.files import temporary_beside, write_atomically

# torch, which rfwarp.images imports, is not needed to tell videos by their names.
if TYPE_CHECKING:
    from PIL import Image

# PyAV's objects: its types do not tell which of a container's streams it is, nor what may be None.
InputContainer: TypeAlias = Any
OutputContainer: TypeAlias = Any
AudioStream: TypeAlias = Any
Packet: TypeAlias = Any
VideoFrame: TypeAlias = Any

__all__ = ["Frame", "VideoReader", "write_video"]

READABLE = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".gif")
"""Ends of the names of videos that are read."""

GIF = ".gif"
_FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
WRITABLE = (*_FORMATS, GIF)
"""Ends of the names of videos that are written."""

# Not everything that FFmpeg can open: a playlist, for one, would have it open other files.
_DEMUXERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,gif"
_VIDEO_CODECS = {"webm": ("libvpx-vp9", {"crf": "24", "b": "0", "cpu-used": "4"})}
_H264 = ("libx264", {"crf": "18"})
# What of sound is copied; of .mkv, all that FFmpeg can put there.
_SOUNDS = {
    "mp4": ("aac", "mp3", "ac3", "eac3", "alac", "flac", "opus"),
    "mov": ("aac", "mp3", "ac3", "eac3", "alac", "pcm_s16le", "pcm_s16be", "pcm_s24le"),
    "webm": ("opus", "vorbis"),
}
_SOUND_CODECS = {"webm": ("libopus", 48000)}  # Opus has few sample rates
_GIF_TICKS = 100  # per second
_GIF_LEAST = Fraction(2, _GIF_TICKS)  # viewers show frames of one tick for ten
_PALETTE_FRAMES = 64
_BT709, _LIMITED = 1, 1
_LARGEST_DENOMINATOR = 100_000  # of rates: encoders take 32 bits, and a float has 53


class Frame(NamedTuple):
    """A frame of a video.

    Example:
        >>> from fractions import Fraction
        >>> from PIL import Image
        >>> from rfwarp.video import Frame
        >>> Frame(Image.new("RGB", (64, 48)), Fraction(1, 25)).image.size
        (64, 48)
    """

    image: Image.Image
    """RGB."""
    time: Fraction
    """Seconds since the first frame."""


class VideoReader:
    """The frames of a video, decoded as they are asked for; each iteration begins anew.

    Frames are turned as the file says (phones store portraits lying), made of square pixels, and
    laid over white where they are transparent. They have the file's times: frame n that
    comes within a tick of n / rate, to which containers round, comes exactly then, and one without
    a time, or with one not after the last frame's, comes 1 / rate after that.

    Args:
        path: a file in one of the formats of ``READABLE``. Nothing else is opened, whatever it
            refers to.

    Attributes:
        rate: frames per second, on average.
        frames: number of frames as the file says, which need not be right; 0 if it does not say.
        has_sound: whether there is an audio stream.

    Raises:
        ImportError: without ``pip install "rfwarp[video]"``.
        FileNotFoundError: if there is no such file.
        ValueError: if it is no video, has none in it, or says no rate. When it is its turn: if a
            frame is damaged, of another size than the first, or has more than
            ``rfwarp.images.MAX_PIXELS`` pixels, or if there is none.

    Example:
        >>> from fractions import Fraction
        >>> from PIL import Image
        >>> from rfwarp.video import Frame, VideoReader, write_video
        >>> colours = ("red", "green", "blue")
        >>> frames = (
        ...     Frame(Image.new("RGB", (64, 48), colour), Fraction(n, 25))
        ...     for n, colour in enumerate(colours)
        ... )
        >>> write_video("colours.mp4", frames, rate=25)
        3
        >>> video = VideoReader("colours.mp4")
        >>> video.rate, video.has_sound
        (Fraction(25, 1), False)
        >>> [str(frame.time) for frame in video]
        ['0', '1/25', '2/25']
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        with self._opened() as container:
            stream = container.streams.video[0]
            rate = stream.average_rate or stream.guessed_rate
            if rate is None or rate <= 0:
                raise ValueError(f"{self.path} does not say how many frames it has per second")
            self.rate = Fraction(rate)
            seconds = Fraction(container.duration or 0, 1_000_000)
            self.frames = max(0, stream.frames or round(seconds * self.rate))
            self.has_sound = bool(container.streams.audio)

    def __iter__(self) -> Iterator[Frame]:
        from rfwarp.images import to_rgb

        size, last, begin = None, None, Fraction(0)
        with self._opened() as container:
            stream = container.streams.video[0]
            square = stream.sample_aspect_ratio or Fraction(1)
            decoded = container.decode(stream)
            for number in range(1 << 62):
                with _described(f"{self.path}, frame {number}, cannot be read"):
                    frame = next(decoded, None)
                    if frame is None:
                        break
                    if frame.is_corrupt:
                        raise ValueError("it is damaged")
                    image = to_rgb(_shown(frame, square))
                size = size or image.size
                if image.size != size:
                    raise ValueError(
                        f"{self.path}: frame {number} has {image.width} x {image.height} pixels, "
                        f"those before it {size[0]} x {size[1]}"
                    )
                if frame.pts is None or frame.time_base is None:
                    time = None
                else:
                    tick = Fraction(frame.time_base)
                    begin = frame.pts * tick if last is None else begin
                    time = frame.pts * tick - begin
                    even = number / self.rate
                    time = even if abs(time - even) <= tick else time
                if time is None or (last is not None and time <= last):
                    time = Fraction(0) if last is None else last + 1 / self.rate
                last = time
                yield Frame(image, time)
        if last is None:
            raise ValueError(f"{self.path} has no frames")

    @contextmanager
    def _opened(self) -> Iterator[InputContainer]:
        from rfwarp.images import MAX_PIXELS

        with _open(self.path) as container:
            if not container.streams.video:
                raise ValueError(f"{self.path} has no video in it")
            context = container.streams.video[0].codec_context
            if context is None:
                raise ValueError(f"{self.path} has video of a kind that is not known")
            _check_pixels(f"{self.path}: a frame", context.width, context.height)
            # Also if a frame turns out to be larger than the file says.
            context.options = {"max_pixels": str(MAX_PIXELS)}
            yield container


def _av() -> Any:
    try:
        import av
    except ModuleNotFoundError as error:
        raise ImportError('videos need the package av: pip install "rfwarp[video]"') from error
    return av


@contextmanager
def _described(failure: str) -> Iterator[None]:
    """What goes wrong in FFmpeg, or with what it found, is a ValueError that begins so."""
    av = _av()
    try:
        yield
    except (av.FFmpegError, ValueError, OverflowError, ArithmeticError, MemoryError) as error:
        reason = error.strerror if isinstance(error, av.FFmpegError) else str(error)
        raise ValueError(f"{failure}: {reason or type(error).__name__}") from error


@contextmanager
def _open(path: Path) -> Iterator[InputContainer]:
    av = _av()
    if not path.is_file():
        raise FileNotFoundError(f"no video file at {path}")
    with _described(f"{path} cannot be read as a video"):
        container = av.open(
            f"file:{path}",  # else a name with a colon would be an address
            "r",
            container_options={"format_whitelist": _DEMUXERS, "protocol_whitelist": "file"},
            metadata_errors="replace",
        )
    with container:
        yield container


def _check_pixels(name: str, width: int, height: int) -> None:
    from rfwarp.images import MAX_PIXELS

    if width * height > MAX_PIXELS:
        raise ValueError(f"{name} has {width} x {height} pixels, more than {MAX_PIXELS:,}")


# The matrix (a, b, c, d) takes a pixel (x, y) of the file to (a x + c y, b x + d y), y down. The
# turns of PIL are counter-clockwise.
_TURNS = {
    (1, 0, 0, 1): None,
    (0, 1, -1, 0): "ROTATE_270",
    (-1, 0, 0, -1): "ROTATE_180",
    (0, -1, 1, 0): "ROTATE_90",
    (-1, 0, 0, 1): "FLIP_LEFT_RIGHT",
    (1, 0, 0, -1): "FLIP_TOP_BOTTOM",
    (0, 1, 1, 0): "TRANSPOSE",
    (0, -1, -1, 0): "TRANSVERSE",
}


def _shown(frame: VideoFrame, aspect: Fraction) -> Image.Image:
    """The frame as it is to be seen, RGB or RGBA, if its pixels are ``aspect`` times as wide as
    high."""
    from PIL import Image

    width = max(1, round(frame.width * aspect))
    _check_pixels("it", width, frame.height)
    transparent = any(component.is_alpha for component in frame.format.components)
    pixels = frame.to_ndarray(format="rgba" if transparent else "rgb24", width=width)
    image = Image.fromarray(pixels)
    turn = _turn(frame)
    return image if turn is None else image.transpose(Image.Transpose[turn])


def _turn(frame: VideoFrame) -> str | None:
    """Name of PIL's transposition that the file asks for."""
    from av.sidedata.sidedata import Type

    data = frame.side_data.get(Type.DISPLAYMATRIX)
    if data is None:
        return None
    a, b, _, c, d, *_ = struct.unpack("=9i", bytes(data)[:36])
    largest = max(1, *map(abs, (a, b, c, d)))
    turn = tuple(round(value / largest) for value in (a, b, c, d))
    if turn not in _TURNS:
        raise ValueError("it is to be shown turned by something else than quarter turns")
    return _TURNS[turn]


def write_video(
    path: str | os.PathLike[str],
    frames: Iterable[Frame],
    rate: float | Fraction,
    *,
    sound: str | os.PathLike[str] | None = None,
) -> int:
    """Write frames as they come; missing folders are created, nothing is left of a failure.

    ===================  =====================================================================
    path                 what is written
    ===================  =====================================================================
    .mp4 .m4v .mov .mkv  H.264, yuv420p in BT.709; a frame of odd sides gets another row or
                         column of its outermost pixels
    .webm                VP9, the same
    .gif                 an animation that repeats for ever, in 256 colours, those of the
                         first 64 frames; at most 50 frames per second, others are left out
    no suffix            a folder of 000000.png, 000001.png, ...
    ===================  =====================================================================

    Args:
        path: of the file, or of a folder that is new or empty.
        frames: RGB images of one size, at times that grow.
        rate: frames per second: how long the last frame lasts, and what a file of even times says,
            to the nearest fraction with a denominator of at most 100,000.
        sound: a video whose sound is copied, from its first frame on and as long as the new one; it
            is encoded anew (AAC, or Opus for .webm) only if the file cannot hold it as it is.
            A .gif and a folder have none.

    Returns:
        The number of frames in the file: of a .gif, without those left out.

    Raises:
        ImportError: without ``pip install "rfwarp[video]"``; a folder needs it not.
        FileExistsError: if the folder has something in it.
        ValueError: for another suffix, a rate that is not positive and finite, no frames, frames of
            several sizes, or sound that is not there or cannot be read.
        OSError: if the file cannot be written.

    Example:
        >>> from fractions import Fraction
        >>> from pathlib import Path
        >>> from PIL import Image
        >>> from rfwarp.video import Frame, write_video
        >>> frames = [Frame(Image.new("RGB", (64, 48)), Fraction(n, 25)) for n in range(2)]
        >>> write_video("frames", frames, rate=25)
        2
        >>> sorted(file.name for file in Path("frames").iterdir())
        ['000000.png', '000001.png']
    """
    path = Path(path)
    check_writable(path)
    if not 0 < rate < math.inf:
        raise ValueError(f"the rate must be positive and finite, got {rate} frames per second")
    slowest = Fraction(1, _LARGEST_DENOMINATOR)
    rate = max(slowest, Fraction(rate).limit_denominator(_LARGEST_DENOMINATOR))
    path.parent.mkdir(parents=True, exist_ok=True)
    checked = _CheckedFrames(frames, _GIF_LEAST if path.suffix.lower() == GIF else Fraction(0))
    if path.suffix == "":
        _write_folder(path, checked)
    elif path.suffix.lower() == GIF:
        write_atomically(path, lambda temporary: _encode_gif(temporary, path, checked, rate))
    else:
        source = None if sound is None else Path(sound)
        write_atomically(
            path, lambda temporary: _encode_video(temporary, path, checked, rate, source)
        )
    return checked.count


def check_writable(path: Path) -> None:
    """Raise ValueError or FileExistsError unless :func:`write_video` can write there."""
    if path.suffix == "":
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise FileExistsError(f"{path} must be a new or empty folder for the frames")
    elif path.suffix.lower() not in WRITABLE:
        raise ValueError(
            f"videos are written to {', '.join(WRITABLE)} or a folder, got {str(path)!r}"
        )
    elif path.is_dir():
        raise FileExistsError(f"{path} is a folder")


class _CheckedFrames:
    """Frames that are counted, there, in RGB, of one size, and in the order of their times.

    Args:
        least: seconds after a frame in which others are left out.
    """

    def __init__(self, frames: Iterable[Frame], least: Fraction) -> None:
        self._frames, self._least = frames, least
        self.count = 0

    def __iter__(self) -> Iterator[Frame]:
        size, last, shown = None, None, None
        for frame in self._frames:
            size = size or frame.image.size
            if frame.image.size != size:
                raise ValueError(f"frames must have one size, got {size} and {frame.image.size}")
            if frame.image.mode != "RGB":
                raise ValueError(f"frames must be RGB images, got PIL mode {frame.image.mode!r}")
            if last is not None and frame.time <= last:
                raise ValueError(f"times must grow, got {frame.time} s after {last} s")
            last = frame.time
            if shown is not None and last - shown < self._least:
                continue
            shown = last
            yield frame
            self.count += 1
        if last is None:
            raise ValueError("a video needs frames, got none")


def _write_folder(path: Path, frames: _CheckedFrames) -> None:
    path = path.resolve()  # a link to an empty folder is kept, and the folder filled
    temporary = temporary_beside(path)
    temporary.mkdir()
    try:
        for number, frame in enumerate(frames):
            frame.image.save(temporary / f"{number:06d}.png")
        os.replace(temporary, path)  # an empty folder is replaced too
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def _output(
    temporary: Path, path: Path, form: str, options: dict[str, str]
) -> Iterator[OutputContainer]:
    av = _av()
    try:
        with av.open(f"file:{temporary}", "w", format=form, options=options) as output:
            yield output
    except av.FFmpegError as error:
        raise OSError(f"{path} cannot be written: {error.strerror}") from error


def _encode_gif(temporary: Path, path: Path, frames: _CheckedFrames, rate: Fraction) -> None:
    import numpy as np
    from PIL import Image

    av = _av()
    shown = iter(frames)
    first = list(islice(shown, _PALETTE_FRAMES))
    width, height = first[0].image.size
    strip = Image.new("RGB", (width, height * len(first)))
    for number, frame in enumerate(first):
        strip.paste(frame.image, (0, number * height))
    # As rfwarp.viz.write_animation: one palette and no dithering, so that what rests does not
    # flicker, and no median cut, which would grey the white.
    palette = strip.quantize(256, method=Image.Quantize.FASTOCTREE)
    colours = np.full((256, 4), 255, np.uint8)  # alpha, red, green, blue
    given = np.array(palette.getpalette("RGB"), np.uint8).reshape(-1, 3)
    colours[: len(given), 1:] = given
    final = min(round(max(1 / rate, _GIF_LEAST) * _GIF_TICKS), 0xFFFF)
    with _output(temporary, path, "gif", {"final_delay": str(final)}) as output:
        stream = output.add_stream("gif", rate=_GIF_TICKS)
        stream.width, stream.height, stream.pix_fmt = width, height, "pal8"
        stream.codec_context.time_base = Fraction(1, _GIF_TICKS)
        for image, time in chain(first, shown):
            indices = np.array(image.quantize(palette=palette, dither=Image.Dither.NONE))
            packed = av.VideoFrame.from_ndarray((indices, colours), format="pal8")
            packed.pts, packed.time_base = round(time * _GIF_TICKS), Fraction(1, _GIF_TICKS)
            output.mux(stream.encode(packed))
        output.mux(stream.encode())


def _encode_video(
    temporary: Path, path: Path, frames: _CheckedFrames, rate: Fraction, sound: Path | None
) -> None:
    import numpy as np

    av = _av()
    form = _FORMATS[path.suffix.lower()]
    codec, options = _VIDEO_CODECS.get(form, _H264)
    shown = iter(frames)
    first = next(shown)
    height, width = (side + side % 2 for side in first.image.size[::-1])
    tick = _tick(rate)
    # The index goes to the front, where players on the web want it.
    front = {"movflags": "+faststart"} if form in ("mp4", "mov") else {}
    with _output(temporary, path, form, front) as output, ExitStack() as stack:
        stream = output.add_stream(codec, rate=rate, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        context = stream.codec_context
        context.time_base = tick
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = _LIMITED
        mux_sound = None if sound is None else stack.enter_context(_sound(sound, output))
        last = -1
        for image, time in chain([first], shown):
            pixels = np.array(image)
            rest = (height - image.height, width - image.width)
            if any(rest):
                pixels = np.pad(pixels, ((0, rest[0]), (0, rest[1]), (0, 0)), mode="edge")
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(
                format="yuv420p", dst_colorspace="ITU709", dst_color_range="MPEG"
            )
            last = max(round(time / tick), last + 1)
            frame.pts, frame.time_base, frame.duration = last, tick, max(1, round(1 / rate / tick))
            if mux_sound is not None:
                mux_sound(time + 1 / rate)
            output.mux(stream.encode(frame))
        output.mux(stream.encode())


def _tick(rate: Fraction) -> Fraction:
    """A unit of time in which frames of an even rate have whole numbers, at most 0.1 ms."""
    numerator = rate.numerator
    if numerator > 1 << 24:  # of a damaged file, beyond what encoders take
        return Fraction(1, 90_000)
    return Fraction(1, numerator * -(-10_000 // numerator))


@contextmanager
def _sound(path: Path, output: OutputContainer) -> Iterator[Callable[[Fraction], None]]:
    """Adds the audio stream of a video to the output.

    Gives what muxes it up to a time in seconds, so that sound and frames alternate in the file.
    """
    with _open(path) as container:
        if not container.streams.audio:
            raise ValueError(f"{path} has no sound")
        source = container.streams.audio[0]
        if source.codec_context is None:
            raise ValueError(f"{path} has sound of a kind that is not known")
        pictures = next(iter(container.streams.video), None)
        begin = Fraction(0)
        if pictures is not None and pictures.start_time is not None and pictures.time_base:
            begin = pictures.start_time * Fraction(pictures.time_base)
        with _described(f"the sound of {path} cannot be read"):
            held = _SOUNDS.get(output.format.name, output.supported_codecs)
            if source.codec_context.codec.canonical_name in held:
                target = output.add_stream_from_template(source)
                packets = _copied(container, source, target, begin)
            else:
                packets = _encoded(container, source, output, begin)
        waiting: list[Packet] = []

        def mux_until(seconds: Fraction) -> None:
            while True:
                if not waiting:
                    with _described(f"the sound of {path} cannot be read"):
                        waiting.extend(islice(packets, 1))
                if not waiting or waiting[0].pts * waiting[0].time_base >= seconds:
                    return
                output.mux(waiting.pop())

        yield mux_until


def _copied(
    container: InputContainer, source: AudioStream, target: AudioStream, begin: Fraction
) -> Iterator[Packet]:
    last = None
    for packet in container.demux(source):
        if packet.pts is None or packet.dts is None:  # the last one, which is empty
            continue
        shift = round(begin / packet.time_base)
        dts, pts = packet.dts - shift, packet.pts - shift
        if last is not None and dts < last:
            raise ValueError("its times go back")
        if dts == last:  # rounded by the container
            dts, pts = dts + 1, max(pts, dts + 1)
        last = packet.dts = dts
        packet.pts, packet.stream = pts, target
        yield packet


def _encoded(
    container: InputContainer, source: AudioStream, output: OutputContainer, begin: Fraction
) -> Iterator[Packet]:
    av = _av()
    codec, rate = _SOUND_CODECS.get(output.format.name, ("aac", source.rate))
    layout = "mono" if source.channels == 1 else "stereo"
    target = output.add_stream(codec, rate=rate, layout=layout)
    resampler = av.AudioResampler(format=target.format, layout=target.layout, rate=target.rate)

    def packets() -> Iterator[Packet]:
        samples = None
        for frame in container.decode(source):
            if samples is None:
                samples = round((frame.pts * frame.time_base - begin) * frame.sample_rate)
            # Counted: encoders refuse times that a container has rounded.
            frame.pts, frame.time_base = samples, Fraction(1, frame.sample_rate)
            samples += frame.samples
            for part in resampler.resample(frame):
                yield from target.encode(part)
        for part in resampler.resample(None):
            yield from target.encode(part)
        yield from target.encode(None)

    return packets()
