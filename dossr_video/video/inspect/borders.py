"""Letterbox and pillarbox borders, and head-switching noise at the bottom of tape captures."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dossr_video.frames import Area

Luma = NDArray[np.uint8]  # (H, W)

BLACK = 40  # codes, mean of a line: black is 16, 32 on NTSC tape, plus noise
FLAT = 6.0  # codes, standard deviation within a line
LEAST = 2  # lines or columns; narrower borders are ignored
SMALLEST = 0.25  # of a side that must remain

TAPE_HEIGHTS = range(240, 609)  # lines of tape captures
SWITCHING_LINES = 16  # at the bottom that are searched for head-switching noise
DISPLACED = 2.0  # times the usual difference between lines
ENOUGH = 12  # frames that must have been measured
SHARE = 0.25  # of the frames in which a line is displaced
SHIFTS = (-24, -16, -12, -8, -6, -4, 4, 6, 8, 12, 16, 24)  # pixels by which skewed lines are moved for comparison
BETTER = 0.6  # ratio of the difference after and before moving a skewed line
RESTLESS = 3.0  # times the temporal noise of the lines above


@dataclass(frozen=True)
class Borders:
    """Black lines and columns around a picture."""

    top: int = 0
    bottom: int = 0
    left: int = 0
    right: int = 0

    def __and__(self, other: Borders) -> Borders:
        """The borders that are black in both."""
        return Borders(*map(min, zip(self._sides(), other._sides(), strict=True)))

    def __bool__(self) -> bool:
        return any(self._sides())

    def __str__(self) -> str:
        sides = zip(self._sides(), ("above", "below", "left", "right"), strict=True)
        return ", ".join(f"{count} {side}" for count, side in sides if count)

    def _sides(self) -> tuple[int, int, int, int]:
        return self.top, self.bottom, self.left, self.right


def black_borders(luma: Luma) -> Borders | None:
    """Black borders of one frame (H, W); None when the whole frame is black."""
    height, width = luma.shape
    top = _black(luma[line] for line in range(height))
    if top == height:
        return None
    bottom = _black(luma[line] for line in range(height - 1, top, -1))
    picture = luma[top : height - bottom]
    left = _black(picture[:, column] for column in range(width))
    right = _black(picture[:, column] for column in range(width - 1, left, -1))
    return Borders(*(side if side >= LEAST else 0 for side in (top, bottom, left, right)))


def _black(lines: Iterable[Luma]) -> int:
    """Number of leading black lines."""
    count = 0
    for line in lines:
        if line.mean() > BLACK or line.std() > FLAT:
            break
        count += 1
    return count


def picture_area(borders: Borders, switching: int, *, width: int, height: int) -> Area | None:
    """The area inside the borders; None: the whole frame, also where the area would be very small."""
    bottom = min(height - borders.bottom, height - switching)
    area = Area(borders.left, borders.top, width - borders.right, bottom)
    small = area.width < SMALLEST * width or area.height < SMALLEST * height
    return None if small or (area.width, area.height) == (width, height) else area


class HeadSwitching:
    """Detects head-switching noise: lines at the bottom that are skewed or noisy in many frames."""

    def __init__(self) -> None:
        self._frames = 0
        self._displaced: NDArray[Any] = np.zeros(SWITCHING_LINES)  # frames, by line
        self._skewed: NDArray[Any] = np.zeros(SWITCHING_LINES)
        self._change: NDArray[Any] = np.zeros(2 * SWITCHING_LINES)  # from frame to frame, codes
        self._before: NDArray[Any] | None = None

    def add(self, luma: Luma) -> None:
        """Measure the next frame (H, W), without black lines at the bottom."""
        if luma.shape[0] not in TAPE_HEIGHTS:
            return
        lines = luma[-2 * SWITCHING_LINES - 2 :].astype(np.int16)
        here, above = lines[2:], lines[:-2]  # two lines apart: of the same field
        change = np.abs(here - above).mean(1)
        usual = float(np.median(change[:SWITCHING_LINES]))
        displaced = change[SWITCHING_LINES:] > DISPLACED * usual + 2
        self._frames += 1
        self._displaced += displaced
        for line in np.flatnonzero(displaced):
            moved = min(_distance(here[SWITCHING_LINES + line], above[SWITCHING_LINES + line], by) for by in SHIFTS)
            self._skewed[line] += moved < BETTER * change[SWITCHING_LINES + line]
        if self._before is not None:
            self._change += np.abs(here - self._before).mean(1)
        self._before = here

    @property
    def lines(self) -> int:
        """Number of lines of head-switching noise at the bottom; 0: none."""
        if self._frames < ENOUGH or not (self._displaced >= SHARE * self._frames).any():
            return 0
        first = int(np.argmax(self._displaced >= SHARE * self._frames))
        skewed = self._skewed[first:].sum() >= self._displaced[first:].sum() / 2
        usual = float(np.median(self._change[:SWITCHING_LINES]))
        restless = float(self._change[SWITCHING_LINES + first :].mean()) > RESTLESS * usual + self._frames
        return SWITCHING_LINES - first if skewed or restless else 0


def _distance(line: NDArray[Any], above: NDArray[Any], by: int) -> float:
    """Mean absolute difference once `line` is moved left by `by` pixels."""
    moved, fixed = (line[by:], above[:-by]) if by > 0 else (line[:by], above[-by:])
    return float(np.abs(moved - fixed).mean())
