"""What frames a picture and is none of it: black borders, and the noise where a tape recorder switches heads."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dossr_video.frames import Area

Luma = NDArray[np.uint8]  # (H, W)

BLACK = 40  # codes, mean of a line: 16 is black, 32 on NTSC tape, and noise comes on top
FLAT = 6.0  # codes of deviation within a line; a dark line of the picture that is as flat has nothing to restore
LEAST = 2  # lines or columns; a border of one is an edge
SMALLEST = 0.25  # of a side, that the picture must fill

TAPE_HEIGHTS = range(240, 609)  # lines of what comes from tape
SWITCHING_LINES = 16  # at the bottom, among which head switching is looked for
DISPLACED = 2.0  # times the usual change from line to line
ENOUGH = 12  # frames that must have been looked at
SHARE = 0.25  # of the frames in which a line is displaced: the place of the switch trembles
SHIFTS = (-24, -16, -12, -8, -6, -4, 4, 6, 8, 12, 16, 24)  # pixels a skewed line is moved back by
BETTER = 0.6  # how much a skewed line gains when it is moved back
RESTLESS = 3.0  # times as noisy from frame to frame as the lines above


@dataclass(frozen=True)
class Borders:
    """Black lines and columns around a picture."""

    top: int = 0
    bottom: int = 0
    left: int = 0
    right: int = 0

    def __and__(self, other: Borders) -> Borders:
        """What is black in both."""
        return Borders(*map(min, zip(self._sides(), other._sides(), strict=True)))

    def __bool__(self) -> bool:
        return any(self._sides())

    def __str__(self) -> str:
        sides = zip(self._sides(), ("above", "below", "left", "right"), strict=True)
        return ", ".join(f"{count} {side}" for count, side in sides if count)

    def _sides(self) -> tuple[int, int, int, int]:
        return self.top, self.bottom, self.left, self.right


def black_borders(luma: Luma) -> Borders | None:
    """Of one frame; None when all of it is black."""
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
    """How many of the first lines are black."""
    count = 0
    for line in lines:
        if line.mean() > BLACK or line.std() > FLAT:
            break
        count += 1
    return count


def picture_area(borders: Borders, switching: int, *, width: int, height: int) -> Area | None:
    """The part of a frame to restore; None: all of it, also where hardly anything would be left."""
    bottom = min(height - borders.bottom, height - switching)
    area = Area(borders.left, borders.top, width - borders.right, bottom)
    small = area.width < SMALLEST * width or area.height < SMALLEST * height
    return None if small or (area.width, area.height) == (width, height) else area


class HeadSwitching:
    """Looks for lines at the bottom that stand apart from those above in many frames: skewed, or noise."""

    def __init__(self) -> None:
        self._frames = 0
        self._displaced: NDArray[Any] = np.zeros(SWITCHING_LINES)  # frames, by line from the top of those looked at
        self._skewed: NDArray[Any] = np.zeros(SWITCHING_LINES)
        self._change: NDArray[Any] = np.zeros(2 * SWITCHING_LINES)  # from frame to frame, codes
        self._before: NDArray[Any] | None = None

    def add(self, luma: Luma) -> None:
        """The next frame (H, W), black lines at the bottom left off."""
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
        """How many lines at the bottom are head-switching noise; 0: none."""
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
