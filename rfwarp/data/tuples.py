"""The interface of datasets for training and evaluation: tuples of K sources and a target."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from torch import Tensor

from rfwarp.data.truth import Truth


class Sample(NamedTuple):
    """K sources and a target, as images and pose codes.

    A pose code is the compact form of a pose; :mod:`rfwarp.poses.kinds` tells its shape and dtype
    for each kind of pose, and makes (c_p, H, W) maps from batches of codes.

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
"""K + 1 numbers of images, all different: the sources, then the target."""


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
        """Height of every image, pixels."""

    @property
    def width(self) -> int:
        """Width of every image, pixels."""

    @property
    def max_sources(self) -> int:
        """The largest K."""

    def draw(self, seed: int, step: int, batch_size: int, sources: int) -> Sequence[Row]:
        """``batch_size`` random rows for training.

        Raises:
            ValueError: if there are not so many sources.
        """

    def evaluation_rows(self, seed: int, count: int, sources: int) -> Sequence[Row]:
        """Up to ``count`` rows for evaluation: of the published protocol if the dataset has one
        (``seed`` is then without effect), else drawn from ``seed``."""

    def load(self, row: Row) -> Sample:
        """The images and poses of a row.

        Raises:
            FileNotFoundError, ValueError: if a file is missing, damaged or of another size; the
                message names it.
        """


class Clip(NamedTuple):
    """K sources, and what the same thing does in consecutive frames, as images and pose codes.

    Example:
        >>> from rfwarp.data import ProceduralPeople
        >>> clip = next(iter(ProceduralPeople(900_000, 1, size=16, views=3).clips(1, sources=2)))
        >>> clip.poses.shape, clip.frame_poses.shape
        (torch.Size([2, 18, 3]), torch.Size([16, 18, 3]))
    """

    sources: Tensor
    """(K, 3, H, W) uint8 RGB."""
    poses: Tensor
    """(K, *code)."""
    frames: Tensor
    """(T, 3, H, W) uint8 RGB, in the order of time."""
    frame_poses: Tensor
    """(T, *code)."""


@runtime_checkable
class ClipDataset(TupleDataset, Protocol):
    """A :class:`TupleDataset` that also has consecutive frames, for scores of videos.

    Example:
        >>> from rfwarp.data import ProceduralPeople
        >>> people = ProceduralPeople(900_000, 2, size=16, views=3)
        >>> clips = list(people.clips(count=8, sources=2))
        >>> len(clips), clips[0].sources.shape  # of two people
        (2, torch.Size([2, 3, 16, 16]))
        >>> clips[0].frames.shape, clips[0].frame_poses.shape
        (torch.Size([16, 3, 16, 16]), torch.Size([16, 18, 3]))
    """

    def clips(self, count: int, sources: int) -> Iterator[Clip]:
        """Up to ``count`` clips of different things, the same at every call; fewer sources are a
        prefix of more.

        Raises:
            ValueError: if there are not so many sources.
        """
