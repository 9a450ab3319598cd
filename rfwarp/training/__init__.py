"""The trainer: losses, the two stages of the paper, and the loop."""

from rfwarp.training.config import LossWeights, TrainConfig

__all__ = ["LossWeights", "TrainConfig"]
