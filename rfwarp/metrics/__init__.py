"""What results are judged by. Importing it needs ``pip install "rfwarp[metrics]"``."""

from rfwarp.metrics.baselines import mean_source, nearest_source
from rfwarp.metrics.evaluation import Evaluation, Scores, evaluate
from rfwarp.metrics.images import MAX_PSNR, ImageScores, score_images

__all__ = [
    "MAX_PSNR",
    "Evaluation",
    "ImageScores",
    "Scores",
    "evaluate",
    "mean_source",
    "nearest_source",
    "score_images",
]
