"""New images of something from several images of it.

Names and subpackages are imported on first use, so that ``rfwarp --help`` does not wait for torch.
"""

from typing import TYPE_CHECKING

from rfwarp.lazy import exports

if TYPE_CHECKING:
    from rfwarp import data as data
    from rfwarp import export as export
    from rfwarp import familiarity as familiarity
    from rfwarp import jobs as jobs
    from rfwarp import metrics as metrics
    from rfwarp import nn as nn
    from rfwarp import ops as ops
    from rfwarp import poses as poses
    from rfwarp import training as training
    from rfwarp import video as video
    from rfwarp import viz as viz
    from rfwarp.nn import Generator
    from rfwarp.pretrained import list_models

__version__ = "0.1.0"
"""Version of the package.

>>> import rfwarp
>>> len(rfwarp.__version__.split("."))
3
"""

__all__ = ["Generator", "__version__", "list_models"]

__getattr__, __dir__ = exports(
    __name__,
    {"rfwarp.nn": ["Generator"], "rfwarp.pretrained": ["list_models"]},
    (
        *("data", "export", "familiarity", "jobs", "metrics", "nn", "ops", "poses", "training"),
        *("video", "viz"),
    ),
)
