"""Furniture as data: rendered on demand, kept on disk or in memory."""

from __future__ import annotations

import os
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from rfwarp.data.chairs.dataset import VIEW_COUNT, checked_indices
from rfwarp.data.disk_cache import Array, DiskCache, Forms, Kept, byte_size
from rfwarp.data.furniture.correspondence import mesh_truth
from rfwarp.data.furniture.mesh import load_mesh
from rfwarp.data.furniture.packages import Piece
from rfwarp.data.furniture.render import RENDERER_VERSION, render_mesh, trace_mesh
from rfwarp.data.truth import Truth
from rfwarp.poses import Viewpoint


class Furniture:
    """:class:`rfwarp.data.ChairViews` of pieces of furniture, rendered when first asked for.

    All 54 views of a piece are rendered together (on one core some 0.1 s each at 64 x 64) and kept,
    with their depth and normals: in ``cache``, which several processes may share, which outlives
    them, and which can be filled further after an interruption; or else in memory.

    Args:
        pieces: at least one.
        size: height and width in pixels.
        cache: a folder, 54 * 10 * size^2 bytes a piece: 2.2 MB at 64 x 64, 9 MB at 128 x 128. It is
            created if need be; an existing one must have been made with the same pieces, size and
            renderer version.
        memory_pieces: how many pieces are kept in memory when there is no cache.
        device: where to render.

    Raises:
        ValueError: for bad numbers, or for a cache folder that holds something else.

    Example:
        >>> from pathlib import Path, PurePosixPath
        >>> import trimesh
        >>> from rfwarp.data import Furniture
        >>> from rfwarp.data.furniture import Piece
        >>> Path("box").mkdir()
        >>> _ = trimesh.creation.box().export("box/model.obj")
        >>> model, upright = PurePosixPath("box/model.obj"), (1, 0, 0, 0, 1, 0, 0, 0, 1)
        >>> piece = Piece("box", "Box", "me", "CC0", "Kitchen", frozenset(), Path(), model, upright)
        >>> Furniture([piece], size=8).views(0, [0, 27]).shape
        torch.Size([2, 3, 8, 8])
    """

    def __init__(
        self,
        pieces: Sequence[Piece],
        size: int,
        cache: str | os.PathLike[str] | None = None,
        *,
        memory_pieces: int = 64,
        device: torch.device | str = "cpu",
    ) -> None:
        for name, value in (
            ("the number of pieces", len(pieces)),
            ("size", size),
            ("memory_pieces", memory_pieces),
        ):
            if value < 1:
                raise ValueError(f"{name} must be at least 1, got {value}")
        self.pieces, self._size = tuple(pieces), size
        self._device = torch.device(device)
        disk = None if cache is None else self._disk_cache(Path(cache))
        self._kept = Kept(disk, memory_pieces)

    @property
    def count(self) -> int:
        return len(self.pieces)

    @property
    def size(self) -> int:
        return self._size

    @property
    def available(self) -> tuple[int, ...]:
        return tuple(range(VIEW_COUNT))

    def views(self, chair: int, indices: Sequence[int] | Tensor) -> Tensor:
        """(V, 3, size, size) uint8 RGB images of one piece.

        Raises:
            ImportError: without ``pip install "rfwarp[furniture]"``.
            IndexError: if the piece is not in 0..count-1.
            ValueError: if a view index is not in 0..53, or the model cannot be read.
        """
        wanted = checked_indices(self, chair, indices)
        kept = self._kept.get(chair, self._render)["images"]
        return torch.from_numpy(np.array(kept[wanted]))

    def truth(self, chair: int, indices: Sequence[int] | Tensor) -> Truth:
        """True correspondences of views of one piece: of K sources, then the target.

        Raises:
            ImportError, IndexError, ValueError: as for :meth:`views`, and without a target.
        """
        wanted = checked_indices(self, chair, indices)
        if not wanted:
            raise ValueError("views must end with the target, got none")
        kept = self._kept.get(chair, self._render)
        return mesh_truth(
            kept["depth"][wanted], kept["normal"][wanted], [Viewpoint.from_index(v) for v in wanted]
        )

    def _render(self, number: int) -> dict[str, Array]:
        mesh, views = load_mesh(self.pieces[number]).to(self._device), list(Viewpoint.grid())
        depth, normal = trace_mesh(mesh, views, self.size)
        made = {
            "images": render_mesh(mesh, views, self.size),
            "depth": depth,
            "normal": normal,
        }
        return {name: value.cpu().numpy() for name, value in made.items()}

    def _disk_cache(self, folder: Path) -> DiskCache:
        ids = "\n".join(piece.id for piece in self.pieces)
        key = {
            "renderer_version": RENDERER_VERSION,
            "pieces": zlib.crc32(ids.encode("utf-8")),
            "count": self.count,
            "size": self.size,
        }
        return DiskCache(folder, "piece", key, self.count, kept_arrays(self.size))


def kept_arrays(size: int) -> Forms:
    """Shapes and dtypes of the arrays that are kept of a piece."""
    return {
        "images": ((VIEW_COUNT, 3, size, size), np.uint8),
        "depth": ((VIEW_COUNT, size, size), np.float32),
        "normal": ((VIEW_COUNT, 3, size, size), np.int8),
    }


def piece_bytes(size: int) -> int:
    """Size of the arrays that are kept of a piece, bytes."""
    return byte_size(kept_arrays(size))
