"""Videos: what is written comes back, the sound with it, and nothing else is believed."""

from __future__ import annotations

import gc
import json
import subprocess
import sys
import weakref
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rfwarp.video import Frame, VideoReader, write_video

av = pytest.importorskip("av", reason="videos need rfwarp[video]")

writes_turns = pytest.mark.skipif(
    not hasattr(av.video.stream.VideoStream, "set_display_matrix"),
    reason="PyAV before 18 cannot write how frames are turned",
)
NTSC = Fraction(30000, 1001)
WRITTEN = ("mp4", "m4v", "mov", "mkv", "webm")
BLUE, RED = (40, 60, 200), (230, 30, 20)


def scene(left: int, size: tuple[int, int] = (64, 48)) -> Image.Image:
    """A red block on blue, that begins so far from the left."""
    image = Image.new("RGB", size, BLUE)
    image.paste(RED, (left, 8, left + 16, 40))
    return image


def clip(count: int, rate: Fraction = Fraction(25), size: tuple[int, int] = (64, 48)):
    return [Frame(scene(2 * n, size), n / rate) for n in range(count)]


def tone(seconds: float, rate: int, hertz: float = 440.0) -> np.ndarray:
    t = np.arange(round(seconds * rate)) / rate
    return (8000 * np.sin(2 * np.pi * hertz * t)).astype(np.int16)


def with_sound(
    path: Path, codec: str, rate: int, frames: Sequence[Frame], *, seconds: float | None = None
) -> Path:
    """A video in MPEG-4 with a tone of 440 Hz, written by PyAV alone."""
    fps = Fraction(25)
    with av.open(str(path), "w") as output:
        video = output.add_stream("mpeg4", rate=fps)
        width, height = frames[0].image.size
        video.width, video.height, video.pix_fmt = width, height, "yuv420p"
        audio = output.add_stream(codec, rate=rate, layout="mono")
        for frame in frames:
            output.mux(video.encode(av.VideoFrame.from_image(frame.image)))
        output.mux(video.encode())
        samples = tone(len(frames) / fps if seconds is None else seconds, rate)
        sound = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
        sound.sample_rate, sound.pts, sound.time_base = rate, 0, Fraction(1, rate)
        resampler = av.AudioResampler(audio.format, audio.layout, audio.rate)
        for part in resampler.resample(sound):
            output.mux(audio.encode(part))
        output.mux(audio.encode())
    return path


def packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(p) for p in container.demux(container.streams.audio[0]) if p.size]


def samples_of(path: Path) -> tuple[np.ndarray, int]:
    """The sound, one channel in [-1, 1], and its rate."""
    with av.open(str(path)) as container:
        resampler = av.AudioResampler("fltp", "mono")
        parts = [
            part.to_ndarray()[0]
            for frame in [*container.decode(container.streams.audio[0]), None]
            for part in resampler.resample(frame)
        ]
        return np.concatenate(parts), container.streams.audio[0].rate


def pitch(samples: np.ndarray, rate: int) -> float:
    spectrum = np.abs(np.fft.rfft(samples * np.hanning(len(samples))))
    return float(spectrum.argmax() * rate / len(samples))


@pytest.mark.parametrize("suffix", WRITTEN)
@pytest.mark.parametrize("rate", [Fraction(25), NTSC, Fraction(24000, 1001)])
def test_what_is_written_comes_back(tmp_path: Path, suffix: str, rate: Fraction) -> None:
    path = tmp_path / "new" / f"clip.{suffix}"
    frames = clip(12, rate)
    assert write_video(path, iter(frames), rate) == 12
    video = VideoReader(path)
    assert video.rate == rate
    assert video.frames == 12
    assert not video.has_sound
    for _ in range(2):  # each time from the start
        back = list(video)
        assert [frame.time for frame in back] == [frame.time for frame in frames]
        for number, frame in enumerate(back):
            assert frame.image.size == (64, 48)
            # Where nothing moves, and inside of the block: colours come back.
            assert np.abs(np.array(frame.image)[:4].astype(int) - BLUE).mean() <= 3
            inside = np.array(frame.image)[12:36, 2 * number + 4 : 2 * number + 12]
            assert np.abs(inside.astype(int) - RED).mean() < 8
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "webm"])
@pytest.mark.parametrize(
    ("rate", "written"),
    [
        (29.97, Fraction(2997, 100)),
        (23.976, Fraction(2997, 125)),
        (30000 / 1001, NTSC),
        (1 / 3, Fraction(1, 3)),
    ],
)
def test_rates_are_floats_too(tmp_path: Path, suffix: str, rate: float, written: Fraction) -> None:
    path = tmp_path / f"clip.{suffix}"
    assert write_video(path, clip(3, written), rate) == 3
    assert float(VideoReader(path).rate) == pytest.approx(rate, rel=1e-3)  # mkv: whole milliseconds
    assert len(list(VideoReader(path))) == 3


def test_colours_are_said_to_be_of_bt709(tmp_path: Path) -> None:
    write_video(tmp_path / "clip.mp4", clip(3), 25)
    with av.open(str(tmp_path / "clip.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.colorspace, stream.color_primaries, stream.color_trc) == (1, 1, 1)
        assert stream.codec_context.name == "h264"
        assert stream.pix_fmt == "yuv420p"


def test_uneven_times_stay(tmp_path: Path) -> None:
    times = [Fraction(n, 1000) for n in (0, 40, 45, 200, 201, 1500)]
    frames = [Frame(scene(n), time) for n, time in enumerate(times)]
    write_video(tmp_path / "clip.mp4", frames, 25)
    assert [frame.time for frame in VideoReader(tmp_path / "clip.mp4")] == times


def test_frames_of_odd_sides_get_another_row_and_column(tmp_path: Path) -> None:
    write_video(tmp_path / "clip.mp4", clip(3, size=(63, 45)), 25)
    (first, *_) = VideoReader(tmp_path / "clip.mp4")
    assert first.image.size == (64, 46)
    assert np.abs(np.array(first.image)[-1, -1].astype(int) - BLUE).max() <= 4


@writes_turns
@pytest.mark.parametrize(
    ("matrix", "turn"),
    [
        ((1, 0, 0, 1), None),
        ((0, 1, -1, 0), Image.Transpose.ROTATE_270),  # as phones store portraits
        ((-1, 0, 0, -1), Image.Transpose.ROTATE_180),
        ((0, -1, 1, 0), Image.Transpose.ROTATE_90),
        ((-1, 0, 0, 1), Image.Transpose.FLIP_LEFT_RIGHT),
        ((1, 0, 0, -1), Image.Transpose.FLIP_TOP_BOTTOM),
        ((0, 1, 1, 0), Image.Transpose.TRANSPOSE),
        ((0, -1, -1, 0), Image.Transpose.TRANSVERSE),
    ],
)
def test_frames_are_turned_as_the_file_says(
    tmp_path: Path, matrix: tuple[int, int, int, int], turn: Image.Transpose | None
) -> None:
    stored = Image.new("RGB", (64, 48), "white")
    stored.paste(RED, (0, 0, 32, 24))  # of the quarters, the first
    stored.paste(BLUE, (32, 0, 64, 24))
    path, one = tmp_path / "turned.mp4", 1 << 16
    a, b, c, d = (value * one for value in matrix)
    with av.open(str(path), "w") as output:
        stream = output.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.set_display_matrix([a, b, 0, c, d, 0, 0, 0, 1 << 30])
        output.mux(stream.encode(av.VideoFrame.from_image(stored)))
        output.mux(stream.encode())
    (frame,) = VideoReader(path)
    expected = stored if turn is None else stored.transpose(turn)
    assert frame.image.size == expected.size
    assert np.abs(np.array(frame.image).astype(int) - np.array(expected)).mean() < 8


@writes_turns
def test_other_turns_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "turned.mp4"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.set_display_rotation(45)
        output.mux(stream.encode(av.VideoFrame.from_image(scene(0))))
        output.mux(stream.encode())
    with pytest.raises(ValueError, match=r"turned.mp4, frame 0, .* than quarter turns"):
        list(VideoReader(path))


def test_pixels_become_square(tmp_path: Path) -> None:
    path = tmp_path / "wide.mp4"
    with av.open(str(path), "w") as output:
        stream = output.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(16, 11)
        output.mux(stream.encode(av.VideoFrame.from_image(scene(0))))
        output.mux(stream.encode())
    (frame,) = VideoReader(path)
    assert frame.image.size == (93, 48)


@pytest.mark.parametrize(
    ("made", "codec", "written"),
    [
        ("a.mp4", "aac", "b.mp4"),
        ("a.mp4", "aac", "b.mov"),
        ("a.mkv", "flac", "b.mkv"),
        ("a.mkv", "flac", "b.mp4"),
        ("a.avi", "mp3", "b.mp4"),
        ("a.mkv", "libopus", "b.webm"),
        ("a.mov", "pcm_s16le", "b.mov"),
    ],
)
def test_sound_is_copied(tmp_path: Path, made: str, codec: str, written: str) -> None:
    source = with_sound(tmp_path / made, codec, 48000, clip(25))
    video = VideoReader(source)
    assert video.has_sound
    write_video(tmp_path / written, video, video.rate, sound=source)
    given, copied = packets(source), packets(tmp_path / written)
    assert copied == given[: len(copied)]
    assert len(copied) >= len(given) - 3
    sound, rate = samples_of(tmp_path / written)
    assert len(sound) / rate == pytest.approx(1, abs=0.08)


@pytest.mark.parametrize(
    ("made", "codec", "rate", "written", "becomes"),
    [
        ("a.mp4", "aac", 44100, "b.webm", "opus"),
        ("a.mov", "pcm_s16le", 44100, "b.mp4", "aac"),
        ("a.mkv", "libopus", 48000, "b.mov", "aac"),
    ],
)
def test_sound_is_encoded_where_it_must_be(
    tmp_path: Path, made: str, codec: str, rate: int, written: str, becomes: str
) -> None:
    source = with_sound(tmp_path / made, codec, rate, clip(25))
    write_video(tmp_path / written, VideoReader(source), 25, sound=source)
    with av.open(str(tmp_path / written)) as container:
        assert container.streams.audio[0].codec_context.codec.canonical_name == becomes
    sound, rate = samples_of(tmp_path / written)
    assert len(sound) / rate == pytest.approx(1, abs=0.06)
    assert pitch(sound[rate // 10 :], rate) == pytest.approx(440, abs=2)
    given, _ = samples_of(source)
    assert np.abs(sound).max() == pytest.approx(np.abs(given).max(), rel=0.1)


def test_sound_is_as_long_as_the_video(tmp_path: Path) -> None:
    source = with_sound(tmp_path / "a.mp4", "aac", 44100, clip(5), seconds=3)
    write_video(tmp_path / "b.mp4", clip(25), 25, sound=source)
    sound, rate = samples_of(tmp_path / "b.mp4")
    assert len(sound) / rate == pytest.approx(1, abs=0.06)
    with av.open(str(tmp_path / "b.mp4")) as container:
        assert container.duration / 1e6 == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("suffix", ["mp4", "webm"])
def test_sound_stays_where_it_was(tmp_path: Path, suffix: str) -> None:
    """A beep at the half of the clip, in a file whose times begin late."""
    late, rate = Fraction(7, 2), 48000
    source = tmp_path / "a.mkv"
    with av.open(str(source), "w") as output:
        video = output.add_stream("mpeg4", rate=25)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio = output.add_stream("aac", rate=rate, layout="mono")
        for number, frame in enumerate(clip(50)):
            one = av.VideoFrame.from_image(frame.image)
            one.pts, one.time_base = number + round(late * 25), Fraction(1, 25)
            output.mux(video.encode(one))
        output.mux(video.encode())
        samples = tone(2, rate)
        samples[:rate] = 0
        sound = av.AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
        sound.sample_rate, sound.pts, sound.time_base = rate, round(late * rate), Fraction(1, rate)
        resampler = av.AudioResampler(audio.format, audio.layout, audio.rate)
        for part in resampler.resample(sound):
            output.mux(audio.encode(part))
        output.mux(audio.encode())
    assert next(iter(VideoReader(source))).time == 0
    write_video(tmp_path / f"b.{suffix}", VideoReader(source), 25, sound=source)
    with av.open(str(tmp_path / f"b.{suffix}")) as container:
        begin = float(container.streams.audio[0].start_time * container.streams.audio[0].time_base)
        # Of codecs that begin before the first sample, all times are shifted by that.
        first = next(container.decode(video=0)).time
        assert first == pytest.approx(0, abs=0.05)
    heard, rate = samples_of(tmp_path / f"b.{suffix}")
    beep = np.flatnonzero(np.abs(heard) > 0.1)[0] / rate + begin
    assert beep - first == pytest.approx(1, abs=0.05)


def test_a_gif(tmp_path: Path) -> None:
    path = tmp_path / "clip.gif"
    frames = clip(10, Fraction(50, 3))
    assert write_video(path, frames, Fraction(50, 3)) == 10
    with Image.open(path) as gif:
        assert gif.n_frames == 10
        assert gif.info["loop"] == 0
        for number in range(10):
            gif.seek(number)
            assert gif.info["duration"] == 60
            # Two colours: nothing is lost.
            assert np.array_equal(gif.convert("RGB"), frames[number].image)
    back = list(VideoReader(path))
    assert [frame.time for frame in back] == [frame.time for frame in frames]
    assert np.array_equal(back[3].image, frames[3].image)


def test_a_gif_leaves_out_frames_that_come_too_fast(tmp_path: Path) -> None:
    assert write_video(tmp_path / "clip.gif", clip(12, Fraction(100)), 100) == 6
    with Image.open(tmp_path / "clip.gif") as gif:
        assert gif.n_frames == 6
        assert gif.info["duration"] == 20


def test_what_is_transparent_in_a_gif_is_white(tmp_path: Path) -> None:
    image = Image.new("RGBA", (32, 32), (0, 0, 0, 0))
    image.paste((*RED, 255), (8, 8, 24, 24))
    image.save(tmp_path / "clip.gif", save_all=True, append_images=[image.rotate(90)], duration=40)
    first = next(iter(VideoReader(tmp_path / "clip.gif"))).image
    assert first.getpixel((0, 0)) == (255, 255, 255)
    assert first.getpixel((16, 16)) == RED


def test_a_folder_of_frames(tmp_path: Path) -> None:
    frames = clip(3)
    (tmp_path / "empty").mkdir()
    for name in ("new", "empty"):
        assert write_video(tmp_path / name, frames, 25) == 3
        files = sorted((tmp_path / name).iterdir())
        assert [file.name for file in files] == ["000000.png", "000001.png", "000002.png"]
        for file, frame in zip(files, frames, strict=True):
            with Image.open(file) as image:
                assert np.array_equal(image, frame.image)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "new"]
    with pytest.raises(FileExistsError, match="must be a new or empty folder"):
        write_video(tmp_path / "new", frames, 25)


SLOW = pytest.mark.slow


@pytest.mark.parametrize(
    "suffix", [".mp4", pytest.param(".webm", marks=SLOW), ".gif", pytest.param("", marks=SLOW)]
)
def test_frames_are_not_kept(tmp_path: Path, suffix: str) -> None:
    """No more of them live at any time than encoders and the palette look at."""
    living: list[weakref.ref[Image.Image]] = []
    most = 0

    def frames() -> Iterator[Frame]:
        nonlocal most
        for number in range(120):
            image = scene(number % 40)
            living.append(weakref.ref(image))
            if number % 20 == 19:
                gc.collect()
                most = max(most, sum(one() is not None for one in living))
            yield Frame(image, Fraction(number, 25))

    path = tmp_path / f"long{suffix}"
    assert write_video(path, frames(), 25) == 120
    assert most <= (80 if suffix == ".gif" else 16)
    if suffix == ".mp4":
        living, most = [], 0
        for frame in VideoReader(path):
            living.append(weakref.ref(frame.image))
            most = max(most, sum(one() is not None for one in living))
        assert most <= 16


@pytest.mark.parametrize("name", ["clip.mp4", "clip.webm", "clip.gif", "clip"])
def test_nothing_is_left_of_a_failure(tmp_path: Path, name: str) -> None:
    def frames() -> Iterator[Frame]:
        yield from clip(5)
        raise FloatingPointError("the network gave NaN")

    with pytest.raises(FloatingPointError):
        write_video(tmp_path / name, frames(), 25)
    big = [*clip(2), Frame(scene(0, (32, 32)), Fraction(1))]
    with pytest.raises(ValueError, match="one size"):
        write_video(tmp_path / name, big, 25)
    with pytest.raises(ValueError, match="times must grow"):
        write_video(tmp_path / name, [*clip(3), *clip(1)], 25)
    with pytest.raises(ValueError, match="needs frames, got none"):
        write_video(tmp_path / name, [], 25)
    grey = [Frame(frame.image.convert("L"), frame.time) for frame in clip(2)]
    with pytest.raises(ValueError, match="frames must be RGB images, got PIL mode 'L'"):
        write_video(tmp_path / name, grey, 25)
    assert list(tmp_path.iterdir()) == []


def test_a_link_to_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "there")
    write_video(tmp_path / "link", clip(2), 25)
    assert len(list((tmp_path / "there").iterdir())) == 2
    assert (tmp_path / "link").is_symlink()


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    write_video(path, clip(3), 25)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="one size"):
        write_video(path, [*clip(2), Frame(scene(0, (32, 32)), Fraction(1))], 25)
    assert path.read_bytes() == before


def test_bad_requests(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"written to .mp4, .* or a folder, got '.*clip.avi'"):
        write_video(tmp_path / "clip.avi", clip(2), 25)
    for rate in (0, -25.0, float("inf"), float("nan")):
        with pytest.raises(ValueError, match=f"rate must be positive and finite, got {rate}"):
            write_video(tmp_path / "clip.mp4", clip(2), rate)
    silent = tmp_path / "silent.mp4"
    write_video(silent, clip(2), 25)
    with pytest.raises(ValueError, match=r"silent.mp4 has no sound"):
        write_video(tmp_path / "clip.mp4", clip(2), 25, sound=silent)
    with pytest.raises(FileNotFoundError, match=r"no video file at .*none.mp4"):
        write_video(tmp_path / "clip.mp4", clip(2), 25, sound=tmp_path / "none.mp4")
    assert list(tmp_path.iterdir()) == [silent]


def test_files_that_are_no_videos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FileNotFoundError, match=r"no video file at .*none.mp4"):
        VideoReader(tmp_path / "none.mp4")
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "text.mp4").write_text("Not a video.\n" * 100)
    for name in ("empty.mp4", "text.mp4"):
        with pytest.raises(ValueError, match=f"{name} cannot be read as a video: "):
            VideoReader(tmp_path / name)
    with av.open(str(tmp_path / "tone.mp4"), "w") as output:
        stream = output.add_stream("aac", rate=44100, layout="mono")
        sound = av.AudioFrame.from_ndarray(tone(0.1, 44100)[None], format="s16", layout="mono")
        sound.sample_rate = 44100
        for part in av.AudioResampler("fltp", "mono", 44100).resample(sound):
            output.mux(stream.encode(part))
        output.mux(stream.encode())
    with pytest.raises(ValueError, match=r"tone.mp4 has no video in it"):
        VideoReader(tmp_path / "tone.mp4")
    write_video(tmp_path / "clip.mp4", clip(3), 25)
    monkeypatch.setattr("rfwarp.images.MAX_PIXELS", 64 * 48 - 1)
    with pytest.raises(ValueError, match="a frame has 64 x 48 pixels, more than 3,071"):
        VideoReader(tmp_path / "clip.mp4")


def test_no_other_file_is_opened(tmp_path: Path) -> None:
    """A playlist that is called a video."""
    write_video(tmp_path / "clip.mkv", clip(3), 25)
    playlist = tmp_path / "list.mp4"
    playlist.write_text("#EXTM3U\n#EXTINF:1,\nclip.mkv\n")
    with pytest.raises(ValueError, match="cannot be read as a video"):
        VideoReader(playlist)
    playlist.write_text("ffconcat version 1.0\nfile clip.mkv\n")
    with pytest.raises(ValueError, match="cannot be read as a video"):
        VideoReader(playlist)


def test_a_name_is_no_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_video("http:clip.mp4", clip(3), 25)
    write_video("50%d.mkv", clip(3), 25)
    assert len(list(VideoReader("http:clip.mp4"))) == 3
    assert len(list(VideoReader("50%d.mkv"))) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["50%d.mkv", "http:clip.mp4"]


def test_a_truncated_video(tmp_path: Path) -> None:
    write_video(tmp_path / "whole.mp4", clip(30), 25)
    data = (tmp_path / "whole.mp4").read_bytes()
    (tmp_path / "half.mp4").write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match=r"half.mp4, frame [0-9]+, cannot be read"):
        list(VideoReader(tmp_path / "half.mp4"))


def test_without_av(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    (tmp_path / "clip.mp4").touch()
    with pytest.raises(ImportError, match=r'pip install "rfwarp\[video\]"'):
        VideoReader(tmp_path / "clip.mp4")
    with pytest.raises(ImportError, match=r'pip install "rfwarp\[video\]"'):
        write_video(tmp_path / "new.mp4", clip(2), 25)
    assert write_video(tmp_path / "frames", clip(2), 25) == 2


def fuzzed(folder: Path, count: int, seed: int) -> dict[str, int]:
    """Results of so many mutated videos; in a process of its own, as a crash would end it."""
    seeds = folder / "seeds"
    seeds.mkdir()
    frames = clip(8)
    for name, codec in (("a.mp4", "aac"), ("b.mkv", "flac"), ("c.avi", "mp3"), ("d.mov", "aac")):
        with_sound(seeds / name, codec, 44100, frames)
    write_video(seeds / "e.webm", frames, 25, sound=seeds / "a.mp4")
    write_video(seeds / "f.gif", frames, 25)
    write_video(seeds / "g.mp4", frames, 25)  # H.264
    script = Path(__file__).with_name("fuzz_video.py")
    command = [sys.executable, str(script), str(seeds), str(count), str(seed)]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stderr == ""  # FFmpeg is silent
    return json.loads(run.stdout)


@pytest.mark.parametrize("count", [100, pytest.param(300, marks=pytest.mark.slow)])
def test_mutated_videos(tmp_path: Path, count: int) -> None:
    found = fuzzed(tmp_path, count, seed=0)
    assert sum(found.values()) == count
    assert min(found["read"], found["refused"]) > count / 6


@pytest.mark.slow
def test_many_mutated_videos(tmp_path: Path) -> None:
    found = fuzzed(tmp_path, 10_000, seed=1)
    assert sum(found.values()) == 10_000
