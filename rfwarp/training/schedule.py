"""The learning rate over a stage."""

from __future__ import annotations

from rfwarp.training.config import TrainConfig


def learning_rate(config: TrainConfig, step: int, steps: int, last: bool) -> float:
    """Fraction of the peak: linear warm-up, constant, in the last stage a linear fall to 1 %."""
    rate = min(1.0, (step + 1) / max(1, config.warmup))
    if last and config.cooldown and step >= steps - config.cooldown:
        rate *= max(0.01, (steps - step) / config.cooldown)
    return rate
