"""Flow confidence extractor F (Table 6, Eq. 2): flow, attention and occlusion of each source."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rfwarp.nn.blocks import (
    FullPrecisionConv2d,
    ResBlockD,
    ResBlockU,
    laid_out,
    repeat_each,
    zero,
)
from rfwarp.nn.config import GeneratorConfig
from rfwarp.nn.flow_models import (
    CAMERAS,
    DepthFlow,
    FlowModel,
    FreeFlow,
    enlarge,
    initial_value,
    outputs,
)
from rfwarp.nn.priors import OF_POINTS, PRIOR_CHANNELS
from rfwarp.ops import warp
from rfwarp.poses.projection import depth_flow
from rfwarp.poses.visual_hull import foreground_on_white, hull_depth

FAINT = 1e-3  # added to all visibilities, for pixels that no source sees


class FlowConfidence(NamedTuple):
    """Predictions at one level, in float32 (float64 for a double network).

    Attributes:
        flow: (N, K, 2, h, w), displacement from the target to the source position in pixels of
            this level, channel 0 = x.
        attention: (N, K, 1, h, w) logits, compared over the sources by a softmax; None if ablated.
        occlusion: (N, K, 1, h, w) logits of being invisible in the source; None if ablated.
        depth: (N, 1, h, w) of the target, which ``flow`` is computed from; None with free flows.
        foreground: (N, 1, h, w) logits of the target's showing the object; None with free flows
            without silhouette.
    """

    flow: Tensor
    attention: Tensor | None
    occlusion: Tensor | None
    depth: Tensor | None = None
    foreground: Tensor | None = None


def surface(p: FlowConfidence) -> Tensor:
    """The predicted surface of the target, (N, 1 or 2, h, w): the probability of the object, in
    [0, 1], and, if it is known, the logarithm of its depth."""
    assert p.foreground is not None
    there = p.foreground.sigmoid()
    return there if p.depth is None else torch.cat([there, p.depth.log()], dim=1)


def surface_channels(config: GeneratorConfig) -> int:
    """Channels of :func:`surface`; 0 if a network predicts none."""
    return config.silhouette * (2 if config.flow_model == "depth" else 1)


class ConfidenceHeads(nn.Module):
    """The 3x3 output convolutions of one level.

    Args:
        channels: of the features.
        outputs: channels of the flow head.
        enlarge: size of the predictions over that of the features, along each side; each feature
            then predicts a square of them.
    """

    def __init__(
        self,
        channels: int,
        *,
        attention: bool,
        occlusion: bool,
        outputs: int = 2,
        enlarge: int = 1,
    ) -> None:
        super().__init__()

        def head(count: int) -> FullPrecisionConv2d:
            return FullPrecisionConv2d(channels, count * enlarge**2, 3, padding=1)

        self.enlarge = enlarge
        self.flow = head(outputs)
        self.attention = head(1) if attention else None
        self.occlusion = head(1) if occlusion else None

    def forward(self, x: Tensor, k: int) -> FlowConfidence:
        """(N*K, C, h, w) to the predictions (N, K, ..., h, w); ``flow`` is its head's output."""
        heads = (self.flow, self.attention, self.occlusion)
        return FlowConfidence(
            *(None if head is None else self._predict(head(x), k) for head in heads)  # type: ignore[arg-type]
        )

    def start(self, value: float) -> None:
        """Let the first output of the flow head begin about a value."""
        bias = self.flow.bias
        assert bias is not None
        with torch.no_grad():
            bias[: self.enlarge**2] += value  # before the shuffle, an output's pixels are together

    def _predict(self, x: Tensor, k: int) -> Tensor:
        if self.enlarge > 1:
            x = F.pixel_shuffle(x, self.enlarge)
        return x.unflatten(0, (-1, k))


class AlignedFeatures(nn.Module):
    """A correction of finer features by the coarser flow: from the pair's features, warped to the
    target, and their mean and variance over the sources.

    The skip features of a U-Net lie where the source shows them. Warped by the coarser flow they
    lie where the target shows them, up to its error: if it is right, the sources that see a pixel
    are alike there.
    """

    def __init__(self, channels: int, negative_slope: float) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(4 * channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        zero(self.conv2)  # training starts from the network without it
        self.act = nn.LeakyReLU(negative_slope)

    def forward(self, x: Tensor, skip: Tensor, flow: Tensor, visible: Tensor) -> Tensor:
        """The sum of ``x`` and its correction, (M*K, C, h, w).

        Args:
            x: (M*K, C, h, w), features of the target.
            skip: (M*K, C, h, w), of the pairs, as the sources show them.
            flow: (M, K, 2, h, w), pixels of this level.
            visible: (M, K, 1, h, w), weights of the sources.
        """
        warped = warp(skip, flow.flatten(0, 1)).unflatten(0, flow.shape[:2])
        weight = (visible / visible.sum(1, keepdim=True)).to(warped.dtype)
        mean = (weight * warped).sum(1, keepdim=True)
        spread = (weight * (warped - mean).square()).sum(1, keepdim=True)
        parts = [warped, mean.expand_as(warped), spread.expand_as(warped)]
        known = torch.cat([x, *(part.flatten(0, 1) for part in parts)], dim=1)
        known = laid_out(known, self.conv1.weight)
        gain: Tensor = self.conv2(self.act(self.conv1(known)))
        return x + gain


class FlowConfidenceExtractor(nn.Module):
    """Each source, its pose and the target pose to flow, attention and occlusion at every level.

    Channels after the five ResBlockD are (32, 64, 128, 256, 512) times ``config.width``. The image
    level has no features of its own: the finest others predict it.
    """

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        self.set_up(config)
        c, slope = config, config.negative_slope
        channels = c.channels(32, 64, 128, 256, 512)
        of_prior = PRIOR_CHANNELS.get(c.flow_prior, 0)
        inputs = (self.source_channels + of_prior + c.pose_channels, *channels[:-1])
        self.down = nn.ModuleList(
            ResBlockD(i, o, norm=c.encoder_norm, negative_slope=slope, first=level == 0)
            for level, (i, o) in enumerate(zip(inputs, channels, strict=True))
        )
        half, quarter, eighth, sixteenth, bottom = channels

        def up(i: int, o: int) -> ResBlockU:
            return ResBlockU(i, o, norm=c.decoder_norm, negative_slope=slope)

        self.up16 = up(bottom, sixteenth)
        self.up8 = up(sixteenth, eighth)
        if self.finest <= 4:
            self.up4 = up(eighth, quarter)
        if self.finest <= 2:
            self.up2 = up(quarter, half)
        widths = {8: eighth, 4: quarter, 2: half}
        for stride in self.aligned:
            self.add_module(f"align{stride}", AlignedFeatures(widths[stride], slope))
        for stride in c.levels:
            features = max(stride, self.finest)
            heads = ConfidenceHeads(
                widths[features],
                attention=c.attention,
                occlusion=c.occlusion,
                outputs=outputs(c.flow_model, c.silhouette),
                enlarge=features // stride,
            )
            if c.flow_model == "depth" and (stride == c.levels[0] or not c.coarse_to_fine):
                assert c.pose_kind is not None
                heads.start(initial_value(c.pose_kind))
            self.add_module(f"heads{stride}", heads)

    def set_up(self, config: GeneratorConfig) -> None:
        """Set the attributes that are no modules."""
        self.config = config
        self.finest = min(s for s in config.levels if s > 1)
        finer = [s for s in (4, 2) if self.finest <= s < config.levels[0]]
        self.aligned = finer if config.alignment else []
        self.source_channels = 3 + config.pose_channels + 2 * config.coordinates

    def encode(
        self, sources: Tensor, poses: Tensor, size: tuple[int, int] | None = None
    ) -> list[Tensor]:
        """The part of the computation that depends on the sources alone.

        Args:
            sources: (N, K, 3, H, W).
            poses: (N, K, c_p, H, W).
            size: height and width before padding; None if there was none.

        Returns:
            Tensors (N, K, ...) for :meth:`forward`.
        """
        inputs = [sources, poses]
        if self.config.coordinates:
            inputs.append(coordinates(sources))
        kept = self.encode_pairs(torch.cat(inputs, dim=2))
        with torch.autocast(poses.device.type, enabled=False):
            if self.config.flow_prior == "hull":
                kept += [foreground_on_white(sources.detach()), sources]
            elif self.config.flow_prior != "none":
                kept += [self._points(poses, size), sources]
        if self.config.flow_model == "depth":
            kept.append(poses[..., 0, 0])  # such poses are the same everywhere
        return kept

    def encode_pairs(self, inputs: Tensor) -> list[Tensor]:
        """The part for :meth:`pair`, of the first block's source channels (N, K, C, H, W)."""
        return [inputs]

    def pair(
        self, encoded: Sequence[Tensor], of_pairs: Tensor | None, target_pose: Tensor
    ) -> Tensor:
        """The first block on all pairs of M target poses and K sources, (M*K, C, H/2, W/2).

        Args:
            encoded: of :meth:`encode`.
            of_pairs: (M*K, C, H, W), the prior's channels of each pair; None without prior.
            target_pose: (M, c_p, H, W).
        """
        m, k = target_pose.shape[0], encoded[0].shape[1]
        first = cast(ResBlockD, self.down[0])
        source = encoded[0].expand(m, -1, -1, -1, -1).flatten(0, 1)
        source = laid_out(source, first.conv1.weight)
        target = repeat_each(laid_out(target_pose, first.conv1.weight), k)
        parts = [source, target] if of_pairs is None else [source, of_pairs, target]
        out: Tensor = first(torch.cat(parts, dim=1))
        return out

    def forward(
        self,
        encoded: Sequence[Tensor],
        target_pose: Tensor,
        present: Tensor | None = None,
        size: tuple[int, int] | None = None,
    ) -> list[FlowConfidence]:
        """The predictions (M, K, ..., h, w) at every level, coarse first.

        Args:
            encoded: of :meth:`encode`, for M sets of sources, or for one that all targets share.
            target_pose: (M, c_p, H, W).
            present: (M, K) bool, False for a missing source.
            size: height and width before padding; None if there was none.
        """
        k = encoded[0].shape[1]
        # Positions in half precision would be off by pixels.
        precise = torch.autocast(target_pose.device.type, enabled=False)
        with precise:
            if self.config.flow_model == "depth":
                model, of_pairs = self._depths(encoded, target_pose, present, size)
            else:
                model, of_pairs = self._free(encoded, target_pose, present, size)
        x = self.pair(encoded, of_pairs, target_pose)
        skips = [x]
        for block in self.down[1:]:
            x = block(x)
            skips.append(x)
        at2, at4, at8, at16, at32 = skips
        x = self.up8(self.up16(at32) + at16) + at8
        levels: list[FlowConfidence] = []
        for stride, skip in ((8, at8), (4, at4), (2, at2), (1, None)):
            if skip is not None and self.finest <= stride < 8:
                x = self.get_submodule(f"up{stride}")(x) + skip
                if stride in self.aligned:
                    coarser = self.config.levels[len(levels) - 1]
                    known = _enlarged(levels[-1], coarser // stride, present)
                    x = self.get_submodule(f"align{stride}")(x, skip, *known)
            if stride not in self.config.levels:
                continue
            with precise:
                p: FlowConfidence = self.get_submodule(f"heads{stride}")(x, k)
                known_surface = model.level(p.flow, stride)
            levels.append(
                FlowConfidence(known_surface.flow, p.attention, p.occlusion, *known_surface[1:])
            )
        return levels

    def _points(self, poses: Tensor, size: tuple[int, int] | None) -> Tensor:
        """The points that poses (..., c_p, H, W) were drawn from; padding has moved those near it.

        They pass no gradient to the poses: the place of a heatmap's peak has no useful one.
        """
        height, width = size or (poses.shape[-2], poses.shape[-1])
        return OF_POINTS[self.config.flow_prior].points(poses.detach()[..., :height, :width])

    def _free(
        self,
        encoded: Sequence[Tensor],
        target_pose: Tensor,
        present: Tensor | None,
        size: tuple[int, int] | None,
    ) -> tuple[FlowModel, Tensor | None]:
        """Free flows, and the prior's channels for :meth:`pair`, if there is one."""
        c = self.config
        if c.flow_prior == "none":
            return FreeFlow(c.coarse_to_fine, None, present), None
        prior, (height, width) = OF_POINTS[c.flow_prior], target_pose.shape[-2:]
        points, sources = _for_each(target_pose, encoded[-2:])
        flow = prior.flow(self._points(target_pose, size), points, height, width)
        return FreeFlow(c.coarse_to_fine, flow, present), _channels(sources, flow)

    def _depths(
        self,
        encoded: Sequence[Tensor],
        target_pose: Tensor,
        present: Tensor | None,
        size: tuple[int, int] | None,
    ) -> tuple[FlowModel, Tensor | None]:
        """Flows of one depth map, and the prior's channels for :meth:`pair`, if there is one."""
        c = self.config
        assert c.pose_kind is not None
        assert c.focal is not None
        dtype = torch.promote_types(target_pose.dtype, torch.float32)
        (codes,) = _for_each(target_pose, encoded[-1:])
        cameras = CAMERAS[c.pose_kind](codes.to(dtype), target_pose[..., 0, 0].to(dtype))
        size = size or (target_pose.shape[-2], target_pose.shape[-1])
        depth, of_pairs = None, None
        if c.flow_prior == "hull":
            foreground, sources = _for_each(target_pose, encoded[-3:-1])
            stride = target_pose.shape[-1] // foreground.shape[-1]
            hull = hull_depth(foreground.to(dtype), cameras, c.focal, size, stride, present)
            depth, *said = (enlarge(x, stride) for x in hull)
            flow = depth_flow(depth, cameras, c.focal, size)
            of_target = torch.cat(said, dim=1).to(sources.dtype)
            known = repeat_each(of_target, sources.shape[1])
            of_pairs = torch.cat([_channels(sources, flow), known], dim=1)
        model = DepthFlow(c.coarse_to_fine, c.pose_kind, cameras, c.focal, size, present, depth)
        return model, of_pairs


def _for_each(target_pose: Tensor, encoded: Sequence[Tensor]) -> list[Tensor]:
    """Tensors of the sources (N, K, ...) for M targets: (M, K, ...)."""
    return [x.expand(target_pose.shape[0], *x.shape[1:]) for x in encoded]


def _channels(sources: Tensor, flow: Tensor) -> Tensor:
    """Sources (M, K, 3, H, W) warped by a prior (M, K, 2, H, W), and the prior: (M*K, 5, H, W)."""
    flat = flow.flatten(0, 1)
    warped = warp(sources.flatten(0, 1), flat, "border")
    return torch.cat([warped, (flat * (8 / flow.shape[-1])).to(warped.dtype)], dim=1)


def _enlarged(p: FlowConfidence, ratio: int, present: Tensor | None) -> tuple[Tensor, Tensor]:
    """A coarser level's flow, and the target's visibility in each source, at the size of a finer
    level; without gradient, as every level has losses of its own."""
    flow = enlarge(p.flow.detach(), ratio) * ratio
    if p.occlusion is None:
        visible = torch.ones_like(flow[:, :, :1])
    else:
        visible = enlarge(p.occlusion.detach().neg().sigmoid(), ratio)
    visible = visible + FAINT
    if present is not None:
        visible = visible * present[:, :, None, None, None]
    return flow, visible


def coordinates(like: Tensor) -> Tensor:
    """(..., 2, H, W): x and y from -1 to 1, for images (..., C, H, W)."""
    *batch, _, height, width = like.shape
    axes: dict[str, Any] = {"dtype": like.dtype, "device": like.device}
    x = torch.linspace(-1, 1, width, **axes).expand(height, width)
    y = torch.linspace(-1, 1, height, **axes)[:, None].expand(height, width)
    return torch.stack([x, y]).expand(*batch, 2, height, width)
