"""The generator G of Eq. 1 as a network: any number of sources and poses in, an image out."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any, Literal, TypeVar, overload

import torch
from torch import Tensor, nn

from rfwarp.nn.appearance import SourceAppearanceExtractor
from rfwarp.nn.config import GeneratorConfig
from rfwarp.nn.flow import FlowConfidence, FlowConfidenceExtractor, surface
from rfwarp.nn.inputs import check_sources, check_target_pose, pad, stack_sources
from rfwarp.nn.optimized import optimize_parts
from rfwarp.nn.predictor import TargetImagePredictor
from rfwarp.nn.results import EncodedSources, LevelMaps, level_maps, logits

_Network = TypeVar("_Network", bound="GeneratorNetwork")


class GeneratorNetwork(nn.Module):
    """Multi-source pose-guided image generator (Fig. 1, Tables 5-7), from tensors to tensors.

    The keyword arguments are the fields of :class:`rfwarp.nn.GeneratorConfig`, where each is
    described; ``pose_channels`` has no default. What people use is its subclass ``Generator``.

    Attributes:
        config: the fields.
        optimized: whether this is the inference form that :meth:`optimize` makes.

    Raises:
        ValueError, TypeError: if a field is unknown, of a wrong type or out of range.
    """

    def __init__(self, **config: Any) -> None:
        super().__init__()
        self.config = GeneratorConfig.from_dict(config)
        self.optimized = False
        self.appearance = SourceAppearanceExtractor(self.config)
        self.flow = FlowConfidenceExtractor(self.config)
        self.predictor = TargetImagePredictor(self.config)

    @overload
    def forward(
        self,
        sources: Tensor | Sequence[Tensor],
        poses: Tensor | Sequence[Tensor],
        target_pose: Tensor,
        mask: Tensor | None = None,
        return_maps: Literal[False] = False,
    ) -> Tensor: ...
    @overload
    def forward(
        self,
        sources: Tensor | Sequence[Tensor],
        poses: Tensor | Sequence[Tensor],
        target_pose: Tensor,
        mask: Tensor | None = None,
        *,
        return_maps: Literal[True],
    ) -> tuple[Tensor, list[LevelMaps]]: ...
    def forward(
        self,
        sources: Tensor | Sequence[Tensor],
        poses: Tensor | Sequence[Tensor],
        target_pose: Tensor,
        mask: Tensor | None = None,
        return_maps: bool = False,
    ) -> Tensor | tuple[Tensor, list[LevelMaps]]:
        """Eq. 1.

        Args:
            sources: (N, K, 3, H, W) in [-1, 1], or K tensors (N, 3, H, W). Any K >= 1, any H and W:
                sizes that are not multiples of 32 (or below 64) are edge-padded at the bottom and
                right, and the result is cropped back.
            poses: (N, K, c_p, H, W), or K tensors (N, c_p, H, W).
            target_pose: (N, c_p, H, W).
            mask: (N, K) bool, False for a missing source, whose pixels and pose are then ignored;
                at least one source of every sample must be present.
            return_maps: also return the flows, residuals, attentions and occlusions per level.

        Returns:
            The image (N, 3, H, W) in [-1, 1]; with ``return_maps``, it and the maps of both levels,
            coarse (stride 8) first.

        Raises:
            TypeError, ValueError: for a wrong dtype, shape, device or K, for tensors of more than
                one dtype or device, or for a sample without a source. Other values are not
                inspected: non-finite inputs give non-finite outputs.
        """
        return self.decode(self.encode(sources, poses, mask), target_pose, return_maps=return_maps)

    def encode(
        self,
        sources: Tensor | Sequence[Tensor],
        poses: Tensor | Sequence[Tensor],
        mask: Tensor | None = None,
    ) -> EncodedSources:
        """Everything that depends on the sources alone, to be decoded for many target poses.

        Arguments and errors as in :meth:`forward`.
        """
        sources = stack_sources("sources", sources)
        poses = stack_sources("poses", poses)
        check_sources(sources, poses, mask, self.config.pose_channels, self._weight)
        size = (sources.shape[-2], sources.shape[-1])
        if mask is not None:
            # Garbage in a missing source must not reach the weights' gradients as NaN * 0.
            present = mask[:, :, None, None, None]
            sources = sources.where(present, torch.zeros_like(sources))
            poses = poses.where(present, torch.zeros_like(poses))
        sources, poses = pad(sources), pad(poses)
        n, k = sources.shape[:2]
        images = self._laid_out(sources.flatten(0, 1))
        # Of the image level the sources as they are: exporters cannot see that a dimension which is
        # flattened and unflattened has the strides it had.
        features = [
            sources if f is images else f.unflatten(0, (n, k)) for f in self.appearance(images)
        ]
        return EncodedSources(
            features,
            self.flow.encode(sources, poses),
            self.predictor.encode(features),
            mask,
            size,
        )

    @overload
    def decode(
        self, encoded: EncodedSources, target_pose: Tensor, return_maps: Literal[False] = False
    ) -> Tensor: ...
    @overload
    def decode(
        self, encoded: EncodedSources, target_pose: Tensor, return_maps: Literal[True]
    ) -> tuple[Tensor, list[LevelMaps]]: ...
    @overload
    def decode(
        self, encoded: EncodedSources, target_pose: Tensor, return_maps: bool
    ) -> Tensor | tuple[Tensor, list[LevelMaps]]: ...
    def decode(
        self, encoded: EncodedSources, target_pose: Tensor, return_maps: bool = False
    ) -> Tensor | tuple[Tensor, list[LevelMaps]]:
        """The image in ``target_pose``, (M, c_p, H, W), from encoded sources.

        M is the N of the sources, or anything if N is 1: one set of sources, M target poses.
        Result and errors as in :meth:`forward`.
        """
        check_target_pose(target_pose, encoded, self.config.pose_channels, self._weight)
        m = target_pose.shape[0]
        target_pose = self._laid_out(pad(target_pose))

        mask = None if encoded.mask is None else encoded.mask.expand(m, -1)
        predictions = self.flow(encoded.for_flow, target_pose, mask, encoded.size)
        image, residuals = self.paint(encoded, target_pose, predictions)
        image = image[..., : encoded.size[0], : encoded.size[1]]
        if not return_maps:
            return image
        levels = zip(self.config.levels, predictions, residuals, strict=True)
        return image, [level_maps(s, encoded.size, mask, p, r) for s, p, r in levels]

    def paint(
        self, encoded: EncodedSources, target_pose: Tensor, predictions: Sequence[FlowConfidence]
    ) -> tuple[Tensor, list[Tensor | None]]:
        """The image from given flows and confidences of every level, coarse first.

        Args:
            target_pose: (M, c_p, H, W), padded as the sources are.

        Returns:
            The padded image, and the residual flow of every level, None without residual flow.
        """
        m = target_pose.shape[0]

        def per_target(x: Tensor) -> Tensor:
            return x.expand(m, *x.shape[1:])

        flows = [p.flow for p in predictions]
        attentions = [logits(p.attention, p.flow, 0.0) for p in predictions]
        occlusions = [logits(p.occlusion, p.flow, -torch.inf) for p in predictions]
        mask = None if encoded.mask is None else per_target(encoded.mask)
        image: Tensor
        image, residuals = self.predictor(
            target_pose,
            [per_target(x) for x in encoded.features],
            [per_target(x) for x in encoded.for_residual],
            flows,
            occlusions,
            attentions,
            [surface(p) for p in predictions] if self.config.silhouette else [],
            mask,
        )
        return image, residuals

    def optimize(self: _Network, dtype: torch.dtype | None = None) -> _Network:
        """The same function in a form for inference: less arithmetic, other weights.

        Convolutions are folded with the pooling, the upsampling and the convolution next to them,
        the residual flow is computed from 18 projected channels, and :meth:`encode` takes over all
        that does not depend on the target pose; ``rfwarp/nn/optimized.py`` has the identities,
        which are exact but for rounding. Convolutions run in channels_last.

        Args:
            dtype: of the new weights, folded in float64 before they are rounded; None keeps the
                present one. The convolutions that flows and confidences come out of stay in float32
                when it is a 16-bit type.

        Returns:
            A new generator in eval mode, on the same device, with ``optimized`` set. It does all
            that this one does, saving and loading included, except that it cannot be trained: its
            weights want no gradients, while those of its inputs still come.
        """
        network = copy.deepcopy(self).eval()
        if not network.optimized:
            device = self._weight.device
            network.to("cpu", torch.float64)
            network.use_optimized_parts()
            network.to(device, self._weight.dtype if dtype is None else dtype)
        elif dtype is not None:
            network.to(dtype)
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return network

    def use_optimized_parts(self) -> None:
        """Change this network into the form that :meth:`optimize` returns, at its own precision."""
        optimize_parts(self)
        self.requires_grad_(False)
        self.optimized = True

    def train(self: _Network, mode: bool = True) -> _Network:
        """As in ``nn.Module``.

        Raises:
            RuntimeError: if an optimized generator is put into training mode.
        """
        if mode and self.optimized:
            raise RuntimeError(
                "an optimized generator is for inference: train the plain one, then optimize() it"
            )
        return super().train(mode)

    def _laid_out(self, x: Tensor) -> Tensor:
        """In the memory format of the weights."""
        return x.contiguous(memory_format=torch.channels_last) if self.optimized else x

    @property
    def _weight(self) -> Tensor:
        """Inputs must be on its device and of its type."""
        return self.appearance.down2.conv1.weight
