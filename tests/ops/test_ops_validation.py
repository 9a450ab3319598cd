"""Arguments that rfwarp.ops refuses, with errors that say what was expected and what came."""

import pytest
import torch

from rfwarp.ops import warp, warp_fuse


def arguments(**changed):
    n, k, c, h, w = 2, 3, 4, 5, 6
    return {
        "features": torch.zeros(n, k, c, h, w),
        "flow": torch.zeros(n, k, 2, h, w),
        "residual": torch.zeros(n, k, 2, h, w),
        "occlusion": torch.zeros(n, k, 1, h, w),
        "attention": torch.zeros(n, k, 1, h, w),
        "target": torch.zeros(n, c, h, w),
        "present": torch.ones(n, k, dtype=torch.bool),
        **changed,
    }


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [
        ("features", (2, 4, 5, 6), "(N, K, C, H, W)"),
        ("features", (2, 0, 4, 5, 6), "K, C, H, W >= 1, got (2, 0, 4, 5, 6)"),
        ("features", (2, 3, 0, 5, 6), "K, C, H, W >= 1, got (2, 3, 0, 5, 6)"),
        ("features", (2, 3, 4, 0, 6), "K, C, H, W >= 1, got (2, 3, 4, 0, 6)"),
        ("flow", (2, 3, 5, 6, 2), "flow must be (2, 3, 2, 5, 6) to go with features, got"),
        ("flow", (1, 3, 2, 5, 6), "flow must be (2, 3, 2, 5, 6) to go with features, got"),
        ("residual", (2, 2, 2, 5, 6), "residual must be (2, 3, 2, 5, 6)"),
        ("occlusion", (2, 3, 5, 6), "occlusion must be (2, 3, 1, 5, 6)"),
        ("attention", (2, 3, 2, 5, 6), "attention must be (2, 3, 1, 5, 6)"),
        ("target", (2, 3, 5, 6), "target must be (2, 4, 5, 6)"),
    ],
)
def test_shapes(name, shape, expected):
    with pytest.raises(ValueError, match=name) as error:
        warp_fuse(**arguments(**{name: torch.zeros(shape)}))
    assert expected in str(error.value)


def test_present_shape():
    with pytest.raises(ValueError, match=r"present must be \(2, 3\).*got \(3,\)"):
        warp_fuse(**arguments(present=torch.ones(3, dtype=torch.bool)))


@pytest.mark.parametrize("name", ["features", "flow", "residual", "occlusion", "attention"])
@pytest.mark.parametrize("dtype", [torch.int64, torch.complex64])
def test_types(name, dtype):
    given = arguments()
    given[name] = given[name].to(dtype)
    with pytest.raises(TypeError, match=f"{name} must be float16.*got {dtype}"):
        warp_fuse(**given)


def test_target_has_the_type_of_features():
    given = arguments()
    given["target"] = given["target"].bfloat16()
    with pytest.raises(TypeError, match=r"target must be torch.float32.*got torch.bfloat16"):
        warp_fuse(**given)


def test_the_former_name_of_present_works_for_one_release():
    given = arguments(features=torch.rand(2, 3, 4, 5, 6))
    del given["present"]
    present = torch.arange(3).expand(2, 3) < 1
    with pytest.warns(DeprecationWarning, match="mask is called present now"):
        out = warp_fuse(**given, mask=present)
    assert torch.equal(out, warp_fuse(**given, present=present))
    assert not torch.equal(out, warp_fuse(**given))


def test_present_is_boolean():
    with pytest.raises(TypeError, match=r"present must be torch.bool, got torch.float32"):
        warp_fuse(**arguments(present=torch.ones(2, 3)))


@pytest.mark.parametrize("name", list(arguments()))
def test_not_a_tensor(name):
    with pytest.raises(TypeError, match=f"{name} must be a tensor, got list"):
        warp_fuse(**arguments(**{name: [1.0]}))


@pytest.mark.parametrize("name", [name for name in arguments() if name != "features"])
def test_devices(name):
    given = arguments()
    given[name] = given[name].to("meta")
    with pytest.raises(ValueError, match=f"{name} must be on cpu as features are, got meta"):
        warp_fuse(**given)


@pytest.mark.parametrize("padding_mode", ["wrap", None, 0])
def test_padding_mode(padding_mode):
    with pytest.raises(
        ValueError, match="padding_mode must be 'zeros', 'border' or 'reflection', got"
    ):
        warp_fuse(**arguments(), padding_mode=padding_mode)
    with pytest.raises(
        ValueError, match="padding_mode must be 'zeros', 'border' or 'reflection', got"
    ):
        warp(torch.zeros(1, 1, 2, 2), torch.zeros(1, 2, 2, 2), padding_mode)


def test_warp():
    features = torch.zeros(2, 3, 4, 5)
    with pytest.raises(ValueError, match=r"features must be \(N, C, H, W\) or \(N, C, D, H, W\)"):
        warp(features[0], torch.zeros(2, 2, 4, 5))
    with pytest.raises(ValueError, match=r"flow must be \(2, 2, 4, 5\).*got \(2, 4, 5, 2\)"):
        warp(features, torch.zeros(2, 4, 5, 2))
    with pytest.raises(TypeError, match=r"features must be float16.*got torch.uint8"):
        warp(features.to(torch.uint8), torch.zeros(2, 2, 4, 5))


# The operators without the user functions: compiled kernels must not read out of bounds


def refused(operator, *given, match="rfwarp"):
    with pytest.raises(RuntimeError, match=match):
        operator(*given)


@pytest.mark.parametrize("kernels", ["compiled"], indirect=True)
@pytest.mark.parametrize("name", [name for name in arguments() if name != "features"])
def test_kernels_refuse_what_does_not_go_with_features(kernels, name):
    given = arguments()
    called = "mask" if name == "present" else name  # by the operators
    smaller = {**given, name: given[name][..., :-1].contiguous()}
    refused(kernels.warp_fuse, *smaller.values(), "zeros", match=f"the shape of {called}")
    fewer = {**given, name: given[name].flatten()}
    refused(kernels.warp_fuse, *fewer.values(), "zeros", match=f"the shape of {called}")
    other = {**given, name: given[name].to(torch.float64)}
    refused(kernels.warp_fuse, *other.values(), "zeros", match=f"the dtype of {called}")


@pytest.mark.parametrize("kernels", ["compiled"], indirect=True)
def test_kernels_refuse_gradients_and_features_that_they_cannot_take(kernels):
    given = arguments()
    inputs, grad_out, wanted = list(given.values()), torch.zeros(2, 4, 5, 6), [True] * 5
    for wrong in (grad_out[:1], grad_out.double()):
        refused(kernels.warp_fuse_backward, wrong, *inputs, "zeros", wanted, match="grad_out")
    refused(kernels.warp_fuse_backward, grad_out, *inputs, "zeros", [True], match="output_mask")
    refused(kernels.warp_fuse, *inputs, "wrap", match="'border' or 'reflection', got 'wrap'")
    integers = {**given, "features": given["features"].long()}
    refused(kernels.warp_fuse, *integers.values(), "zeros", match="features must be float16")
    empty = {k: v if k == "present" else v[..., :0] for k, v in given.items()}
    refused(kernels.warp_fuse, *empty.values(), "zeros", match="only the batch may be 0")
    refused(kernels.warp, grad_out, torch.zeros(2, 5, 6), "zeros", match="the shape of flow")
    refused(
        kernels.warp, grad_out[0], torch.zeros(2, 5, 6), "zeros", match="4 or 5 dimensions, got 3"
    )


@pytest.mark.parametrize("features", [torch.tensor(1.0), torch.zeros(2, 3)])
def test_too_few_dimensions_are_a_value_error(features):
    """Where kernels check, too."""
    with pytest.raises(ValueError, match="features must be"):
        warp(features, torch.zeros(1, 2, 3, 3))
    with pytest.raises(ValueError, match="flow must be"):
        warp(torch.zeros(1, 2, 3, 3), features)
