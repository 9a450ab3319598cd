"""Everything that a training run depends on."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args, get_type_hints


@dataclass(frozen=True)
class LossWeights:
    """Weights of the losses (Eq. 7 and 8); the defaults are the paper's."""

    correctness: float = 2.5
    """Sampling correctness of the flow."""
    affine: float = 0.001
    """Affine regularisation of the flow."""
    l1: float = 2.5
    """Mean absolute difference of the images."""
    perceptual: float = 0.25
    """Mean absolute difference of their features."""


@dataclass(frozen=True)
class TrainConfig:
    """Train a generator on procedural chairs, in the paper's two stages."""

    out: Path
    """Folder of the run: checkpoint, log, loss curve, exported model. A run found here resumes."""
    size: int = 64
    """Side of the pictures in pixels, a multiple of 32."""
    width: float = 1.0
    """Scales the channel counts of the paper's network."""
    decoder_norm: Literal["instance", "none"] = "instance"
    """Normalisation in the decoding blocks."""
    residual_flow: bool = True
    """False: ablation without residual flow."""
    attention: bool = True
    """False: ablation without attention."""
    occlusion: bool = True
    """False: ablation without occlusion."""
    first_seed: int = 0
    """Seed of the first training chair."""
    chairs: int = 4000
    """Number of training chairs."""
    cache: Path | None = None
    """Folder that keeps rendered chairs across runs. Without one they are kept in memory if they
    fit there, else rendered for every batch."""
    sources: tuple[int, ...] = (1, 2, 3, 4)
    """Numbers of sources K; one is drawn for every batch."""
    batch_size: int = 5
    """Samples per step."""
    flow_steps: int = 2000
    """Steps of stage 1, which warms up the flow."""
    steps: int = 100_000
    """Steps of stage 2, which trains everything."""
    lr: float = 1e-4
    """Peak learning rate of Adam."""
    warmup: int = 200
    """Steps over which the learning rate rises in each stage."""
    cooldown: int = 0
    """Last steps of stage 2, over which the learning rate falls linearly to 1 %."""
    clip: float = 10.0
    """Largest gradient norm."""
    ema: float = 0.999
    """Decay of the averaged weights that are exported."""
    features: Literal["oriented-pyramid"] = "oriented-pyramid"
    """Feature set of the flow and perceptual losses."""
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

    def __post_init__(self) -> None:
        if self.size < 64 or self.size % 32:
            raise ValueError(f"size must be a multiple of 32, at least 64, got {self.size}")
        if not self.sources or min(self.sources) < 1 or max(self.sources) > 53:
            raise ValueError(f"sources must be numbers in 1..53, got {self.sources}")
        for name in ("chairs", "batch_size", "steps", "checkpoint_every", "log_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("flow_steps", "warmup", "cooldown", "workers", "first_seed", "seed"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative, got {getattr(self, name)}")
        if self.seed >= 2**32:
            raise ValueError(f"seed must be below 2^32, got {self.seed}")
        for name in ("lr", "clip"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name} must be positive and finite, got {getattr(self, name)}")
        for name, weight in asdict(self.weights).items():
            if not 0 <= weight < math.inf:
                raise ValueError(f"weight of {name} must not be negative or infinite, got {weight}")
        if not 0 <= self.ema < 1:
            raise ValueError(f"ema must lie in [0, 1), got {self.ema}")
        types = get_type_hints(type(self))
        for name in ("decoder_norm", "features", "precision", "device"):
            if getattr(self, name) not in (allowed := get_args(types[name])):
                raise ValueError(f"{name} must be one of {allowed}, got {getattr(self, name)!r}")

    # What may change when a run is resumed: where and how long it runs, not what it computes.
    FREE = ("out", "cache", "workers", "checkpoint_every", "device", "steps", "cooldown")

    def to_dict(self) -> dict[str, Any]:
        """JSON-able values."""
        values: dict[str, Any] = json.loads(json.dumps(asdict(self), default=str))
        return values

    def fixed(self) -> dict[str, Any]:
        """The fields that a resumed run must share with the run it resumes."""
        return {k: v for k, v in self.to_dict().items() if k not in self.FREE}
