"""The generator G of Eq. 1: any number of sources and poses in, the target pose's image out."""

from __future__ import annotations

import inspect
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, cast, overload

import torch
from PIL import Image
from torch import Tensor, nn

from rfwarp import pretrained
from rfwarp.images import ImageLike, to_pil
from rfwarp.nn.appearance import SourceAppearanceExtractor
from rfwarp.nn.config import GeneratorConfig
from rfwarp.nn.flow import FlowConfidenceExtractor
from rfwarp.nn.inputs import check_sources, check_target_pose, pad, stack_sources
from rfwarp.nn.pictures import PictureSize, prepare
from rfwarp.nn.predictor import TargetImagePredictor
from rfwarp.nn.results import EncodedSources, LevelMaps, level_maps
from rfwarp.poses.encoding import PoseLike


class Generator(nn.Module):
    """Multi-source pose-guided image generator (Fig. 1, Tables 5-7).

    The keyword arguments are the fields of :class:`rfwarp.nn.GeneratorConfig`, where each is
    described; ``pose_channels`` has no default. ``Generator(pose_channels=18)`` is the paper's.

    Raises:
        ValueError, TypeError: if a field is unknown, of a wrong type or out of range.
    """

    def __init__(self, **config: Any) -> None:
        super().__init__()
        self.config = GeneratorConfig.from_dict(config)
        c = self.config
        shared: dict[str, Any] = {
            "encoder_norm": c.encoder_norm,
            "decoder_norm": c.decoder_norm,
            "negative_slope": c.negative_slope,
        }
        widths = cast(tuple[int, int, int], c.channels(64, 128, 256))
        flow_widths = cast(tuple[int, int, int, int, int], c.channels(32, 64, 128, 256, 512))
        self.appearance = SourceAppearanceExtractor(
            widths, norm=c.encoder_norm, negative_slope=c.negative_slope
        )
        self.flow = FlowConfidenceExtractor(
            c.pose_channels, flow_widths, attention=c.attention, occlusion=c.occlusion, **shared
        )
        self.predictor = TargetImagePredictor(
            c.pose_channels,
            widths,
            residual_flow=c.residual_flow,
            padding_mode=c.padding_mode,
            **shared,
        )

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
        check_sources(sources, poses, mask, self.config.pose_channels)
        size = (sources.shape[-2], sources.shape[-1])
        if mask is not None:
            # Garbage in a missing source must not reach the weights' gradients as NaN * 0.
            present = mask[:, :, None, None, None]
            sources = sources.where(present, torch.zeros_like(sources))
            poses = poses.where(present, torch.zeros_like(poses))
        sources, poses = pad(sources), pad(poses)
        n, k = sources.shape[:2]
        features = [f.unflatten(0, (n, k)) for f in self.appearance(sources.flatten(0, 1))]
        return EncodedSources(sources, poses, features, mask, size)

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
        k = encoded.sources.shape[1]
        check_target_pose(target_pose, encoded, self.config.pose_channels)
        m = target_pose.shape[0]
        padded_pose = pad(target_pose)

        def per_target(x: Tensor) -> Tensor:
            return x.expand(m, *x.shape[1:])

        predictions = self.flow(
            per_target(encoded.sources).flatten(0, 1),
            per_target(encoded.poses).flatten(0, 1),
            padded_pose[:, None].expand(-1, k, -1, -1, -1).flatten(0, 1),
        )
        flows = [p.flow.unflatten(0, (m, k)) for p in predictions]
        attentions = [_logits(p.attention, p.flow, 0.0).unflatten(0, (m, k)) for p in predictions]
        # sigmoid(-inf) = 0: without occlusion maps everything counts as visible.
        occlusions = [
            _logits(p.occlusion, p.flow, -torch.inf).unflatten(0, (m, k)) for p in predictions
        ]
        mask = None if encoded.mask is None else per_target(encoded.mask)
        image, residuals = self.predictor(
            padded_pose,
            [per_target(f) for f in encoded.features],
            flows,
            occlusions,
            attentions,
            mask,
        )
        image = image[..., : encoded.size[0], : encoded.size[1]]
        if not return_maps:
            return image
        maps = [
            level_maps(stride, encoded.size, mask, *level)
            for stride, *level in zip((8, 4), flows, residuals, attentions, occlusions, strict=True)
        ]
        return image, maps

    @overload
    def generate(
        self,
        images: Sequence[ImageLike],
        poses: Sequence[PoseLike],
        target_pose: PoseLike,
        *,
        size: PictureSize = None,
        return_maps: Literal[False] = False,
    ) -> Image.Image: ...
    @overload
    def generate(
        self,
        images: Sequence[ImageLike],
        poses: Sequence[PoseLike],
        target_pose: list[PoseLike],
        *,
        size: PictureSize = None,
        return_maps: Literal[False] = False,
    ) -> list[Image.Image]: ...
    @overload
    def generate(
        self,
        images: Sequence[ImageLike],
        poses: Sequence[PoseLike],
        target_pose: PoseLike,
        *,
        size: PictureSize = None,
        return_maps: Literal[True],
    ) -> tuple[Image.Image, list[LevelMaps]]: ...
    @overload
    def generate(
        self,
        images: Sequence[ImageLike],
        poses: Sequence[PoseLike],
        target_pose: list[PoseLike],
        *,
        size: PictureSize = None,
        return_maps: Literal[True],
    ) -> tuple[list[Image.Image], list[list[LevelMaps]]]: ...
    @torch.no_grad()
    def generate(
        self,
        images: Sequence[ImageLike],
        poses: Sequence[PoseLike],
        target_pose: PoseLike | list[PoseLike],
        *,
        size: PictureSize = None,
        return_maps: bool = False,
    ) -> (
        Image.Image
        | list[Image.Image]
        | tuple[Image.Image, list[LevelMaps]]
        | tuple[list[Image.Image], list[list[LevelMaps]]]
    ):
        """Pictures in, picture out.

        Args:
            images: K sources, each a path, a PIL image, an RGB array (H, W, 3) or an RGB tensor
                (3, H, W); uint8 in 0..255 or floating point in [0, 1]. Transparency is laid over
                white, EXIF rotation is applied.
            poses: K poses, each an object of :mod:`rfwarp.poses`, or an array or tensor:
                (c_p, H, W) for the resized picture, or (c_p,), which is tiled.
            target_pose: one pose, or a list of poses.
            size: side, or (height, width), that the sources are resized to (antialiased).
                None: the size that the weights were trained at, if the config names one, else as
                "native", which leaves all images as they are.
            return_maps: also return what the network did, as :meth:`forward` does with N = 1.

        Returns:
            A PIL image in RGB; with ``return_maps``, it and its maps. If ``target_pose`` is a list,
            a list in the place of each.

        Raises:
            FileNotFoundError: if there is no file at a path.
            TypeError, ValueError: if an image cannot be read or used, if the images differ in size
                or shape, or if a pose does not fit the network.
        """
        many = isinstance(target_pose, list)
        targets = target_pose if isinstance(target_pose, list) else [target_pose]
        sources, source_poses, target_poses = prepare(self.config, images, poses, targets, size)
        weights = next(self.parameters())
        encoded = self.encode(sources.to(weights), source_poses.to(weights))
        pictures: list[Image.Image] = []
        maps: list[list[LevelMaps]] = []
        for pose in target_poses:
            image, levels = self.decode(encoded, pose.to(weights), return_maps=True)
            pictures.append(to_pil(image[0]))
            if return_maps:  # kept for nobody, they would fill the memory of a long list
                maps.append(levels)
        if return_maps:
            return (pictures, maps) if many else (pictures[0], maps[0])
        return pictures if many else pictures[0]

    @classmethod
    def from_pretrained(
        cls,
        name: str | os.PathLike[str],
        *,
        revision: str | None = None,
        cache_dir: str | os.PathLike[str] | None = None,
        token: str | bool | None = None,
        local_files_only: bool = False,
        force_download: bool = False,
        device: str | torch.device = "cpu",
        dtype: torch.dtype | None = None,
    ) -> Generator:
        """A generator in eval mode from trained weights.

        Args:
            name: a bundled model (see :func:`rfwarp.list_models`), a folder with ``config.json``
                and ``model.safetensors``, or a Hugging Face Hub id ``owner/name``.
            revision, cache_dir, token, local_files_only, force_download: for the Hub only, as in
                ``huggingface_hub``.
            device: where the weights go.
            dtype: floating-point type of the weights; None keeps that of the file.

        Raises:
            FileNotFoundError: if there is no such model.
            ValueError: if the configuration or the weights are damaged or do not fit: the message
                names the file and the field or tensor. Loading is always strict.
        """
        folder = pretrained.resolve(
            name,
            revision=revision,
            cache_dir=cache_dir,
            token=token,
            local_files_only=local_files_only,
            force_download=force_download,
        )
        config = pretrained.read_config(folder)
        try:
            with torch.device("meta"):
                model = cls(**config)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{folder / pretrained.CONFIG_NAME}: {error}") from error
        pretrained.load_weights(model, folder, device=device, dtype=dtype)
        return model.eval()

    def save_pretrained(self, folder: str | os.PathLike[str], card: str | None = None) -> Path:
        """Write ``config.json``, ``model.safetensors`` and a model card ``README.md``.

        Args:
            folder: created if missing; each file is replaced atomically.
            card: text of the model card; None writes one that states the configuration and says
                that nothing is known about the training.

        Returns:
            The folder.
        """
        return pretrained.save(folder, self.config.to_dict(), self.state_dict(), card)


# What help() and editors show instead of **config: the fields, with their defaults.
Generator.__signature__ = inspect.signature(GeneratorConfig)  # type: ignore[attr-defined]


def _logits(predicted: Tensor | None, flow: Tensor, constant: float) -> Tensor:
    return torch.full_like(flow[:, :1], constant) if predicted is None else predicted
