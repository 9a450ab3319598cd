"""Target image predictor (Table 7): from target pose through the fusing levels to the image."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from rfwarp.nn.blocks import ResBlock, ResBlockD, ResBlockU, laid_out, zero
from rfwarp.nn.config import GeneratorConfig
from rfwarp.nn.flow import coordinates, surface_channels
from rfwarp.nn.fusing import ResFusingBlock


class Refinement(nn.Module):
    """The convolutions after the image level, as D^i follows every other level.

    The blend of decoded and warped pixels can be no sharper than one bilinear sampling leaves it,
    and no better lit than the sources: these convolutions correct it.

    Args:
        channels: of the features that the image was decoded from.
        known: channels of the predicted surface of the target, see :func:`rfwarp.nn.flow.surface`.
    """

    def __init__(self, channels: int, known: int, negative_slope: float) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3 + channels + known, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv3 = nn.Conv2d(channels, 3, 3, padding=1)
        zero(self.conv3)  # training starts from the blend
        self.act = nn.LeakyReLU(negative_slope)

    def forward(self, image: Tensor, features: Tensor, surface: Tensor | None) -> Tensor:
        """The image (N, 3, H, W) in [-1, 1], from the blended one, features (N, channels, H, W)
        and, if predicted, the surface (N, known, H, W)."""
        parts = [image.to(features.dtype), features]
        if surface is not None:
            parts.append(surface.to(features.dtype))
        x = laid_out(torch.cat(parts, dim=1), self.conv1.weight)
        x = self.act(self.conv1(x))
        x = self.act(self.conv2(x))
        return (image + self.conv3(x)).clamp(-1, 1)


class TargetImagePredictor(nn.Module):
    """Target pose, source features and flow predictions to the image.

    It is (64, 128, 256) times ``config.width`` channels wide at H/2, H/4 and H/8, as the appearance
    features are that it fuses at the levels of ``config``.
    """

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        c, slope = config, config.negative_slope
        self.levels, self.coordinates = c.levels, c.coordinates
        c2, c4, c8 = c.channels(64, 128, 256)

        def down(i: int, o: int, first: bool = False) -> ResBlockD:
            return ResBlockD(i, o, norm=c.encoder_norm, negative_slope=slope, first=first)

        def up(i: int, o: int) -> ResBlockU:
            return ResBlockU(i, o, norm=c.decoder_norm, negative_slope=slope)

        def keep(channels: int) -> ResBlock:
            return ResBlock(channels, norm=c.decoder_norm, negative_slope=slope)

        inputs = c.pose_channels + 2 * c.coordinates
        self.encode_pose = nn.Sequential(down(inputs, c2, True), down(c2, c4), down(c4, c8))
        self._add_fusing(c, 8, c8)
        self.decode8 = nn.Sequential(keep(c8), up(c8, c4))
        self._add_fusing(c, 4, c4)
        self.decode4 = nn.Sequential(keep(c4), up(c4, c2))
        self._add_fusing(c, 2, c2)
        self.decode2 = nn.Sequential(keep(c2), up(c2, c2))
        self.to_rgb: nn.Module = nn.Conv2d(c2, 3, 3, padding=1)
        self._add_fusing(c, 1, 3)
        self.refine = Refinement(c2, surface_channels(c), slope) if c.refinement else None

    def _add_fusing(self, c: GeneratorConfig, stride: int, channels: int) -> None:
        if stride in c.levels:
            block = ResFusingBlock(
                channels,
                residual_flow=c.residual_flow,
                residual_limit=c.residual_limit,
                padding_mode=c.padding_mode,
            )
            self.add_module(f"fuse{stride}", block)
        if stride in c.levels and c.silhouette:
            size = 3 if stride == 1 else 1
            surface = nn.Conv2d(surface_channels(c), channels, size, padding=size // 2)
            zero(surface)
            self.add_module(f"surface{stride}", surface)

    def fusing(self, stride: int) -> ResFusingBlock:
        """The fusing block of a level."""
        return cast(ResFusingBlock, self.get_submodule(f"fuse{stride}"))

    def encode(self, features: list[Tensor]) -> list[Tensor]:
        """The inputs of the fusing blocks that depend on the source features alone."""
        return [
            self.fusing(stride).encode(f) for stride, f in zip(self.levels, features, strict=True)
        ]

    def forward(
        self,
        target_pose: Tensor,
        features: list[Tensor],
        encoded: list[Tensor],
        flows: list[Tensor],
        occlusions: list[Tensor],
        attentions: list[Tensor],
        surfaces: list[Tensor],
        present: Tensor | None = None,
    ) -> tuple[Tensor, list[Tensor | None]]:
        """The image (N, 3, H, W) in [-1, 1], and the residual flow of every level.

        The lists hold the (N, K, ..., h, w) inputs of the fusing blocks, coarse first; ``surfaces``
        the predicted surfaces of the target, (N, 1 or 2, h, w), and nothing without silhouette.
        """
        known = dict(zip(self.levels, surfaces, strict=False))
        inputs = zip(features, encoded, flows, occlusions, attentions, strict=True)
        at = dict(zip(self.levels, inputs, strict=True))
        residuals = []

        def fuse(x: Tensor, stride: int) -> Tensor:
            if stride not in at:
                return x
            fused, residual = self.fusing(stride)(x.to(at[stride][0].dtype), *at[stride], present)
            residuals.append(residual)
            return fused

        def tell(x: Tensor, stride: int) -> Tensor:
            if stride not in known:
                return x
            told: Tensor = self.get_submodule(f"surface{stride}")(known[stride].to(x.dtype))
            return x + told

        pose = target_pose
        if self.coordinates:
            pose = torch.cat([pose, coordinates(pose)], dim=1)
        x = self.decode8(tell(fuse(self.encode_pose(pose), 8), 8))
        x = self.decode4(tell(fuse(x, 4), 4))
        x = self.decode2(tell(fuse(x, 2), 2))
        image = fuse(torch.tanh(tell(self.to_rgb(x), 1)), 1)
        if self.refine is not None:
            image = self.refine(image, x, known.get(1))
        return image, residuals
