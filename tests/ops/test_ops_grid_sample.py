"""The operators around F.grid_sample are ours wherever flows are finite."""

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from rfwarp import ops
from rfwarp.ops import grid_sample


def draw(seed: int, *shape: int, scale: float = 1) -> Tensor:
    g = torch.Generator().manual_seed(seed)
    return scale * torch.randn(3, *shape, generator=g, dtype=torch.float64)


@pytest.mark.parametrize("padding_mode", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("residual", [False, True])
def test_warp_fuse(padding_mode, masked, residual):
    """Flows reach far outside of the image."""
    inputs = (
        draw(0, 2, 6, 5, 7),
        draw(1, 2, 2, 5, 7, scale=9),
        draw(2, 2, 2, 5, 7) if residual else None,
        draw(3, 2, 1, 5, 7),
        draw(4, 2, 1, 5, 7),
        draw(5, 6, 5, 7),
    )
    mask = torch.tensor([[True, False], [False, True], [True, True]]) if masked else None
    if masked:
        inputs[0][0, 1], inputs[3][1, 0] = torch.nan, torch.inf
    expected = ops.warp_fuse(*inputs, mask, padding_mode)
    assert_close(grid_sample.warp_fuse(*inputs, mask, padding_mode), expected)


@pytest.mark.parametrize("padding_mode", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_warp(padding_mode, dtype):
    """Half precision stays out of the coordinates."""
    features, flow = draw(0, 6, 33, 65).to(dtype), draw(1, 2, 33, 65, scale=9).float()
    expected = ops.warp(features, flow, padding_mode)
    assert_close(grid_sample.warp(features, flow, padding_mode), expected, rtol=1e-2, atol=1e-3)
