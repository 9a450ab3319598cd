"""Tuples of images of one person, as Lathuiliere et al. (2020) make them."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import permutations
from math import perm
from pathlib import Path

from rfwarp.data.sampling import generator, orders
from rfwarp.files import shortened, write_atomically
from rfwarp.poses.keypoints import Keypoints

SHOULDERS_AND_HIPS = (2, 5, 8, 11)

Names = tuple[str, ...]
"""K sources, then the target."""


def has_torso(pose: Keypoints) -> bool:
    """Whether both shoulders and both hips are there."""
    return pose.has(*SHOULDERS_AND_HIPS)


def build_tuples(
    keypoints: Mapping[str, Keypoints],
    identity: Callable[[str], str],
    sources: int,
    seed: int = 0,
) -> list[Names]:
    """(K+1)-tuples of different images of one person.

    Images without both shoulders and hips are left out. Of a person with n images left,
    n (n - 1) ordered tuples are drawn without replacement: with K = 1 all pairs. A person with
    fewer than K + 1 images has none.

    Args:
        keypoints: by image.
        identity: gives the person's name for an image's name.
        sources: K.
        seed: the same one gives the same tuples, whatever other people there are.
    """
    if sources < 1:
        raise ValueError(f"sources must be at least 1, got {sources}")
    people: dict[str, list[str]] = {}
    for name in sorted(keypoints):
        if has_torso(keypoints[name]):
            people.setdefault(identity(name), []).append(name)
    return [
        row
        for person, names in sorted(people.items())
        for row in _of_person(person, names, sources + 1, seed)
    ]


def _of_person(person: str, names: Sequence[str], length: int, seed: int) -> list[Names]:
    n = len(names)
    if n < length:
        return []
    wanted, random = n * (n - 1), generator(seed, person)
    if perm(n, length) <= 8 * wanted:
        every = list(permutations(names, length))
        chosen = orders(random, 1, len(every))[0, :wanted]
        return [every[i] for i in sorted(chosen.tolist())]
    drawn: dict[Names, None] = {}
    while len(drawn) < wanted:
        for row in orders(random, wanted - len(drawn), n)[:, :length].tolist():
            drawn[tuple(names[i] for i in row)] = None
    return list(drawn)


def write_tuples(path: Path, rows: Iterable[Names]) -> None:
    """Write tuples as CSV with the columns ``from_0`` ... ``from_{K-1}``, ``to``; atomically."""
    rows = list(rows)
    if not rows:
        raise ValueError("there are no tuples to write")
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*(f"from_{k}" for k in range(len(rows[0]) - 1)), "to"])
    writer.writerows(rows)
    data = text.getvalue().encode("utf-8")
    write_atomically(path, lambda temporary: temporary.write_bytes(data))


def read_tuples(path: Path) -> list[Names]:
    """Read what :func:`write_tuples` wrote, or published pairs with the columns ``from``, ``to``.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if the header is another one, there are no rows, or a row has another number of
            names, or one twice; the message has the line's number.
    """
    with path.open(newline="", encoding="utf-8") as file:
        lines = csv.reader(file)
        try:
            header = next(lines, [])
            expected = [f"from_{k}" for k in range(len(header) - 1)]
            if header != ["from", "to"] and (not expected or header != [*expected, "to"]):
                raise ValueError(
                    f"expected from_0,...,to or from,to, got {shortened(','.join(header))!r}"
                )
            rows = [_checked(line, len(header)) for line in lines]
        except (ValueError, csv.Error) as error:
            raise ValueError(
                f"{path}, line {max(1, lines.line_num)}: {shortened(error, 400)}"
            ) from error
    if not rows:
        raise ValueError(f"{path} has no rows")
    return rows


def _checked(line: list[str], length: int) -> Names:
    if len(line) != length:
        raise ValueError(f"expected {length} names, got {len(line)}")
    if len(set(line)) < length:
        raise ValueError("an image is there twice")
    return tuple(line)
