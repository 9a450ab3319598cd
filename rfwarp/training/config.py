"""Everything that a training run depends on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, Literal

from annotated_types import Interval, MinLen

from rfwarp.config import Config, Count, CountOrZero, Fraction, NonNegative, Positive
from rfwarp.data.catalog import DataConfig
from rfwarp.nn.config import NetworkConfig


@dataclass(frozen=True)
class LossWeights(Config):
    """Weights of the losses (Eq. 7 and 8); the defaults are the paper's. 0 leaves a loss out.

    Example:
        >>> from rfwarp.training import LossWeights
        >>> weights = LossWeights(adversarial=0, flow=0.5)
        >>> weights.style, weights.supervised
        (250.0, True)
        >>> LossWeights(l1=-1)
        Traceback (most recent call last):
            ...
        ValueError: l1 must be greater than or equal to 0, got -1
    """

    correctness: NonNegative = 2.5
    """Sampling correctness of the flow."""
    affine: NonNegative = 0.001
    """Affine regularisation of the flow."""
    l1: NonNegative = 2.5
    """Mean absolute difference of the images."""
    perceptual: NonNegative = 0.25
    """Mean absolute difference of their features."""
    style: NonNegative = 250.0
    """Mean absolute difference of the Gram matrices of their features."""
    adversarial: NonNegative = 1.0
    """Adversarial loss, by a discriminator that is trained along; 0 trains none."""
    flow: NonNegative = 0.0
    """Distance of flows, corrected ones too, from the true ones; this and the next four need
    data.truth."""
    visibility: NonNegative = 0.0
    """Cross entropy of occlusion with true visibility."""
    attention: NonNegative = 0.0
    """Error of the flows, weighted by attention, those into sources that do not see the target
    counting most."""
    depth: NonNegative = 0.0
    """Distance of the depth of depth flows from the true one."""
    silhouette: NonNegative = 0.0
    """Cross entropy of the silhouette, for networks that predict one."""

    SUPERVISED = ("flow", "visibility", "attention", "depth", "silhouette")

    @property
    def supervised(self) -> bool:
        """Whether a loss needs true correspondences."""
        return any(getattr(self, name) > 0 for name in self.SUPERVISED)


@dataclass(frozen=True)
class TrainConfig(Config):
    """Train a generator in the paper's two stages; the defaults are the paper's where it says.

    Example:
        >>> from pathlib import Path
        >>> from rfwarp.data import DataConfig
        >>> from rfwarp.nn import NetworkConfig
        >>> from rfwarp.training import TrainConfig
        >>> config = TrainConfig(Path("run"), DataConfig("people"), NetworkConfig(width=0.5))
        >>> config.batch_size, config.to_dict()["network"]["width"]
        (5, 0.5)
        >>> TrainConfig(Path("run"), DataConfig("people", size=48))
        Traceback (most recent call last):
            ...
        ValueError: size must be a multiple of 32, at least 64, got 48
    """

    out: Path
    """Folder of the run: checkpoint, log, loss curve, samples, model. A run found here resumes."""
    data: DataConfig = field(default_factory=DataConfig)
    """Dataset to train on."""
    network: NetworkConfig = field(default_factory=NetworkConfig)
    """Network to train, whatever the dataset."""
    init: str | None = None
    """Weights to start from: a bundled model or a folder, of the same network at any size, or of
    one without alignment, refinement or flow prior. They may be for another kind of pose: then the
    layers that read poses start anew."""
    sources: Annotated[tuple[Count, ...], MinLen(1)] = (1, 2, 3, 4)
    """Numbers of sources K; one is drawn for every step."""
    batch_size: Count = 5
    """Samples that a process works on at a time."""
    recoloured: Fraction = 0.0
    """Share of samples drawn in other colours, where identities are few: channels in another
    order and a gamma of 1/2 to 2, the same for all images of a sample. White stays white."""
    accumulate: Count = 1
    """Batches per step and process, one after the other; their gradients are averaged."""
    flow_steps: CountOrZero = 2000
    """Steps of stage 1, which warms up the flow."""
    steps: Count = 100_000
    """Steps of stage 2, which trains everything."""
    teacher_steps: CountOrZero = 0
    """First steps of stage 2 in which samples are made from true flows instead of predicted
    ones, their share falling from all to none; needs data.truth."""
    lr: Positive = 1e-4
    """Peak learning rate of Adam."""
    flow_lr: Positive | None = None
    """Peak learning rate of the flow network; without it the same."""
    discriminator_lr: Positive = 1e-5
    """Peak learning rate of the discriminator's Adam."""
    betas: tuple[Fraction, Fraction] = (0.9, 0.999)
    """Decays of Adam's two moments."""
    warmup: CountOrZero = 200
    """Steps over which the learning rate rises in each stage."""
    cooldown: CountOrZero = 0
    """Last steps of stage 2, over which the learning rate falls linearly to 1 %."""
    clip: Positive = 10.0
    """Largest gradient norm."""
    ema: Fraction = 0.999
    """Decay of the averaged weights that are exported."""
    features: Literal["vgg19", "efficientnet-lite0", "oriented-pyramid"] = "vgg19"
    """Feature set of the flow, perceptual and style losses. Those of VGG-19 need its weights, those
    of EfficientNet-Lite0 the package that rfwarp[features] installs, the pyramid needs nothing."""
    feature_weights: Path | None = None
    """File of the feature set's weights; without one, that of VGG-19 is taken from the torch hub's
    cache, that of EfficientNet-Lite0 from its package."""
    sampler: Literal["gaussian", "bilinear"] = "gaussian"
    """Sampler of the sampling-correctness loss."""
    adversarial: Literal["log", "least-squares"] = "log"
    """Form of the adversarial loss."""
    weights: LossWeights = field(default_factory=LossWeights)
    """Weights of the losses."""
    precision: Literal["auto", "float32", "bf16", "fp16"] = "auto"
    """Mixed precision; auto takes bf16 where the device computes in it."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Device to train on; auto takes a GPU if there is one."""
    seed: Annotated[int, Interval(ge=0, lt=2**32)] = 0
    """Seed of initialisation and of every drawn batch."""
    workers: CountOrZero = 1
    """Processes that prepare batches; 0 prepares them in the training process."""
    checkpoint_every: Count = 500
    """Steps between checkpoints."""
    log_every: Count = 50
    """Steps between log entries, each a mean over its steps."""
    sample_every: CountOrZero = 2000
    """Steps of stage 2 between sheets and scores of held-out samples; 0 makes none."""

    def __post_init__(self) -> None:
        super().__post_init__()
        size = self.data.size
        for side in () if size is None else (size,) if isinstance(size, int) else size:
            if side < 64 or side % 32:
                raise ValueError(f"size must be a multiple of 32, at least 64, got {size}")
        if (self.weights.supervised or self.teacher_steps) and not self.data.truth:
            raise ValueError(
                f"weights of {', '.join(LossWeights.SUPERVISED)} and teacher_steps need true "
                "correspondences: data.truth is false"
            )

    # What may change when a run is resumed: where and how long it runs, not what it computes.
    FREE = (
        *("out", "workers", "device", "feature_weights", "checkpoint_every", "sample_every"),
        *("steps", "cooldown"),
    )
    FREE_DATA = ("root", "cache")

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], where: str = "") -> TrainConfig:
        """As of every :class:`Config`; the network's fields may also stand beside the others."""
        return super().from_dict(nested(values), where)

    def to_dict(self) -> dict[str, Any]:
        """JSON-able values."""
        values: dict[str, Any] = json.loads(json.dumps(asdict(self), default=str))
        return values

    def fixed(self) -> dict[str, Any]:
        """The fields that a resumed run must share with the run it resumes."""
        values = {k: v for k, v in self.to_dict().items() if k not in self.FREE}
        values["data"] = {k: v for k, v in values["data"].items() if k not in self.FREE_DATA}
        return values


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Fields of a run in today's form, in which those of the network have a place of their own.

    Args:
        values: as a configuration file has them; formerly all were side by side.

    Raises:
        ValueError: if a field of the network is there in both forms.
    """
    network = values.get("network", {})
    flat = {field.name for field in fields(NetworkConfig)} & values.keys()
    if not flat:
        return dict(values)
    if not isinstance(network, Mapping) or flat & network.keys():
        raise ValueError(f"{', '.join(sorted(flat))} belong in network, which is there too")
    rest = {name: value for name, value in values.items() if name not in flat}
    return rest | {"network": {**network, **{name: values[name] for name in flat}}}


def stored(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of :meth:`TrainConfig.fixed` at the start of a run, in today's form: fields that
    have come since have their defaults."""
    values = nested(values)
    today = TrainConfig(Path()).fixed()
    parts = {k: today[k] | values.get(k, {}) for k, v in today.items() if isinstance(v, dict)}
    return {**today, **values, **parts}
