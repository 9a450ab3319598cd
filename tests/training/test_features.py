"""Feature sets by name, and the one that is computed."""

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from rfwarp.training.features import FEATURE_SETS, OrientedPyramid, make_features
from rfwarp.training.losses import style


def randn(*shape: int, seed: int = 0) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=g, dtype=torch.float64)


def test_feature_sets_by_name():
    assert set(FEATURE_SETS) == {"vgg19", "efficientnet-lite0", "oriented-pyramid"}
    assert isinstance(make_features("oriented-pyramid", None), OrientedPyramid)
    with pytest.raises(
        ValueError, match="vgg19, efficientnet-lite0, oriented-pyramid, got 'alexnet'"
    ):
        make_features("alexnet", None)


def test_weights_for_what_has_none_are_refused(tmp_path):
    with pytest.raises(ValueError, match="oriented-pyramid is computed, it has no weights"):
        make_features("oriented-pyramid", tmp_path / "vgg19.pth")


class TestOrientedPyramid:
    features = OrientedPyramid().double()

    def test_has_nothing_to_learn_or_to_save(self):
        assert not list(self.features.parameters())
        assert not self.features.state_dict()

    def test_derivatives_of_a_constant_are_zero(self):
        constant = torch.full((1, 3, 9, 8), 0.7, dtype=torch.float64)
        assert self.features.derivatives(constant).abs().max() < 1e-7

    def test_filters_answer_to_their_orientation(self):
        ramp = torch.arange(9.0).double().expand(1, 3, 9, 9)  # grows to the right
        inner = self.features.derivatives(ramp)[0, :5, 2:-2, 2:-2]
        assert inner[0].abs().min() > 0.1
        assert inner[1:].abs().max() < 1e-6
        turned = self.features.derivatives(ramp.transpose(2, 3))[0, :5, 2:-2, 2:-2]
        assert turned[1].abs().min() > 0.1
        assert turned[0].abs().max() < 1e-6

    def test_shapes(self):
        image = randn(2, 3, 64, 32)
        maps = self.features.maps(image, ["perceptual", "style", "matching"])
        for use, channels, strides in (
            ("perceptual", 15, (1, 2, 4)),
            ("style", 36, (1, 2, 4)),
            ("matching", 36, (8, 4)),
        ):
            expected = [(2, channels, 64 // stride, 32 // stride) for stride in strides]
            assert [tuple(m.shape) for m in maps[use]] == expected

    def test_descriptors_give_no_negative_cosine(self):
        assert self.features.matching(randn(1, 3, 32, 32), 8).min() >= 0

    def test_descriptors_move_with_the_image(self):
        image = randn(1, 3, 64, 64)
        for stride in (8, 4):
            moved = self.features.matching(image.roll(stride, 3), stride)
            expected = self.features.matching(image, stride).roll(1, 3)
            assert_close(moved[..., 2:-2, 3:-2], expected[..., 2:-2, 3:-2])

    @pytest.mark.parametrize("stride", [0, 1, 3])
    def test_strides_that_do_not_halve_are_refused(self, stride):
        with pytest.raises(ValueError, match=f"even and at least 2, got {stride}"):
            self.features.matching(randn(1, 3, 32, 32), stride)

    def test_matching_maps_are_those_of_both_strides(self):
        image = randn(1, 3, 32, 32)
        expected = [self.features.matching(image, stride) for stride in (8, 4)]
        assert_close(self.features.maps(image, ["matching"]), {"matching": expected})

    def test_style_sees_flat_colour(self):
        red, blue = torch.zeros(2, 1, 3, 32, 32, dtype=torch.float64)
        red[:, 0] = blue[:, 2] = 1
        red, blue = (self.features.maps(image, ["perceptual", "style"]) for image in (red, blue))
        assert style(red["style"], blue["style"]).item() > 1e-4
        assert style(red["perceptual"], blue["perceptual"]).item() < 1e-12  # derivatives do not
