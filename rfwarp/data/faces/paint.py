"""Colours of what a face is made of, as functions of the places of its points at rest.

They are painted on the surface, not on the image: marks move with the skin.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from rfwarp.data.faces.extras import HAIR, LENS, RIMS
from rfwarp.data.faces.head import EYES, SKIN, TEETH, TONGUE, Integers, load_head
from rfwarp.data.faces.model import FaceModel
from rfwarp.data.faces.regions import beard, cavity, ear, hairline, lips, shirt, smooth
from rfwarp.data.people.materials import Array, Colour

EYE_CENTRE = (0.3078, 7.2842, 1.2453)
"""Of the left eye at rest; EYE_RADIUS likewise, decimetres."""
EYE_RADIUS = 0.138
_SIDE = 32  # of the lattice of noise


@lru_cache(maxsize=1)
def _lattice() -> Array:
    random = np.random.Generator(np.random.PCG64(20220209)).random(_SIDE**3)
    return random * 2 - 1


def noise(places: Array, frequency: float, offset: float = 0.0) -> Array:
    """(M,) smooth noise in about [-1, 1] at places (3, M), ``frequency`` waves a decimetre."""
    at = places * frequency + (offset * 7.31)
    cell = np.floor(at)
    x, y, z = at - cell
    i, j, k = cell.astype(np.intp)
    x, y, z = (t * t * (3 - 2 * t) for t in (x, y, z))
    values = _lattice()
    mask = _SIDE - 1
    i0, i1 = i & mask, (i + 1) & mask
    j0, j1 = (j & mask) * _SIDE, ((j + 1) & mask) * _SIDE
    k0, k1 = (k & mask) * _SIDE**2, ((k + 1) & mask) * _SIDE**2

    def row(jj: Array, kk: Array) -> Array:
        base = jj + kk
        first = values[i0 + base]
        return first + x * (values[i1 + base] - first)

    a, b = row(j0, k0), row(j1, k0)
    c, d = row(j0, k1), row(j1, k1)
    near = a + y * (b - a)
    return near + z * (c + y * (d - c) - near)


def linear(colour: Colour) -> Array:
    """(3, 1) linear light of an sRGB colour."""
    return np.asarray(colour, np.float64)[:, None] ** 2.2


def blend(colour: Array, other: Array, share: Array) -> Array:
    return colour + (other - colour) * share


class Paint:
    """Albedo and gloss of samples of one face.

    Both are linear; ``gloss`` is the strength of highlights.
    """

    def __init__(self, model: FaceModel) -> None:
        self._face = model.face
        head = load_head()
        self._marks = head.points[head.landmarks]
        self._offset = float(model.face.background.seed % 997) / 31

    def __call__(self, part: Integers, place: Array, sky: Array) -> tuple[Array, Array]:
        """(3, M) albedo and (M,) gloss of samples of parts (M,) at places (3, M) at rest."""
        face = self._face
        albedo = np.empty_like(place)
        gloss = np.zeros(len(part))
        for number, paint in (
            (SKIN, self._skin),
            (EYES, self._eye),
            (TEETH, self._tooth),
            (HAIR, self._lock),
        ):
            here = np.flatnonzero(part == number)
            if len(here):
                albedo[:, here], gloss[here] = paint(place[:, here], sky[here])
        for number, colour, shine in (
            (TONGUE, (0.72, 0.36, 0.36), 0.15),
            (RIMS, face.glasses.colour, 0.5),
            (LENS, (0.08, 0.08, 0.09), 0.6),
        ):
            here = np.flatnonzero(part == number)
            if len(here):
                albedo[:, here], gloss[here] = linear(colour), shine
        return albedo, gloss

    def _skin(self, place: Array, sky: Array) -> tuple[Array, Array]:
        face, (x, y, z) = self._face, place
        skin, across = face.skin, np.abs(x)
        count = place.shape[1]
        front = smooth(z, 0.7, 1.1)
        base = linear(skin.colour)
        coarse, fine = noise(place, 3.0, self._offset), noise(place, 14.0, self._offset)
        tone = 1 + skin.mottle * (0.06 * coarse + 0.05 * fine)
        colour = base * tone
        red = linear((0.78, 0.34, 0.28))
        cheek = np.exp(-(((across - 0.40) / 0.17) ** 2) - ((y - 6.98) / 0.17) ** 2)
        nose = np.exp(-((x / 0.12) ** 2) - ((y - 6.95) / 0.12) ** 2) * (z > 1.4)
        rosy = (0.16 * cheek + 0.15 * nose) * front * skin.ruddy + 0.12 * ear(place)
        colour = blend(colour, red * base.max() * 1.25, rosy)
        # Thin skin around the eyes is darker.
        ex, ey = across - EYE_CENTRE[0], y - EYE_CENTRE[1]
        socket = np.exp(-((ex / 0.24) ** 2) - ((ey + 0.02) / 0.14) ** 2) * front
        colour = colour * (1 - (0.10 + 0.12 * face.age) * socket)
        under = np.exp(-((ex / 0.17) ** 2) - ((ey + 0.14 + 0.25 * ex * ex) / 0.035) ** 2) * front
        colour = colour * (1 - (0.08 + 0.16 * face.age) * under)
        crease = np.exp(-(((ey - 0.105 + 0.9 * ex * ex) / 0.018) ** 2)) * (np.abs(ex) < 0.2)
        colour = colour * (1 - 0.25 * crease * front)
        if face.age > 0.3:
            lines = np.exp(-((np.sin((y - 7.6 + 0.04 * coarse) * 38) - 1) ** 2) / 0.1)
            lines *= (
                smooth(y, 7.55, 7.65) * smooth(y, 7.95, 7.85) * smooth(across, 0.5, 0.3) * front
            )
            colour = colour * (1 - 0.22 * (face.age - 0.3) * lines)
        if skin.freckles > 0:
            spots = noise(place, 42.0, self._offset + 3) + 0.35 * noise(
                place, 9.0, self._offset + 5
            )
            band = np.exp(-(((y - 7.02) / 0.22) ** 2)) * front + 0.15
            colour = colour * (
                1 - 0.45 * skin.freckles * smooth(spots, 0.5, 0.75) * np.minimum(band, 1)
            )
        for mx, my, radius in skin.moles:
            spot = smooth(np.hypot(x - mx, y - my), radius, 0.6 * radius) * front
            colour = colour * (1 - 0.6 * spot)
        gloss = (0.10 + 0.16 * skin.shine * (0.6 + 0.8 * nose + 0.3 * front)) * (1 + 0.3 * fine)

        wear = face.make_up
        if wear.blush:
            blush = (
                wear.blush
                * 0.35
                * np.exp(
                    -(((across - 0.46) / 0.13) ** 2)
                    - ((y - 7.02 - 0.4 * (across - 0.46)) / 0.09) ** 2
                )
            )
            colour = blend(colour, linear((0.85, 0.35, 0.38)) * base.max() * 1.3, blush * front)
        if wear.shadow:
            lid = smooth(ey, 0.0, 0.04) * smooth(ey, 0.20, 0.08) * smooth(np.abs(ex), 0.22, 0.12)
            colour = blend(colour, linear(wear.shadow_colour), 0.6 * wear.shadow * lid * front)
        # Rims of the lids: lashes, and the liner.
        lid = np.hypot(ex / 1.02, (ey - 0.012) / np.where(ey > 0.012, 0.52, 0.44))
        edge = np.exp(-(((lid - 0.145) / 0.016) ** 2))
        edge *= np.where(ey > 0.0, 0.75 + 0.25 * wear.liner, 0.25 + 0.45 * wear.liner)
        colour = blend(colour, linear((0.09, 0.06, 0.05)), edge * front * smooth(z, 1.2, 1.25))
        if face.mark != "none":
            colour = self._marked(colour, place, front)

        mouth = smooth(lips(place), -0.008, 0.008)
        natural = blend(
            base, linear((0.72, 0.28, 0.27)) * (0.35 + 0.75 * base.max()), np.array(0.55)
        )
        lip = blend(natural, linear(wear.lip_colour), wear.lipstick * np.ones(count))
        folds = noise(np.stack([x * 5, y * 0.6, z * 0]), 9.0, self._offset)
        lip = lip * (1 + 0.10 * folds) * (1 - 0.12 * smooth(y, 6.60, 6.64))
        colour = blend(colour, lip, 0.9 * mouth)
        gloss = gloss + mouth * (0.12 + 0.3 * wear.lipstick)

        colour, gloss = self._hairy(colour, gloss, place, front)
        cloth = smooth(shirt(place, face), -0.012, 0.012)
        if cloth.any():
            kind = linear(face.shirt.first) * np.ones((1, count))
            if face.shirt.striped:
                wave = smooth(np.sin(2 * np.pi * y / face.shirt.period), -0.15, 0.15)
                kind = blend(kind, linear(face.shirt.second), wave)
            weave = 1 + 0.08 * noise(place, 20.0)
            hem = 1 - 0.3 * smooth(shirt(place, face), 0.09, 0.07)
            colour = blend(colour, kind * weave * hem, cloth)
            gloss = gloss * (1 - cloth)
        inner = cavity(place, sky)
        colour = blend(colour, linear((0.50, 0.20, 0.18)), inner)
        return colour, gloss

    def _hairy(
        self, colour: Array, gloss: Array, place: Array, front: Array
    ) -> tuple[Array, Array]:
        """Brows, beard and hair of the head."""
        face, (x, y, z) = self._face, place
        brows = face.brows
        right, left = self._marks[17:22], self._marks[22:27]
        xs = (np.abs(right[::-1, 0]) + np.abs(left[:, 0])) / 2
        ys = (right[::-1, 1] + left[:, 1]) / 2 + np.array([0.0, 0.5, 1.0, 1.0, 0.0]) * brows.arch
        ys = ys + np.array([0.02, -0.018, 0.0, 0.0, 0.0])
        across = np.abs(x)
        curve = np.polynomial.Polynomial.fit(xs, ys - 0.008, 2)
        middle = curve(np.clip(across, 0.14, 0.55))
        along = (across - 0.12) / 0.40
        half = brows.thickness * smooth(along, -0.12, 0.12) * (1 - 0.85 * smooth(along, 0.3, 1.05))
        stroke = noise(
            np.stack([across * 34 - (y - middle) * np.where(along < 0.3, 6, 22), y * 3, z * 0]),
            1.0,
            9,
        )
        off = np.abs(y - middle) / np.maximum(half, 1e-3)
        inside = smooth(off + 0.25 * stroke, 1.1, 0.55) * smooth(along, -0.12, 0.06)
        inside *= smooth(along, 1.06, 0.8) * front
        brow = linear(face.hair.brow_colour) * (1 + 0.35 * stroke)
        colour = blend(colour, np.clip(brow, 0, 1), inside * brows.density)

        if face.beard != "none":
            grown = beard(place, face)
            dots = noise(place, 30.0, 2)
            strands = noise(np.stack([x * 26, y * 7, z * 12]), 1.0, 4)
            dense = {"stubble": 0.42, "short": 0.8, "full": 0.95}.get(face.beard, 0.85)
            rough = dots if face.beard == "stubble" else strands
            share = smooth(grown + 0.02 * rough, -0.015, 0.12) * dense
            share = share * (1 + 0.25 * dots) if face.beard == "stubble" else share
            hair = linear(face.hair.brow_colour) * (1 + 0.45 * rough)
            colour = blend(colour, np.clip(hair, 0, 1), np.clip(share, 0, 1))
            gloss = gloss * (1 - share)
        if face.hair.style == "bald":
            shaved = smooth(hairline(place, face), -0.02, 0.12) * 0.12 * (1 - ear(place))
            return blend(colour, linear(face.hair.brow_colour), shaved), gloss
        strand, fine = self._strands(place)
        edge = noise(place, 7.0, self._offset)
        grown = hairline(place, face) + 0.035 * strand + 0.03 * edge
        width = 0.03 if face.hair.style == "fringe" else 0.09
        share = smooth(grown, -0.01, width) * smooth(y, 6.35, 6.6) * (1 - ear(place))
        if face.hair.style == "cropped":
            share = share * (0.80 + 0.1 * fine)
        hair = linear(face.hair.colour) * np.clip(1 + 0.45 * strand + 0.4 * fine, 0.2, 2)
        root = 1 - 0.35 * smooth(grown, 0.2, 0.0)
        colour = blend(colour, np.clip(hair * root, 0, 1), share)
        return colour, gloss * (1 - share) + share * 0.16 * np.clip(
            1 + 0.9 * fine + 0.5 * strand, 0, 2
        )

    def _strands(self, place: Array) -> tuple[Array, Array]:
        """Noise along the hair that lies on the head: coarse and fine."""
        face, (x, y, z) = self._face, place
        if face.hair.style == "afro":
            return noise(place, 16.0, 1), noise(place, 34.0, 2)
        if face.hair.style in ("swept", "bob", "long", "fringe"):
            part = face.hair.parting
            flow = np.stack([z * 1.0, 0.15 * np.abs(x - part), 0.4 * (x > part)])
            if face.hair.style == "fringe":
                turn = np.arctan2(x, z - 0.2)
                flow = np.stack([turn, 0.1 * y, 0 * z])
        else:
            turn = np.arctan2(x - 0.05, z - 0.15)
            flow = np.stack([turn, 0.35 * np.hypot(x, z - 0.15) + 0.2 * y, 0 * z])
        if face.hair.style == "bun":
            flow = np.stack([np.arctan2(x, y - 7.6) * 1.0, 0.15 * z, 0 * z])
        return noise(flow, 13.0, 1), noise(flow, 34.0, 2)

    def _tooth(self, place: Array, sky: Array) -> tuple[Array, Array]:
        inside = 0.12 + 0.88 * smooth(place[2], 1.2, 1.44)  # those at the back lie in the dark
        return linear((0.90, 0.87, 0.80)) * inside, 0.35 * inside

    def _lock(self, place: Array, sky: Array) -> tuple[Array, Array]:
        across, along, _ = place
        flow = np.stack([across, along * 0.035, 0 * across])
        strand, fine = noise(flow, 26.0, 1), noise(flow, 70.0, 2)
        base = linear(self._face.hair.colour)
        shade = np.clip(1 + 0.35 * strand + 0.3 * fine, 0.25, 2)
        return np.clip(base * shade, 0, 1), 0.18 * np.clip(1 + 0.9 * fine + 0.5 * strand, 0, 2)

    def _eye(self, place: Array, sky: Array) -> tuple[Array, Array]:
        face, (x, y, z) = self._face, place
        dx, dy = (np.abs(x) - EYE_CENTRE[0]) / EYE_RADIUS, (y - EYE_CENTRE[1]) / EYE_RADIUS
        radius = np.where(z > EYE_CENTRE[2], np.hypot(dx, dy), 2.0)
        white = linear((0.84, 0.81, 0.79)) * np.ones((1, len(x)))
        veins = smooth(radius, 0.55, 1.0)
        white = blend(white, linear((0.80, 0.60, 0.56)), 0.5 * veins)
        angle = np.arctan2(dy, dx)
        rays = noise(np.stack([np.cos(angle) * 5, np.sin(angle) * 5, radius]), 1.6, 3)
        iris = (
            0.75 * linear(face.eyes) * (1 + 0.4 * rays) * (1.25 - 0.6 * smooth(radius, 0.30, 0.49))
        )
        iris = iris * (1 - 0.75 * smooth(radius, 0.40, 0.50))
        colour = blend(white, np.clip(iris, 0, 1), smooth(radius, 0.52, 0.47))
        colour = blend(colour, np.full((3, 1), 0.004), smooth(radius, 0.25, 0.20))
        return colour, np.full(len(x), 1.0)

    def _marked(self, colour: Array, place: Array, front: Array) -> Array:
        """A scar, or paint on a cheek."""
        face, (x, y, _) = self._face, place
        mx, my = face.mark_place
        u, v = (x - mx) * np.sign(mx), y - my
        ink = linear(face.mark_colour)
        if face.mark == "scar":
            line = np.exp(-(((u - 0.4 * v + 0.02 * np.sin(40 * v)) / 0.012) ** 2))
            cut = line * smooth(np.abs(v), 0.16, 0.12) * front
            return blend(colour, colour * np.array([[1.25], [0.95], [0.95]]), 0.9 * cut)
        if face.mark == "stripes":
            inside = (np.abs(u) < 0.14) & (np.abs(v) < 0.10)
            shown = smooth(np.sin((v + 0.2 * u) * 2 * np.pi / 0.075), -0.1, 0.3) * inside
        elif face.mark == "dots":
            cell = 0.065
            du, dv = u - cell * np.round(u / cell), v - cell * np.round(v / cell)
            inside = (np.abs(u) < 0.13) & (np.abs(v) < 0.10)
            shown = smooth(np.hypot(du, dv), 0.022, 0.017) * inside
        else:
            angle, radius = np.arctan2(v, u), np.hypot(u, v)
            shown = smooth(radius - 0.075 - 0.035 * np.cos(5 * angle), 0.006, -0.006)
        return blend(colour, ink, 0.85 * shown * front)
