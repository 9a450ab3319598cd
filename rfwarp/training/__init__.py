"""The trainer: losses, the two stages of the paper, and the loop.

Training needs ``pip install "rfwarp[train]"``; the losses and the configurations do not. Names are
imported on first use, so that reading a configuration does not wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

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
    "config": (
        "LossWeights",
        "TrainConfig",
    ),
    "config_file": ("load_config",),
    "efficientnet": ("EfficientNetLite0",),
    "experiment": (
        "ExperimentConfig",
        "run_experiment",
    ),
    "features": (
        "FEATURE_SETS",
        "OrientedPyramid",
        "make_features",
    ),
    "losses": (
        "adversarial_discriminator",
        "adversarial_generator",
        "affine_regularisation",
        "best_match",
        "gram",
        "perceptual",
        "sampling_correctness",
        "style",
    ),
    "trainer": ("Trainer",),
    "vgg": ("Vgg19",),
}
_LAZY = {name: module for module, names in _MODULES.items() for name in names}

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


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        if _LAZY[name] in ("trainer", "experiment"):
            require_extra()
        return getattr(import_module(f"rfwarp.training.{_LAZY[name]}"), name)
    raise AttributeError(f"module 'rfwarp.training' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
