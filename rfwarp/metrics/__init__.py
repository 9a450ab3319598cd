"""What results are judged by. Importing it needs ``pip install "rfwarp[metrics]"``."""

from rfwarp.metrics.baselines import mean_source, nearest_source
from rfwarp.metrics.evaluation import Evaluation, Judges, Scores, evaluate
from rfwarp.metrics.images import MAX_PSNR, ImageScores, score_images
from rfwarp.metrics.inception import Inception
from rfwarp.metrics.lpips import Lpips, person_mask

__all__ = [
    "MAX_PSNR",
    "Evaluation",
    "ImageScores",
    "Inception",
    "Judges",
    "Lpips",
    "Scores",
    "evaluate",
    "mean_source",
    "nearest_source",
    "person_mask",
    "score_images",
]
