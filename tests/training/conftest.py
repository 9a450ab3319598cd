"""Chairs that are rendered once for all trainers."""

from collections.abc import Iterator, Sequence
from functools import cache

import pytest
from torch import Tensor

from rfwarp.data.chairs import dataset

render = cache(dataset.render_views)


@pytest.fixture(scope="module", autouse=True)  # tests of other folders draw chairs otherwise
def _chairs_rendered_once() -> Iterator[None]:
    """Each trainer opens its dataset anew, and would render the same chairs again."""

    def views_of(seed: int, views: Sequence[int], size: int) -> Tensor:
        return render(seed, tuple(views), size).clone()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dataset, "render_views", views_of)
        yield
