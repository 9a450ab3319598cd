"""The generator's configuration: every choice that the weights depend on, flat and JSON-able."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from rfwarp.nn.blocks import NORMS
from rfwarp.ops.functional import PADDING_MODES


@dataclass(frozen=True)
class GeneratorConfig:
    """Fields of :class:`rfwarp.nn.Generator`.

    Attributes:
        pose_channels: c_p: 18 body joints, 21 viewpoints, 6 camera motion, 3 face landmarks.
        pose_kind: the kind of :mod:`rfwarp.poses` object that the weights were trained with; None
            accepts any.
        image_size: side in pixels, or (height, width), that the weights were trained at and
            pictures are resized to; None leaves pictures as they are.
        width: scales all channel counts of Tables 5-7 (rounded to multiples of 8).
        encoder_norm: normalisation in ResBlockD, "none" or "instance".
        decoder_norm: normalisation in ResBlock and ResBlockU, "instance" (paper) or "none".
        negative_slope: of every LeakyReLU.
        padding_mode: what the warp reads outside a source, "zeros" or "border".
        levels: strides at which sources are warped and fused, coarse first, of 8, 4, 2, 1: (8, 4)
            in the paper; at 1 the pixels of the sources themselves. Not 1 alone.
        coarse_to_fine: whether the flow of a level starts from that of the coarser one.
        coordinates: whether the networks are told where each pixel is (two channels).
        flow_model: "free" flows of each source (paper), or flows by projection of one "depth" map
            of the target, where the kind of pose tells the cameras (viewpoint, camera).
        focal: focal length of those cameras over half of the picture's height; depth flows only.
        flow_prior: "none" (paper) or "keypoints": flows start from
            :func:`rfwarp.poses.keypoint_flow`, and the networks see each source warped by it.
        silhouette: whether the flow network says where the target shows the object, from all
            sources together, and the image predictor is told, with depth flows the depth too.
        alignment: whether finer levels of the flow network see the sources' features warped by the
            coarser flow, beside what the visible sources agree on.
        refinement: whether convolutions finish the picture after the blend of the image level.
        residual_limit: largest correction of a flow along an axis, pixels of its level (a tanh);
            None bounds nothing (paper).
        residual_flow, attention, occlusion: False switches the part off (ablations of Table 4;
            the paper's baseline has none of them).
    """

    pose_channels: int
    pose_kind: str | None = None
    image_size: int | tuple[int, int] | None = None
    width: float = 1.0
    encoder_norm: str = "none"
    decoder_norm: str = "instance"
    negative_slope: float = 0.1
    padding_mode: str = "zeros"
    levels: tuple[int, ...] = (8, 4)
    coarse_to_fine: bool = False
    coordinates: bool = False
    flow_model: str = "free"
    focal: float | None = None
    flow_prior: str = "none"
    silhouette: bool = False
    alignment: bool = False
    refinement: bool = False
    residual_limit: float | None = None
    residual_flow: bool = True
    attention: bool = True
    occlusion: bool = True

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
        for name, least, most in (("width", 1 / 64, 16.0), ("negative_slope", 0.0, 1.0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise ValueError(f"{name} must be a number, got {value!r}")
            if not least <= value <= most:
                raise ValueError(f"{name} must lie in [{least:g}, {most:g}], got {value!r}")
        choices = {
            "encoder_norm": NORMS,
            "decoder_norm": NORMS,
            "padding_mode": PADDING_MODES,
            "coarse_to_fine": (True, False),
            "coordinates": (True, False),
            "silhouette": (True, False),
            "alignment": (True, False),
            "refinement": (True, False),
            "flow_model": ("free", "depth"),
            "flow_prior": ("none", "keypoints"),
            "residual_flow": (True, False),
            "attention": (True, False),
            "occlusion": (True, False),
        }
        for name, allowed in choices.items():
            value = getattr(self, name)
            if type(value) is not type(allowed[0]) or value not in allowed:
                raise ValueError(f"{name} must be one of {allowed}, got {value!r}")
        if self.pose_kind is not None and not isinstance(self.pose_kind, str):
            raise ValueError(f"pose_kind must be a string or None, got {self.pose_kind!r}")
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
        values = asdict(self)
        return {name: list(x) if isinstance(x, tuple) else x for name, x in values.items()}

    def channels(self, *full: int) -> tuple[int, ...]:
        """The paper's channel counts scaled by ``width``."""
        return tuple(max(8, round(c * self.width / 8) * 8) for c in full)
