"""The sub-networks against Tables 5-7 of the paper."""

import dataclasses
import inspect
import json
from typing import get_args, get_type_hints

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode

from rfwarp.nn import Generator, GeneratorConfig, NetworkConfig
from rfwarp.nn.blocks import FullPrecisionConv2d, ResBlock, ResBlockD, ResBlockU
from rfwarp.ops.functional import PADDING_MODES

# Module of a full-width generator, and its output (channels, resolution divisor).
STAGES = {
    "appearance.down2": (64, 2),
    "appearance.down4": (128, 4),
    "appearance.down8": (256, 8),
    "flow.down.0": (32, 2),
    "flow.down.1": (64, 4),
    "flow.down.2": (128, 8),
    "flow.down.3": (256, 16),
    "flow.down.4": (512, 32),
    "flow.up16": (256, 16),
    "flow.up8": (128, 8),
    "flow.up4": (64, 4),
    "flow.heads8.flow": (2, 8),
    "flow.heads8.attention": (1, 8),
    "flow.heads8.occlusion": (1, 8),
    "flow.heads4.flow": (2, 4),
    "flow.heads4.attention": (1, 4),
    "flow.heads4.occlusion": (1, 4),
    "predictor.encode_pose.0": (64, 2),
    "predictor.encode_pose.1": (128, 4),
    "predictor.encode_pose.2": (256, 8),
    "predictor.fuse8.residual": (2, 8),
    "predictor.decode8.0": (256, 8),
    "predictor.decode8.1": (128, 4),
    "predictor.fuse4.residual": (2, 4),
    "predictor.decode4.0": (128, 4),
    "predictor.decode4.1": (64, 2),
    "predictor.decode2.0": (64, 2),
    "predictor.decode2.1": (64, 1),
    "predictor.to_rgb": (3, 1),
}
PER_SOURCE = ("appearance", "flow", "predictor.fuse8.residual", "predictor.fuse4.residual")


@pytest.mark.parametrize("pose_channels", [3, 6, 18, 21])
@pytest.mark.parametrize(("height", "width"), [(256, 256), (128, 64)])
def test_every_stage_has_the_shape_of_the_tables(pose_channels, height, width):
    n, k = 2, 3
    seen = {}

    def record(name):
        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            seen[name] = tuple(output.shape)

        return hook

    with FakeTensorMode():
        generator = Generator(pose_channels=pose_channels)
        for name in STAGES:
            generator.get_submodule(name).register_forward_hook(record(name))
        image, maps = generator(
            torch.zeros(n, k, 3, height, width),
            torch.zeros(n, k, pose_channels, height, width),
            torch.zeros(n, pose_channels, height, width),
            return_maps=True,
        )
    assert seen == {
        name: (n * k if name.startswith(PER_SOURCE) else n, c, height // s, width // s)
        for name, (c, s) in STAGES.items()
    }
    assert image.shape == (n, 3, height, width)
    assert [m.stride for m in maps] == [8, 4]
    for m in maps:
        place = (height // m.stride, width // m.stride)
        assert m.flow.shape == m.residual.shape == (n, k, 2, *place)
        assert m.attention.shape == m.occlusion.shape == (n, k, 1, *place)


@pytest.mark.parametrize("pose_channels", [3, 6, 18, 21])
def test_input_convolutions_take_the_pose_channels(pose_channels):
    with torch.device("meta"):
        generator = Generator(pose_channels=pose_channels)
    assert generator.flow.down[0].conv1.in_channels == 3 + 2 * pose_channels
    assert generator.predictor.encode_pose[0].conv1.in_channels == pose_channels
    assert generator.appearance.down2.conv1.in_channels == 3
    assert generator.predictor.fuse8.residual.in_channels == 2 * 256
    assert generator.predictor.fuse4.residual.in_channels == 2 * 128


def test_parameter_counts_of_the_paper():
    with torch.device("meta"):
        generator = Generator(pose_channels=18)

    def millions(module: nn.Module) -> float:
        return sum(p.numel() for p in module.parameters()) / 1e6

    assert round(millions(generator), 1) == 12.0
    assert round(millions(generator.appearance), 2) == 1.19
    assert round(millions(generator.flow), 1) == 7.4


def test_width_scales_every_channel_count_but_the_heads():
    config = GeneratorConfig(pose_channels=18, width=0.3)
    assert config.channels(64, 128, 256) == (16, 40, 80)
    assert GeneratorConfig(pose_channels=18, width=1 / 64).channels(64, 512) == (8, 8)
    with torch.device("meta"):
        generator = Generator(pose_channels=18, width=0.3)
    assert generator.appearance.down8.conv2.out_channels == 80
    assert generator.flow.down[4].conv2.out_channels == 152
    assert generator.flow.heads4.flow.out_channels == 2


def test_residual_predictor_starts_at_zero_flow():
    generator = Generator(pose_channels=3, width=0.125)
    for block in (generator.predictor.fuse8, generator.predictor.fuse4):
        assert not block.residual.weight.any()
        assert not block.residual.bias.any()


def conv(x: Tensor, layer: nn.Conv2d) -> Tensor:
    return nn.functional.conv2d(x, layer.weight, layer.bias, padding=layer.padding)


def act(x: Tensor) -> Tensor:
    return torch.where(x >= 0, x, 0.1 * x)


def normed(x: Tensor) -> Tensor:
    centred = x - x.mean((2, 3), keepdim=True)
    return centred / (centred.square().mean((2, 3), keepdim=True) + 1e-5).sqrt()


def halved(x: Tensor) -> Tensor:
    return sum(x[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1)) / 4


def doubled(x: Tensor) -> Tensor:
    return x.repeat_interleave(2, 2).repeat_interleave(2, 3)


@pytest.mark.parametrize("first", [True, False])
def test_downsampling_block(first):
    torch.manual_seed(0)
    block = ResBlockD(5, 7, first=first).double()
    x = torch.randn(2, 5, 6, 8, dtype=torch.float64)
    h = conv(act(conv(x if first else act(x), block.conv1)), block.conv2)
    torch.testing.assert_close(block(x), halved(h) + halved(conv(x, block.shortcut)))


def test_upsampling_block():
    torch.manual_seed(0)
    block = ResBlockU(5, 7).double()
    x = torch.randn(2, 5, 6, 8, dtype=torch.float64)
    h = conv(doubled(act(normed(x))), block.conv1)
    h = conv(act(normed(h)), block.conv2)
    torch.testing.assert_close(block(x), h + doubled(conv(x, block.shortcut)))


def test_keeping_block():
    torch.manual_seed(0)
    block = ResBlock(5).double()
    x = torch.randn(2, 5, 6, 8, dtype=torch.float64)
    h = conv(act(normed(conv(act(normed(x)), block.conv1))), block.conv2)
    torch.testing.assert_close(block(x), x + h)


def test_norm_can_be_chosen():
    with torch.device("meta"):
        default = Generator(pose_channels=3)
        other = Generator(pose_channels=3, encoder_norm="instance", decoder_norm="none")
    assert isinstance(default.flow.down[2].norm1, nn.Identity)
    assert isinstance(default.flow.up8.norm1, nn.InstanceNorm2d)
    assert isinstance(other.flow.down[2].norm1, nn.InstanceNorm2d)
    assert isinstance(other.flow.down[0].norm1, nn.Identity)  # reads the image as it is
    assert isinstance(other.predictor.decode4[1].norm2, nn.Identity)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_full_precision_convolution(dtype):
    layer = FullPrecisionConv2d(4, 2, 3, padding=1).to(dtype)
    x = torch.randn(1, 4, 5, 5).to(dtype)
    with torch.no_grad():
        reference = nn.functional.conv2d(
            x.double(), layer.weight.double(), layer.bias.double(), padding=1
        )
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = layer(x)
    assert out.dtype == wide
    torch.testing.assert_close(out.double(), reference, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "field pose_channels is missing"),
        ({"pose_channels": 3, "widht": 1.0}, "unknown field widht; the fields are .*pose_channels"),
        ({"pose_channels": 0}, "pose_channels must be greater than or equal to 1, got 0"),
        ({"pose_channels": True}, "pose_channels must be a valid integer, got True"),
        ({"pose_channels": "18"}, "got '18'"),
        ({"pose_channels": 3, "image_size": 0}, "image_size must be"),
        ({"pose_channels": 3, "image_size": [64]}, r"field image_size\[1\] is missing"),
        ({"pose_channels": 3, "image_size": [64, 2.0]}, "image_size must be"),
        ({"pose_channels": 3, "image_size": True}, "image_size must be"),
        (
            {"pose_channels": 3, "width": 0},
            "width must be greater than or equal to 0.015625, got 0",
        ),
        ({"pose_channels": 3, "width": float("nan")}, "width must be a finite number"),
        ({"pose_channels": 3, "width": "1"}, "width must be a valid number, got '1'"),
        ({"pose_channels": 3, "negative_slope": -0.1}, "negative_slope must be greater"),
        (
            {"pose_channels": 3, "encoder_norm": "batch"},
            "encoder_norm must be 'none' or 'instance', got",
        ),
        (
            {"pose_channels": 3, "padding_mode": "wrap"},
            "padding_mode must be 'zeros', 'border' or 'reflection', got",
        ),
        ({"pose_channels": 3, "attention": 1}, "attention must be a valid boolean, got 1"),
        ({"pose_channels": 3, "pose_kind": 5}, "pose_kind must be a valid string, got 5"),
    ],
)
def test_bad_configuration(fields, message):
    with pytest.raises(ValueError, match=message):
        Generator(**fields)


def test_signature_names_every_field():
    parameters = inspect.signature(Generator).parameters
    assert next(iter(parameters)) == "pose_channels"
    assert {*parameters} == {field.name for field in dataclasses.fields(GeneratorConfig)}
    assert parameters["width"].default == 1.0


def test_padding_modes_are_those_of_the_operators():
    assert get_args(get_type_hints(NetworkConfig)["padding_mode"]) == PADDING_MODES


@pytest.mark.parametrize("size", [64, (128, 64), None])
def test_config_round_trip(size):
    config = GeneratorConfig(pose_channels=21, pose_kind="viewpoint", image_size=size, width=0.5)
    assert GeneratorConfig.from_dict(config.to_dict()) == config
    assert GeneratorConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    assert Generator(**config.to_dict()).config == config
