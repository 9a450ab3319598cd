"""Chairs as data: rendered on demand, kept on disk or in memory, and drawn reproducibly."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from rfwarp.data.chairs.parameters import HELD_OUT_FIRST_SEED
from rfwarp.data.chairs.render import RENDERER_VERSION, render_views

VIEW_COUNT = 54

Images = npt.NDArray[np.uint8]


class ChairViews(Protocol):
    """What training and evaluation need to know of a set of chairs."""

    @property
    def count(self) -> int:
        """Number of chairs."""

    @property
    def size(self) -> int:
        """Height and width of every picture, pixels."""

    @property
    def available(self) -> tuple[int, ...]:
        """View indices that exist for every chair, ascending."""

    def views(self, chair: int, indices: Sequence[int] | Tensor) -> Tensor:
        """(V, 3, size, size) uint8 RGB: chair 0..count-1 at the given view indices."""


def checked_indices(source: ChairViews, chair: int, indices: Sequence[int] | Tensor) -> list[int]:
    """The view indices as integers.

    Raises:
        IndexError: if the chair is not one of ``source.count``.
        ValueError: if a view is not available.
    """
    if not 0 <= chair < source.count:
        raise IndexError(f"chair must lie in 0..{source.count - 1}, got {chair}")
    wanted = [int(i) for i in (indices.tolist() if isinstance(indices, Tensor) else indices)]
    missing = sorted(set(wanted) - set(source.available))
    if missing:
        raise ValueError(
            f"view indices {missing} are not available; there are {len(source.available)} views "
            f"in {source.available[0]}..{source.available[-1]}"
        )
    return wanted


class ProceduralChairs:
    """Chairs of consecutive seeds, rendered when first asked for.

    All 54 views of a chair are rendered together (about 0.1 s at 64 x 64 on one core) and kept: in
    ``cache``, which several processes may share and which outlives them, or else in memory. Where
    neither keeps anything, only the views asked for are rendered, each time anew.

    Args:
        first_seed: seed of chair 0.
        count: number of chairs.
        size: height and width in pixels.
        cache: a folder for the pictures, 54 * 3 * size^2 bytes per chair. It is created if need be;
            an existing one must have been made with the same arguments and renderer version.
        memory_chairs: how many chairs are kept in memory when there is no cache; 0 keeps none.

    Raises:
        ValueError: for bad numbers, for seeds on both sides of ``HELD_OUT_FIRST_SEED``, or for a
            cache folder that holds something else.
    """

    def __init__(
        self,
        first_seed: int,
        count: int,
        size: int,
        cache: str | os.PathLike[str] | None = None,
        *,
        memory_chairs: int = 256,
    ) -> None:
        for name, value, least in (
            ("first_seed", first_seed, 0),
            ("count", count, 1),
            ("size", size, 1),
            ("memory_chairs", memory_chairs, 0),
        ):
            if value < least:
                raise ValueError(f"{name} must be at least {least}, got {value}")
        if first_seed < HELD_OUT_FIRST_SEED < first_seed + count:
            raise ValueError(
                f"seeds {first_seed}..{first_seed + count - 1} mix training chairs with held-out "
                f"chairs, which start at seed {HELD_OUT_FIRST_SEED}"
            )
        self.first_seed, self._count, self._size = first_seed, count, size
        self._memory_chairs = memory_chairs
        self._memory: OrderedDict[int, Images] = OrderedDict()
        self._cache = None if cache is None else _DiskCache(Path(cache), first_seed, count, size)

    @property
    def count(self) -> int:
        return self._count

    @property
    def size(self) -> int:
        return self._size

    @property
    def available(self) -> tuple[int, ...]:
        return tuple(range(VIEW_COUNT))

    @property
    def seeds(self) -> range:
        """Seed of every chair."""
        return range(self.first_seed, self.first_seed + self.count)

    def views(self, chair: int, indices: Sequence[int] | Tensor) -> Tensor:
        """(V, 3, size, size) uint8 RGB pictures of one chair.

        Raises:
            IndexError: if the chair is not in 0..count-1.
            ValueError: if a view index is not in 0..53.
        """
        wanted = checked_indices(self, chair, indices)
        if self._cache is None and self._memory_chairs == 0:
            return render_views(self.seeds[chair], wanted, self.size)
        return torch.from_numpy(np.array(self._all_views(chair)[wanted]))

    def _all_views(self, chair: int) -> Images:
        if self._cache is not None:
            kept = self._cache.read(chair)
            if kept is None:
                kept = self._render(chair)
                self._cache.write(chair, kept)
            return kept
        if chair not in self._memory:
            self._memory[chair] = self._render(chair)
            if len(self._memory) > self._memory_chairs:
                self._memory.popitem(last=False)
        self._memory.move_to_end(chair)
        return self._memory[chair]

    def _render(self, chair: int) -> Images:
        pictures: Images = render_views(self.seeds[chair], range(VIEW_COUNT), self.size).numpy()
        return pictures

    def __getstate__(self) -> dict[str, Any]:
        # A worker process fills its own memory; sending ours would cost more than it saves.
        return {**self.__dict__, "_memory": OrderedDict()}


def _reserve(path: Path) -> None:
    """Take the disk space of a sparse file now.

    Where a mapped file outgrows its disk later, the process is killed without a word.

    Raises:
        OSError: if the disk has not enough room.
    """
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


class _DiskCache:
    """Pictures of all chairs in one memory-mapped array, and one byte per chair that says "done".

    The byte is set after the pictures are written. Two processes that meet the same chair both
    render it and write the same bytes, so no lock is needed. A machine that loses power may keep a
    byte without its pictures; delete the folder then.
    """

    _KEY, _PICTURES, _DONE = "cache.json", "pictures.npy", "done.npy"

    def __init__(self, folder: Path, first_seed: int, count: int, size: int) -> None:
        self._folder = folder
        key = {
            "renderer_version": RENDERER_VERSION,
            "first_seed": first_seed,
            "count": count,
            "size": size,
        }
        if not folder.is_dir() or not any(folder.iterdir()):
            self._create(key, (count, VIEW_COUNT, 3, size, size))
        try:
            found = json.loads((folder / self._KEY).read_text())
        except (OSError, ValueError) as error:
            raise ValueError(f"{folder} is not empty and not a chair cache: {error}") from error
        if found != key:
            raise ValueError(
                f"the chair cache {folder} was made with {found}, but {key} is needed; "
                "delete the folder or name another"
            )
        self._open()
        if self._pictures.shape != (count, VIEW_COUNT, 3, size, size):
            raise ValueError(f"the chair cache {folder} is damaged; delete the folder")

    def _create(self, key: dict[str, int], shape: tuple[int, ...]) -> None:
        """Builds the folder aside and renames it, so that others see all of it or nothing."""
        self._folder.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f".{self._folder.name}-", dir=self._folder.parent))
        try:
            for name, of in ((self._PICTURES, shape), (self._DONE, shape[:1])):
                np.lib.format.open_memmap(made / name, mode="w+", dtype=np.uint8, shape=of)
                _reserve(made / name)
            (made / self._KEY).write_text(json.dumps(key))
            made.chmod(0o755)  # mkdtemp lets only the owner in
            made.rename(self._folder)
        except OSError:
            shutil.rmtree(made)
            if not (self._folder / self._KEY).exists():
                raise  # otherwise another process has just created it

    def _open(self) -> None:
        try:
            self._pictures, self._done = self._map(self._PICTURES), self._map(self._DONE)
        except (OSError, ValueError, EOFError) as error:
            raise ValueError(
                f"the chair cache {self._folder} is damaged ({error}); delete the folder"
            ) from error

    def _map(self, name: str) -> Images:
        # Only "r" refuses a truncated file; "r+" would extend it with zeros.
        np.load(self._folder / name, mmap_mode="r")
        mapped: Images = np.load(self._folder / name, mmap_mode="r+")
        return mapped

    def read(self, chair: int) -> Images | None:
        return self._pictures[chair] if self._done[chair] else None

    def write(self, chair: int, pictures: Images) -> None:
        self._pictures[chair] = pictures
        self._done[chair] = 1

    def __getstate__(self) -> dict[str, Any]:
        # A pickled memory map is a copy of its data: another process must map the files anew.
        return {"_folder": self._folder}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._open()


class ViewSets(NamedTuple):
    """Which pictures make up one batch; all int64."""

    chairs: Tensor
    """(B,) chair numbers."""
    sources: Tensor
    """(B, K) view indices, distinct within a row."""
    targets: Tensor
    """(B,) view indices, never among the row's sources."""


def sample_view_sets(
    seed: int,
    step: int,
    batch_size: int,
    sources: int,
    chairs: int,
    available: Sequence[int] = range(VIEW_COUNT),
) -> ViewSets:
    """Random source and target views: a pure function, so training can resume at any step.

    With the other arguments equal, fewer sources are a prefix of more sources, with the same chairs
    and targets: results for different K compare like with like.

    Args:
        seed: of the whole run.
        step: batch number.
        batch_size: B.
        sources: K.
        chairs: number of chairs to choose from.
        available: view indices to choose from, such as :attr:`ChairViews.available`.

    Raises:
        ValueError: if a number is out of range, or there are not K + 1 views.
    """
    for name, value, least in (
        ("seed", seed, 0),
        ("step", step, 0),
        ("batch_size", batch_size, 1),
        ("sources", sources, 1),
        ("chairs", chairs, 1),
    ):
        if value < least:
            raise ValueError(f"{name} must be at least {least}, got {value}")
    if sources + 1 > len(available):
        raise ValueError(
            f"{sources} sources and a target need {sources + 1} views, got {len(available)}"
        )
    generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, step])))
    chosen = (generator.random(batch_size) * chairs).astype(np.int64)
    order = generator.random((batch_size, len(available))).argsort(axis=1, kind="stable")
    picked = torch.from_numpy(np.asarray(available, dtype=np.int64)[order[:, : sources + 1]])
    return ViewSets(torch.from_numpy(chosen), picked[:, 1:], picked[:, 0])
