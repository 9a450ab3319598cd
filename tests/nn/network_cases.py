"""Networks of every kind of flow and set of levels, tiny, with poses that fit them."""

from __future__ import annotations

from typing import Any

import torch
from test_generator import make
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from rfwarp import Generator
from rfwarp.poses import FaceLandmarks, keypoint_heatmaps
from rfwarp.poses.face_flow import FACE

FINE = {"levels": (8, 4, 2, 1), "coarse_to_fine": True}
ADDED = {"alignment": True, "refinement": True}
KEYPOINTS = {"pose_channels": 18, "pose_kind": "keypoints", "flow_prior": "keypoints"}
LANDMARKS = {"pose_channels": 3, "pose_kind": "landmarks", "flow_prior": "landmarks"}
VIEWPOINT = {"pose_channels": 21, "pose_kind": "viewpoint", "flow_model": "depth", "focal": 3.2}
CAMERA = {"pose_channels": 6, "pose_kind": "camera", "flow_model": "depth", "focal": 1.2}
CASES: dict[str, dict[str, Any]] = {
    "8421": FINE,
    "42": {"levels": (4, 2), "padding_mode": "border", "residual_limit": 1.5},
    "2": {"levels": (2,), "coordinates": True},
    "81": {"levels": (8, 1), "coarse_to_fine": True, "coordinates": True},
    "keypoints": {**FINE, **KEYPOINTS, **ADDED, "coordinates": True, "silhouette": True},
    "keypoints 84": KEYPOINTS,
    "landmarks": {**FINE, **LANDMARKS, **ADDED, "coordinates": True, "silhouette": True},
    "viewpoint": {**FINE, **VIEWPOINT, **ADDED, "silhouette": True, "residual_limit": 2.0},
    "hull": {**FINE, **VIEWPOINT, **ADDED, "silhouette": True, "flow_prior": "hull"},
    "aligned 82": {"levels": (8, 2), "alignment": True},
    "camera": {**CAMERA, "residual_limit": 1.0},
    "no residual": {"levels": (2, 1), "residual_flow": False},
    "no attention": {"levels": (2, 1), "attention": False},
    "no occlusion": {"levels": (2, 1), "occlusion": False},
    "depth alone": {
        **VIEWPOINT,
        "levels": (4, 2),
        "residual_flow": False,
        "attention": False,
        "occlusion": False,
    },
}
DEPTH = [name for name, config in CASES.items() if config.get("flow_model") == "depth"]
MAPS = ("flow", "residual", "attention", "occlusion", "depth", "foreground")


class ConvolutionsRead(TorchDispatchMode):
    """While inside, keeps what convolutions read, forward and backward: inputs and weights.

    The gradient that a backward reads is left out: the first has the layout of the loss.
    """

    def __init__(self) -> None:
        super().__init__()
        self.read: list[Tensor] = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function is torch.ops.aten.convolution.default:
            self.read += args[:2]
        elif function is torch.ops.aten.convolution_backward.default:
            self.read += args[1:3]
        return function(*args, **(kwargs or {}))


def network(name: str, **changes: Any) -> Generator:
    """A network in float32, with flows and confidences that are far from zero."""
    return make(**{"width": 1 / 16, **CASES[name], **changes})


def arguments(
    name: str,
    n: int = 2,
    k: int = 3,
    h: int = 64,
    w: int = 64,
    dtype: torch.dtype = torch.float64,
) -> tuple[Tensor, Tensor, Tensor]:
    """Sources, their poses and target poses."""
    g = torch.Generator().manual_seed(1)
    sources = torch.rand(n, k, 3, h, w, generator=g, dtype=torch.float64) * 2 - 1
    poses = pose_maps(name, n * (k + 1), h, w, g).unflatten(0, (n, k + 1))
    poses = poses.to(dtype)  # views of one tensor would tie their sizes together in an export
    return sources.to(dtype), poses[:, :-1].contiguous(), poses[:, -1].contiguous()


def pose_maps(name: str, count: int, h: int, w: int, g: torch.Generator) -> Tensor:
    """(count, c_p, h, w), float64."""
    kind = CASES[name].get("pose_kind")
    if kind == "keypoints":
        points = torch.rand(count, 18, 3, generator=g) * torch.tensor([w, h, 0.0])
        points[..., 2] = torch.rand(count, 18, generator=g) > 0.2
        return keypoint_heatmaps(points, h, w).double()
    if kind == "landmarks":
        faces = []
        for _ in range(count):
            matrix = (torch.eye(2, 3) + 0.2 * torch.randn(2, 3, generator=g)) * h / 4
            place = torch.rand(2, generator=g) * torch.tensor([w, h]) / 2 + h / 4
            face = FaceLandmarks((torch.tensor(FACE) @ matrix.T + place).numpy(), h, w)
            faces.append(face.encode(h, w))
        return torch.stack(faces).double()
    if kind == "viewpoint":
        code = torch.zeros(count, 21, dtype=torch.float64)
        code[torch.arange(count), torch.randint(18, (count,), generator=g)] = 1
        code[torch.arange(count), 18 + torch.randint(3, (count,), generator=g)] = 1
    elif kind == "camera":
        code = (torch.rand(count, 6, generator=g, dtype=torch.float64) - 0.5) * 0.2
    else:
        return torch.rand(count, 5, h, w, generator=g, dtype=torch.float64)
    return code[..., None, None].expand(*code.shape, h, w)
