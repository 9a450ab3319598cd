"""The network's configuration: every choice that the weights depend on."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

from annotated_types import Interval

from rfwarp.config import Config, Positive

Norm = Literal["none", "instance"]
Side = Annotated[int, Interval(ge=1, le=65536)]


@dataclass(frozen=True)
class NetworkConfig(Config):
    """Options of the generator's networks, whatever the dataset; the defaults are the paper's.

    Example:
        >>> from rfwarp.nn import NetworkConfig
        >>> NetworkConfig(width=0.5).channels(64, 128)
        (32, 64)
        >>> NetworkConfig(levels=(4, 8))
        Traceback (most recent call last):
            ...
        ValueError: levels must be some of 8, 4, 2, 1, coarse first and not 1 alone, got (4, 8)
    """

    width: Annotated[float, Interval(ge=1 / 64, le=16)] = 1.0
    """Scales all channel counts of Tables 5-7 (rounded to multiples of 8)."""
    encoder_norm: Norm = "none"
    """Normalisation in the encoding blocks, ResBlockD."""
    decoder_norm: Norm = "instance"
    """Normalisation in the decoding blocks, ResBlock and ResBlockU."""
    negative_slope: Annotated[float, Interval(ge=0, le=1)] = 0.1
    """Slope of every LeakyReLU below 0."""
    padding_mode: Literal["zeros", "border", "reflection"] = "zeros"
    """Values that the warp samples outside a source."""
    levels: tuple[Literal[8, 4, 2, 1], ...] = (8, 4)
    """Strides at which sources are warped and fused, coarse first, of 8, 4, 2 and 1: at 1 the
    pixels of the sources themselves. Not 1 alone."""
    coarse_to_fine: bool = False
    """Start the flow of a level from that of the coarser one."""
    coordinates: bool = False
    """Give the networks the coordinates of each pixel (two channels)."""
    flow_model: Literal["free", "depth"] = "free"
    """Free flows of each source, or flows by projection of one depth map of the target, for the
    kinds of pose that give cameras (viewpoint, camera)."""
    focal: Positive | None = None
    """Focal length of those cameras over half of the image's height; depth flows only. Of
    procedural chairs 3.2, of procedural streets and KITTI 3.8237."""
    flow_prior: Literal["none", "keypoints", "landmarks", "hull"] = "none"
    """Start flows from a flow of the keypoints or the landmarks of the face alone
    (rfwarp.poses.keypoint_flow, landmark_flow), or depth from the visual hull of things on white
    (rfwarp.poses.hull_depth), and give the networks each source warped by it."""
    silhouette: bool = False
    """Predict the target's silhouette from all sources together, and give it to the image
    predictor, with depth flows the depth too."""
    alignment: bool = False
    """Give finer levels of the flow network the sources' features warped by the coarser flow,
    beside their mean and variance over the visible sources."""
    refinement: bool = False
    """Finish the image by convolutions after the blend of the image level."""
    residual_limit: Positive | None = None
    """Largest correction of a flow along an axis, pixels of its level (a tanh); without it
    unbounded."""
    residual_flow: bool = True
    """Correct the flow by a residual flow; without it: an ablation of Table 4."""
    attention: bool = True
    """Weigh the sources by attention; without it: an ablation."""
    occlusion: bool = True
    """Fill in what a source does not show; without it: an ablation."""

    def __post_init__(self) -> None:
        super().__post_init__()
        levels = self.levels
        if list(levels) != sorted(set(levels), reverse=True) or set(levels) <= {1}:
            raise ValueError(
                f"levels must be some of 8, 4, 2, 1, coarse first and not 1 alone, got {levels!r}"
            )
        if self.refinement and 1 not in levels:
            raise ValueError(f"refinement needs level 1, got levels {levels!r}")
        if (self.flow_model == "depth") != (self.focal is not None):
            raise ValueError(
                "depth flows need focal, and nothing else does: got flow_model "
                f"{self.flow_model!r} with focal {self.focal!r}"
            )

        if self.flow_prior == "hull" and self.flow_model != "depth":
            raise ValueError("flow_prior 'hull' needs flow_model 'depth'")

    def channels(self, *full: int) -> tuple[int, ...]:
        """The paper's channel counts scaled by ``width``."""
        return tuple(max(8, round(c * self.width / 8) * 8) for c in full)


@dataclass(frozen=True, kw_only=True)
class GeneratorConfig(NetworkConfig):
    """Fields of :class:`rfwarp.nn.Generator`: its networks' options, and what the dataset that they
    were trained on decides.

    Example:
        >>> from rfwarp.nn import GeneratorConfig
        >>> config = GeneratorConfig(pose_channels=18, pose_kind="keypoints", image_size=(256, 176))
        >>> config.levels, config.to_dict()["image_size"]
        ((8, 4), [256, 176])
    """

    pose_channels: Annotated[int, Interval(ge=1, le=4096)]
    """c_p: 18 body joints, 21 viewpoints, 6 camera motion, 3 face landmarks."""
    pose_kind: str | None = None
    """Kind of the :mod:`rfwarp.poses` object that the weights were trained with; None accepts
    any."""
    image_size: Side | tuple[Side, Side] | None = None
    """Side in pixels, or (height, width), that the weights were trained at and images are resized
    to; None leaves images as they are."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, choice, kinds in (
            ("flow_model", "depth", ("viewpoint", "camera")),
            ("flow_prior", "keypoints", ("keypoints",)),
            ("flow_prior", "landmarks", ("landmarks",)),
            ("flow_prior", "hull", ("viewpoint",)),
        ):
            if getattr(self, name) == choice and self.pose_kind not in kinds:
                raise ValueError(
                    f"{name} {choice!r} needs poses of kind {' or '.join(kinds)}, "
                    f"got pose_kind {self.pose_kind!r}"
                )

    @property
    def image_shape(self) -> tuple[int, int] | None:
        """Height and width of ``image_size``."""
        size = self.image_size
        return (size, size) if isinstance(size, int) else size

    def to_dict(self) -> dict[str, Any]:
        """The fields as values that JSON gives back as they are: lists for tuples."""
        values = {name: getattr(self, name) for name in DATASET_FIELDS} | asdict(self)
        return {name: list(x) if isinstance(x, tuple) else x for name, x in values.items()}


DATASET_FIELDS = ("pose_channels", "pose_kind", "image_size")
"""Fields of a generator that the dataset decides; ``config.json`` begins with them."""
