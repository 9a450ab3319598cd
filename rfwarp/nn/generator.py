"""What people use: the network of Eq. 1, with pictures and model files."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Literal, overload

import torch
from PIL import Image
from tqdm import tqdm

from rfwarp import pretrained
from rfwarp.images import ImageLike, to_pil, to_uint8
from rfwarp.nn.config import GeneratorConfig
from rfwarp.nn.network import GeneratorNetwork
from rfwarp.nn.pictures import PictureSize, pose_map, prepare
from rfwarp.nn.results import EncodedSources, LevelMaps
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
        encoded = self.encode(sources.to(self._weight), source_poses.to(self._weight))
        if not return_maps:
            pictures = list(self.stream(encoded, target_poses))
            return pictures if many else pictures[0]
        pictures, maps = [], []
        for pose in target_poses:
            image, levels = self.decode(encoded, pose[None].to(self._weight), return_maps=True)
            pictures.append(to_pil(image[0]))
            maps.append(levels)
        return (pictures, maps) if many else (pictures[0], maps[0])

    def stream(
        self,
        encoded: EncodedSources,
        target_poses: Iterable[PoseLike],
        *,
        batch_size: int | None = None,
        progress: bool = False,
    ) -> Iterator[Image.Image]:
        """Pictures of one set of sources in any number of poses, one after the other.

        Memory does not grow with the number of poses: they are taken from the iterable, which may
        be endless, as they are needed.

        Args:
            encoded: one set of sources (N = 1), from :meth:`encode`.
            target_poses: poses as for :meth:`generate`; maps must be (c_p, H, W) of the sources.
            batch_size: how many poses are decoded together; with 1, each picture comes before the
                next pose is asked for. None: on CPUs as many as have 256 x 256 pixels together,
                beyond which larger temporaries cost more than a batch saves; else 16 times that.
            progress: show a progress bar on stderr.

        Returns:
            An iterator over PIL images in RGB.

        Raises:
            TypeError, ValueError: at once, if encoded or batch_size cannot be used; when it is its
                turn, if a pose does not fit.
        """
        sets = encoded.features[0].shape[0]
        if sets != 1:
            raise ValueError(f"stream needs one set of sources (N = 1), got {sets}")
        if batch_size is None:
            budget = 2**16 if self._weight.device.type == "cpu" else 2**20
            batch_size = max(1, budget // (encoded.size[0] * encoded.size[1]))
        if type(batch_size) is not int or batch_size < 1:
            raise ValueError(f"batch_size must be a positive integer, got {batch_size!r}")
        bar = tqdm(target_poses, unit="picture", disable=not progress)
        return self._stream(encoded, enumerate(bar), batch_size)

    def _stream(
        self, encoded: EncodedSources, poses: Iterator[tuple[int, PoseLike]], batch_size: int
    ) -> Iterator[Image.Image]:
        while batch := [
            pose_map(self.config, f"target_poses[{m}]", pose, encoded.size)
            for m, pose in islice(poses, batch_size)
        ]:
            with torch.no_grad():  # not around the yield: the caller's code is not ours
                image = to_uint8(self.decode(encoded, torch.stack(batch).to(self._weight)))
            yield from map(Image.fromarray, image.permute(0, 2, 3, 1).cpu().numpy())

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

    def save_pretrained(self, folder: str | os.PathLike[str], card: str | None = None) -> Path:
        """Write ``config.json``, ``model.safetensors`` and a model card ``README.md``.

        An optimized generator is saved, and comes back, as such; no plain one is made of it.

        Args:
            folder: created if missing; each file is replaced atomically.
            card: text of the model card; None writes one that states the configuration and says
                that nothing is known about the training.

        Returns:
            The folder.
        """
        config = self.config.to_dict() | ({"optimized": True} if self.optimized else {})
        return pretrained.save(folder, config, self.state_dict(), card)


# What help() and editors show instead of **config: the fields, with their defaults.
Generator.__signature__ = inspect.signature(GeneratorConfig)  # type: ignore[attr-defined]
