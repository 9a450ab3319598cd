"""The generator G of Eq. 1: any number of images and poses of something in, a new image out."""

from __future__ import annotations

import copy
import inspect
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import torch
from PIL import Image
from torch import Tensor, nn
from tqdm import tqdm

from rfwarp import pretrained
from rfwarp.deprecation import renamed
from rfwarp.images import ImageLike, to_pil, to_uint8
from rfwarp.nn.appearance import SourceAppearanceExtractor
from rfwarp.nn.blocks import laid_out
from rfwarp.nn.config import DATASET_FIELDS, GeneratorConfig
from rfwarp.nn.flow import FlowConfidence, FlowConfidenceExtractor, surface
from rfwarp.nn.image_inputs import ImageSize, pose_map, prepare, prepare_sources
from rfwarp.nn.inputs import check_sources, check_target_pose, pad, stack_sources
from rfwarp.nn.optimized import optimize_parts
from rfwarp.nn.predictor import TargetImagePredictor
from rfwarp.nn.results import EncodedSources, LevelMaps, level_maps, logits
from rfwarp.poses.encoding import PoseLike
from rfwarp.precision import fast_dtype

if TYPE_CHECKING:
    from typing_extensions import Self


class Generator(nn.Module):
    """Multi-source pose-guided image generator (Fig. 1, Tables 5-7).

    The keyword arguments are the fields of :class:`rfwarp.nn.GeneratorConfig`, where each is
    described; ``pose_channels`` has no default. ``Generator(pose_channels=18)`` is the paper's.
    Called, it maps tensors to tensors (:meth:`forward`); :meth:`generate` maps images to images.

    Attributes:
        config: the fields.
        optimized: whether this is the inference form that :meth:`optimize` makes.

    Raises:
        ValueError: if a field is unknown, missing, of a wrong type or out of range.

    Example:
        >>> from rfwarp import Generator
        >>> from rfwarp.data import render_views
        >>> from rfwarp.poses import Viewpoint
        >>> generator = Generator.from_pretrained("chairs-64")
        >>> views = [Viewpoint(120, 10), Viewpoint(320, 10)]
        >>> sources = list(render_views(900_000, views, size=64))  # or files, or PIL images
        >>> image = generator.generate(sources, views, Viewpoint(60, 10))
        >>> image.size
        (64, 64)
    """

    def __init__(self, **config: Any) -> None:
        super().__init__()
        self.config = GeneratorConfig.from_dict(config)
        self.optimized = False
        self.appearance = SourceAppearanceExtractor(self.config)
        self.flow = FlowConfidenceExtractor(self.config)
        self.predictor = TargetImagePredictor(self.config)

    # -------------------------------------------------------------- tensors

    @overload
    def forward(
        self,
        sources: Tensor | Sequence[Tensor],
        poses: Tensor | Sequence[Tensor],
        target_pose: Tensor,
        present: Tensor | None = None,
        return_maps: Literal[False] = False,
    ) -> Tensor: ...
    @overload
    def forward(
        self,
        sources: Tensor | Sequence[Tensor],
        poses: Tensor | Sequence[Tensor],
        target_pose: Tensor,
        present: Tensor | None = None,
        *,
        return_maps: Literal[True],
    ) -> tuple[Tensor, list[LevelMaps]]: ...
    @renamed(mask="present")
    def forward(
        self,
        sources: Tensor | Sequence[Tensor],
        poses: Tensor | Sequence[Tensor],
        target_pose: Tensor,
        present: Tensor | None = None,
        return_maps: bool = False,
    ) -> Tensor | tuple[Tensor, list[LevelMaps]]:
        """Eq. 1.

        Args:
            sources: (N, K, 3, H, W) in [-1, 1], or K tensors (N, 3, H, W). Any K >= 1, any H and W:
                sizes that are not multiples of 32 (or below 64) are edge-padded at the bottom and
                right, and the result is cropped back.
            poses: (N, K, c_p, H, W), or K tensors (N, c_p, H, W).
            target_pose: (N, c_p, H, W).
            present: (N, K) bool, False for a missing source, whose pixels and pose are ignored; at
                least one source of every sample must be present.
            return_maps: also return the flows, residuals, attentions and occlusions per level.

        Returns:
            The image (N, 3, H, W) in [-1, 1]; with ``return_maps``, it and the maps of every
            level, coarse first.

        Raises:
            TypeError, ValueError: for a wrong dtype, shape, device or K, for tensors of more than
                one dtype or device, or for a sample without a source. Other values are not
                inspected: non-finite inputs give non-finite outputs.
        """
        return self.decode(
            self.encode(sources, poses, present), target_pose, return_maps=return_maps
        )

    @renamed(mask="present")
    def encode(
        self,
        sources: Tensor | Sequence[Tensor],
        poses: Tensor | Sequence[Tensor],
        present: Tensor | None = None,
    ) -> EncodedSources:
        """Everything that depends on the sources alone, to be decoded for many target poses.

        Arguments and errors as in :meth:`forward`.
        """
        sources = stack_sources("sources", sources)
        poses = stack_sources("poses", poses)
        check_sources(sources, poses, present, self.config.pose_channels, self._weight)
        size = (sources.shape[-2], sources.shape[-1])
        if present is not None:
            # Garbage in a missing source must not reach the weights' gradients as NaN * 0.
            here = present[:, :, None, None, None]
            sources = sources.where(here, torch.zeros_like(sources))
            poses = poses.where(here, torch.zeros_like(poses))
        sources, poses = pad(sources), pad(poses)
        n, k = sources.shape[:2]
        images = laid_out(sources.flatten(0, 1), self._weight)
        # Of the image level the sources as they are: exporters cannot see that a dimension which is
        # flattened and unflattened has the strides it had.
        features = [
            sources if f is images else f.unflatten(0, (n, k)) for f in self.appearance(images)
        ]
        return EncodedSources(
            features,
            self.flow.encode(sources, poses, size),
            self.predictor.encode(features),
            present,
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
        target_pose = laid_out(pad(target_pose), self._weight)

        present = None if encoded.present is None else encoded.present.expand(m, -1)
        predictions = self.flow(encoded.for_flow, target_pose, present, encoded.size)
        image, residuals = self.decode_with_flows(encoded, target_pose, predictions)
        image = image[..., : encoded.size[0], : encoded.size[1]]
        if not return_maps:
            return image
        levels = zip(self.config.levels, predictions, residuals, strict=True)
        return image, [level_maps(s, encoded.size, present, p, r) for s, p, r in levels]

    def decode_with_flows(
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
        present = None if encoded.present is None else per_target(encoded.present)
        image: Tensor
        image, residuals = self.predictor(
            target_pose,
            [per_target(x) for x in encoded.features],
            [per_target(x) for x in encoded.for_residual],
            flows,
            occlusions,
            attentions,
            [surface(p) for p in predictions] if self.config.silhouette else [],
            present,
        )
        return image, residuals

    # -------------------------------------------------------------- images

    @renamed(images="sources")
    @torch.no_grad()
    def generate(
        self,
        sources: Sequence[ImageLike],
        poses: Sequence[PoseLike],
        target_pose: PoseLike,
        *,
        size: ImageSize = None,
    ) -> Image.Image:
        """A new image of what the sources show.

        Args:
            sources: K images, each a path, a PIL image, an RGB array (H, W, 3) or an RGB tensor
                (3, H, W); uint8 in 0..255 or floating point in [0, 1]. Transparency is laid over
                white, EXIF rotation is applied.
            poses: K poses, each an object of :mod:`rfwarp.poses`, or an array or tensor:
                (c_p, H, W) for the resized image, or (c_p,), which is tiled.
            target_pose: the pose of the new image.
            size: side, or (height, width), that the sources are resized to (antialiased).
                None: the size that the weights were trained at, if the config names one, else as
                "native", which leaves all images as they are.

        Returns:
            A PIL image in RGB.

        Raises:
            FileNotFoundError: if there is no file at a path.
            TypeError, ValueError: if an image cannot be read or used, if the images differ in size
                or shape, or if a pose does not fit the network.
            FloatingPointError: if the network gives NaN or infinity.
        """
        if isinstance(target_pose, list):
            raise TypeError("target_pose must be one pose, got a list: generate_many takes several")
        encoded, (pose,) = self._encode(sources, poses, {"target_pose": target_pose}, size)
        return next(self.stream(encoded, [pose]))

    @torch.no_grad()
    def generate_many(
        self,
        sources: Sequence[ImageLike],
        poses: Sequence[PoseLike],
        target_poses: Iterable[PoseLike],
        *,
        size: ImageSize = None,
    ) -> list[Image.Image]:
        """A new image in each of ``target_poses``; the sources are encoded once.

        Other arguments and errors as in :meth:`generate`. All poses are checked before anything is
        drawn and held as maps, c_p float32 values a pixel; for more than memory holds see
        :meth:`stream`.
        """
        targets = {f"target_poses[{m}]": pose for m, pose in enumerate(target_poses)}
        return list(self.stream(*self._encode(sources, poses, targets, size)))

    @torch.no_grad()
    def generate_with_maps(
        self,
        sources: Sequence[ImageLike],
        poses: Sequence[PoseLike],
        target_pose: PoseLike,
        *,
        size: ImageSize = None,
    ) -> tuple[Image.Image, list[LevelMaps]]:
        """The image of :meth:`generate`, and the network's maps as :meth:`forward` returns them.

        Arguments and errors as in :meth:`generate`.

        Returns:
            The image, and the maps of every level, coarse first, with N = 1.
        """
        encoded, (pose,) = self._encode(sources, poses, {"target_pose": target_pose}, size)
        image, maps = self.decode(encoded, pose[None].to(self._weight), return_maps=True)
        return to_pil(_finite(image)[0]), maps

    @torch.no_grad()
    def encode_images(
        self,
        sources: Sequence[ImageLike],
        poses: Sequence[PoseLike],
        *,
        size: ImageSize = None,
    ) -> EncodedSources:
        """Sources as :meth:`generate` takes them, encoded for :meth:`stream`.

        Arguments and errors as in :meth:`generate`.
        """
        images, source_poses = prepare_sources(self.config, sources, poses, size)
        return self.encode(images.to(self._weight), source_poses.to(self._weight))

    def _encode(
        self,
        sources: Sequence[ImageLike],
        poses: Sequence[PoseLike],
        targets: Mapping[str, PoseLike],
        size: ImageSize,
    ) -> tuple[EncodedSources, list[Tensor]]:
        """Encoded sources, and the target poses as maps (c_p, H, W); all are checked first."""
        images, source_poses, target_poses = prepare(self.config, sources, poses, targets, size)
        return self.encode(images.to(self._weight), source_poses.to(self._weight)), target_poses

    def stream(
        self,
        encoded: EncodedSources,
        target_poses: Iterable[PoseLike],
        *,
        batch_size: int | None = None,
        progress: bool = False,
    ) -> Iterator[Image.Image]:
        """Images of one set of sources in any number of poses, one after the other.

        Memory does not grow with the number of poses: they are taken from the iterable, which may
        be endless, as they are needed.

        Args:
            encoded: one set of sources (N = 1), from :meth:`encode_images` or :meth:`encode`.
            target_poses: poses as for :meth:`generate`; maps must be (c_p, H, W) of the sources.
            batch_size: how many poses are decoded together; with 1, each image comes before the
                next pose is asked for. None: on CPUs as many as have 256 x 256 pixels together,
                beyond which larger temporaries cost more than a batch saves; else 16 times that.
            progress: show a progress bar on stderr.

        Returns:
            An iterator over PIL images in RGB.

        Raises:
            TypeError, ValueError: at once, if encoded or batch_size cannot be used; when it is its
                turn, if a pose does not fit.
            FloatingPointError: when it is its turn, if the network gives NaN or infinity.
        """
        sets = encoded.features[0].shape[0]
        if sets != 1:
            raise ValueError(f"stream needs one set of sources (N = 1), got {sets}")
        if batch_size is None:
            budget = 2**16 if self._weight.device.type == "cpu" else 2**20
            batch_size = max(1, budget // (encoded.size[0] * encoded.size[1]))
        if type(batch_size) is not int or batch_size < 1:
            raise ValueError(f"batch_size must be a positive integer, got {batch_size!r}")
        bar = tqdm(target_poses, unit="image", disable=not progress)
        return self._stream(encoded, enumerate(bar), batch_size)

    def _stream(
        self, encoded: EncodedSources, poses: Iterator[tuple[int, PoseLike]], batch_size: int
    ) -> Iterator[Image.Image]:
        failed: Exception | None = None
        while failed is None:
            batch: list[Tensor] = []
            try:
                for m, pose in islice(poses, batch_size):
                    batch.append(pose_map(self.config, f"target_poses[{m}]", pose, encoded.size))
            except Exception as error:  # also of the caller's iterable: first the images before it
                failed = error
            if not batch:
                break
            with torch.no_grad():  # not around the yield: the caller's code is not ours
                decoded = self.decode(encoded, torch.stack(batch).to(self._weight))
                image = to_uint8(_finite(decoded))
            yield from map(Image.fromarray, image.permute(0, 2, 3, 1).cpu().numpy())
        if failed is not None:
            raise failed

    # -------------------------------------------------------------- inference form

    def optimize(self, dtype: torch.dtype | Literal["auto"] | None = None) -> Self:
        """The same function in a form for inference: less arithmetic, other weights.

        Convolutions are folded with the pooling, the upsampling and the convolution next to them,
        the residual flow is computed from 18 projected channels, and :meth:`encode` takes over all
        that does not depend on the target pose; ``rfwarp/nn/optimized.py`` has the identities,
        which are exact but for rounding. Convolutions run in channels_last.

        Args:
            dtype: of the new weights, folded in float64 before they are rounded; None keeps the
                present one, and "auto" takes bfloat16 where the device multiplies in it, else
                float32 (:func:`rfwarp.precision.fast_dtype`). The convolutions that flows and
                confidences come out of stay in float32 when it is a 16-bit type.

        Returns:
            A new generator in eval mode, on the same device, with ``optimized`` set. It does all
            that this one does, saving and loading included, except that it cannot be trained: its
            weights want no gradients, while those of its inputs still come.
        """
        network, device = copy.deepcopy(self).eval(), self._weight.device
        if dtype == "auto":
            dtype = fast_dtype(device)
        if not network.optimized:
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

    def train(self, mode: bool = True) -> Self:
        """As in ``nn.Module``.

        Raises:
            RuntimeError: if an optimized generator is put into training mode.
        """
        if mode and self.optimized:
            raise RuntimeError(
                "an optimized generator is for inference: train the plain one, then optimize() it"
            )
        return super().train(mode)

    # -------------------------------------------------------------- files

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
        """A generator in eval mode from trained weights, in the form in which it was saved.

        Args:
            name: a bundled model (see :func:`rfwarp.list_models`), a folder with ``config.json``
                and ``model.safetensors``, or a Hugging Face Hub id ``owner/name``.
            revision, cache_dir, token, local_files_only, force_download: for the Hub only, as in
                ``huggingface_hub``.
            device: where the weights go.
            dtype: floating-point type of the weights; None takes that in which they were saved.

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
        optimized = config.pop("optimized", False)
        try:
            if not isinstance(optimized, bool):
                raise TypeError(f"'optimized' must be true or false, got {optimized!r}")
            with torch.device("meta"):
                model = cls(**config)
                if optimized:
                    model.use_optimized_parts()
        except (TypeError, ValueError) as error:
            raise ValueError(f"{folder / pretrained.CONFIG_NAME}: {error}") from error
        pretrained.load_weights(model, folder, device=device, dtype=dtype)
        return model.eval().optimize() if optimized else model.eval()

    def save_pretrained(
        self,
        folder: str | os.PathLike[str],
        card: str | None = None,
        storage: torch.dtype | None = None,
    ) -> Path:
        """Write ``config.json``, ``model.safetensors`` and a model card ``README.md``.

        An optimized generator is saved, and comes back, as such; no plain one is made of it.

        Args:
            folder: created if missing; each file is replaced atomically.
            card: text of the model card; None writes one that states the configuration and says
                that nothing is known about the training.
            storage: type of the weights in the file, None their own. ``torch.float16`` halves the
                file, and the weights come back as float32, rounded.

        Returns:
            The folder.
        """
        config = self.config.to_dict() | ({"optimized": True} if self.optimized else {})
        return pretrained.save(folder, config, self, card, storage)

    @property
    def _weight(self) -> Tensor:
        """A weight, whose device and type the inputs must have."""
        return self.appearance.down2.conv1.weight


def _finite(image: Tensor) -> Tensor:
    if not bool(image.isfinite().all()):
        raise FloatingPointError(
            "the network gave non-finite values: its weights, or the precision, do not fit"
        )
    return image


# What help() and editors show instead of **config: the fields, with their defaults.
_FIELDS = inspect.signature(GeneratorConfig, eval_str=True).parameters
Generator.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
    [
        _FIELDS[name].replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for name in dict.fromkeys([*DATASET_FIELDS, *_FIELDS])
    ]
)
