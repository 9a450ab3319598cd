"""Metrics of results. Those on images need ``pip install "rfwarp[metrics]"``.

Names are imported on first use, so that reading a configuration does not wait for torch.
"""

from typing import TYPE_CHECKING

from rfwarp.lazy import exports

if TYPE_CHECKING:
    from rfwarp.metrics.accumulate import ImageMetrics, Scores
    from rfwarp.metrics.baselines import mean_source, nearest_source
    from rfwarp.metrics.config import EvaluationConfig
    from rfwarp.metrics.efficientnet import PooledEfficientNet
    from rfwarp.metrics.evaluation import Evaluation, evaluate
    from rfwarp.metrics.flow import WarpMeasures, WarpScores, auc, end_point_error
    from rfwarp.metrics.inception import Inception
    from rfwarp.metrics.lpips import Lpips
    from rfwarp.metrics.masks import mask_of_target, person_mask
    from rfwarp.metrics.networks import MetricNetworks
    from rfwarp.metrics.pixelwise import MAX_PSNR, ImageScores, score_images
    from rfwarp.metrics.sharpness import high_pass
    from rfwarp.metrics.st_lpips import StLpips
    from rfwarp.metrics.temporal import WarpingError

_MODULES = {
    "rfwarp.metrics.accumulate": ("ImageMetrics", "Scores"),
    "rfwarp.metrics.baselines": ("mean_source", "nearest_source"),
    "rfwarp.metrics.config": ("EvaluationConfig",),
    "rfwarp.metrics.efficientnet": ("PooledEfficientNet",),
    "rfwarp.metrics.evaluation": ("Evaluation", "evaluate"),
    "rfwarp.metrics.flow": ("WarpMeasures", "WarpScores", "auc", "end_point_error"),
    "rfwarp.metrics.pixelwise": ("MAX_PSNR", "ImageScores", "score_images"),
    "rfwarp.metrics.inception": ("Inception",),
    "rfwarp.metrics.lpips": ("Lpips",),
    "rfwarp.metrics.masks": ("mask_of_target", "person_mask"),
    "rfwarp.metrics.networks": ("MetricNetworks",),
    "rfwarp.metrics.sharpness": ("high_pass",),
    "rfwarp.metrics.st_lpips": ("StLpips",),
    "rfwarp.metrics.temporal": ("WarpingError",),
}

__all__ = [
    "MAX_PSNR",
    "Evaluation",
    "EvaluationConfig",
    "ImageMetrics",
    "ImageScores",
    "Inception",
    "Lpips",
    "MetricNetworks",
    "PooledEfficientNet",
    "Scores",
    "StLpips",
    "WarpMeasures",
    "WarpScores",
    "WarpingError",
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

__getattr__, __dir__ = exports(__name__, _MODULES)
