"""Figures of a result beside its source, frame by frame: brightness, sharpness, flicker, difference from the source.

Only the luma is looked at, at full range. No ground truth is needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]  # luma (H, W), 0 ... 255, full range
Values = NDArray[np.float64]  # one per frame of the source; NaN where there is nothing to measure

FINE = 1.2  # pixels: detail finer than this sigma counts as sharpness
COARSE = 8  # pixels of the source that one of the coarse picture stands for: grain is averaged away
MOTION = 16.0  # of 255: a pixel's share in flicker is cut here, or things that move would drown it


@dataclass(frozen=True, eq=False)
class Track:
    """One file: which of its frames is shown at each frame of the source, and the figures of these frames."""

    pts: NDArray[np.int64]  # in the reader's time base; -1 where the file has ended
    brightness: Values  # mean luma, 0 ... 255
    sharpness: Values  # mean absolute difference from the blurred luma, at the size of the largest file
    flicker: Values  # mean absolute second difference in time, at the source's size; NaN in a shot's first two frames
    change: Values  # mean absolute difference from the frame before, of the coarse picture; NaN in a shot's first frame
    difference: Values  # mean absolute difference from the source, at the source's size; the source's own is 0


class Columns:
    """The figures of one file, as its frames come."""

    def __init__(self, size: tuple[int, int]) -> None:
        """`size`: width and height at which sharpness is measured, those of the largest file."""
        self._size = size
        self._recent: list[Plane] = []  # of three frames, at the source's size
        self._rows: list[tuple[float, ...]] = []
        self._pts: list[int] = []

    @property
    def last(self) -> Plane:
        return self._recent[-1]

    def add(self, pts: int, plane: Plane, source: Plane | None) -> None:
        """`source`: the source's luma at this time; None for the source itself."""
        small = plane if source is None else scaled(plane, (source.shape[1], source.shape[0]))
        self._recent = [*self._recent[-2:], small]
        flicker = change = np.nan
        if len(self._recent) > 1:
            change = float(np.abs(_coarse(small) - _coarse(self._recent[-2])).mean())
        if len(self._recent) == 3:
            before, now, after = self._recent
            flicker = float(np.minimum(np.abs(after - 2 * now + before), MOTION).mean())
        large = scaled(plane, self._size)
        sharpness = float(np.abs(large - cv2.GaussianBlur(large, (0, 0), FINE)).mean())
        difference = 0.0 if source is None else float(np.abs(small - source).mean())
        self._pts.append(pts)
        self._rows.append((float(small.mean()), sharpness, flicker, change, difference))

    def skip(self) -> None:
        """The file has ended at this frame of the source."""
        self._pts.append(-1)
        self._rows.append((np.nan,) * 5)

    def track(self, starts: Sequence[int]) -> Track:
        """`starts`: first frame of every shot."""
        rows = np.array(self._rows, np.float64).reshape(-1, 5)
        across = [frame for start in starts for frame in (start, start + 1) if frame < len(rows)]
        rows[across, 2] = rows[starts, 3] = np.nan  # a difference over a cut says nothing
        return Track(np.array(self._pts, np.int64), *rows.T)


def _coarse(plane: Plane) -> Plane:
    size = max(1, plane.shape[1] // COARSE), max(1, plane.shape[0] // COARSE)
    return scaled(plane, size)


def full_range(luma: NDArray[np.uint8], *, limited: bool) -> Plane:
    plane = luma.astype(np.float32)
    return (plane - 16) * np.float32(255 / 219) if limited else plane


def scaled(plane: Plane, size: tuple[int, int]) -> Plane:
    """At `size` (width, height): averaged where it becomes smaller, bicubic where it becomes larger."""
    if (plane.shape[1], plane.shape[0]) == size:
        return plane
    smaller = size[0] < plane.shape[1]
    return np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC))
