"""What results are judged by. Importing it needs ``pip install "rfwarp[metrics]"``."""

from rfwarp.metrics.baselines import mean_source, nearest_source
from rfwarp.metrics.evaluation import Evaluation, evaluate
from rfwarp.metrics.images import MAX_PSNR, ImageScores, score_images
from rfwarp.metrics.inception import Inception
from rfwarp.metrics.judges import Judges, Scores
from rfwarp.metrics.lpips import Lpips
from rfwarp.metrics.masks import mask_of_target, person_mask
from rfwarp.metrics.options import JudgeOptions

__all__ = [
    "MAX_PSNR",
    "Evaluation",
    "ImageScores",
    "Inception",
    "JudgeOptions",
    "Judges",
    "Lpips",
    "Scores",
    "evaluate",
    "mask_of_target",
    "mean_source",
    "nearest_source",
    "person_mask",
    "score_images",
]
