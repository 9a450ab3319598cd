"""The network's configuration: every choice that the weights depend on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

Norm = Literal["none", "instance"]


@dataclass(frozen=True)
class NetworkConfig:
    """Options of the generator's networks, whatever the dataset; the defaults are the paper's."""

    width: float = 1.0
    """Scales all channel counts of Tables 5-7 (rounded to multiples of 8), in [1/64, 16]."""
    encoder_norm: Norm = "none"
    """Normalisation in the encoding blocks, ResBlockD."""
    decoder_norm: Norm = "instance"
    """Normalisation in the decoding blocks, ResBlock and ResBlockU."""
    negative_slope: float = 0.1
    """Slope of every LeakyReLU below 0, in [0, 1]."""
    padding_mode: Literal["zeros", "border"] = "zeros"
    """What the warp reads outside a source."""
    levels: tuple[int, ...] = (8, 4)
    """Strides at which sources are warped and fused, coarse first, of 8, 4, 2 and 1: at 1 the
    pixels of the sources themselves. Not 1 alone."""
    coarse_to_fine: bool = False
    """Start the flow of a level from that of the coarser one."""
    coordinates: bool = False
    """Tell the networks where each pixel is (two channels)."""
    flow_model: Literal["free", "depth"] = "free"
    """Free flows of each source, or flows by projection of one depth map of the target, where the
    kind of pose tells the cameras (viewpoint, camera)."""
    focal: float | None = None
    """Focal length of those cameras over half of the image's height; depth flows only. Of
    procedural chairs 3.2."""
    flow_prior: Literal["none", "keypoints"] = "none"
    """Start flows from what keypoints alone say (rfwarp.poses.keypoint_flow), and show the networks
    each source warped by it."""
    silhouette: bool = False
    """Predict where the target shows the object, from all sources together, and tell the image
    predictor, with depth flows the depth too."""
    alignment: bool = False
    """Let finer levels of the flow network see the sources' features warped by the coarser flow,
    beside what the visible sources agree on."""
    refinement: bool = False
    """Finish the image by convolutions after the blend of the image level."""
    residual_limit: float | None = None
    """Largest correction of a flow along an axis, pixels of its level (a tanh); without it
    unbounded."""
    residual_flow: bool = True
    """Correct the flow by a residual flow; without it: an ablation of Table 4."""
    attention: bool = True
    """Weigh the sources by attention; without it: an ablation."""
    occlusion: bool = True
    """Paint over what a source does not show; without it: an ablation."""

    def __post_init__(self) -> None:
        for name, least, most in (("width", 1 / 64, 16.0), ("negative_slope", 0.0, 1.0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise ValueError(f"{name} must be a number, got {value!r}")
            if not least <= value <= most:
                raise ValueError(f"{name} must lie in [{least:g}, {most:g}], got {value!r}")
        for name, kind in get_type_hints(NetworkConfig).items():
            allowed = (True, False) if kind is bool else get_args(kind)
            value = getattr(self, name)
            if (kind is bool or get_origin(kind) is Literal) and (
                type(value) is not type(allowed[0]) or value not in allowed
            ):
                raise ValueError(f"{name} must be one of {allowed}, got {value!r}")
        self._check_levels()
        self._check_flow()

    def _check_levels(self) -> None:
        levels: Any = self.levels
        if isinstance(levels, list):  # as JSON has it
            object.__setattr__(self, "levels", levels := tuple(levels))
        known = isinstance(levels, tuple) and set(levels) <= {8, 4, 2, 1}
        if not known or list(levels) != sorted(set(levels), reverse=True) or set(levels) <= {1}:
            raise ValueError(
                f"levels must be some of 8, 4, 2, 1, coarse first and not 1 alone, got {levels!r}"
            )
        if self.refinement and 1 not in levels:
            raise ValueError(f"refinement needs level 1, got levels {levels!r}")

    def _check_flow(self) -> None:
        for name in ("focal", "residual_limit"):
            value = getattr(self, name)
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if value is not None and not (number and 0 < value < math.inf):
                raise ValueError(f"{name} must be positive, finite or None, got {value!r}")
        if (self.flow_model == "depth") != (self.focal is not None):
            raise ValueError(
                "depth flows need focal, and nothing else does: got flow_model "
                f"{self.flow_model!r} with focal {self.focal!r}"
            )

    def channels(self, *full: int) -> tuple[int, ...]:
        """The paper's channel counts scaled by ``width``."""
        return tuple(max(8, round(c * self.width / 8) * 8) for c in full)


@dataclass(frozen=True, kw_only=True)
class GeneratorConfig(NetworkConfig):
    """Fields of :class:`rfwarp.nn.Generator`: its networks' options, and what the dataset that they
    were trained on decides."""

    pose_channels: int
    """c_p: 18 body joints, 21 viewpoints, 6 camera motion, 3 face landmarks."""
    pose_kind: str | None = None
    """Kind of the :mod:`rfwarp.poses` object that the weights were trained with; None accepts
    any."""
    image_size: int | tuple[int, int] | None = None
    """Side in pixels, or (height, width), that the weights were trained at and images are resized
    to; None leaves images as they are."""

    def __post_init__(self) -> None:
        if type(self.pose_channels) is not int or not 1 <= self.pose_channels <= 4096:
            raise ValueError(
                f"pose_channels must be an integer in 1..4096, got {self.pose_channels!r}"
            )
        size: Any = self.image_size
        if isinstance(size, list):  # as JSON has it
            object.__setattr__(self, "image_size", size := tuple(size))
        sides = size if isinstance(size, tuple) else (size, size)
        if size is not None and not (
            len(sides) == 2 and all(type(side) is int and 1 <= side <= 65536 for side in sides)
        ):
            raise ValueError(
                f"image_size must be an integer in 1..65536, two of them or None, got {size!r}"
            )
        if self.pose_kind is not None and not isinstance(self.pose_kind, str):
            raise ValueError(f"pose_kind must be a string or None, got {self.pose_kind!r}")
        super().__post_init__()
        for name, choice, kinds in (
            ("flow_model", "depth", ("viewpoint", "camera")),
            ("flow_prior", "keypoints", ("keypoints",)),
        ):
            if getattr(self, name) == choice and self.pose_kind not in kinds:
                raise ValueError(
                    f"{name} {choice!r} needs poses of kind {' or '.join(kinds)}, "
                    f"got pose_kind {self.pose_kind!r}"
                )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> GeneratorConfig:
        """Strict: an unknown or a missing field is an error that lists what there is."""
        known = [field.name for field in fields(cls)]
        unknown = sorted(set(values) - set(known))
        if unknown:
            raise ValueError(
                f"unknown config field {', '.join(map(repr, unknown))}; "
                f"the fields are {', '.join(known)}"
            )
        if "pose_channels" not in values:
            raise ValueError("config field 'pose_channels' is missing")
        return cls(**values)

    def to_dict(self) -> dict[str, Any]:
        """The fields as values that JSON gives back as they are: lists for tuples."""
        values = {name: getattr(self, name) for name in DATASET_FIELDS} | asdict(self)
        return {name: list(x) if isinstance(x, tuple) else x for name, x in values.items()}


DATASET_FIELDS = ("pose_channels", "pose_kind", "image_size")
"""Fields of a generator that the dataset decides; ``config.json`` begins with them."""
