"""Residual-fusing block (Fig. 2, Eq. 3-6): correct each source's flow, then fuse all sources."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from rfwarp.nn.blocks import FullPrecisionConv2d, laid_out, repeat_each, zero
from rfwarp.ops import warp, warp_fuse


class ResFusingBlock(nn.Module):
    """Fuses K warped source features into the target feature of the same level.

    Args:
        channels: C of the features and of the target feature.
        residual_flow: False leaves the initial flow as it is (ablation of Table 4).
        residual_limit: its largest value, pixels; None bounds nothing.
        padding_mode: values that the warp samples outside a source, "zeros", "border" or
            "reflection".
    """

    def __init__(
        self,
        channels: int,
        *,
        residual_flow: bool = True,
        residual_limit: float | None = None,
        padding_mode: str = "zeros",
    ) -> None:
        super().__init__()
        self.padding_mode = padding_mode
        self.residual_limit = residual_limit
        # R of Eq. 4, shared by all sources. Zero, so that training starts from the initial flow.
        self.residual = (
            FullPrecisionConv2d(2 * channels, 2, 3, padding=1) if residual_flow else None
        )
        if self.residual is not None:
            zero(self.residual)

    def encode(self, features: Tensor) -> Tensor:
        """The part of the sources that :meth:`predict_residual` reads: here, all their features."""
        return features

    def predict_residual(self, target: Tensor, encoded: Tensor, flow: Tensor) -> Tensor | None:
        """Eq. 3 and 4: the flow correction (N, K, 2, H, W), pixels; None without residual flow."""
        if self.residual is None:
            return None
        n, k = flow.shape[:2]
        warped = warp(encoded.flatten(0, 1), flow.flatten(0, 1), self.padding_mode)
        both = torch.cat([repeat_each(target, k), warped], dim=1)
        residual: Tensor = self.residual(laid_out(both, self.residual.weight))
        return self.bound(residual.unflatten(0, (n, k)))

    def bound(self, residual: Tensor) -> Tensor:
        """The residual within its limit, by a tanh that leaves small values as they are."""
        limit = self.residual_limit
        return residual if limit is None else limit * torch.tanh(residual / limit)

    def forward(
        self,
        target: Tensor,
        features: Tensor,
        encoded: Tensor,
        flow: Tensor,
        occlusion: Tensor,
        attention: Tensor,
        present: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """The fused feature of Eq. 6 before D^i, and the residual flow.

        Args:
            target: f_t of the previous level, (N, C, H, W).
            features: unwarped source features, (N, K, C, H, W).
            encoded: of :meth:`encode`, (N, K, ...).
            flow: initial flow, (N, K, 2, H, W), pixels of this level.
            occlusion, attention: logits, (N, K, 1, H, W).
            present: (N, K) bool, False for a missing source.
        """
        residual = self.predict_residual(target, encoded, flow)
        fused = warp_fuse(
            features, flow, residual, occlusion, attention, target, present, self.padding_mode
        )
        return fused, residual
