"""The sampler's index maths (csrc/sampler.h), which all compiled kernels share, on the host."""

import math
import os
import shutil
import subprocess
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).parent
COMPILER = shutil.which(os.environ.get("CXX", "c++"))
FLAGS = {
    "as the kernels are": ["-O3", "-fno-math-errno", "-fno-trapping-math"],
    "with sanitizers": [
        "-O1",
        "-fsanitize=address,undefined,float-cast-overflow",
        "-fno-sanitize-recover=all",
    ],
}
SIZES = (1, 2, 3, 7, 4096, 2**24, 2**24 + 3, 2**31 - 2)
TYPES = {"float": np.float32, "double": np.float64}


@pytest.fixture(scope="module", params=FLAGS)
def sampler(request, tmp_path_factory):
    if COMPILER is None:
        pytest.skip("there is no C++ compiler")
    folder = tmp_path_factory.mktemp("sampler")
    program = folder / "sampler"
    compile_and_link = [COMPILER, "-std=c++17", *FLAGS[request.param], "-o", program]
    (folder / "empty.cpp").write_text("int main() {}")
    if subprocess.run([*compile_and_link, folder / "empty.cpp"], check=False).returncode != 0:
        pytest.skip(f"{COMPILER} does not link {request.param}")
    sources = [f"-I{HERE.parents[1] / 'csrc'}", HERE / "sampler_on_host.cpp"]
    subprocess.run([*compile_and_link, *sources], check=True)

    def run(positions, kind, size, padding_mode):
        arguments = [program, kind, str(size), padding_mode]
        given = np.asarray(positions, dtype=np.float64).tobytes()
        done = subprocess.run(arguments, input=given, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode()
        return np.frombuffer(done.stdout, dtype=np.float64).reshape(-1, 5)

    return run


def positions_around(size, real):
    """Numbers of a type on, beside and far from every limit, and between."""
    limits = [real(x) for x in (-3, -2, -1, -0.0, 0.0, 0.5, 1, 1.25, size - 2, size - 1, size)]
    limits += [real(size - 0.5), real(size + 1), real(2**24), real(2**31), real(2**32), real(2**63)]
    tiny = np.finfo(real).smallest_subnormal
    limits += [tiny, -tiny, np.finfo(real).max, -np.finfo(real).max, real(3e9), real(-3e9)]
    beside = [np.nextafter(x, real(to)) for x in limits[:-6] for to in (-math.inf, math.inf)]
    return [*limits, *beside, real(math.inf), real(-math.inf), real(math.nan)]


def reflected(position, last):
    """The exact position and slope; the last pixel is where a number of the type can be."""
    exact, last = Fraction(float(position)), Fraction(float(last))
    distance = abs(exact) % (2 * last) if last else Fraction(0)
    back = distance > last
    exact_position = 2 * last - distance if back else distance
    slope = 0 if exact_position in (0, last) else -1 if (position < 0) != back else 1
    return exact_position, slope


def exact_tap(position, size, padding_mode, real):
    """The tap that rfwarp.ops states, in exact arithmetic; None where nothing is inside."""
    last, slope = size - 1, 1
    if math.isnan(position):
        return None
    if padding_mode == "border":
        slope = int(0 < position < real(last))
        position = min(max(position, real(0)), real(last))
    if padding_mode == "reflection":
        if math.isinf(position):
            return None
        position, slope = reflected(position, real(last))
    if not -1 <= position < real(size):
        return None
    low = math.floor(position)
    return (
        low,
        Fraction(position if isinstance(position, Fraction) else float(position)) - low,
        slope,
    )


@pytest.mark.parametrize("padding_mode", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("size", SIZES)
def test_taps_are_exact(sampler, size, kind, padding_mode):
    real = TYPES[kind]
    positions = positions_around(size, real)
    for position, row in zip(positions, sampler(positions, kind, size, padding_mode), strict=True):
        low, fraction, slope, low_inside, high_inside = row
        note = (position, row)
        # Whatever the position is, no pixel outside of the image is said to be inside.
        assert low_inside == (0 <= low < size), note
        assert high_inside == (0 <= low + 1 < size), note
        exact = exact_tap(position, size, padding_mode, real)
        if exact is None:
            assert (low, fraction) == (-2, 0), note
            continue
        assert (low, slope) == (exact[0], exact[2]), note
        assert 0 <= fraction <= 1, note
        # Subtracting the whole part is exact, except of a negative number tinier than 1.
        bound = Fraction(float(np.finfo(real).eps)) / 2 if position < 0 else 0
        assert abs(Fraction(fraction) - exact[1]) <= bound, note
