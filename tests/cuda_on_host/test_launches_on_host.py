"""Independence of the results from every launch shape and from the order of threads."""

import pytest
import torch
from test_ops_large import large_case, run
from test_ops_matrix import run as run_small
from test_ops_with_warped import warped_by_oracle
from warp_cases import assert_correct, by_name, case

LAYOUTS = pytest.mark.parametrize(
    "layout", ["contiguous", "channels_last", "features channels_last"]
)


UNLIMITED = 2**31 - 1


@pytest.fixture(params=["small machine", "large machine", "few blocks"])
def every_launch(machine, request):
    """A small machine is filled by few large tiles, a large one needs many small ones.

    Where a barrier is missing, one of the two orders of threads reads what has not been written
    yet, or has been overwritten. Blocks that are fewer than the tiles work on several.
    """
    settings = {
        "small machine": (1, False, UNLIMITED),
        "large machine": (1000, True, UNLIMITED),
        "few blocks": (1, False, 2),
    }
    machine.cuda_on_host_set(*settings[request.param])
    yield
    machine.cuda_on_host_set(1, False, UNLIMITED)


@pytest.mark.parametrize("kind", ["smooth", "all to one", "half outside"])
@LAYOUTS
@pytest.mark.usefixtures("every_launch")
def test_tiles(kernels, kind, layout):
    given = large_case(kind, "zeros")
    dtype = torch.float16 if kind == "smooth" else torch.float32
    assert_correct(run(kernels, given, dtype, layout), given.answer)


SHAPES = [
    (1, 3, 264, 2, 3),  # more vectors of channels than lanes of a warp
    (1, 2, 2080, 1, 2),  # blocks share the channels of a tile
    (1, 90, 4, 3, 2),  # more sources than fit into shared memory
    (1, 3, 5, 7, 3),  # gradients of half types that do not end with a vector
    (2, 3, 8, 1, 40),
    (2, 3, 8, 40, 1),
]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@LAYOUTS
@pytest.mark.usefixtures("every_launch")
def test_shapes(kernels, shape, dtype, layout):
    given = case(shape, "border", "some")
    _, out, gradients = run_small(kernels, given, dtype, layout)
    assert_correct(by_name(out, gradients), given.answer)
    only_features = (True, False, False, False, False)
    _, _, gradients = run_small(kernels, given, dtype, layout, only_features)
    assert_correct({"features": gradients[0]}, given.answer)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
@LAYOUTS
@pytest.mark.usefixtures("every_launch")
def test_warped_features_of_more_sources_than_fit_into_shared_memory(kernels, dtype, layout):
    given = case((1, 90, 16, 3, 2), "zeros", "some")
    _, inputs = given.arguments(dtype, layout)
    out, warped = kernels.warp_fuse_with_warped(*inputs, given.mask, given.padding_mode)
    assert_correct({"out": out}, given.answer)
    assert_correct({"out": warped}, warped_by_oracle(given))


@LAYOUTS
def test_all_but_the_gradient_of_features_is_repeatable(kernels, machine, layout):
    """To the bit, in whatever order the threads run; so is the forward."""
    given = large_case("random", "border")
    results = []
    for descending in (False, True):
        machine.cuda_on_host_set(1, descending, UNLIMITED)
        results.append(run(kernels, given, torch.float32, layout))
    machine.cuda_on_host_set(1, False, UNLIMITED)
    for name in ("out", "flow", "occlusion", "attention", "target"):
        assert torch.equal(*(result[name] for result in results)), name
