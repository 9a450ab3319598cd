"""Levels, priors and depth: what they add to the network, in closed form, and what is refused."""

import itertools
import json
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from network_cases import (
    ADDED,
    CAMERA,
    CASES,
    DEPTH,
    FINE,
    KEYPOINTS,
    VIEWPOINT,
    arguments,
    network,
)
from safetensors import safe_open
from torch.testing import assert_close

from rfwarp import Generator, list_models
from rfwarp.nn.flow import FAINT
from rfwarp.nn.flow_models import CAMERAS, DepthFlow
from rfwarp.ops import warp
from rfwarp.poses import (
    POSE_KINDS,
    foreground_on_white,
    hull_depth,
    keypoint_flow,
    keypoint_heatmaps,
    keypoints_from_heatmaps,
)
from rfwarp.poses.projection import depth_flow, orbiting_cameras
from rfwarp.pretrained import BUNDLED

# ------------------------------------------------------------------ structure


def shapes_of(config):
    with torch.device("meta"):
        return {n: list(x.shape) for n, x in Generator(**config).state_dict().items()}


def test_the_default_network_is_that_of_the_first_weights():
    """Names and shapes, so that weights of before there were levels load."""
    first = json.loads((Path(__file__).parent / "first_weights.json").read_text())
    assert shapes_of(first["config"]) == first["shapes"]
    assert Generator(**first["config"]).config.levels == (8, 4)


@pytest.mark.parametrize("name", list_models())
def test_networks_are_those_of_the_bundled_weights(name):
    config = json.loads((BUNDLED / name / "config.json").read_text())
    with safe_open(BUNDLED / name / "model.safetensors", "pt") as file:
        given = {n: file.get_slice(n).get_shape() for n in file.keys()}  # noqa: SIM118
    assert shapes_of(config) == given


@pytest.mark.parametrize(
    ("levels", "absent"),
    [((8, 4, 2, 1), ()), ((8, 1), ("flow.up4", "flow.up2")), ((4,), ("flow.up2",))],
)
def test_parts_are_those_of_the_levels(levels, absent):
    with torch.device("meta"):
        names = dict(Generator(pose_channels=3, levels=levels).named_modules())
    for stride in (8, 4, 2, 1):
        assert (f"flow.heads{stride}" in names) == (stride in levels)
        assert (f"predictor.fuse{stride}" in names) == (stride in levels)
    assert not set(absent) & set(names)
    assert ("appearance.down8" in names) == (8 in levels)
    if 1 in levels:  # predicted by the finest features there are, a square by each
        finest = min(set(levels) - {1})
        assert names["flow.heads1.flow"].out_channels == 2 * finest**2
        assert names["predictor.fuse1"].residual.in_channels == 2 * 3


def test_inputs_of_the_flow_network():
    with torch.device("meta"):
        for extra, channels in (
            ({}, 39),
            ({"coordinates": True}, 41),
            ({"flow_prior": "keypoints"}, 44),
        ):
            generator = Generator(**KEYPOINTS | {"flow_prior": "none"} | extra)
            assert generator.flow.down[0].conv1.in_channels == channels
            assert generator.predictor.encode_pose[0].conv1.in_channels == (
                20 if "coordinates" in extra else 18
            )
        depth = Generator(**VIEWPOINT, **FINE)
    assert [depth.flow.get_submodule(f"heads{s}").flow.out_channels for s in (8, 1)] == [3, 12]


BAD = [
    ({"levels": (1,)}, r"levels must be some of 8, 4, 2, 1, coarse first and not 1 alone, got"),
    ({"levels": ()}, "levels must be some of"),
    ({"levels": (4, 8)}, r"levels must be some of .* got \(4, 8\)"),
    ({"levels": (8, 8)}, "levels must be some of"),
    ({"levels": (16, 8)}, r"levels\[0\] must be 8, 4, 2 or 1, got 16"),
    ({"levels": 8}, "levels must be a valid array, got 8"),
    ({"coarse_to_fine": 1}, "coarse_to_fine must be a valid boolean, got 1"),
    ({"coordinates": "yes"}, "coordinates must be a valid boolean, got 'yes'"),
    ({"flow_model": "plane"}, "flow_model must be 'free' or 'depth', got 'plane'"),
    (
        {"flow_prior": "pose"},
        "flow_prior must be 'none', 'keypoints', 'landmarks' or 'hull', got 'pose'",
    ),
    ({"focal": 3.2}, "depth flows need focal, and nothing else does: .* 'free' with focal 3.2"),
    (VIEWPOINT | {"focal": None}, "depth flows need focal, .* 'depth' with focal None"),
    (VIEWPOINT | {"focal": -1.0}, "focal must be greater than 0, got -1.0"),
    (VIEWPOINT | {"focal": True}, "focal must be a valid number, got True"),
    ({"refinement": True}, r"refinement needs level 1, got levels \(8, 4\)"),
    ({"alignment": "yes"}, "alignment must be a valid boolean, got 'yes'"),
    ({"residual_limit": 0}, "residual_limit must be greater than 0, got 0"),
    ({"residual_limit": float("inf")}, "residual_limit must be a finite number, got inf"),
    (
        VIEWPOINT | {"pose_kind": None},
        "flow_model 'depth' needs poses of kind viewpoint or camera, got pose_kind None",
    ),
    (
        {"pose_kind": "viewpoint", "flow_prior": "hull"},
        "flow_prior 'hull' needs flow_model 'depth'",
    ),
    (
        CAMERA | {"flow_prior": "hull"},
        "flow_prior 'hull' needs poses of kind viewpoint, got pose_kind 'camera'",
    ),
    (
        KEYPOINTS | {"pose_kind": "camera"},
        "flow_prior 'keypoints' needs poses of kind keypoints, got pose_kind 'camera'",
    ),
]


@pytest.mark.parametrize(("fields", "message"), BAD)
def test_bad_configuration(fields, message):
    with pytest.raises(ValueError, match=message):
        Generator(**{"pose_channels": 5} | fields)


@pytest.mark.parametrize("name", ["8421", "keypoints", "viewpoint", "camera"])
@pytest.mark.parametrize("optimized", [False, True])
def test_saved_and_loaded(tmp_path, name, optimized):
    generator = network(name, width=1 / 64).requires_grad_(False)
    generator = generator.optimize() if optimized else generator
    folder = generator.save_pretrained(tmp_path / "model")
    written = json.loads((folder / "config.json").read_text())
    assert written["levels"] == list(generator.config.levels)
    loaded = Generator.from_pretrained(folder)
    assert loaded.config == generator.config
    assert loaded.config.levels == generator.config.levels
    inputs = arguments(name, dtype=torch.float32)
    with torch.no_grad():
        assert torch.equal(loaded(*inputs), generator(*inputs))


# ------------------------------------------------------------------ computation of flows


def enlarged(flow: torch.Tensor, ratio: int) -> torch.Tensor:
    """Bilinear, of (M, K, 2, h, w), in pixels of the larger level."""
    large = F.interpolate(flow.flatten(0, 1), scale_factor=ratio, mode="bilinear")
    return large.unflatten(0, flow.shape[:2]) * ratio


def silence(generator: Generator, *strides: int) -> None:
    """Let the flow heads of levels say 0."""
    with torch.no_grad():
        for stride in strides:
            head = generator.flow.get_submodule(f"heads{stride}").flow
            head.weight.zero_(), head.bias.zero_()


def test_finer_heads_correct_the_coarser_flow():
    generator = network("8421").double().requires_grad_(False)
    silence(generator, 4, 2, 1)
    _, maps = generator(*arguments("8421"), return_maps=True)
    for coarse, fine in itertools.pairwise(maps):
        assert_close(fine.flow, enlarged(coarse.flow, 2))
    with torch.no_grad():
        generator.flow.heads2.flow.bias.copy_(torch.tensor([3.0, -1.0]))
    _, moved = generator(*arguments("8421"), return_maps=True)
    by = torch.tensor([3.0, -1.0]).double()[:, None, None]
    assert_close(moved[1].flow, maps[1].flow)
    assert_close(moved[2].flow, maps[2].flow + by)
    assert_close(moved[3].flow, maps[3].flow + 2 * by)


def test_a_level_may_be_left_out_between():
    generator = network("81").double().requires_grad_(False)
    silence(generator, 1)
    _, (coarse, fine) = generator(*arguments("81"), return_maps=True)
    assert_close(fine.flow, enlarged(coarse.flow, 8))


def test_levels_of_the_paper_are_on_their_own():
    generator = network("8421", coarse_to_fine=False).double().requires_grad_(False)
    silence(generator, 4, 1)
    _, maps = generator(*arguments("8421"), return_maps=True)
    assert [bool(level.flow.any()) for level in maps] == [True, False, True, False]


def test_flows_start_from_the_keypoints():
    """With silent heads they are the mean of the prior over a cell, once and not at each level."""
    generator = network("keypoints").double().requires_grad_(False)
    silence(generator, 8, 4, 2, 1)
    sources, poses, target = arguments("keypoints")
    _, maps = generator(sources, poses, target, return_maps=True)
    joints = [keypoints_from_heatmaps(x) for x in (target, poses)]
    prior = keypoint_flow(*joints, 64, 64)
    assert prior.abs().max() > 5
    for level in maps:
        cells = F.avg_pool2d(prior.flatten(0, 1), level.stride).unflatten(0, (2, 3))
        assert_close(level.flow, cells / level.stride)


def test_padding_moves_no_keypoint():
    """Joints near the border, and beyond it, of an image that is padded."""
    height, width = 100, 60
    generator = network("keypoints").double().requires_grad_(False)
    silence(generator, 8, 4, 2, 1)
    g = torch.Generator().manual_seed(0)
    points = torch.rand(3, 18, 3, generator=g) * torch.tensor([width, height, 0.0])
    points[:, :8, 0], points[:, 8:12, 1] = width - 2.0, height + 1.0
    points[..., 2] = 1
    maps = keypoint_heatmaps(points, height, width).double()
    sources = torch.rand(1, 2, 3, height, width, generator=g, dtype=torch.float64)
    _, levels = generator(sources, maps[None, :2], maps[2:], return_maps=True)
    joints = (keypoints_from_heatmaps(x) for x in (maps[2:], maps[None, :2]))
    prior = keypoint_flow(*joints, 128, 64)[..., :height, :width]
    assert_close(levels[-1].flow, prior)


def test_the_network_sees_sources_warped_by_the_prior():
    generator = network("keypoints 84").double().requires_grad_(False)
    seen = []
    generator.flow.down[0].register_forward_pre_hook(lambda _m, given: seen.append(given[0]))
    sources, poses, target = arguments("keypoints 84")
    generator(sources, poses, target)
    prior = keypoint_flow(*map(keypoints_from_heatmaps, (target, poses)), 64, 64).flatten(0, 1)
    assert_close(seen[0][:, :3], sources.flatten(0, 1))
    assert_close(seen[0][:, 21:24], warp(sources.flatten(0, 1), prior, "border"))
    assert_close(seen[0][:, 24:26], prior / 8)


def test_depth_starts_from_the_visual_hull():
    generator = network("hull").double().requires_grad_(False)
    silence(generator, 8, 4, 2, 1)
    sources, poses, target = arguments("hull")
    sources = torch.ones_like(sources)
    sources[..., 16:48, 24:40] = 0  # posts
    seen = []
    generator.flow.down[0].register_forward_pre_hook(lambda _m, given: seen.append(given[0]))
    present = torch.tensor([[True, True, True], [True, False, True]])
    _, maps = generator(sources, poses, target, present, return_maps=True)
    cameras = orbiting_cameras(poses[..., 0, 0], target[..., 0, 0])
    shown = foreground_on_white(sources)
    hull = hull_depth(shown, cameras, 3.2, (64, 64), present=present)
    depth = hull.depth
    assert depth.min() < 0.95
    fewer = orbiting_cameras(poses[1:, ::2, :, 0, 0], target[1:, :, 0, 0])
    assert_close(depth[1:], hull_depth(shown[1:, ::2], fewer, 3.2, (64, 64)).depth)
    value = ((depth - 1) / 0.4).clamp(-0.97, 0.97).atanh()
    for level in maps:
        expected = 1 + 0.4 * F.avg_pool2d(value, level.stride).tanh()
        assert_close(level.depth, expected)
    flow = depth_flow(depth, cameras, 3.2, (64, 64)).flatten(0, 1)
    warped = warp(sources.flatten(0, 1), flow, "border")
    said = torch.cat([hull.there, hull.known], dim=1).repeat_interleave(3, 0)
    given = torch.cat([warped, flow / 8, said], dim=1)
    assert_close(seen[0][present.flatten(), 24:31], given[present.flatten()])


@pytest.mark.parametrize("kind", CAMERAS)
def test_depth_is_the_sources_mean_by_confidence(kind):
    g = torch.Generator().manual_seed(0)
    raw = torch.randn(1, 3, 3, 4, 4, generator=g, dtype=torch.float64)
    codes = torch.eye(21 if kind == "viewpoint" else 6).double()[None, :4] * 0.2
    cameras = CAMERAS[kind](codes[:, :3], codes[:, 3])
    mask = torch.tensor([[True, False, True]])
    surface = DepthFlow(False, kind, cameras, 2.0, (32, 32), mask).level(raw, 8)
    value, confidence, shown = (x[0][[0, 2]] for x in raw.unbind(2))
    weight = confidence.exp() / confidence.exp().sum(0)
    mean = (weight * value).sum(0)
    inverse = 0.005 + 0.995 / (1 + (-mean).exp())
    expected = 1 + 0.4 * mean.tanh() if kind == "viewpoint" else 1 / inverse
    assert_close(surface.depth[0, 0], expected)
    assert_close(surface.foreground[0, 0], (weight * shown).sum(0))
    assert surface.flow.shape == (1, 3, 2, 4, 4)


def test_depth_stays_within_what_cameras_see():
    raw = torch.tensor([-1e4, 1e4]).double().expand(1, 1, 3, 1, 2)
    cameras = orbiting_cameras(torch.eye(21).double()[None, :1], torch.eye(21).double()[1:2])
    for kind, nearest, farthest in (("viewpoint", 0.6, 1.4), ("camera", 1.0, 200.0)):
        depth = DepthFlow(False, kind, cameras, 2.0, (8, 16), None).level(raw, 8).depth
        assert sorted(depth.flatten().tolist()) == pytest.approx([nearest, farthest])


@pytest.mark.parametrize("levels", [(8, 4, 2, 1), (8, 4)])
@pytest.mark.parametrize("coarse_to_fine", [True, False])
def test_moving_cameras_begin_with_points_a_street_away(levels, coarse_to_fine):
    """Not behind sources that drove on, where flows have no useful gradient."""
    torch.manual_seed(0)
    size, options = (
        {"height": 64, "width": 64},
        {"levels": levels, "coarse_to_fine": coarse_to_fine},
    )
    generator = Generator(**CAMERA, width=1 / 8, **options).eval().requires_grad_(False)
    sources, kind = torch.zeros(1, 2, 3, 64, 64), POSE_KINDS["camera"]
    codes = torch.tensor([[[0, 0, 0, 0, 0, -8.0], [0, 0.2, 0, 1, 0, 8.0], [0, 0, 0, 0, 0, 0]]])
    poses, target = kind.expand(codes[:, :2], **size), kind.expand(codes[:, 2], **size)
    _, maps = generator(sources, poses, target, return_maps=True)
    for level in maps:
        low, high = level.depth.quantile(torch.tensor([0.05, 0.95])).tolist()
        assert 8 < low < high < 50
        assert level.depth.log().mean().exp().item() == pytest.approx(20, rel=0.5)
    # Around an object, nothing has changed: depth begins about 1.
    around = Generator(**VIEWPOINT, width=1 / 8, **options).eval()
    plain = Generator(pose_channels=21, pose_kind="viewpoint", width=1 / 8, **options)
    for stride in levels:
        bias = around.flow.get_submodule(f"heads{stride}").flow.bias
        other = plain.flow.get_submodule(f"heads{stride}").flow.bias
        assert bias.abs().max() < 1
        assert other.abs().max() < 1


@pytest.mark.parametrize("name", [name for name in DEPTH if name != "hull"])
def test_one_depth_for_all_sources(name):
    generator = network(name, coarse_to_fine=True).double().requires_grad_(False)
    levels = generator.config.levels
    silence(generator, *levels[1:])
    _, maps = generator(*arguments(name), return_maps=True)

    def value(depth: torch.Tensor) -> torch.Tensor:
        """The network's output that a depth was computed from."""
        if generator.config.pose_kind == "camera":
            return (((1 / depth) - 0.005) / 0.995).logit()
        return ((depth - 1) / 0.4).atanh()

    for coarse, fine in itertools.pairwise(maps):
        large = F.interpolate(
            value(coarse.depth), scale_factor=coarse.stride // fine.stride, mode="bilinear"
        )
        assert_close(value(fine.depth), large, rtol=0, atol=1e-7)


# ------------------------------------------------------------------ corrections, and the image


@pytest.mark.parametrize("limit", [0.5, 2.0])
@pytest.mark.parametrize("optimized", [False, True])
def test_residuals_stay_within_their_limit(limit, optimized):
    free, bounded = (
        network("8421", width=1 / 4, levels=(4, 2, 1), residual_limit=x).double()
        for x in (None, limit)
    )
    for generator in (free, bounded):
        with torch.no_grad():
            for stride in (4, 2, 1):
                generator.predictor.fusing(stride).residual.bias.add_(1.5)
    generators = [g.optimize() if optimized else g.requires_grad_(False) for g in (free, bounded)]
    (_, loose), (_, tight) = (g(*arguments("8421"), return_maps=True) for g in generators)
    for level in tight:
        assert level.residual.abs().max() <= limit
    assert all(level.residual.abs().max() > limit for level in loose)
    # The coarsest corrections are of the same features.
    assert_close(tight[0].residual, limit * (loose[0].residual / limit).tanh())


def test_a_visible_source_that_stands_still_is_the_image():
    """At the image level its very pixels, whatever the coarser levels do."""
    generator = network("8421", coarse_to_fine=False).double().requires_grad_(False)
    silence(generator, 1)
    with torch.no_grad():
        generator.flow.heads1.occlusion.weight.zero_()
        generator.flow.heads1.occlusion.bias.fill_(-torch.inf)
        residual = generator.predictor.fuse1.residual
        residual.weight.zero_(), residual.bias.zero_()
    sources, poses, target = arguments("8421", k=1, h=50, w=70)
    assert torch.equal(generator(sources, poses, target), sources[:, 0])


def test_an_occluded_pixel_is_decoded():
    """Its value is that of a network without the image level."""
    with_it = network("8421").double().requires_grad_(False)
    with torch.no_grad():
        with_it.flow.heads1.occlusion.weight.zero_()
        with_it.flow.heads1.occlusion.bias.fill_(torch.inf)
    without = network("8421", levels=(8, 4, 2)).double().requires_grad_(False)
    state = {
        n: x for n, x in with_it.state_dict().items() if "heads1" not in n and "fuse1" not in n
    }
    without.load_state_dict(state)
    assert_close(with_it(*arguments("8421")), without(*arguments("8421")))


@pytest.mark.parametrize("name", ["keypoints", "viewpoint", "aligned 82"])
def test_additions_start_from_the_network_without_them(name):
    """Whose weights are all among theirs."""
    added = {n: n in CASES[name] for n in ADDED}
    plain = network(name, **dict.fromkeys(ADDED, False)).double().requires_grad_(False)
    config = plain.config.to_dict() | added
    larger = Generator(**config).double().eval().requires_grad_(False)
    fresh = larger.state_dict()
    assert {n.split(".")[1] for n in fresh.keys() - plain.state_dict().keys()} == (
        {"align4", "align2", *(["refine"] if added["refinement"] else [])}
    )
    larger.load_state_dict(fresh | plain.state_dict())
    assert_close(larger(*arguments(name)), plain(*arguments(name)))


def test_finer_features_see_the_sources_where_the_coarser_flow_puts_them():
    """The input of an alignment, against a warp by hand, with a mask and unequal visibility."""
    generator = network("aligned 82").double().requires_grad_(False)
    read = []
    generator.flow.align2.conv1.register_forward_pre_hook(lambda _m, given: read.append(given[0]))
    skips = []
    generator.flow.down[0].register_forward_hook(lambda _m, _given, out: skips.append(out))
    present = torch.tensor([[True, False, True], [True, True, True]])
    _, (coarse, _) = generator(*arguments("aligned 82"), present, return_maps=True)
    n, k, c = 2, 3, skips[0].shape[1]

    def enlarged(x: torch.Tensor) -> torch.Tensor:
        large = F.interpolate(x.flatten(0, 1), scale_factor=4.0, mode="bilinear")
        return large.unflatten(0, (n, k))

    # Maps give nothing of missing sources, and occlusion as a probability.
    visible = (1 - enlarged(coarse.occlusion) + FAINT) * present[:, :, None, None, None]
    warped = warp(skips[0], (enlarged(coarse.flow) * 4).flatten(0, 1)).unflatten(0, (n, k))
    share = visible / visible.sum(1, keepdim=True)
    mean = (share * warped).sum(1, keepdim=True)
    spread = (share * (warped - mean).square()).sum(1, keepdim=True)
    seen = read[0][:, c:].unflatten(0, (n, k)).split(c, dim=2)
    for part, expected in zip(seen, (warped, mean, spread), strict=True):
        assert_close(part[present], expected.expand_as(part)[present], rtol=1e-6, atol=1e-6)


def test_a_refinement_corrects_the_blend_within_the_range_of_images():
    generator = network("8421", refinement=True).double().requires_grad_(False)
    blended = []
    generator.predictor.refine.register_forward_pre_hook(lambda _m, given: blended.append(given[0]))
    refine = generator.predictor.refine.conv3
    image = generator(*arguments("8421"))
    assert not torch.equal(image, blended[0])
    with torch.no_grad():
        refine.weight.zero_()
        refine.bias.copy_(torch.tensor([0.25, -3.0, 0.0]))
    image = generator(*arguments("8421"))
    assert_close(image[:, 0], (blended[0][:, 0] + 0.25).clamp(max=1))
    assert (image[:, 1] == -1).all()
    assert_close(image[:, 2], blended[0][:, 2])


def test_coordinates_tell_where_a_pixel_is():
    generator = network("2").double().requires_grad_(False)
    seen = []
    for first in (generator.flow.down[0], generator.predictor.encode_pose[0]):
        first.register_forward_pre_hook(lambda _m, given: seen.append(given[0]))
    generator(*arguments("2", h=64, w=96))
    axis_x, axis_y = (torch.linspace(-1, 1, side).double() for side in (96, 64))
    for x, place in zip(seen, (8, 5), strict=True):
        assert_close(x[0, place], axis_x.expand(64, 96), rtol=0, atol=1e-6)
        assert_close(x[-1, place + 1], axis_y[:, None].expand(64, 96), rtol=0, atol=1e-6)
