"""What results are judged by. Importing it needs ``pip install "rfwarp[metrics]"``."""

from rfwarp.metrics.baselines import mean_source, nearest_source
from rfwarp.metrics.evaluation import Evaluation, evaluate
from rfwarp.metrics.flow import WarpMeasures, WarpScores, auc, end_point_error
from rfwarp.metrics.images import MAX_PSNR, ImageScores, score_images
from rfwarp.metrics.inception import Inception
from rfwarp.metrics.judges import Judges, Scores
from rfwarp.metrics.lpips import Lpips
from rfwarp.metrics.masks import mask_of_target, person_mask
from rfwarp.metrics.options import JudgeOptions
from rfwarp.metrics.sharpness import high_pass
from rfwarp.metrics.st_lpips import StLpips

__all__ = [
    "MAX_PSNR",
    "Evaluation",
    "ImageScores",
    "Inception",
    "JudgeOptions",
    "Judges",
    "Lpips",
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
