"""What training and evaluation ask of a dataset: tuples of K sources and a target."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from torch import Tensor

from rfwarp.data.truth import Truth


class Sample(NamedTuple):
    """K sources and a target, as images and pose codes.

    A pose code is what a pose is before it becomes a map: see :mod:`rfwarp.poses.kinds`, which says
    its shape and dtype for each kind of pose, and makes the (c_p, H, W) maps of batches of them.

    Example:
        >>> from rfwarp.data import ProceduralPeople
        >>> sample = ProceduralPeople(0, 1, 16, views=3).load((0, 1, 2))
        >>> sample.sources.shape, sample.poses.shape
        (torch.Size([2, 3, 16, 16]), torch.Size([2, 18, 3]))
        >>> sample.target.shape, sample.target_pose.shape, sample.truth
        (torch.Size([3, 16, 16]), torch.Size([18, 3]), None)
    """

    sources: Tensor
    """(K, 3, H, W) uint8 RGB."""
    poses: Tensor
    """(K, *code)."""
    target: Tensor
    """(3, H, W) uint8 RGB."""
    target_pose: Tensor
    """(*code)."""
    truth: Truth | None = None
    """True correspondences, if the dataset was asked for them."""


Row = tuple[int, ...]
"""K + 1 numbers of pictures, all different: the sources, then the target."""


class TupleDataset(Protocol):
    """Images of things in several poses.

    Rows are pure functions of their arguments, so that training can resume at any step. With the
    other arguments equal, fewer sources are a prefix of more, with the same targets: results for
    different K compare like with like.

    Example:
        >>> from rfwarp.data import ProceduralPeople, TupleDataset
        >>> dataset: TupleDataset = ProceduralPeople(0, 5, size=16)
        >>> (few,) = dataset.draw(seed=0, step=0, batch_size=1, sources=2)
        >>> (many,) = dataset.draw(seed=0, step=0, batch_size=1, sources=4)
        >>> few[:2] == many[:2], few[-1] == many[-1]
        (True, True)
    """

    @property
    def pose_kind(self) -> str:
        """Name of the kind of pose, a key of :data:`rfwarp.poses.POSE_KINDS`."""

    @property
    def height(self) -> int:
        """Of every picture, pixels."""

    @property
    def width(self) -> int:
        """Of every picture, pixels."""

    @property
    def max_sources(self) -> int:
        """The largest K."""

    def draw(self, seed: int, step: int, batch_size: int, sources: int) -> Sequence[Row]:
        """``batch_size`` random rows for training.

        Raises:
            ValueError: if there are not so many sources.
        """

    def evaluation_rows(self, seed: int, count: int, sources: int) -> Sequence[Row]:
        """Up to ``count`` rows to judge results by: of the published protocol where the dataset has
        one (``seed`` is then without effect), else drawn from ``seed``."""

    def load(self, row: Row) -> Sample:
        """The pictures and poses of a row.

        Raises:
            ValueError: if a file is missing, damaged or of another size; the message names it.
        """
