"""Caches of rendered arrays: on disk, for several and for later processes, or in memory."""

from __future__ import annotations

import json
import math
import os
import shutil
import tempfile
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Forms = Mapping[str, tuple[Sequence[int], npt.DTypeLike]]
"""Name -> (shape, dtype) of arrays."""

MEMORY = 2 << 30  # bytes of images that a dataset without a cache folder keeps


def byte_size(forms: Forms) -> int:
    """Size in bytes of arrays of these shapes and dtypes."""
    return sum(math.prod(shape) * np.dtype(dtype).itemsize for shape, dtype in forms.values())


def fit_in_memory(size: int) -> int:
    """How many things of a size in bytes a dataset without a cache folder keeps, at least 1."""
    return max(1, MEMORY // size)


def _reserve(path: Path) -> None:
    """Take the disk space of a sparse file now.

    Where a mapped file outgrows its disk later, the process is killed without a word.

    Raises:
        OSError: if the disk has not enough room.
    """
    if hasattr(os, "posix_fallocate"):
        with path.open("r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


class DiskCache:
    """Arrays of many things, memory-mapped, and one byte per thing that says "done".

    The byte is set after the arrays are written. Two processes that meet the same thing both
    compute it and write the same bytes, so no lock is needed. A machine that loses power may keep a
    byte without its arrays; delete the folder then.

    Args:
        folder: created if need be.
        thing: name of the kind of things, for messages.
        key: what the arrays depend on; an existing folder must have been made with the same.
        count: number of things.
        arrays: name -> (shape, dtype) of one thing's array, kept in ``NAME.npy``.

    Raises:
        OSError: if the disk has not enough room.
        ValueError: for a folder that holds something else, or is damaged.
    """

    _KEY, _DONE = "cache.json", "done.npy"

    def __init__(
        self,
        folder: Path,
        thing: str,
        key: Mapping[str, Any],
        count: int,
        arrays: Forms,
    ) -> None:
        self._folder, self._thing = folder, thing
        self._forms = {
            name: ((count, *shape), np.dtype(dtype)) for name, (shape, dtype) in arrays.items()
        }
        if not folder.is_dir() or not any(folder.iterdir()):
            self._create(key, count)
        try:
            found = json.loads((folder / self._KEY).read_text())
        except (OSError, ValueError) as error:
            raise ValueError(f"{folder} is not empty and not a {thing} cache: {error}") from error
        if found != key:
            raise ValueError(
                f"the {thing} cache {folder} was made with {found}, but {key} is needed; "
                "delete the folder or name another"
            )
        self._open()

    def _create(self, key: Mapping[str, Any], count: int) -> None:
        """Builds the folder aside and renames it, so that others see all of it or nothing."""
        self._folder.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f".{self._folder.name}-", dir=self._folder.parent))
        files = {f"{name}.npy": form for name, form in self._forms.items()}
        try:
            for name, (shape, dtype) in {**files, self._DONE: ((count,), np.uint8)}.items():
                np.lib.format.open_memmap(made / name, mode="w+", dtype=dtype, shape=shape)
                _reserve(made / name)
            (made / self._KEY).write_text(json.dumps(key))
            made.chmod(0o755)  # mkdtemp lets only the owner in
            made.rename(self._folder)
        except OSError:
            if not (self._folder / self._KEY).exists():
                raise  # otherwise another process has just created it
        finally:
            shutil.rmtree(made, ignore_errors=True)  # after Ctrl-C too: it can hold gigabytes

    def _open(self) -> None:
        damaged = f"the {self._thing} cache {self._folder} is damaged"
        try:
            self._done = self._map(self._DONE)
            self._arrays = {name: self._map(f"{name}.npy") for name in self._forms}
        except (OSError, ValueError, EOFError) as error:
            raise ValueError(f"{damaged} ({error}); delete the folder") from error
        if {name: (a.shape, a.dtype) for name, a in self._arrays.items()} != self._forms:
            raise ValueError(f"{damaged}; delete the folder")

    def _map(self, name: str) -> Array:
        # Only "r" refuses a truncated file; "r+" would extend it with zeros.
        np.load(self._folder / name, mmap_mode="r")
        mapped: Array = np.load(self._folder / name, mmap_mode="r+")
        return mapped

    def read(self, number: int) -> dict[str, Array] | None:
        """The arrays of one thing, or None if they have not been written yet."""
        if not self._done[number]:
            return None
        return {name: array[number] for name, array in self._arrays.items()}

    def write(self, number: int, arrays: Mapping[str, Array]) -> None:
        for name, kept in self._arrays.items():
            kept[number] = arrays[name]
        self._done[number] = 1

    def __getstate__(self) -> dict[str, Any]:
        # A pickled memory map is a copy of its data: another process must map the files anew.
        return {name: self.__dict__[name] for name in ("_folder", "_thing", "_forms")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._open()


class Kept:
    """Arrays of numbered things, made when first asked for and then kept.

    Args:
        cache: keeps them; None keeps them in memory.
        limit: number of things kept in memory, at least 1: those asked for last.
    """

    def __init__(self, cache: DiskCache | None, limit: int) -> None:
        self._cache, self._limit = cache, limit
        self._memory: OrderedDict[int, Mapping[str, Array]] = OrderedDict()

    def get(self, number: int, make: Callable[[int], Mapping[str, Array]]) -> Mapping[str, Array]:
        """The arrays of one thing, made by ``make(number)`` if not yet kept; do not change them."""
        if self._cache is not None:
            there = self._cache.read(number)
            if there is not None:
                return there
            made = make(number)
            self._cache.write(number, made)
            return made
        if number not in self._memory:
            self._memory[number] = make(number)
            if len(self._memory) > self._limit:
                self._memory.popitem(last=False)
        self._memory.move_to_end(number)
        return self._memory[number]

    def __getstate__(self) -> dict[str, Any]:
        # A worker process fills its own memory; sending ours would cost more than it saves.
        return {**self.__dict__, "_memory": OrderedDict()}
