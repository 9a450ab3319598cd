"""The trainer: losses, the two stages of the paper, and the loop.

Training needs ``pip install "rfwarp[train]"``; the losses and the configurations do not. Names are
imported on first use, so that reading a configuration does not wait for torch.
"""

from typing import TYPE_CHECKING, Any

from rfwarp.lazy import exports
from rfwarp.training.extra import require_extra

if TYPE_CHECKING:
    from rfwarp.training.config import LossWeights, TrainConfig
    from rfwarp.training.config_file import load_config
    from rfwarp.training.efficientnet import EfficientNetLite0
    from rfwarp.training.experiment import ExperimentConfig, run_experiment
    from rfwarp.training.features import FEATURE_SETS, OrientedPyramid, make_features
    from rfwarp.training.losses import (
        adversarial_discriminator,
        adversarial_generator,
        affine_regularisation,
        best_match,
        gram,
        perceptual,
        sampling_correctness,
        style,
    )
    from rfwarp.training.trainer import Trainer
    from rfwarp.training.vgg import Vgg19

_MODULES = {
    "rfwarp.training.config": (
        "LossWeights",
        "TrainConfig",
    ),
    "rfwarp.training.config_file": ("load_config",),
    "rfwarp.training.efficientnet": ("EfficientNetLite0",),
    "rfwarp.training.experiment": (
        "ExperimentConfig",
        "run_experiment",
    ),
    "rfwarp.training.features": (
        "FEATURE_SETS",
        "OrientedPyramid",
        "make_features",
    ),
    "rfwarp.training.losses": (
        "adversarial_discriminator",
        "adversarial_generator",
        "affine_regularisation",
        "best_match",
        "gram",
        "perceptual",
        "sampling_correctness",
        "style",
    ),
    "rfwarp.training.trainer": ("Trainer",),
    "rfwarp.training.vgg": ("Vgg19",),
}

__all__ = [
    "FEATURE_SETS",
    "EfficientNetLite0",
    "ExperimentConfig",
    "LossWeights",
    "OrientedPyramid",
    "TrainConfig",
    "Trainer",
    "Vgg19",
    "adversarial_discriminator",
    "adversarial_generator",
    "affine_regularisation",
    "best_match",
    "gram",
    "load_config",
    "make_features",
    "perceptual",
    "run_experiment",
    "sampling_correctness",
    "style",
]

_get, __dir__ = exports(__name__, _MODULES)


def __getattr__(name: str) -> Any:
    if name in ("Trainer", "ExperimentConfig", "run_experiment"):
        require_extra()
    return _get(name)
