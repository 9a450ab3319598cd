"""The generator G of Eq. 1: any number of sources and poses in, the image in the target pose out."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast, overload

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from rfwarp import pretrained
from rfwarp.images import ImageLike, PoseLike, encode_pose, load_images, to_pil
from rfwarp.nn.appearance import SourceAppearanceExtractor
from rfwarp.nn.config import GeneratorConfig
from rfwarp.nn.flow import FlowConfidenceExtractor
from rfwarp.nn.predictor import TargetImagePredictor

STRIDE = 32  # the flow extractor halves the resolution five times
MIN_SIZE = 64  # below, instance normalisation at H/32 would see a single pixel


@dataclass(frozen=True)
class EncodedSources:
    """What depends on the sources alone; made by :meth:`Generator.encode`.

    Attributes:
        sources: (N, K, 3, H, W) in [-1, 1], padded.
        poses: (N, K, c_p, H, W), padded.
        features: appearance features, [(N, K, C8, H/8, W/8), (N, K, C4, H/4, W/4)].
        mask: (N, K) bool, False for a missing source; None if all are present.
        size: height and width before padding.
    """

    sources: Tensor
    poses: Tensor
    features: list[Tensor]
    mask: Tensor | None
    size: tuple[int, int]


@dataclass(frozen=True)
class LevelMaps:
    """What the network did at one level (Fig. 7), (h, w) its resolution, cropped like the image.

    Attributes:
        stride: pixels of the image per pixel of this level, 8 or 4.
        flow: initial flow, (N, K, 2, h, w), pixels of this level, channel 0 = x.
        residual: its correction, (N, K, 2, h, w), zeros without residual flow.
        attention: weight of each source, (N, K, 1, h, w), in [0, 1], summing to 1 over K.
        occlusion: invisibility in each source, (N, K, 1, h, w), in [0, 1].
    """

    stride: int
    flow: Tensor
    residual: Tensor
    attention: Tensor
    occlusion: Tensor


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

    # ------------------------------------------------------------------ tensors

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
            TypeError, ValueError: for a wrong dtype, shape or K. Values are not inspected: non-finite
                inputs give non-finite outputs.
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
        sources = _stack("sources", sources)
        poses = _stack("poses", poses)
        self._check_sources(sources, poses, mask)
        size = (sources.shape[-2], sources.shape[-1])
        if mask is not None:
            # Garbage in a missing source must not reach the weights' gradients as NaN * 0.
            present = mask[:, :, None, None, None]
            sources = sources.where(present, torch.zeros_like(sources))
            poses = poses.where(present, torch.zeros_like(poses))
        sources, poses = _pad(sources), _pad(poses)
        n, k = sources.shape[:2]
        features = [f.unflatten(0, (n, k)) for f in self.appearance(sources.flatten(0, 1))]
        return EncodedSources(sources, poses, features, mask, size)

    @overload
    def decode(
        self, encoded: EncodedSources, target_pose: Tensor, return_maps: Literal[False] = False
    ) -> Tensor: ...
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
        n, k = encoded.sources.shape[:2]
        self._check_target_pose(target_pose, n, encoded)
        m = target_pose.shape[0]
        padded_pose = _pad(target_pose)

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
            _level_maps(stride, encoded.size, mask, *level)
            for stride, *level in zip((8, 4), flows, residuals, attentions, occlusions, strict=True)
        ]
        return image, maps

    # ------------------------------------------------------------------ pictures

    @overload
    def generate(
        self,
        images: Sequence[ImageLike],
        poses: Sequence[PoseLike],
        target_pose: PoseLike,
        *,
        size: int | tuple[int, int] | Literal["native"] | None = None,
    ) -> Image.Image: ...
    @overload
    def generate(
        self,
        images: Sequence[ImageLike],
        poses: Sequence[PoseLike],
        target_pose: list[PoseLike],
        *,
        size: int | tuple[int, int] | Literal["native"] | None = None,
    ) -> list[Image.Image]: ...
    @torch.no_grad()
    def generate(
        self,
        images: Sequence[ImageLike],
        poses: Sequence[PoseLike],
        target_pose: PoseLike | list[PoseLike],
        *,
        size: int | tuple[int, int] | Literal["native"] | None = None,
    ) -> Image.Image | list[Image.Image]:
        """Pictures in, picture out.

        Args:
            images: K sources, each a path, a PIL image, an RGB array (H, W, 3) or an RGB tensor
                (3, H, W); uint8 in 0..255 or floating point in [0, 1]. Transparency is laid over
                white, EXIF rotation is applied.
            poses: K poses, each an object of :mod:`rfwarp.poses`, or an array (c_p, H, W) or (c_p,).
            target_pose: one pose, or a list of poses.
            size: side, or (height, width), that the sources are resized to (antialiased).
                None: the size that the weights were trained at, if the config names one, else as
                "native", which leaves all images as they are.

        Returns:
            A PIL image in RGB; a list of them if ``target_pose`` is a list.

        Raises:
            TypeError, ValueError: if an image cannot be read or used, if the images differ in size
                or shape, or if a pose does not fit the network.
        """
        parameter = next(self.parameters())
        many = isinstance(target_pose, list)
        targets = target_pose if many else [target_pose]
        self._check_counts(images, poses, targets)
        stack = load_images(images, self._picture_size(size))[None]
        height, width = stack.shape[-2:]
        source_poses = [self._pose(f"poses[{k}]", p, height, width) for k, p in enumerate(poses)]
        target_poses = [
            self._pose(f"target_pose[{m}]" if many else "target_pose", p, height, width)
            for m, p in enumerate(targets)
        ]
        encoded = self.encode(stack.to(parameter), torch.stack(source_poses)[None].to(parameter))
        pictures = [to_pil(self.decode(encoded, p[None].to(parameter))[0]) for p in target_poses]
        return pictures if many else pictures[0]

    # ------------------------------------------------------------------ weights

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
            name: a bundled model (see :func:`rfwarp.list_models`), a folder with ``config.json`` and
                ``model.safetensors``, or a Hugging Face Hub id ``owner/name``.
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
        config = self.config.to_dict()
        return pretrained.save(folder, config, self.state_dict(), card)

    # ------------------------------------------------------------------ checks

    def _check_sources(self, sources: Tensor, poses: Tensor, mask: Tensor | None) -> None:
        n, k, h, w = *sources.shape[:2], *sources.shape[-2:]
        if k < 1:
            raise ValueError("at least one source is needed, got K = 0")
        if sources.shape[2] != 3:
            raise ValueError(f"sources must be (N, K, 3, H, W), got {tuple(sources.shape)}")
        if h < 1 or w < 1:
            raise ValueError(f"sources must have at least one pixel, got {h} x {w}")
        expected = (n, k, self.config.pose_channels, h, w)
        if tuple(poses.shape) != expected:
            raise ValueError(
                f"poses must be (N, K, c_p, H, W) = {expected} for sources "
                f"{tuple(sources.shape)}, got {tuple(poses.shape)}"
            )
        if mask is None:
            return
        if mask.dtype != torch.bool or tuple(mask.shape) != (n, k):
            raise ValueError(
                f"mask must be bool (N, K) = {(n, k)}, got {mask.dtype} {tuple(mask.shape)}"
            )

    def _check_target_pose(self, pose: Tensor, n: int, encoded: EncodedSources) -> None:
        _check_floating("target_pose", pose)
        expected = (self.config.pose_channels, *encoded.size)
        if pose.ndim != 4 or tuple(pose.shape[1:]) != expected:
            raise ValueError(
                f"target_pose must be (N, c_p, H, W) = (N, {', '.join(map(str, expected))}), "
                f"got {tuple(pose.shape)}"
            )
        if n not in (1, pose.shape[0]):
            raise ValueError(f"{n} sets of sources do not fit {pose.shape[0]} target poses")

    @staticmethod
    def _check_counts(
        images: Sequence[object], poses: Sequence[object], targets: Sequence[object]
    ) -> None:
        if len(images) == 0:
            raise ValueError("at least one source image is needed, got none")
        if len(poses) != len(images):
            raise ValueError(f"{len(images)} images need {len(images)} poses, got {len(poses)}")
        if len(targets) == 0:
            raise ValueError("at least one target pose is needed, got none")

    def _picture_size(
        self, size: int | tuple[int, int] | Literal["native"] | None
    ) -> int | tuple[int, int] | None:
        if size is None:
            return self.config.image_size
        return None if size == "native" else cast("int | tuple[int, int]", size)

    def _pose(self, name: str, pose: PoseLike, height: int, width: int) -> Tensor:
        kind = getattr(pose, "kind", None)
        if kind is not None and self.config.pose_kind not in (None, kind):
            raise ValueError(f"{name} is a {kind}, but this model takes a {self.config.pose_kind}")
        return encode_pose(name, pose, self.config.pose_channels, height, width)


def _stack(name: str, tensors: Tensor | Sequence[Tensor]) -> Tensor:
    if not isinstance(tensors, Tensor):
        if len(tensors) == 0:
            raise ValueError(f"{name}: at least one source is needed, got an empty list")
        for k, tensor in enumerate(tensors):
            _check_floating(f"{name}[{k}]", tensor)
            if tensor.ndim != 4 or tensor.shape != tensors[0].shape:
                raise ValueError(
                    f"{name} must be K tensors (N, C, H, W) of one shape, got "
                    f"{', '.join(str(tuple(t.shape)) for t in tensors)}"
                )
        tensors = torch.stack(list(tensors), dim=1)
    _check_floating(name, tensors)
    if tensors.ndim != 5:
        raise ValueError(f"{name} must be (N, K, C, H, W), got {tuple(tensors.shape)}")
    return tensors


def _check_floating(name: str, tensor: Tensor) -> None:
    if not isinstance(tensor, Tensor):
        raise TypeError(f"{name} must be a torch.Tensor, got {type(tensor).__name__}")
    if not tensor.is_floating_point():
        raise TypeError(f"{name} must be floating point, got {tensor.dtype}")


def _pad(x: Tensor) -> Tensor:
    """Edge-pad bottom and right to a multiple of STRIDE, at least MIN_SIZE."""
    h, w = x.shape[-2:]
    bottom, right = (max(MIN_SIZE, -(-s // STRIDE) * STRIDE) - s for s in (h, w))
    if bottom == 0 and right == 0:
        return x
    padded = F.pad(x.flatten(0, -4), (0, right, 0, bottom), mode="replicate")
    return padded.unflatten(0, x.shape[:-3])


def _logits(predicted: Tensor | None, flow: Tensor, constant: float) -> Tensor:
    return torch.full_like(flow[:, :1], constant) if predicted is None else predicted


def _level_maps(
    stride: int,
    size: tuple[int, int],
    mask: Tensor | None,
    flow: Tensor,
    residual: Tensor | None,
    attention: Tensor,
    occlusion: Tensor,
) -> LevelMaps:
    if mask is not None:
        attention = attention.masked_fill(~mask[:, :, None, None, None], -torch.inf)
    h, w = (-(-s // stride) for s in size)
    return LevelMaps(
        stride,
        flow[..., :h, :w],
        (torch.zeros_like(flow) if residual is None else residual)[..., :h, :w],
        attention.softmax(dim=1)[..., :h, :w],
        occlusion.sigmoid()[..., :h, :w],
    )
