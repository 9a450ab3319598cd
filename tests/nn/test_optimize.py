"""The inference form equals the plain network in all but its cost, in float64."""

import copy
import json
import pickle

import pytest
import torch
import torch.nn.functional as F
from network_cases import ConvolutionsRead
from test_generator import inputs, make
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.testing import assert_close
from torch.utils._python_dispatch import TorchDispatchMode

from rfwarp import Generator
from rfwarp.nn import folding
from rfwarp.ops import use_backend

ABLATIONS = {"residual_flow": False, "attention": False, "occlusion": False}
CONFIGS = [
    {},
    {"encoder_norm": "instance"},
    {"decoder_norm": "none", "padding_mode": "border", "negative_slope": 0.3},
    *({name: False} for name in ABLATIONS),
    ABLATIONS,
]
MASK = torch.tensor([[True, False, True], [True, True, True]])


@pytest.fixture(scope="module")
def pair() -> tuple[Generator, Generator]:
    """A plain generator and its inference form, float64."""
    plain = randomised().double().requires_grad_(False)
    return plain, plain.optimize()


def randomised(**config) -> Generator:
    """As `make`, with biases and norms of every channel its own, so that none is lost unseen."""
    generator = make(**config)
    with torch.no_grad():
        for parameter in generator.parameters():
            if parameter.ndim == 1:
                parameter.add_(torch.randn_like(parameter) * 0.1)
    return generator


# ------------------------------------------------------------------ the same function


@pytest.mark.parametrize("config", CONFIGS, ids=str)
@pytest.mark.parametrize("size", [(64, 96), (50, 70)])
def test_equals_the_plain_form(config, size):
    plain = randomised(**config).double().requires_grad_(False)
    arguments = inputs(h=size[0], w=size[1])
    image, maps = plain(*arguments, MASK, return_maps=True)
    ours, our_maps = plain.optimize()(*arguments, MASK, return_maps=True)
    assert_close(ours, image, rtol=0, atol=1e-9)
    for ours_at, plain_at in zip(our_maps, maps, strict=True):
        for name in ("flow", "residual", "attention", "occlusion"):
            assert_close(getattr(ours_at, name), getattr(plain_at, name), rtol=0, atol=1e-9)


@pytest.mark.parametrize("k", [1, 2, 5])
def test_equals_the_plain_form_in_float32(k):
    plain = randomised(seed=k).requires_grad_(False)
    arguments = inputs(k=k, h=128, w=128, dtype=torch.float32)
    assert_close(plain.optimize()(*arguments), plain(*arguments), rtol=0, atol=1e-4)


def test_equals_the_plain_form_in_float32_where_nothing_varies_much():
    """Variances far below the mean's square: what a sum of squares in float32 would lose."""
    plain = randomised().requires_grad_(False)
    with torch.no_grad():
        for name, parameter in plain.named_parameters():
            if name.endswith("conv1.bias"):
                parameter.add_(30)
    arguments = inputs(h=128, w=128, dtype=torch.float32)
    expected = copy.deepcopy(plain).double()(*(x.double() for x in arguments))
    own = (plain(*arguments).double() - expected).abs().max()
    assert (plain.optimize()(*arguments).double() - expected).abs().max() <= 4 * own + 1e-6


def test_the_torch_backend_gives_the_same(pair):
    plain, optimized = pair
    expected = plain(*inputs())
    with use_backend("torch"):
        assert_close(optimized(*inputs()), expected, rtol=0, atol=1e-9)


def test_gradients_of_the_inputs_are_those_of_the_plain_form(pair):
    gradients = []
    for generator in pair:
        leaves = [x.requires_grad_() for x in inputs(k=2)]
        gradients.append(torch.autograd.grad(generator(*leaves).square().sum(), leaves))
    for ours, plain in zip(gradients[1], gradients[0], strict=True):
        assert_close(ours, plain, rtol=1e-8, atol=1e-9)


def test_garbage_in_a_missing_source_is_ignored(pair):
    sources, poses, target = inputs()
    expected = pair[1](sources, poses, target, MASK)
    sources[~MASK], poses[~MASK] = torch.nan, torch.inf
    assert torch.equal(pair[1](sources, poses, target, MASK), expected)


# ------------------------------------------------------------------ each identity


def weight(o: int, i: int) -> torch.Tensor:
    return torch.randn(o, i, 3, 3, dtype=torch.float64, generator=torch.manual_seed(o))


X = torch.randn(2, 3, 10, 14, dtype=torch.float64, generator=torch.manual_seed(7))


def up(x: torch.Tensor) -> torch.Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


def test_pooling_folds():
    expected = F.avg_pool2d(F.conv2d(X, weight(5, 3), padding=1), 2)
    folded = F.conv2d(X, folding.fold_pooling(weight(5, 3)), stride=2, padding=1)
    assert_close(folded, expected)


def test_upsampling_folds():
    expected = F.conv2d(up(X), weight(5, 3), padding=1)
    folded = folding.fold_upsampling(weight(5, 3))
    assert_close(F.conv_transpose2d(X, folded, stride=2, padding=1), expected)


def test_two_convolutions_fold_but_for_the_outermost_ring():
    first, second = weight(4, 3), weight(2, 4)
    expected = F.conv2d(F.conv2d(X, first, padding=1), second, padding=1)
    folded = F.conv2d(X, folding.compose(first, second), padding=2)
    inner = (..., slice(1, -1), slice(1, -1))
    assert_close(folded[inner], expected[inner])
    assert (folded - expected).abs()[:, :, 0].max() > 0.1


@pytest.mark.parametrize("size", [3, 5])
def test_pixels_fold(size):
    kernel = torch.randn(2, 3, size, size, dtype=torch.float64, generator=torch.manual_seed(size))
    expected = F.conv2d(X, kernel, padding=size // 2)
    folded = F.conv2d(X, folding.fold_pixels(kernel), stride=2, padding=size // 2)
    assert_close(F.pixel_shuffle(folded, 2), expected)


def test_upsampled_pixels_fold():
    expected = F.conv2d(up(X), weight(2, 3), padding=1)
    folded = F.conv2d(X, folding.fold_upsampled_pixels(weight(2, 3)), padding=1)
    assert_close(F.pixel_shuffle(folded, 2), expected)


def test_products_shift_and_add_up():
    products = F.conv2d(X, folding.products(weight(2, 3)))
    assert products.shape[1] == 18
    assert_close(folding.shift_and_add(products), F.conv2d(X, weight(2, 3), padding=1))


# ------------------------------------------------------------------ what it saves


def test_it_multiplies_less():
    """Multiplications of the convolutions at 256 x 256, of the paper's model."""
    plain = Generator(pose_channels=18).eval().requires_grad_(False)
    counts = []
    for generator in (plain, plain.optimize()):
        with FakeTensorMode(allow_non_fake_inputs=True):
            sources, poses = torch.empty(1, 2, 3, 256, 256), torch.empty(1, 2, 18, 256, 256)
            with Multiplications() as encode:
                encoded = generator.encode(sources, poses)
            with Multiplications() as decode:
                generator.decode(encoded, torch.empty(1, 18, 256, 256))
        counts.append((encode.count, decode.count))
    (plain_encode, plain_decode), (encode, decode) = counts
    assert plain_encode + plain_decode > 1.6 * (encode + decode)
    assert plain_encode + plain_decode > 2.5 * decode


class Multiplications(TorchDispatchMode):
    """Counts those of all convolutions within."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        if function is torch.ops.aten.convolution.default:
            image, kernel, transposed = args[0], args[1], args[6]
            # Each pixel of the image (transposed) or of the result meets a kernel once.
            pixels = (image if transposed else out)[:, 0].numel()
            self.count += pixels * kernel.numel()
        return out


def test_targets_share_one_set_of_sources_without_copies(pair, monkeypatch):
    sources, poses, _ = inputs(n=1)
    targets = torch.rand(4, 5, 64, 64, dtype=torch.float64)
    seen = []
    fuse = torch.ops.rfwarp.warp_fuse
    monkeypatch.setattr(
        "rfwarp.ops.functional.operators.warp_fuse",
        lambda features, *rest: seen.append(features) or fuse(features, *rest),
    )
    encoded = pair[1].encode(sources, poses)
    image = pair[1].decode(encoded, targets)
    assert [f.stride(0) for f in seen] == [0, 0]
    assert [f.data_ptr() for f in seen] == [f.data_ptr() for f in encoded.features]
    repeated = pair[0](sources.repeat(4, 1, 1, 1, 1), poses.repeat(4, 1, 1, 1, 1), targets)
    assert_close(image, repeated, rtol=0, atol=1e-9)


def test_convolutions_run_in_channels_last(pair):
    with ConvolutionsRead() as convolutions:
        pair[1](*inputs())
    seen = [x for x in convolutions.read if x.shape[1] > 1 and x.shape[-1] > 1]
    assert len(seen) > 60
    assert all(x.is_contiguous(memory_format=torch.channels_last) for x in seen)


# ------------------------------------------------------------------ it lives like any model


def test_the_plain_form_stays_as_it_was():
    plain = randomised()
    before = copy.deepcopy(plain.state_dict())
    optimized = plain.train().optimize()
    assert optimized.optimized
    assert not optimized.training
    assert plain.training
    assert not plain.optimized
    after = plain.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], before[name]) for name in before)
    mine = {p.data_ptr() for p in plain.parameters()}
    assert not mine & {p.data_ptr() for p in optimized.parameters()}


def test_it_cannot_be_trained(pair):
    with pytest.raises(RuntimeError, match="train the plain one"):
        pair[1].train()
    assert not pair[1].eval().training


def test_its_weights_want_no_gradients():
    optimized = make().optimize()
    assert not any(parameter.requires_grad for parameter in optimized.parameters())
    assert not optimized(*inputs(dtype=torch.float32)).requires_grad


def test_optimized_twice_is_a_copy(pair):
    again = pair[1].optimize()
    assert again is not pair[1]
    assert torch.equal(again(*inputs()), pair[1](*inputs()))


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda g: pickle.loads(pickle.dumps(g))])
def test_copies(pair, clone):
    assert torch.equal(clone(pair[1])(*inputs()), pair[1](*inputs()))


def test_state_dict_fits_another(pair):
    other = randomised(seed=3).double().optimize()
    other.load_state_dict(pair[1].state_dict())
    assert torch.equal(other(*inputs()), pair[1](*inputs()))


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_saved_and_loaded(tmp_path, config):
    optimized = randomised(**config).double().optimize()
    folder = optimized.save_pretrained(tmp_path / "model")
    loaded = Generator.from_pretrained(folder)
    assert loaded.optimized
    assert loaded.config == optimized.config
    with torch.no_grad():
        assert torch.equal(loaded(*inputs()), optimized(*inputs()))


def test_a_plain_model_file_does_not_say_optimized(tmp_path):
    folder = make().save_pretrained(tmp_path / "model")
    assert "optimized" not in json.loads((folder / "config.json").read_text())


def test_a_damaged_flag_is_an_error(tmp_path):
    folder = make().optimize().save_pretrained(tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"optimized": "yes"}))
    with pytest.raises(ValueError, match=r"config.json: 'optimized' must be true or false"):
        Generator.from_pretrained(folder)
    (folder / "config.json").write_text(json.dumps(config | {"optimized": False}))
    with pytest.raises(
        ValueError, match=r"conv2.weight has shape .*4, 4\), the config needs .*3, 3\)"
    ):
        Generator.from_pretrained(folder)


# ------------------------------------------------------------------ precision


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("optimized", [False, True])
def test_flows_and_confidences_stay_in_float32(dtype, optimized):
    generator = make().requires_grad_(False)
    generator = generator.optimize(dtype) if optimized else generator.to(dtype)
    image, maps = generator(*inputs(dtype=dtype), return_maps=True)
    assert image.dtype == dtype
    for level in maps:
        for name in ("flow", "residual", "attention", "occlusion"):
            assert getattr(level, name).dtype == torch.float32
    wide = [n for n, p in generator.named_parameters() if p.dtype == torch.float32]
    assert all("heads" in n or "residual" in n or "fuse" in n for n in wide)
    assert sum("heads" in n for n in wide) == (4 if optimized else 12)
    assert sum("fuse" in n for n in wide) == (6 if optimized else 4)


def test_folded_weights_are_rounded_once():
    """Not folded in bfloat16, which would round the sums too."""
    plain = make().requires_grad_(False)
    folded = plain.optimize(torch.bfloat16).appearance.down2.conv2.weight
    exact = folding.fold_pooling(plain.appearance.down2.conv2.weight.double())
    assert torch.equal(folded, exact.float().bfloat16())


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        (0, r"sources must be torch.float32 like the weights, got torch.bfloat16"),
        (2, r"target_pose must be torch.float32 like the weights, got torch.bfloat16"),
    ],
)
def test_inputs_of_another_type_than_the_weights(argument, message):
    arguments = list(inputs(dtype=torch.float32))
    arguments[argument] = arguments[argument].bfloat16()
    if argument == 0:
        arguments[1] = arguments[1].bfloat16()
    with pytest.raises(TypeError, match=message):
        make()(*arguments)


def test_autocast_takes_inputs_of_any_type():
    """The same numbers, for inputs that bfloat16 represents."""
    generator = make().requires_grad_(False).optimize()
    halves = [x.bfloat16() for x in inputs(dtype=torch.float32)]
    with torch.autocast("cpu", torch.bfloat16):
        image = generator(*halves)
        assert torch.equal(generator(*(x.float() for x in halves)), image)
