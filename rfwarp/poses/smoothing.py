"""Keypoints of a video's frames, made steady over time."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from rfwarp.poses.keypoints import Keypoints

Array = npt.NDArray[np.float64]


class OneEuroFilter:
    """The one-euro filter (Casiez, Roussel & Vogel, CHI 2012) on every coordinate of every joint.

    A low-pass filter whose cutoff grows with the joint's speed: trembling goes while a joint rests,
    and a fast one hardly lags behind. With the defaults, half of the trembling stays.

    Args:
        min_cutoff: of a joint at rest, Hz; lower is steadier.
        beta: by how many Hz the cutoff grows at a speed of one image height per second; higher lags
            less.
        derivative_cutoff: of the speed, Hz.

    Raises:
        ValueError: if a cutoff is not positive, or ``beta`` is negative.

    Example:
        >>> import numpy as np
        >>> from rfwarp.poses import Keypoints, OneEuroFilter
        >>> steady = OneEuroFilter()
        >>> for frame, x in enumerate((20.0, 21.0, 20.0)):
        ...     pose = Keypoints(np.full((18, 2), x), height=64, width=48)
        ...     print(round(float(steady.smooth(pose, frame / 25).points[0, 0]), 2))
        20.0
        20.39
        20.28
    """

    def __init__(
        self, min_cutoff: float = 1.0, beta: float = 20.0, derivative_cutoff: float = 1.0
    ) -> None:
        if min(min_cutoff, derivative_cutoff) <= 0 or beta < 0:
            raise ValueError(
                "cutoffs must be positive and beta at least 0, got "
                f"min_cutoff {min_cutoff}, derivative_cutoff {derivative_cutoff}, beta {beta}"
            )
        self.min_cutoff, self.beta, self.derivative_cutoff = min_cutoff, beta, derivative_cutoff
        self._seconds = np.full((18, 1), -math.inf)  # when each joint was last present
        self._places, self._speeds = np.zeros((2, 18, 2))

    def smooth(self, keypoints: Keypoints, seconds: float) -> Keypoints:
        """The next frame's pose, filtered. A missing joint stays missing, and waits.

        Args:
            seconds: time of the frame, later than the previous one's.

        Raises:
            ValueError: if it is not.
        """
        elapsed = seconds - self._seconds
        if not elapsed.min() > 0:
            raise ValueError(f"frames must come in the order of time, got one at {seconds} s again")
        # Image heights: whatever the resolution, one beta does.
        given = keypoints.points[:, :2] / np.float64(keypoints.height)
        there = keypoints.points[:, 2:] > 0
        # A joint that is new has waited for ever: it is taken as it is, at rest.
        speeds = (given - self._places) / elapsed
        speeds = _towards(self._speeds, speeds, elapsed, self.derivative_cutoff)
        cutoff = self.min_cutoff + self.beta * np.abs(speeds)
        places = _towards(self._places, given, elapsed, cutoff)
        self._places = np.where(there, places, self._places)
        self._speeds = np.where(there, speeds, self._speeds)
        self._seconds = np.where(there, seconds, self._seconds)
        points = np.concatenate([places * keypoints.height, there], axis=1)
        return Keypoints(points.astype(np.float32), keypoints.height, keypoints.width)


def _towards(last: Array, given: Array, elapsed: Array, cutoff: Array | float) -> Array:
    """A step of exponential smoothing."""
    weight = 1 / (1 + 1 / (2 * math.pi * cutoff * elapsed))
    return last + weight * (given - last)
