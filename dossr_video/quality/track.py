"""Figures of a result beside its source, frame by frame: brightness, sharpness, flicker, difference from the source.

Only the luma is looked at, at full range. No ground truth is needed.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]  # luma (H, W), 0 ... 255, full range
Values = NDArray[np.float64]  # one per frame of the source; NaN where there is nothing to measure

FINE = 1.2  # pixels: detail finer than this sigma counts as sharpness
COARSE = 8  # pixels of the source that one of the coarse picture stands for: grain is averaged away
SIDE = 640  # pixels of the longer side at which frames are compared, at most: unrest of detail shows, and it is quick
MIDDLE = 960 * 540  # pixels of the largest file in whose middle sharpness is measured, at most
MOTION = 16.0  # of 255: a pixel's share in flicker is cut here, or things that move would drown it


@dataclass(frozen=True, eq=False)
class Luma8:
    """Luma as coded."""

    codes: NDArray[np.uint8]  # (H, W)
    limited: bool  # 16 ... 235


Shown = tuple[int, Luma8]  # pts and luma of the frame that a file shows at a moment


@dataclass(frozen=True, eq=False)
class Track:
    """One file: which of its frames is shown at each frame of the source, and the figures of these frames."""

    pts: NDArray[np.int64]  # in the reader's time base; -1 where the file has ended
    brightness: Values  # mean luma, 0 ... 255
    sharpness: Values  # mean absolute difference from the blurred luma, at the largest file's size, in its middle
    flicker: Values  # mean absolute second difference in time, at the source's size; NaN in a shot's first two frames
    change: Values  # mean absolute difference from the frame before, of the coarse picture; NaN in a shot's first frame
    difference: Values  # mean absolute difference from the source, at the source's size; the source's own is 0


@dataclass(frozen=True, eq=False)
class Measured:
    """The source and its results, all counted by the source's frames."""

    seconds: Values  # from the first frame
    shots: tuple[range, ...]
    tracks: tuple[Track, ...]  # the source's first

    def shot_of(self, frame: int) -> int:
        return next(number for number, shot in enumerate(self.shots) if frame in shot)

    def frame_at(self, seconds: float) -> int:
        """The nearest frame."""
        return int(np.abs(self.seconds - seconds).argmin())


class Watch:
    """Takes a source and its results in step, frame by frame; then `measured` says how they compare.

    All are looked at small: SIDE pixels across, and for sharpness the middle of the largest file's picture.
    """

    def __init__(self, sizes: Sequence[tuple[int, int]]) -> None:
        """Width and height of every file, the source's first."""
        shrink = min(1.0, SIDE / max(sizes[0]))
        self._size = max(1, round(sizes[0][0] * shrink)), max(1, round(sizes[0][1] * shrink))
        self._largest = max(sizes, key=lambda size: size[0] * size[1])
        self._columns = [Columns() for _ in sizes]
        self._seconds = array("d")

    def __len__(self) -> int:
        return len(self._seconds)

    def add(self, seconds: float, source: Shown, results: Sequence[Shown | None]) -> None:
        """The next moment: `seconds` from the first frame; None: the file has ended."""
        self._seconds.append(seconds)
        original: Plane | None = None
        for columns, shown in zip(self._columns, (source, *results), strict=True):
            if shown is None:
                columns.skip()
                continue
            pts, luma = shown
            small = full_range(scaled(luma.codes, self._size), limited=luma.limited)
            columns.add(pts, small, original, sharpness=self._sharpness(luma))
            original = small if original is None else original

    def _sharpness(self, luma: Luma8) -> float:
        height, width = luma.codes.shape
        part = min(1.0, (MIDDLE / (self._largest[0] * self._largest[1])) ** 0.5)
        tall, wide = max(1, round(height * part)), max(1, round(width * part))
        top, left = (height - tall) // 2, (width - wide) // 2
        middle = full_range(luma.codes[top : top + tall, left : left + wide], limited=luma.limited)
        return sharpness(scaled(middle, (round(self._largest[0] * part), round(self._largest[1] * part))))

    def measured(self, starts: Sequence[int]) -> Measured:
        """After the last moment; `starts`: first frame of every shot."""
        count = len(self._seconds)
        shots = tuple(range(first, stop) for first, stop in pairwise([*starts, count]))
        tracks = tuple(columns.track(starts) for columns in self._columns)
        return Measured(np.array(self._seconds, np.float64), shots, tracks)


class Columns:
    """The figures of one file, as its frames come."""

    def __init__(self) -> None:
        self._recent: list[Plane] = []  # of three frames
        self._rows: list[tuple[float, ...]] = []
        self._pts: list[int] = []

    def add(self, pts: int, small: Plane, source: Plane | None, *, sharpness: float) -> None:
        """`small` at the source's size; `source`: the source's at this time, None for the source itself."""
        self._recent = [*self._recent[-2:], small]
        flicker = change = np.nan
        if len(self._recent) > 1:
            change = float(np.abs(coarse(small) - coarse(self._recent[-2])).mean())
        if len(self._recent) == 3:
            before, now, after = self._recent
            flicker = float(np.minimum(np.abs(after - 2 * now + before), MOTION).mean())
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


def sharpness(plane: Plane) -> float:
    """Mean absolute difference from the blurred luma."""
    return float(np.abs(plane - cv2.GaussianBlur(plane, (0, 0), FINE)).mean())


def coarse(plane: Plane) -> Plane:
    """Means of COARSE x COARSE pixels."""
    size = max(1, plane.shape[1] // COARSE), max(1, plane.shape[0] // COARSE)
    return scaled(plane, size)


def full_range(luma: NDArray[np.uint8], *, limited: bool) -> Plane:
    plane = luma.astype(np.float32)
    return (plane - 16) * np.float32(255 / 219) if limited else plane


def scaled(plane: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    """At `size` (width, height): averaged where it becomes smaller, bicubic where it becomes larger."""
    if (plane.shape[1], plane.shape[0]) == size:
        return plane
    smaller = size[0] < plane.shape[1]
    return np.asarray(cv2.resize(plane, size, interpolation=cv2.INTER_AREA if smaller else cv2.INTER_CUBIC))
