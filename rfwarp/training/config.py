"""Everything that a training run depends on."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from rfwarp.data.catalog import DataConfig


@dataclass(frozen=True)
class LossWeights:
    """Weights of the losses (Eq. 7 and 8); the defaults are the paper's. 0 leaves a loss out."""

    correctness: float = 2.5
    """Sampling correctness of the flow."""
    affine: float = 0.001
    """Affine regularisation of the flow."""
    l1: float = 2.5
    """Mean absolute difference of the images."""
    perceptual: float = 0.25
    """Mean absolute difference of their features."""
    style: float = 250.0
    """Mean absolute difference of the Gram matrices of their features."""
    adversarial: float = 1.0
    """What a discriminator, trained along, makes of the image; 0 trains none."""
    flow: float = 0.0
    """Distance of flows, corrected ones too, from the true ones; this and the next four need
    data.truth."""
    visibility: float = 0.0
    """Cross entropy of occlusion with true visibility."""
    attention: float = 0.0
    """Error of the flows that attention chooses, those into sources that do not see the target
    counting most."""
    depth: float = 0.0
    """Distance of the depth that flows come of from the true one."""
    silhouette: float = 0.0
    """Cross entropy of the silhouette; of networks that predict one."""

    SUPERVISED = ("flow", "visibility", "attention", "depth", "silhouette")

    @property
    def supervised(self) -> bool:
        """Whether true correspondences are asked for."""
        return any(getattr(self, name) > 0 for name in self.SUPERVISED)


@dataclass(frozen=True)
class TrainConfig:
    """Train a generator in the paper's two stages; the defaults are the paper's where it says."""

    out: Path
    """Folder of the run: checkpoint, log, loss curve, samples, model. A run found here resumes."""
    data: DataConfig = field(default_factory=DataConfig)
    """What to train on."""
    width: float = 1.0
    """Scales the channel counts of the paper's network."""
    encoder_norm: Literal["none", "instance"] = "none"
    """Normalisation in the encoding blocks."""
    decoder_norm: Literal["instance", "none"] = "instance"
    """Normalisation in the decoding blocks."""
    levels: tuple[int, ...] = (8, 4)
    """Strides at which sources are warped and fused, of 8, 4, 2 and 1 (the pixels themselves)."""
    coarse_to_fine: bool = False
    """Start the flow of a level from that of the coarser one."""
    coordinates: bool = False
    """Tell the networks where each pixel is."""
    flow_model: Literal["free", "depth"] = "free"
    """Free flows, or flows by projection of one depth map where the poses tell the cameras."""
    focal: float | None = None
    """Focal length of those cameras over half of the picture's height; of procedural chairs 3.2."""
    flow_prior: Literal["none", "keypoints"] = "none"
    """Start flows from what keypoints alone say."""
    silhouette: bool = False
    """Predict the silhouette and tell the image predictor, with depth flows the depth too."""
    alignment: bool = False
    """Let finer flows see the sources' features warped by the coarser flow."""
    refinement: bool = False
    """Finish the picture by convolutions after the blend of the image level."""
    residual_limit: float | None = None
    """Largest correction of a flow, pixels of its level."""
    residual_flow: bool = True
    """Correct the flow by a residual flow; without it: an ablation."""
    attention: bool = True
    """Weigh the sources by attention; without it: an ablation."""
    occlusion: bool = True
    """Paint over what a source does not show; without it: an ablation."""
    init: str | None = None
    """Weights to start from: a bundled model or a folder, of the same network at any size, or of
    one without alignment or refinement."""
    sources: tuple[int, ...] = (1, 2, 3, 4)
    """Numbers of sources K; one is drawn for every step."""
    batch_size: int = 5
    """Samples that a process works on at a time."""
    accumulate: int = 1
    """Batches per step and process, one after the other; their gradients are averaged."""
    flow_steps: int = 2000
    """Steps of stage 1, which warms up the flow."""
    steps: int = 100_000
    """Steps of stage 2, which trains everything."""
    teacher_steps: int = 0
    """First steps of stage 2 in which samples are painted from true flows instead of predicted
    ones, their share falling from all to none; needs data.truth."""
    lr: float = 1e-4
    """Peak learning rate of Adam."""
    flow_lr: float | None = None
    """That of the flow network; without it the same."""
    discriminator_lr: float = 1e-5
    """That of the discriminator's Adam."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Decays of Adam's two moments."""
    warmup: int = 200
    """Steps over which the learning rate rises in each stage."""
    cooldown: int = 0
    """Last steps of stage 2, over which the learning rate falls linearly to 1 %."""
    clip: float = 10.0
    """Largest gradient norm."""
    ema: float = 0.999
    """Decay of the averaged weights that are exported."""
    features: Literal["vgg19", "efficientnet-lite0", "oriented-pyramid"] = "vgg19"
    """Feature set of the flow, perceptual and style losses. Those of VGG-19 need its weights, those
    of EfficientNet-Lite0 the package that rfwarp[features] installs, the pyramid needs nothing."""
    feature_weights: Path | None = None
    """File of the feature set's weights; without one, that of VGG-19 is taken from the torch hub's
    cache, that of EfficientNet-Lite0 from its package."""
    sampler: Literal["gaussian", "bilinear"] = "gaussian"
    """How sampling correctness samples."""
    adversarial: Literal["log", "least-squares"] = "log"
    """Form of the adversarial loss."""
    weights: LossWeights = field(default_factory=LossWeights)
    """Weights of the losses."""
    precision: Literal["auto", "float32", "bf16", "fp16"] = "auto"
    """Mixed precision; auto takes bf16 where the device computes in it."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train; auto takes a GPU if there is one."""
    seed: int = 0
    """Seed of initialisation and of every drawn batch."""
    workers: int = 1
    """Processes that prepare batches; 0 prepares them in the training process."""
    checkpoint_every: int = 500
    """Steps between checkpoints."""
    log_every: int = 50
    """Steps between log entries, each a mean over its steps."""
    sample_every: int = 2000
    """Steps of stage 2 between sheets and scores of held-out samples; 0 makes none."""

    def __post_init__(self) -> None:
        size = self.data.size
        for side in () if size is None else (size,) if isinstance(size, int) else size:
            if side < 64 or side % 32:
                raise ValueError(f"size must be a multiple of 32, at least 64, got {size}")
        if not self.sources or min(self.sources) < 1:
            raise ValueError(f"sources must be numbers of at least 1, got {self.sources}")
        for name in ("batch_size", "accumulate", "steps", "checkpoint_every", "log_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in (
            "flow_steps",
            "teacher_steps",
            "warmup",
            "cooldown",
            "workers",
            "seed",
            "sample_every",
        ):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        if self.seed >= 2**32:
            raise ValueError(f"seed must be below 2^32, got {self.seed}")
        for name in ("width", "lr", "flow_lr", "discriminator_lr", "clip"):
            value = getattr(self, name)
            if not (name == "flow_lr" and value is None) and not 0 < value < math.inf:
                raise ValueError(f"{name} must be positive and finite, got {value}")
        for name, weight in asdict(self.weights).items():
            if not 0 <= weight < math.inf:
                raise ValueError(f"weight of {name} must not be negative or infinite, got {weight}")
        for name, decay in (("ema", self.ema), *(("betas", beta) for beta in self.betas)):
            if not 0 <= decay < 1:
                raise ValueError(f"{name} must lie in [0, 1), got {getattr(self, name)}")
        if (self.weights.supervised or self.teacher_steps) and not self.data.truth:
            raise ValueError(
                f"weights of {', '.join(LossWeights.SUPERVISED)} and teacher_steps need true "
                "correspondences: data.truth is false"
            )
        self._check_choices()

    def _check_choices(self) -> None:
        for name, kind in get_type_hints(type(self)).items():
            allowed, value = get_args(kind), getattr(self, name)
            if get_origin(kind) is Literal and value not in allowed:
                raise ValueError(f"{name} must be one of {allowed}, got {value!r}")

    # What may change when a run is resumed: where and how long it runs, not what it computes.
    FREE = (
        *("out", "workers", "device", "feature_weights", "checkpoint_every", "sample_every"),
        *("steps", "cooldown"),
    )
    FREE_DATA = ("root", "cache")

    def to_dict(self) -> dict[str, Any]:
        """JSON-able values."""
        values: dict[str, Any] = json.loads(json.dumps(asdict(self), default=str))
        return values

    def fixed(self) -> dict[str, Any]:
        """The fields that a resumed run must share with the run it resumes."""
        values = {k: v for k, v in self.to_dict().items() if k not in self.FREE}
        values["data"] = {k: v for k, v in values["data"].items() if k not in self.FREE_DATA}
        return values
