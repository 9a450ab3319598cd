"""What people use: the network of Eq. 1, with pictures and model files."""

from __future__ import annotations

import inspect
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, overload

import torch
from PIL import Image

from rfwarp import pretrained
from rfwarp.images import ImageLike, to_pil
from rfwarp.nn.config import GeneratorConfig
from rfwarp.nn.network import GeneratorNetwork
from rfwarp.nn.pictures import PictureSize, prepare
from rfwarp.nn.results import LevelMaps
from rfwarp.poses.encoding import PoseLike


class Generator(GeneratorNetwork):
    """Multi-source pose-guided image generator: new pictures of something from several of it.

    The keyword arguments are the fields of :class:`rfwarp.nn.GeneratorConfig`, where each is
    described; ``pose_channels`` has no default. ``Generator(pose_channels=18)`` is the paper's.
    Called, it maps tensors to tensors (:meth:`forward`); :meth:`generate` takes and gives pictures.

    Raises:
        ValueError, TypeError: if a field is unknown, of a wrong type or out of range.
    """

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
