"""Images in every accepted form, good and bad, to tensors and through `Generator.generate`."""

import struct
import zlib

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from rfwarp import Generator
from rfwarp.images import load_image, load_images, open_image, to_pil, to_rgb, to_tensor, to_uint8
from rfwarp.poses import Viewpoint

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (40, 60, 3), dtype=np.uint8)
SMALL = Image.fromarray(PIXELS)


# ------------------------------------------------------------------ files and modes


@pytest.mark.parametrize("kind", [str, "path"])
@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "ppm", "webp", "gif", "jpg"])
def test_files(tmp_path, suffix, kind):
    path = tmp_path / f"image.{suffix}"
    SMALL.save(path, **({"lossless": True} if suffix == "webp" else {}))
    read = load_image("image", str(path) if kind is str else path)
    assert read.mode == "RGB"
    assert read.size == (60, 40)
    if suffix not in ("gif", "jpg"):
        assert np.array_equal(np.array(read), PIXELS)


def test_grey_palette_and_bilevel_become_rgb():
    grey = SMALL.convert("L")
    assert np.array_equal(np.array(to_rgb(grey)), np.array(grey)[..., None].repeat(3, 2))
    palette = SMALL.quantize(16)
    assert np.array_equal(np.array(to_rgb(palette)), np.array(palette.convert("RGB")))
    assert np.unique(np.array(to_rgb(SMALL.convert("1")))).tolist() == [0, 255]
    assert to_rgb(SMALL.convert("CMYK")).mode == "RGB"


def test_transparency_is_laid_over_white():
    alpha = RNG.integers(0, 256, (40, 60, 1), dtype=np.uint8)
    seen = np.array(to_rgb(Image.fromarray(np.concatenate([PIXELS, alpha], axis=2))))
    share = alpha / 255.0
    assert np.abs(seen - (PIXELS * share + 255 * (1 - share))).max() <= 1


def test_a_transparent_palette_colour_becomes_white(tmp_path):
    image = Image.new("P", (8, 8), 0)
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.paste(1, (4, 0, 8, 8))
    image.save(tmp_path / "p.png", transparency=0)
    seen = np.array(load_image("image", tmp_path / "p.png"))
    assert (seen[:, :4] == 255).all()
    assert (seen[:, 4:] == (200, 100, 50)).all()


def test_grey_with_alpha():
    seen = to_rgb(Image.new("LA", (2, 2), (0, 0)))
    assert (np.array(seen) == 255).all()


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_exif_rotation_is_applied(tmp_path, suffix):
    image = Image.new("RGB", (60, 40), "white")
    image.paste("black", (0, 0, 60, 8))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to see it upright
    image.save(tmp_path / f"x.{suffix}", exif=exif)
    seen = np.array(load_image("image", tmp_path / f"x.{suffix}"))
    assert seen.shape == (60, 40, 3)
    assert seen[:, -6:].max() < 40
    assert seen[:, :30].min() > 200


def test_damaged_exif_is_a_clear_error(tmp_path):
    """The tag 0x129 takes numbers: Pillow fails to write it anew, as text, when it turns."""
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x0110] = "of a model"
    SMALL.save(tmp_path / "x.jpg", exif=exif)
    (tmp_path / "x.jpg").write_bytes(
        (tmp_path / "x.jpg").read_bytes().replace(b"\x01\x10\x00\x02", b"\x01\x29\x00\x02")
    )
    with pytest.raises(ValueError, match="image: the image has damaged EXIF data"):
        load_image("image", tmp_path / "x.jpg")


def test_more_than_8_bits_are_refused(tmp_path):
    Image.fromarray(np.full((8, 8), 30000, dtype=np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(ValueError, match=r"image: .*8 bits per channel, got PIL mode 'I;16'"):
        load_image("image", tmp_path / "deep.png")
    for mode in ("I", "F"):
        with pytest.raises(ValueError, match=f"got PIL mode '{mode}'"):
            load_image("image", Image.new(mode, (8, 8)))


def test_what_of_an_image_is_left_out_is_said(tmp_path, caplog):
    frames = [SMALL, SMALL.rotate(180)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    wide = cv2.cvtColor(PIXELS, cv2.COLOR_RGB2BGR).astype(np.uint16) * 257
    for name in ("a.gif", "a.png", "a.tiff"):
        if name != "a.gif":
            cv2.imwrite(str(tmp_path / name), wide)
        caplog.clear()
        image = load_image("image", tmp_path / name)
        what = "several frames: the first one" if name == "a.gif" else "16 bits a channel: 8 of"
        assert [record.levelname for record in caplog.records] == ["WARNING"]
        assert what in caplog.text
        if name != "a.gif":
            assert np.array_equal(np.array(image), PIXELS)
    caplog.clear()
    SMALL.save(tmp_path / "b.png")
    load_image("image", tmp_path / "b.png")
    assert caplog.records == []


HOW = ("truncated", "header only", "empty", "text")


def damaged(path, how):
    SMALL.save(path)
    data = path.read_bytes()
    if how == "truncated":
        path.write_bytes(data[: len(data) // 2])
    elif how == "header only":
        path.write_bytes(data[:20])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "text":
        path.write_text("not an image")
    elif how == "flipped":
        middle = len(data) // 2
        path.write_bytes(data[:middle] + bytes([data[middle] ^ 255]) + data[middle + 1 :])


DAMAGE = [
    *((suffix, how) for suffix in ("png", "jpg", "webp", "gif") for how in HOW),
    ("png", "flipped"),  # the one with a checksum
]


@pytest.mark.parametrize(("suffix", "how"), DAMAGE)
def test_damaged_files(tmp_path, suffix, how):
    path = tmp_path / f"damaged.{suffix}"
    damaged(path, how)
    with pytest.raises(ValueError, match=rf"damaged\.{suffix} cannot be read as an image"):
        open_image(path)


def test_damaged_exif_is_an_error_of_its_own():
    exif = Image.Exif()
    exif[0x0112] = 6
    broken = Image.new("RGB", (4, 4))
    broken.info["exif"] = b"Exif\x00\x00XX" + exif.tobytes()[8:]
    with pytest.raises(ValueError, match="damaged EXIF data"):
        to_rgb(broken)


def test_scripts_are_not_run(tmp_path):
    SMALL.save(tmp_path / "x.eps")
    with pytest.raises(ValueError, match="cannot be read as an image"):
        open_image(tmp_path / "x.eps")


def png_header(width, height):
    def chunk(kind: bytes, body: bytes) -> bytes:
        crc = zlib.crc32(kind + body)
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", crc)

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [100_000, 9_000])
def test_huge_images_are_refused_from_their_header(tmp_path, side):
    path = tmp_path / "huge.png"
    path.write_bytes(png_header(side, side))
    with pytest.raises(ValueError, match=r"huge\.png cannot be read as an image: .*pixels"):
        open_image(path)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no image file at .*nowhere\.png"):
        open_image(tmp_path / "nowhere.png")
    with pytest.raises(FileNotFoundError, match="no image file at"):
        open_image(tmp_path)


# ------------------------------------------------------------------ arrays and tensors


@pytest.mark.parametrize(
    "image",
    [
        PIXELS,
        PIXELS[::-1][::-1],
        np.asfortranarray(PIXELS),
        PIXELS / 255.0,
        (PIXELS / 255.0).astype(np.float32),
        torch.from_numpy(PIXELS).permute(2, 0, 1),
        torch.from_numpy(PIXELS).permute(2, 0, 1) / 255,
        (torch.from_numpy(PIXELS).permute(2, 0, 1) / 255).double().requires_grad_(),
    ],
)
def test_arrays_and_tensors(image):
    assert np.array_equal(np.array(load_image("image", image)), PIXELS)


def test_half_precision_tensors_round_to_the_nearest_level():
    tensor = torch.from_numpy(PIXELS).permute(2, 0, 1) / 255
    assert np.array_equal(np.array(load_image("image", tensor.half())), PIXELS)
    coarse = np.array(load_image("image", tensor.bfloat16())).astype(int)
    assert np.abs(coarse - PIXELS).max() <= 1


@pytest.mark.parametrize(
    ("image", "error", "message"),
    [
        (PIXELS.astype(np.int64), TypeError, "image must be uint8 or floating point, got int64"),
        (PIXELS > 9, TypeError, "uint8 or floating point, got bool"),
        (PIXELS.astype(float), ValueError, r"in \[0, 1\], got \[0, 255\]; for 0..255 use uint8"),
        (PIXELS / 255.0 - 0.5, ValueError, r"must lie in \[0, 1\], got \[-0.5, 0.5\]"),
        (np.full((4, 4, 3), np.nan), ValueError, "image has non-finite values"),
        (np.full((4, 4, 3), np.inf), ValueError, "image has non-finite values"),
        (PIXELS[..., 0], ValueError, r"RGB array \(H, W, 3\), got \(40, 60\)"),
        (PIXELS[..., :2], ValueError, r"got \(40, 60, 2\)"),
        (PIXELS[:0], ValueError, r"got \(0, 60, 3\)"),
        (PIXELS.transpose(2, 0, 1), ValueError, r"RGB array \(H, W, 3\), got \(3, 40, 60\)"),
        (torch.zeros(40, 60, 3), ValueError, r"RGB tensor \(3, H, W\), got \(40, 60, 3\)"),
        (torch.zeros(1, 3, 4, 4), ValueError, r"got \(1, 3, 4, 4\)"),
        (torch.full((3, 4, 4), torch.nan), ValueError, "image has non-finite values"),
        (torch.zeros(3, 4, 4, dtype=torch.int32), TypeError, "got int32"),
        ([[0]], TypeError, "path, a PIL image, an RGB array or an RGB tensor, got list"),
        (None, TypeError, "got NoneType"),
        (b"x.png", TypeError, "got bytes"),
    ],
)
def test_bad_arrays(image, error, message):
    with pytest.raises(error, match=message):
        load_image("image", image)


def test_tensor_conversion_is_exact_both_ways():
    tensor = to_tensor(SMALL)
    assert tensor.dtype == torch.float32
    assert tensor.shape == (3, 40, 60)
    expected = torch.from_numpy(PIXELS).permute(2, 0, 1).double() * 2 / 255 - 1
    torch.testing.assert_close(tensor.double(), expected, rtol=0, atol=1e-6)
    assert np.array_equal(np.array(to_pil(tensor)), PIXELS)
    assert to_uint8(torch.tensor([-9.0, -1, 0, 1, 9])).tolist() == [0, 0, 128, 255, 255]


def test_sizes():
    assert load_images([SMALL, PIXELS], None).shape == (2, 3, 40, 60)
    assert load_images([SMALL], (20, 30)).shape == (1, 3, 20, 30)
    assert load_images([Image.new("RGB", (64, 64)), Image.new("RGB", (32, 32))], 16).shape[2] == 16
    assert load_images([SMALL], (41, 61)).shape == (1, 3, 41, 61)  # off by less than a pixel
    smooth = load_images([Image.fromarray(np.tile(PIXELS[:1, :2], (64, 32, 1)))], 8)
    assert (
        smooth.std(dim=(2, 3)).max() < 0.05
    )  # antialiased: stripes of one pixel become their mean


@pytest.mark.parametrize(
    ("images", "size", "message"),
    [
        ([SMALL, Image.new("RGB", (60, 41))], None, "one size, got 40 x 60, 41 x 60; pass size="),
        ([SMALL], 64, r"images\[0\] is 40 x 60 .* would be distorted at 64 x 64: crop or pad"),
        ([SMALL], 0, r"positive integers .* got 0"),
        ([SMALL], (20, -30), r"got \(20, -30\)"),
        ([SMALL], (20,), r"a side or a \(height, width\) .* got \(20,\)"),
        ([SMALL], 20.0, r"got 20\.0"),
        ([SMALL], True, "got True"),
        ([SMALL], "large", "got 'large'"),
        ([SMALL], 10**9, "at most 64,000,000 pixels, got 1000000000"),
    ],
)
def test_bad_sizes(images, size, message):
    with pytest.raises(ValueError, match=message):
        load_images(images, size)


# ------------------------------------------------------------------ generate


@pytest.fixture(scope="module")
def chairs() -> Generator:
    torch.manual_seed(0)
    return Generator(pose_channels=21, pose_kind="viewpoint", image_size=64, width=1 / 64).eval()


@pytest.fixture(scope="module")
def free() -> Generator:
    torch.manual_seed(0)
    return Generator(pose_channels=4, width=1 / 64).eval()


SQUARE = Image.fromarray(RNG.integers(0, 256, (96, 96, 3), dtype=np.uint8))
FRONT, SIDE = Viewpoint(0, 10), Viewpoint(80, 20)


def test_generate_equals_the_tensors_way(chairs, tmp_path):
    SQUARE.save(tmp_path / "a.png")
    sources = [tmp_path / "a.png", np.array(SQUARE)[:, ::-1]]
    drawn = chairs.generate(sources, [FRONT, SIDE], Viewpoint(180, 0))
    assert drawn.mode == "RGB"
    assert drawn.size == (64, 64)
    stack = load_images(sources, 64)[None]
    poses = torch.stack([v.encode(64, 64) for v in (FRONT, SIDE)])[None]
    image = chairs(stack, poses, Viewpoint(180, 0).encode(64, 64)[None])
    assert np.array_equal(np.array(drawn), np.array(to_pil(image[0])))


def test_many_targets(chairs):
    views = [Viewpoint(a, 0) for a in (0, 100, 200)]
    together = chairs.generate_many([SQUARE], [FRONT], iter(views))
    alone = [chairs.generate([SQUARE], [FRONT], view) for view in views]
    # A batch sums up in another order: a value between two levels may go to either.
    pairs = zip(together, alone, strict=True)
    assert all(np.abs(np.int16(np.array(a)) - np.array(b)).max() <= 1 for a, b in pairs)
    assert len({p.tobytes() for p in together}) == 3


def test_maps_of_a_target(chairs):
    sources, poses = load_images([SQUARE, SQUARE], 64)[None], [FRONT, SIDE]
    stack = torch.stack([v.encode(64, 64) for v in poses])[None]
    image, maps = chairs.generate_with_maps([SQUARE, SQUARE], poses, SIDE)
    assert image.tobytes() == chairs.generate([SQUARE, SQUARE], poses, SIDE).tobytes()
    _, expected = chairs(sources, stack, SIDE.encode(64, 64)[None], return_maps=True)
    assert [level.stride for level in maps] == [8, 4]
    for ours, theirs in zip(maps, expected, strict=True):
        for name in ("flow", "residual", "attention", "occlusion"):
            assert torch.equal(getattr(ours, name), getattr(theirs, name))


def test_former_names_work_for_one_release(chairs):
    expected = chairs.generate([SQUARE], [FRONT], SIDE)
    with pytest.warns(DeprecationWarning, match="images is called sources now") as given:
        image = chairs.generate(images=[SQUARE], poses=[FRONT], target_pose=SIDE)
    assert given[0].filename == __file__
    assert image.tobytes() == expected.tobytes()
    with pytest.raises(TypeError, match="images is the former name of sources"):
        chairs.generate(images=[SQUARE], sources=[SQUARE], poses=[FRONT], target_pose=SIDE)


def test_sources_are_encoded_once(chairs, monkeypatch):
    calls = []
    encode = chairs.encode
    monkeypatch.setattr(chairs, "encode", lambda *a: calls.append(1) or encode(*a))
    chairs.generate_many([SQUARE], [FRONT], [FRONT, SIDE, SIDE])
    assert calls == [1]


@pytest.mark.parametrize(
    ("size", "expected"),
    [(None, (64, 64)), ("native", (96, 96)), (32, (32, 32)), ((48, 48), (48, 48))],
)
def test_size_of_the_result(chairs, size, expected):
    assert chairs.generate([SQUARE], [FRONT], SIDE, size=size).size == expected


def test_without_a_trained_size_images_stay_as_they_are(free):
    pose = np.zeros(4)
    assert free.generate([SMALL, PIXELS], [pose, pose], pose).size == (60, 40)
    with pytest.raises(ValueError, match="sources must have one size"):
        free.generate([SMALL, SQUARE], [pose, pose], pose)


def test_vectors_and_maps_of_poses_agree(free):
    vector = torch.tensor([0.1, 0.2, 0.3, 0.4])
    tiled = vector[:, None, None].expand(4, 40, 60)
    a = free.generate([SMALL], [vector], vector.numpy())
    b = free.generate([SMALL], [tiled], tiled.numpy())
    assert a.tobytes() == b.tobytes()


def test_bf16_model_generates(chairs):
    half = Generator(**chairs.config.to_dict()).bfloat16()
    assert half.generate([SQUARE], [FRONT], SIDE).size == (64, 64)


class CameraMotion:
    kind = "camera"
    channels = 21

    def encode(self, height: int, width: int) -> torch.Tensor:
        return torch.zeros(21, height, width)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([], [], FRONT), ValueError, "at least one source image is needed, got none"),
        (([SQUARE], [], FRONT), ValueError, "1 sources need 1 poses, got 0"),
        (([SQUARE], [FRONT, SIDE], FRONT), ValueError, "1 sources need 1 poses, got 2"),
        (([SQUARE], [FRONT], [SIDE]), TypeError, "one pose, got a list: generate_many takes"),
        (("a.png", [FRONT], FRONT), TypeError, "sources must be a list, got str"),
        ((SQUARE, [FRONT], FRONT), TypeError, "sources must be a list, got Image"),
        (([SQUARE], FRONT, FRONT), TypeError, "poses must be a list, got Viewpoint"),
        (([SQUARE], ["front"], FRONT), TypeError, r"poses\[0\] must be a pose .* got str"),
        (([SQUARE], [FRONT], "front"), TypeError, "target_pose must be a pose .* got str"),
        (([SQUARE], [CameraMotion()], FRONT), ValueError, "is a camera, but .* takes a viewpoint"),
        (([SQUARE], [FRONT], CameraMotion()), ValueError, "target_pose is a camera"),
        (([SQUARE], [np.zeros(20)], FRONT), ValueError, r"vector \(21,\), got \(20,\)"),
        (([SQUARE], [np.full(21, np.nan)], FRONT), ValueError, r"poses\[0\] has non-finite values"),
        (([SQUARE, None], [FRONT, SIDE], FRONT), TypeError, r"sources\[1\] must be a path"),
        (([SMALL], [FRONT], FRONT), ValueError, "would be distorted at 64 x 64"),
        ((["nowhere.png"], [FRONT], FRONT), FileNotFoundError, "no image file at nowhere.png"),
    ],
)
def test_bad_arguments(chairs, arguments, error, message):
    with pytest.raises(error, match=message):
        chairs.generate(*arguments)


def test_bad_arguments_for_many_targets(chairs):
    with pytest.raises(ValueError, match="at least one target pose is needed, got none"):
        chairs.generate_many([SQUARE], [FRONT], [])
    with pytest.raises(ValueError, match=r"target_poses\[1\] is a camera"):
        chairs.generate_many([SQUARE], [FRONT], [FRONT, CameraMotion()])


def test_the_wrong_number_of_pose_channels(free):
    with pytest.raises(ValueError, match=r"poses\[0\] must be a map \(4, 40, 60\).* got \(21, 40"):
        free.generate([SMALL], [FRONT], FRONT)


def test_unknown_size_word(chairs):
    with pytest.raises(ValueError, match="got 'huge'"):
        chairs.generate([SQUARE], [FRONT], FRONT, size="huge")
