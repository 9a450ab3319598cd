"""Packages of furniture: their models, with authors and licences.

A package is a file ``.sh3f``, which is a zip, or the folder that it was unpacked to. Its catalogue
is a Java properties file whose keys end in ``#`` and the number of a piece of furniture.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Files = Path | zipfile.Path

CATALOGUE = "PluginFurnitureCatalog.properties"
SEATS = "seats"
"""The category of everything to sit on, which is only a tag in the catalogues."""
_SEAT_TAGS = {"Seat", "Chair", "Sofa", "Couch"}


@dataclass(frozen=True)
class Piece:
    """A piece of furniture, as its package's catalogue describes it."""

    id: str
    name: str
    creator: str
    licence: str
    category: str
    """As in the catalogue: Bathroom, Kitchen, ..."""
    tags: frozenset[str]
    package: Path
    """A file ``.sh3f``, or a folder."""
    model: PurePosixPath
    """Path of the OBJ file in the package."""
    rotation: tuple[float, ...]
    """Matrix that sets the model upright: 9 elements, row by row."""

    @property
    def is_seat(self) -> bool:
        """Whether it is to sit on."""
        return bool(self.tags & _SEAT_TAGS)

    def belongs(self, category: str | None) -> bool:
        """Whether it is of a category: seats, or one of the catalogue, in upper or lower case;
        None stands for all."""
        if category is None:
            return True
        if category.lower() == SEATS:
            return self.is_seat
        return category.lower() == self.category.lower()

    def files(self) -> Files:
        """The folder of the model.

        Raises:
            ValueError: if the package cannot be read.
        """
        return _opened(self.package).joinpath(*self.model.parent.parts)


def find_pieces(root: Path) -> list[Piece]:
    """All pieces of the packages somewhere below a folder, sorted by id.

    Raises:
        ImportError: without ``pip install "rfwarp[furniture]"``.
        FileNotFoundError: if there is no package.
        ValueError: if a package or its catalogue is malformed, or two pieces have the same id.
    """
    packages = [*root.rglob("*.sh3f"), *(file.parent for file in root.rglob(CATALOGUE))]
    if not packages:
        raise FileNotFoundError(
            f"there is no package of furniture below {root}: neither a file .sh3f, nor a folder "
            f"with {CATALOGUE}"
        )
    pieces: dict[str, Piece] = {}
    for package in sorted(packages):
        for piece in read_catalogue(package):
            if piece.id in pieces:
                raise ValueError(
                    f"{package} and {pieces[piece.id].package} both have a piece {piece.id!r}"
                )
            pieces[piece.id] = piece
    return [pieces[key] for key in sorted(pieces)]


def read_catalogue(package: Path) -> Iterator[Piece]:
    """The pieces of a package, in order.

    Raises:
        ImportError: without ``pip install "rfwarp[furniture]"``.
        ValueError: if it cannot be read, or a piece lacks its name, category or model.
    """
    try:
        import javaproperties
    except ModuleNotFoundError as error:
        raise ImportError(
            'catalogues need javaproperties: pip install "rfwarp[furniture]"'
        ) from error
    file = _opened(package) / CATALOGUE
    if not file.is_file():
        raise ValueError(f"{package} is no package of furniture: it has no {CATALOGUE}")
    entries = javaproperties.loads(file.read_bytes())
    for number in _numbers(entries):

        def field(
            name: str,
            default: str | None = None,
            number: int = number,
        ) -> str:
            value = entries.get(f"{name}#{number}", default)
            if value is None:
                raise ValueError(f"{package}: {CATALOGUE} lacks {name}#{number}")
            return str(value).strip()

        model = PurePosixPath(field("model").lstrip("/"))
        if ".." in model.parts:
            raise ValueError(f"{package}: model#{number} leaves the package: {model}")
        yield Piece(
            id=field("id", str(model)),
            name=field("name"),
            creator=field("creator", "unknown"),
            licence=field("license", entries.get("license", "unknown")),
            category=field("category"),
            tags=frozenset(tag.strip() for tag in field("tags", "").split(",")),
            package=package,
            model=model,
            rotation=_rotation(package, field("modelRotation", "1 0 0 0 1 0 0 0 1")),
        )


def _opened(package: Path) -> Files:
    if package.is_dir():
        return package
    try:
        return zipfile.Path(package)
    except (OSError, zipfile.BadZipFile) as error:
        raise ValueError(f"{package} cannot be read as a package of furniture: {error}") from error


def _numbers(entries: dict[str, str]) -> list[int]:
    ends = (key.removeprefix("model#") for key in entries if key.startswith("model#"))
    return sorted(int(end) for end in ends if end.isascii() and end.isdecimal())


def _rotation(package: Path, text: str) -> tuple[float, ...]:
    try:
        elements = tuple(float(word) for word in text.split())
    except ValueError:
        elements = ()
    matrix = np.array(elements)
    # Rounded to a few digits in the catalogues, and never a mirror image.
    if len(elements) != 9 or not (
        np.allclose(matrix.reshape(3, 3) @ matrix.reshape(3, 3).T, np.eye(3), atol=1e-2)
        and np.linalg.det(matrix.reshape(3, 3)) > 0
    ):
        raise ValueError(f"{package}: modelRotation must be 9 elements of a rotation, got {text!r}")
    return elements
