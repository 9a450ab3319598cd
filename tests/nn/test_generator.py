"""The generator's specification, in float64."""

import copy
import pickle

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from rfwarp import Generator

C = 5  # pose channels


def make(seed: int = 0, **config) -> Generator:
    """A tiny generator whose flows, residuals and confidences are far from zero."""
    torch.manual_seed(seed)
    generator = Generator(**{"pose_channels": C, "width": 0.125, **config})
    for name, parameter in generator.named_parameters():
        if any(
            part in name
            for part in (".residual.weight", "heads", ".surface", ".align", "refine.conv3")
        ):
            torch.nn.init.normal_(parameter, std=0.1)
    return generator.eval()


def inputs(
    n: int = 2, k: int = 3, h: int = 64, w: int = 64, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor, Tensor]:
    g = torch.Generator().manual_seed(1)
    sources = torch.rand(n, k, 3, h, w, generator=g, dtype=dtype) * 2 - 1
    poses = torch.rand(n, k, C, h, w, generator=g, dtype=dtype)
    return sources, poses, torch.rand(n, C, h, w, generator=g, dtype=dtype)


@pytest.fixture(scope="module")
def generator() -> Generator:
    return make().double().requires_grad_(False)


def test_image_lies_in_range_and_depends_on_every_input(generator):
    sources, poses, target = (x.requires_grad_() for x in inputs(n=1, k=2))
    image = generator(sources, poses, target)
    assert image.shape == (1, 3, 64, 64)
    assert image.abs().max() <= 1
    gradients = torch.autograd.grad(image.square().sum(), (sources, poses, target))
    assert all(g.flatten(2).abs().sum(-1).min() > 0 for g in gradients)


def test_order_of_the_sources_does_not_matter(generator):
    sources, poses, target = inputs()
    order = [2, 0, 1]
    image, maps = generator(sources, poses, target, return_maps=True)
    permuted, permuted_maps = generator(sources[:, order], poses[:, order], target, None, True)
    assert_close(permuted, image, rtol=0, atol=1e-12)
    for ours, theirs in zip(permuted_maps, maps, strict=True):
        assert_close(ours.attention, theirs.attention[:, order], rtol=0, atol=1e-12)


def test_identical_sources_equal_one(generator):
    sources, poses, target = inputs(k=1)
    once = generator(sources, poses, target)
    thrice = generator(sources.expand(-1, 3, -1, -1, -1), poses.repeat(1, 3, 1, 1, 1), target)
    assert_close(thrice, once, rtol=0, atol=1e-12)


def test_different_sources_do_matter(generator):
    sources, poses, target = inputs(k=2)
    assert not torch.allclose(
        generator(sources, poses, target), generator(sources[:, :1], poses[:, :1], target)
    )


def test_mask_equals_each_sample_alone(generator):
    sources, poses, target = inputs()
    mask = torch.tensor([[False, True, False], [True, True, False]])
    together, maps = generator(sources, poses, target, mask, return_maps=True)
    for i in range(2):
        kept = mask[i]
        alone, alone_maps = generator(
            sources[i : i + 1, kept], poses[i : i + 1, kept], target[i : i + 1], return_maps=True
        )
        assert_close(together[i : i + 1], alone, rtol=0, atol=1e-12)
        for a, b in zip(maps, alone_maps, strict=True):
            assert_close(a.attention[i : i + 1, kept], b.attention, rtol=0, atol=1e-12)
            assert not a.attention[i, ~kept].any()
    full = torch.ones(2, 3, dtype=torch.bool)
    assert torch.equal(generator(sources, poses, target, full), generator(sources, poses, target))


@pytest.mark.parametrize("garbage", [float("nan"), float("inf"), 1e30])
def test_missing_sources_may_hold_anything(garbage):
    generator = make().double()
    mask = torch.tensor([[True, False, True], [True, True, False]])
    results = []
    for value in (0.0, garbage):
        sources, poses, target = inputs()
        sources, poses = sources.clone(), poses.clone()
        sources[~mask], poses[~mask] = value, value
        leaves = [x.requires_grad_() for x in (sources, poses, target)]
        generator.zero_grad()
        image = generator(*leaves, mask)
        image.square().sum().backward()
        weights = [p.grad for p in generator.parameters()]
        assert not sources.grad[~mask].any()
        assert not poses.grad[~mask].any()
        results.append([image.detach(), *(x.grad for x in leaves), *weights])
    for clean, dirty in zip(*results, strict=True):
        assert torch.equal(clean, dirty)


def test_encode_then_decode_equals_forward(generator):
    sources, poses, target = inputs(h=50, w=70)
    mask = torch.tensor([[True, False, True], [True, True, True]])
    encoded = generator.encode(sources, poses, mask)
    assert encoded.size == (50, 70)
    assert [tuple(f.shape) for f in encoded.features] == [(2, 3, 32, 8, 12), (2, 3, 16, 16, 24)]
    assert torch.equal(generator.decode(encoded, target), generator(sources, poses, target, mask))


def test_one_set_of_sources_serves_many_targets(generator):
    sources, poses, _ = inputs(n=1)
    targets = torch.rand(4, C, 64, 64, dtype=torch.float64)
    mask = torch.tensor([[True, True, False]])
    many, maps = generator.decode(generator.encode(sources, poses, mask), targets, True)
    repeated = generator(
        sources.repeat(4, 1, 1, 1, 1), poses.repeat(4, 1, 1, 1, 1), targets, mask.repeat(4, 1)
    )
    assert_close(many, repeated, rtol=0, atol=1e-12)
    assert maps[0].flow.shape == (4, 3, 2, 8, 8)


def test_lists_of_sources_equal_a_stack(generator):
    sources, poses, target = inputs()
    assert torch.equal(
        generator(list(sources.unbind(1)), tuple(poses.unbind(1)), target),
        generator(sources, poses, target),
    )


@pytest.mark.parametrize(
    ("h", "w", "padded"), [(100, 60, (128, 64)), (17, 33, (64, 64)), (1, 1, (64, 64))]
)
def test_any_size_is_padded_with_its_edge_and_cropped(generator, h, w, padded):
    sources, poses, target = inputs(n=1, k=2, h=h, w=w)
    image, maps = generator(sources, poses, target, return_maps=True)
    assert image.shape == (1, 3, h, w)
    assert maps[0].flow.shape[-2:] == (-(-h // 8), -(-w // 8))
    assert maps[1].attention.shape[-2:] == (-(-h // 4), -(-w // 4))
    rows = torch.arange(padded[0]).clamp(max=h - 1)
    columns = torch.arange(padded[1]).clamp(max=w - 1)
    by_hand = generator(*(x[..., rows, :][..., columns] for x in (sources, poses, target)))
    assert_close(image, by_hand[..., :h, :w], rtol=0, atol=1e-12)


def test_maps_are_what_the_network_did(generator):
    sources, poses, target = inputs()
    seen = []
    handles = [
        m.register_forward_hook(lambda _m, _i, out: seen.append(out))
        for m in (generator.flow, generator.predictor.fuse8, generator.predictor.fuse4)
    ]
    image, maps = generator(sources, poses, target, return_maps=True)
    for handle in handles:
        handle.remove()
    assert torch.equal(image, generator(sources, poses, target))
    predictions, *fused = seen
    for level, predicted, (_, residual) in zip(maps, predictions, fused, strict=True):
        assert torch.equal(level.flow, predicted.flow)
        assert torch.equal(level.residual, residual)
        assert level.residual.abs().max() > 0.01
        logits = predicted.attention.exp()
        assert_close(level.attention, logits / logits.sum(1, keepdim=True))
        assert_close(level.occlusion, 1 / (1 + (-predicted.occlusion).exp()))


@pytest.mark.parametrize("off", ["residual_flow", "attention", "occlusion"])
def test_an_ablation_removes_parameters_and_its_effect(off):
    ablated = make(**{off: False}).double()
    part = {"residual_flow": "residual"}.get(off, off)
    names = set(make().state_dict())
    gone = {n for n in names if f".{part}." in n}
    assert len(gone) == 4  # weight and bias at two levels
    assert set(ablated.state_dict()) == names - gone
    _, maps = ablated(*inputs(), return_maps=True)
    for level in maps:
        if off == "residual_flow":
            assert not level.residual.any()
        if off == "attention":
            assert_close(level.attention, torch.full_like(level.attention, 1 / 3))
        if off == "occlusion":
            assert not level.occlusion.any()


def test_baseline_has_no_part_of_the_method():
    off = {"residual_flow": False, "attention": False, "occlusion": False}
    ablated, full = make(**off).double(), make().double()
    state = full.state_dict()
    # A full network whose parts are neutral computes the same as one without them.
    for name, value in ablated.state_dict().items():
        state[name] = value
    for name in state.keys() - ablated.state_dict().keys():
        state[name] = torch.zeros_like(state[name])
    for level in ("heads8", "heads4"):
        state[f"flow.{level}.occlusion.bias"].fill_(-torch.inf)
    full.load_state_dict(state)
    sources, poses, target = inputs()
    mask = torch.tensor([[True, True, False], [True, True, True]])
    assert_close(full(sources, poses, target, mask), ablated(sources, poses, target, mask))


def test_padding_mode_reaches_the_warp():
    sources, poses, target = inputs()
    images = [
        make(padding_mode=mode).double()(sources, poses, target) for mode in ("zeros", "border")
    ]
    assert not torch.allclose(*images)


@pytest.mark.parametrize("how", ["autocast", "bf16"])
def test_flows_stay_in_full_precision(how):
    generator = make()
    dtype = torch.float32
    if how == "bf16":
        generator, dtype = generator.bfloat16(), torch.bfloat16
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=how == "autocast"):
        sources, poses, target = (x.to(dtype) for x in inputs())
        image, maps = generator(sources, poses, target, return_maps=True)
    assert image.dtype == torch.bfloat16
    for level in maps:
        for name in ("flow", "residual", "attention", "occlusion"):
            assert getattr(level, name).dtype == torch.float32
        # More digits than bf16 holds.
        assert not torch.equal(level.flow, level.flow.bfloat16().float())
    # The image is within a few bf16 steps of what the same weights give in double precision.
    reference = generator.double()(sources.double(), poses.double(), target.double())
    assert (image.double() - reference).abs().mean() < 4 * torch.finfo(torch.bfloat16).eps


def test_channels_last_computes_the_same():
    reference = make().double()(*inputs())
    generator = make().double().to(memory_format=torch.channels_last)
    assert_close(generator(*inputs()), reference, rtol=0, atol=1e-10)


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda g: pickle.loads(pickle.dumps(g))])
def test_copies_are_equal_and_independent(clone):
    generator = make().double()
    twin = clone(generator)
    expected = generator(*inputs())
    assert torch.equal(twin(*inputs()), expected)
    with torch.no_grad():
        twin.predictor.to_rgb.bias.add_(1.0)
    assert torch.equal(generator(*inputs()), expected)
    assert twin.config == generator.config


def test_encoded_sources_can_be_pickled(generator):
    sources, poses, target = inputs(n=1)
    encoded = generator.encode(sources, poses)
    again = pickle.loads(pickle.dumps(encoded))
    assert torch.equal(generator.decode(again, target), generator.decode(encoded, target))


def test_training_step_changes_every_parameter():
    generator = make().train()
    optimizer = torch.optim.Adam(generator.parameters(), lr=1e-3)
    before = {n: p.detach().clone() for n, p in generator.named_parameters()}
    generator(*inputs(dtype=torch.float32)).square().mean().backward()
    optimizer.step()
    assert all(not torch.equal(p, before[n]) for n, p in generator.named_parameters())


def test_compiles_as_one_graph():
    generator = make(width=1 / 64, residual_flow=True).requires_grad_(False)
    args = inputs(n=1, k=2, dtype=torch.float32)
    mask = torch.tensor([[True, False]])
    compiled = torch.compile(generator, fullgraph=True, backend="aot_eager")
    assert_close(compiled(*args, mask), generator(*args, mask))


def test_exports():
    generator = make(width=1 / 64).requires_grad_(False)
    args = inputs(n=1, k=2, dtype=torch.float32)
    exported = torch.export.export(generator, args).module()
    assert_close(exported(*args), generator(*args))
