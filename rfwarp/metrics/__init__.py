"""Metrics of results. Those on images need ``pip install "rfwarp[metrics]"``.

Names are imported on first use, so that reading a configuration does not wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rfwarp.metrics.accumulate import ImageMetrics, Scores
    from rfwarp.metrics.baselines import mean_source, nearest_source
    from rfwarp.metrics.config import EvaluationConfig
    from rfwarp.metrics.evaluation import Evaluation, evaluate
    from rfwarp.metrics.flow import WarpMeasures, WarpScores, auc, end_point_error
    from rfwarp.metrics.images import MAX_PSNR, ImageScores, score_images
    from rfwarp.metrics.inception import Inception
    from rfwarp.metrics.lpips import Lpips
    from rfwarp.metrics.masks import mask_of_target, person_mask
    from rfwarp.metrics.networks import MetricNetworks
    from rfwarp.metrics.sharpness import high_pass
    from rfwarp.metrics.st_lpips import StLpips

_MODULES = {
    "accumulate": ("ImageMetrics", "Scores"),
    "baselines": ("mean_source", "nearest_source"),
    "config": ("EvaluationConfig",),
    "evaluation": ("Evaluation", "evaluate"),
    "flow": ("WarpMeasures", "WarpScores", "auc", "end_point_error"),
    "images": ("MAX_PSNR", "ImageScores", "score_images"),
    "inception": ("Inception",),
    "lpips": ("Lpips",),
    "masks": ("mask_of_target", "person_mask"),
    "networks": ("MetricNetworks",),
    "sharpness": ("high_pass",),
    "st_lpips": ("StLpips",),
}
_LAZY = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "MAX_PSNR",
    "Evaluation",
    "EvaluationConfig",
    "ImageMetrics",
    "ImageScores",
    "Inception",
    "Lpips",
    "MetricNetworks",
    "Scores",
    "StLpips",
    "WarpMeasures",
    "WarpScores",
    "auc",
    "end_point_error",
    "evaluate",
    "high_pass",
    "mask_of_target",
    "mean_source",
    "nearest_source",
    "person_mask",
    "score_images",
]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(f"rfwarp.metrics.{_LAZY[name]}"), name)
    raise AttributeError(f"module 'rfwarp.metrics' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
