"""Chairs as tuples of sources and a target."""

from __future__ import annotations

from rfwarp.data.chairs.dataset import VIEW_COUNT, ChairViews, TrueViews
from rfwarp.data.sampling import sample_view_sets
from rfwarp.data.tuples import Row, Sample
from rfwarp.poses import Viewpoint


class ChairTuples:
    """A :class:`rfwarp.data.TupleDataset` of chairs; image c * 54 + v is view v of chair c.

    Args:
        views: the chairs, or other things of the same views.
        truth: give true correspondences with every tuple; only
            :class:`rfwarp.data.TrueViews` have them.

    Raises:
        ValueError: if ``truth`` is wanted, but ``views`` have none.

    Example:
        >>> from rfwarp.data import ChairTuples, ProceduralChairs
        >>> dataset = ChairTuples(ProceduralChairs(0, 2, size=16, memory_chairs=0))
        >>> dataset.draw(seed=0, step=0, batch_size=1, sources=2)
        [(56, 73, 64)]
        >>> dataset.load((54, 60, 70)).sources.shape  # views 0, 6 and 16 of chair 1
        torch.Size([2, 3, 16, 16])
    """

    pose_kind = Viewpoint.kind

    def __init__(self, views: ChairViews, *, truth: bool = False) -> None:
        if truth and not isinstance(views, TrueViews):
            raise ValueError(f"{type(views).__name__} have no true correspondences")
        self.views, self._truth = views, truth
        self._codes = Viewpoint.codes()

    @property
    def height(self) -> int:
        return self.views.size

    @property
    def width(self) -> int:
        return self.views.size

    @property
    def max_sources(self) -> int:
        return len(self.views.available) - 1

    def draw(self, seed: int, step: int, batch_size: int, sources: int) -> list[Row]:
        """See :func:`rfwarp.data.sample_view_sets`."""
        views = self.views
        drawn = sample_view_sets(seed, step, batch_size, sources, views.count, views.available)
        return drawn.rows(VIEW_COUNT)

    def evaluation_rows(self, seed: int, count: int, sources: int) -> list[Row]:
        """The rows of step 0 of training with this seed."""
        return self.draw(seed, 0, count, sources)

    def load(self, row: Row) -> Sample:
        """The images and poses of a row, all of one chair."""
        chair, indices = row[0] // VIEW_COUNT, [image % VIEW_COUNT for image in row]
        images, codes = self.views.views(chair, indices), self._codes[indices]
        truth = None
        if self._truth and isinstance(self.views, TrueViews):
            truth = self.views.truth(chair, indices)
        return Sample(images[:-1], codes[:-1], images[-1], codes[-1], truth)
