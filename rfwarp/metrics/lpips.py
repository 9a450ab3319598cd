"""LPIPS (Zhang et al. 2018): how different two pictures look, by the features of AlexNet.

The linear weights of version 0.1 come with torchmetrics; those of AlexNet are torchvision's. The
network is here because torchmetrics takes it from torchvision, which we do not ask for.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rfwarp.published_weights import find_weights, load_weights

FILE_NAME = "alexnet-owt-7be5be79.pth"
ADVICE = f"Download https://download.pytorch.org/models/{FILE_NAME} (233 MB)"

# Of the colours in [-1, 1].
SHIFT, SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
EPSILON = 1e-10
OUTPUTS = (1, 4, 7, 9, 11)  # the activations that are compared
CHANNELS = (64, 192, 384, 256, 256)


class Lpips(nn.Module):
    """The distance of pictures, frozen; lower is more alike, 0 is equal.

    Args:
        weights: torchvision's ``alexnet-owt-7be5be79.pth``, or its tensors as ``.safetensors``.
            None takes the file from the torch hub's cache.

    Raises:
        FileNotFoundError: if it is not there; the message says how to get it.
        ValueError: if it is damaged, or a tensor in it is missing, misshapen or not finite.
    """

    def __init__(self, weights: Path | None = None) -> None:
        super().__init__()
        path = find_weights(weights, FILE_NAME, "AlexNet", ADVICE)
        self.features = _features()
        load_weights(self.features, path, "AlexNet", prefix="features.")
        self.heads = nn.Module()
        for level, channels in enumerate(CHANNELS):
            head = nn.Sequential(
                nn.Identity(), nn.Conv2d(channels, 1, 1, bias=False, device="meta")
            )
            self.heads.add_module(f"lin{level}", nn.ModuleDict({"model": head}))
        load_weights(self.heads, _heads_file(), "LPIPS")
        self.shift: Tensor
        self.scale: Tensor
        for name, values in (("shift", SHIFT), ("scale", SCALE)):
            self.register_buffer(name, torch.tensor(values).view(3, 1, 1), persistent=False)
        self.requires_grad_(False)

    def forward(self, images: Tensor, references: Tensor) -> Tensor:
        """(N,) distances of images and references (N, 3, H, W) in [-1, 1]; H and W at least 32."""
        if images.shape != references.shape or images.ndim != 4 or min(images.shape[2:]) < 32:
            raise ValueError(
                "images and references must both be (N, 3, H, W) with H and W >= 32, "
                f"got {tuple(images.shape)} and {tuple(references.shape)}"
            )
        x = (torch.cat([images, references]) - self.shift) / self.scale
        distance = x.new_zeros(len(images))
        for index, layer in enumerate(self.features):
            x = layer(x)
            if index in OUTPUTS:
                unit = x / (x.square().sum(1, keepdim=True).sqrt() + EPSILON)
                ours, theirs = unit.chunk(2)
                head = self.heads.get_submodule(f"lin{OUTPUTS.index(index)}.model")
                assert isinstance(head, nn.Sequential)
                distance = distance + head((ours - theirs).square()).mean((1, 2, 3))
        return distance


def _features() -> nn.Sequential:
    """torchvision's ``features`` of AlexNet up to the last activation, on the meta device."""

    def conv(i: int, o: int, size: int, stride: int = 1) -> nn.Conv2d:
        padding = 2 if size > 3 else 1
        return nn.Conv2d(i, o, size, stride, padding, device="meta")

    pool = nn.MaxPool2d(3, 2)
    return nn.Sequential(
        *(conv(3, 64, 11, 4), nn.ReLU(), pool),
        *(conv(64, 192, 5), nn.ReLU(), pool),
        *(conv(192, 384, 3), nn.ReLU()),
        *(conv(384, 256, 3), nn.ReLU()),
        *(conv(256, 256, 3), nn.ReLU()),
    )


def _heads_file() -> Path:
    spec = find_spec("torchmetrics")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "functional" / "image" / "lpips_models" / "alex.pth"


def person_mask(keypoints: Tensor, height: int, width: int) -> Tensor:
    """Where a person is, for LPIPS without the background (MLPIPS on Market-1501).

    All points within a fifteenth of the height of a limb between two present joints, and within a
    tenth of one of the head's joints.

    Args:
        keypoints: codes (N, 18, 3).

    Returns:
        (N, 1, height, width) float32, 1 inside and 0 outside.
    """
    from rfwarp.poses.keypoints import LIMBS

    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    pixels = torch.stack([x, y], dim=-1).to(keypoints)
    inside = torch.zeros(len(keypoints), height, width, dtype=torch.bool, device=keypoints.device)
    ends = [(a, b, height / 15) for a, b in LIMBS] + [(j, j, height / 10) for j in (0, 14, 15)]
    for a, b, reach in ends:
        start, end = keypoints[:, a, :2], keypoints[:, b, :2]
        along = (end - start)[:, None, None]
        offset = pixels - start[:, None, None]
        length = along.square().sum(-1).clamp(min=1e-6)
        share = ((offset * along).sum(-1) / length).clamp(0, 1)
        near = (offset - share[..., None] * along).norm(dim=-1) <= reach
        present = (keypoints[:, a, 2] > 0) & (keypoints[:, b, 2] > 0)
        inside |= near & present[:, None, None]
    return F.max_pool2d(inside[:, None].float(), 3, 1, 1)
