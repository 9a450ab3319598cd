"""The head that all faces are made of: a mesh with targets of shape and of expression.

It is MakeHuman's, CC0 1.0, cut to a bust; ``extraction.py`` says where it comes from. Lengths are
decimetres: x to the head's left, y up, z to the front.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from rfwarp.data.people.materials import Array

Integers = npt.NDArray[np.intp]

FILE = Path(__file__).with_name("head.npz")
QUANTUM = 2.5e-4
"""Unit of the displacements in the file, decimetres."""

SKIN, EYES, TEETH, TONGUE = range(4)
"""Parts of the mesh; shirt and hair are skin that is painted and moved outwards."""

SEXES = ("female", "male")
ANCESTRIES = ("african", "asian", "caucasian")

AXES: dict[str, tuple[tuple[str, str, str], ...]] = {
    "head": (
        ("head-scale-horiz", "decr", "incr"),
        ("head-scale-depth", "decr", "incr"),
        ("head-scale-vert", "decr", "incr"),
        ("head-fat", "decr", "incr"),
        ("head-back-scale-depth", "decr", "incr"),
        ("head", "oval", "square"),
        ("head", "triangular", "invertedtriangular"),
        ("head", "rectangular", "round"),
    ),
    "forehead": (
        ("forehead-scale-vert", "decr", "incr"),
        ("forehead-temple", "decr", "incr"),
        ("forehead-trans", "backward", "forward"),
    ),
    "eyebrows": (
        ("eyebrows-angle", "down", "up"),
        ("eyebrows-trans", "backward", "forward"),
        ("eyebrows-trans", "down", "up"),
    ),
    "eyes": (
        ("eye-bag", "decr", "incr"),
        ("eye-corner1", "down", "up"),
        ("eye-corner2", "down", "up"),
        ("eye-epicanthus", "in", "out"),
        ("eye-eyefold", "down", "up"),
        ("eye-height2", "decr", "incr"),
        ("eye-push1", "in", "out"),
        ("eye-scale", "decr", "incr"),
        ("eye-trans", "down", "up"),
        ("eye-trans", "in", "out"),
    ),
    "nose": (
        ("nose-base", "down", "up"),
        ("nose-curve", "concave", "convex"),
        ("nose-flaring", "decr", "incr"),
        ("nose-hump", "decr", "incr"),
        ("nose-nostrils-width", "decr", "incr"),
        ("nose-point", "down", "up"),
        ("nose-point-width", "decr", "incr"),
        ("nose-scale-depth", "decr", "incr"),
        ("nose-scale-horiz", "decr", "incr"),
        ("nose-scale-vert", "decr", "incr"),
        ("nose-trans", "down", "up"),
        ("nose-volume", "decr", "incr"),
        ("nose-width1", "decr", "incr"),
        ("nose-width2", "decr", "incr"),
    ),
    "mouth": (
        ("mouth-angles", "down", "up"),
        ("mouth-cupidsbow", "decr", "incr"),
        ("mouth-laugh-lines", "in", "out"),
        ("mouth-lowerlip-height", "decr", "incr"),
        ("mouth-lowerlip-volume", "decr", "incr"),
        ("mouth-upperlip-height", "decr", "incr"),
        ("mouth-upperlip-volume", "decr", "incr"),
        ("mouth-scale-horiz", "decr", "incr"),
        ("mouth-trans", "backward", "forward"),
        ("mouth-trans", "down", "up"),
    ),
    "chin": (
        ("chin-bones", "decr", "incr"),
        ("chin-cleft", "decr", "incr"),
        ("chin-height", "decr", "incr"),
        ("chin-prominent", "decr", "incr"),
        ("chin-width", "decr", "incr"),
    ),
    "cheek": (
        ("cheek-bones", "decr", "incr"),
        ("cheek-inner", "decr", "incr"),
        ("cheek-volume", "decr", "incr"),
    ),
    "ears": (
        ("ear-scale", "decr", "incr"),
        ("ear-wing", "decr", "incr"),
        ("ear-lobe", "decr", "incr"),
        ("ear-shape", "round", "square"),
    ),
    "neck": (
        ("neck-double", "decr", "incr"),
        ("neck-scale-horiz", "decr", "incr"),
        ("neck-scale-depth", "decr", "incr"),
    ),
}
"""Axes of shape by MakeHuman's folders: name, and the endings of its two directions."""

EXPRESSIONS = (
    *(f"{unit}{side}" for side in ("Left", "Right") for unit in (
        "browDown", "browOuterUp", "cheekSquint", "eyeBlink", "eyeLookDown", "eyeLookUp",
        "eyeLookIn", "eyeLookOut", "eyeSquint", "eyeWide", "mouthDimple", "mouthFrown",
        "mouthLowerDown", "mouthPress", "mouthSmile", "mouthStretch", "mouthUpperUp", "noseSneer",
    )),
    *("browInnerUp", "cheekPuff", "jawForward", "jawLeft", "jawOpen", "jawRight", "mouthClose"),
    *("mouthFunnel", "mouthLeft", "mouthPucker", "mouthRight", "mouthRollLower"),
    *("mouthRollUpper", "mouthShrugLower", "mouthShrugUpper"),
)  # fmt: skip
"""Action units, by the names of the Face Units."""


@dataclass(frozen=True)
class Head:
    """``points`` (P, 3) at rest; ``quads`` (Q, 4); ``parts`` (Q,), SKIN, ...; ``sky`` (P,) shares
    of the sky that points see; ``landmarks`` (68,) points; ``moves``: (P, 3) displacements by name.
    """

    points: Array
    quads: Integers
    parts: Integers
    sky: Array
    landmarks: Integers
    moves: dict[str, Array]


@lru_cache(maxsize=1)
def load_head() -> Head:
    """The head in :data:`FILE`."""
    with np.load(FILE, allow_pickle=False) as file:
        moves = file["moves"] * QUANTUM
        return Head(
            file["points"].astype(np.float64),
            file["quads"].astype(np.intp),
            file["parts"].astype(np.intp),
            file["sky"] / 255,
            file["landmarks"].astype(np.intp),
            {str(name): move for name, move in zip(file["names"], moves, strict=True)},
        )
