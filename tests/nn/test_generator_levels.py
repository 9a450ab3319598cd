"""The generator's specification for every kind of flow and set of levels, in float64."""

import pytest
import torch
from network_cases import CASES, DEPTH, MAPS, ConvolutionsRead, arguments, network
from torch.testing import assert_close

from rfwarp.nn import LevelMaps
from rfwarp.nn.flow_models import CAMERAS
from rfwarp.poses.projection import depth_flow

MASK = torch.tensor([[False, True, False], [True, True, False]])
PLACES = {"rtol": 0, "atol": 1e-9}


@pytest.fixture(scope="module", params=CASES)
def case(request):
    return request.param, network(request.param).double().requires_grad_(False)


def assert_same_maps(ours: LevelMaps, theirs: LevelMaps) -> None:
    assert ours.stride == theirs.stride
    for name in MAPS:
        a, b = getattr(ours, name), getattr(theirs, name)
        assert (a is None) == (b is None)
        if a is not None:
            assert_close(a, b, **PLACES, msg=name)


def test_shapes_and_ranges(case):
    name, generator = case
    image, maps = generator(*arguments(name, h=64, w=96), return_maps=True)
    assert image.shape == (2, 3, 64, 96)
    assert image.abs().max() <= 1
    assert tuple(m.stride for m in maps) == generator.config.levels
    for m in maps:
        place = (64 // m.stride, 96 // m.stride)
        assert m.flow.shape == m.residual.shape == (2, 3, 2, *place)
        assert m.attention.shape == m.occlusion.shape == (2, 3, 1, *place)
        assert_close(m.attention.sum(1), torch.ones(2, 1, *place).double())
        for share in (m.attention, m.occlusion, m.foreground):
            assert share is None or (share.min() >= 0 and share.max() <= 1)
        assert (m.depth is not None) == (name in DEPTH)
        told = name in DEPTH or CASES[name].get("silhouette", False)
        assert (m.foreground is not None) == told
        if m.depth is not None:
            assert m.depth.shape == m.foreground.shape == (2, 1, *place)
            assert m.depth.min() > 0
        assert m.flow.abs().max() > 0.05


def test_order_of_the_sources_does_not_matter(case):
    name, generator = case
    sources, poses, target = arguments(name)
    order = [2, 0, 1]
    image, maps = generator(sources, poses, target, return_maps=True)
    permuted, theirs = generator(sources[:, order], poses[:, order], target, return_maps=True)
    assert_close(permuted, image, **PLACES)
    for a, b in zip(theirs, maps, strict=True):
        assert_close(a.flow, b.flow[:, order], **PLACES)


def test_identical_sources_equal_one(case):
    name, generator = case
    sources, poses, target = arguments(name, k=1)
    thrice = generator(sources.repeat(1, 3, 1, 1, 1), poses.repeat(1, 3, 1, 1, 1), target)
    assert_close(thrice, generator(sources, poses, target), **PLACES)


def test_mask_equals_each_sample_alone(case):
    """Whatever a missing source holds."""
    name, generator = case
    sources, poses, target = (x.clone() for x in arguments(name))
    sources[~MASK], poses[~MASK] = torch.nan, torch.inf
    together, maps = generator(sources, poses, target, MASK, return_maps=True)
    for i in range(2):
        here, kept = slice(i, i + 1), MASK[i]
        alone, alone_maps = generator(
            sources[here, kept], poses[here, kept], target[here], return_maps=True
        )
        assert_close(together[here], alone, **PLACES)
        for a, b in zip(maps, alone_maps, strict=True):
            values = {x: getattr(a, x)[here, kept] for x in MAPS[:4]}
            for x in MAPS[4:]:
                values[x] = None if getattr(a, x) is None else getattr(a, x)[here]
            assert_same_maps(LevelMaps(a.stride, **values), b)


def test_missing_sources_leave_gradients_alone(case):
    name, generator = case
    mask, gradients = torch.tensor([[True, False], [True, True]]), []
    for value in (0.0, torch.nan):
        sources, poses, target = (x.clone() for x in arguments(name, k=2))
        sources[~mask], poses[~mask] = value, value
        leaves = [x.requires_grad_() for x in (sources, poses, target)]
        gradients.append(torch.autograd.grad(generator(*leaves, mask).square().sum(), leaves))
    for clean, dirty in zip(*gradients, strict=True):
        assert torch.equal(clean, dirty)
        assert clean.isfinite().all()


def test_one_set_of_sources_serves_many_targets(case):
    name, generator = case
    sources, poses, _ = arguments(name, n=1)
    _, _, targets = arguments(name, n=3)
    mask = torch.tensor([[True, True, False]])
    many, maps = generator.decode(generator.encode(sources, poses, mask), targets, True)
    repeated, repeated_maps = generator(
        sources.repeat(3, 1, 1, 1, 1), poses.repeat(3, 1, 1, 1, 1), targets, mask.repeat(3, 1), True
    )
    assert_close(many, repeated, **PLACES)
    for a, b in zip(maps, repeated_maps, strict=True):
        assert_same_maps(a, b)


@pytest.mark.parametrize("size", [(64, 96), (50, 70)])
def test_the_inference_form_computes_the_same(case, size):
    name, generator = case
    inputs = arguments(name, h=size[0], w=size[1])
    image, maps = generator(*inputs, MASK, return_maps=True)
    ours, our_maps = generator.optimize()(*inputs, MASK, return_maps=True)
    assert_close(ours, image, rtol=0, atol=1e-9)
    for a, b in zip(our_maps, maps, strict=True):
        assert_same_maps(a, b)


@pytest.mark.parametrize("name", ["keypoints", "viewpoint"])
def test_the_inference_form_serves_many_targets(name):
    generator = network(name).double().requires_grad_(False)
    sources, poses, _ = arguments(name, n=1)
    _, _, targets = arguments(name, n=3)
    images = [
        g.decode(g.encode(sources, poses), targets) for g in (generator, generator.optimize())
    ]
    assert_close(images[1], images[0], rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", ["keypoints", "camera"])
def test_weights_of_the_inference_form_in_half_precision(name):
    """Flows and what they come of stay in float32."""
    generator = network(name).requires_grad_(False).optimize(torch.bfloat16)
    _, maps = generator(*arguments(name, dtype=torch.bfloat16), return_maps=True)
    for level in maps:
        values = [getattr(level, x) for x in MAPS]
        assert {x.dtype for x in values if x is not None} == {torch.float32}


@pytest.mark.parametrize(("h", "w", "padded"), [(100, 60, (128, 64)), (33, 17, (64, 64))])
def test_any_size_is_padded_with_its_edge_and_cropped(case, h, w, padded, monkeypatch):
    name, generator = case
    sources, poses, target = arguments(name, n=1, k=2, h=h, w=w)
    encoded = generator.encode(sources, poses)
    image, maps = generator.decode(encoded, target, True)
    assert torch.equal(image, generator(sources, poses, target))
    assert image.shape == (1, 3, h, w)
    for level in maps:
        assert level.flow.shape[-2:] == (-(-h // level.stride), -(-w // level.stride))
    if name in DEPTH:  # the optical axis goes through the middle of the image that was given
        kind, focal = generator.config.pose_kind, generator.config.focal
        cameras = CAMERAS[kind](poses[..., 0, 0], target[..., 0, 0])
        for level in maps:
            flow = depth_flow(level.depth, cameras, focal, (h, w), level.stride)
            assert_close(level.flow, flow, **PLACES)
        return
    rows = torch.arange(padded[0]).clamp(max=h - 1)
    columns = torch.arange(padded[1]).clamp(max=w - 1)
    points = generator.flow._points  # of a prior: those of the maps that were given
    monkeypatch.setattr(generator.flow, "_points", lambda maps, _: points(maps, (h, w)))
    by_hand = generator(*(x[..., rows, :][..., columns] for x in (sources, poses, target)))
    assert_close(image, by_hand[..., :h, :w], **PLACES)


# Where nothing is added or corrected, levels before the finest have no effect.
@pytest.mark.parametrize("name", [name for name in CASES if name != "depth alone"])
def test_training_step_changes_every_parameter(name):
    generator = network(name).train()
    optimizer = torch.optim.Adam(generator.parameters(), lr=1e-3)
    before = {n: p.detach().clone() for n, p in generator.named_parameters()}
    generator(*arguments(name, dtype=torch.float32)).square().mean().backward()
    optimizer.step()
    assert [n for n, p in generator.named_parameters() if torch.equal(p, before[n])] == []


@pytest.mark.parametrize("name", CASES)
def test_flows_stay_in_full_precision(name):
    generator = network(name).requires_grad_(False)
    inputs = arguments(name, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        image, maps = generator(*inputs, return_maps=True)
    for level in maps:
        for map_name in MAPS:
            value = getattr(level, map_name)
            assert value is None or value.dtype == torch.float32
        assert not torch.equal(level.flow, level.flow.bfloat16().float())
    # At the image level pixels are those of the sources.
    assert image.dtype == (torch.float32 if generator.config.levels[-1] == 1 else torch.bfloat16)


@pytest.mark.parametrize("name", CASES)
def test_training_stays_in_channels_last(name):
    """Or convolutions would copy what they read, forward and backward, at half of their speed."""
    generator = network(name).to(memory_format=torch.channels_last).train()
    with ConvolutionsRead() as convolutions:
        generator(*arguments(name, dtype=torch.float32)).square().mean().backward()
    # A predicted surface of two channels comes as it is.
    seen = [x for x in convolutions.read if x.shape[1] > 2]
    assert len(seen) > 60
    assert all(x.is_contiguous(memory_format=torch.channels_last) for x in seen)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["viewpoint", "81", "keypoints", "landmarks"])
def test_compiles_as_one_graph(name):
    generator = network(name, width=1 / 64).double().requires_grad_(False)
    inputs = arguments(name, n=1, k=2)
    mask = torch.tensor([[True, False]])
    torch.compiler.reset()
    compiled = torch.compile(generator, fullgraph=True, backend="aot_eager")
    assert_close(compiled(*inputs, mask), generator(*inputs, mask))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["camera", "81", "landmarks"])
def test_exports_for_any_number_of_sources(name):
    generator = network(name, width=1 / 64).double().requires_grad_(False)
    inputs = arguments(name, n=2, k=2)
    batch, sources = torch.export.Dim("batch"), torch.export.Dim("sources")
    shapes = ({0: batch, 1: sources}, {0: batch, 1: sources}, {0: batch})
    exported = torch.export.export(generator, inputs, dynamic_shapes=shapes).module()
    other = arguments(name, n=1, k=3)
    assert_close(exported(*other), generator(*other))
