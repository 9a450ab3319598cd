"""The operator as people write it in PyTorch, in its strongest forms.

All compute float32 inside whatever the features are (a grid in half precision would be wrong by
half a pixel at 512), and return the layout of the target.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.warp.cases import Case


class Baselines:
    """Four forms around F.grid_sample.

    Per call a user computes the grid, from flows in pixels; what depends on the size alone is
    computed once, here.
    """

    def __init__(self, case: Case) -> None:
        h, w = case.shape.h, case.shape.w
        x, y = torch.linspace(-1, 1, w), torch.linspace(-1, 1, h)
        own = torch.stack(torch.meshgrid(x, y, indexing="xy"))
        step = torch.tensor([2 / (w - 1), 2 / (h - 1)]).view(2, 1, 1)
        self.own, self.step = own.to(case.device), step.to(case.device)
        self.memory_format = case.memory_format

    def _grid(self, flow: Tensor, residual: Tensor) -> Tensor:
        return torch.addcmul(self.own, flow + residual, self.step).movedim(-3, -1)

    def _sample(self, features: Tensor, grid: Tensor) -> Tensor:
        return F.grid_sample(features.float(), grid, align_corners=True)

    def _warp_all(self, features: Tensor, flow: Tensor, residual: Tensor) -> Tensor:
        grid = self._grid(flow, residual).flatten(0, 1)
        return self._sample(features.flatten(0, 1), grid).unflatten(0, flow.shape[:2])

    def _as_target(self, out: Tensor, target: Tensor) -> Tensor:
        return out.to(target.dtype).contiguous(memory_format=self.memory_format)

    def eager(
        self,
        features: Tensor,
        flow: Tensor,
        residual: Tensor,
        occlusion: Tensor,
        attention: Tensor,
        target: Tensor,
    ) -> Tensor:
        """Eq. 5 and 6 as written, all sources at once."""
        warped = self._warp_all(features, flow, residual)
        m, a = occlusion.sigmoid(), attention.softmax(1)
        out = (a * (warped * (1 - m) + target[:, None] * m)).sum(1)
        return self._as_target(out, target)

    def eager_per_source(
        self,
        features: Tensor,
        flow: Tensor,
        residual: Tensor,
        occlusion: Tensor,
        attention: Tensor,
        target: Tensor,
    ) -> Tensor:
        """Eq. 5 and 6 as written, one source after the other: less memory, warmer caches."""
        grid = self._grid(flow, residual)
        m, a = occlusion.sigmoid(), attention.softmax(1)
        out: Tensor | None = None
        for k in range(flow.shape[1]):
            warped = self._sample(features[:, k], grid[:, k])
            matted = a[:, k] * (warped * (1 - m[:, k]) + target * m[:, k])
            out = matted if out is None else out + matted
        assert out is not None
        return self._as_target(out, target)

    def algebra(
        self,
        features: Tensor,
        flow: Tensor,
        residual: Tensor,
        occlusion: Tensor,
        attention: Tensor,
        target: Tensor,
    ) -> Tensor:
        """sum_k a_k (1 - m_k) warp_k + t sum_k a_k m_k, all sources at once."""
        warped = self._warp_all(features, flow, residual)
        m, a = occlusion.sigmoid(), attention.softmax(1)
        own = a * m
        out = torch.addcmul((warped * (a - own)).sum(1), target.float(), own.sum(1))
        return self._as_target(out, target)

    def algebra_per_source(
        self,
        features: Tensor,
        flow: Tensor,
        residual: Tensor,
        occlusion: Tensor,
        attention: Tensor,
        target: Tensor,
    ) -> Tensor:
        """The same, one source after the other, summed in place."""
        grid = self._grid(flow, residual)
        m, a = occlusion.sigmoid(), attention.softmax(1)
        own = a * m
        seen = a - own
        out = self._sample(features[:, 0], grid[:, 0]) * seen[:, 0]
        for k in range(1, flow.shape[1]):
            out.addcmul_(self._sample(features[:, k], grid[:, k]), seen[:, k])
        return self._as_target(out.addcmul_(target.float(), own.sum(1)), target)
