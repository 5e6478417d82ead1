"""Letterbox and pillarbox borders, and head-switching noise at the bottom of tape captures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from dossr_video.frames import Area

Luma = NDArray[np.uint8]  # (H, W)

BLACK = 40  # codes, at most: black is 16, 32 on NTSC tape, plus noise
PART = 16  # pixels of a line whose mean is looked at
EVEN = 3.0  # codes, and the noise, by which a part may be off its line's mean; a dark scene is less even
DRIFT = 6.0  # codes by which a line may be off the first one: blanking rises to the picture on tape
STEP = 6  # lines after a border in which the picture must begin: a scene that fades into the dark has no edge
SHOWS = 0.25  # of the parts, in which it must
DARKEST = 4.0  # codes by which a border may be brighter than the darkest place of the frame
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
    """Black borders of one frame (H, W); None when the whole frame is black.

    A border is as dark as anything in the frame, even along and across, and ends at one line.
    """
    height = len(luma)
    if _leading(luma)[0] == height:
        return None
    black = _darkest(luma) + DARKEST
    top = _black(luma, black)
    bottom = _black(luma[::-1], black)
    picture = luma[top : height - bottom].T
    return Borders(top, bottom, _black(picture, black), _black(picture[::-1], black))


def _black(lines: Luma, black: float) -> int:
    """Number of leading lines that are a border, no brighter than `black`."""
    count, level = _leading(lines)
    if not LEAST <= count < len(lines) or level > black:
        return 0
    parts = np.abs(_parts(lines[count : count + STEP]) - level).max(0)
    return count if (parts > 2 * DRIFT).mean() >= SHOWS else 0


def _leading(lines: Luma) -> tuple[int, float]:
    """Number of leading lines that are dark, even and like the first, and its level."""
    level = float(lines[0].mean())
    off = EVEN + float(np.abs(np.diff(lines[0].astype(np.int16))).mean())
    count = 0
    if level <= BLACK:
        for line in lines:
            mean = float(line.mean())
            if abs(mean - level) > DRIFT or np.abs(_parts(line) - mean).max() > off:
                break
            count += 1
    return count, level


def _parts(lines: Luma) -> NDArray[Any]:
    """Mean of each part of the lines (..., L); a rest belongs to the last one."""
    starts = np.arange(0, max(lines.shape[-1] - PART, 0) + 1, PART)
    sizes = np.diff([*starts, lines.shape[-1]])
    return np.add.reduceat(lines, starts, axis=-1, dtype=np.int64) / sizes


def _darkest(luma: Luma) -> float:
    """Mean of the darkest place of a frame."""
    height, width = (max(side // PART, 1) for side in luma.shape)
    return float(cv2.resize(luma, (width, height), interpolation=cv2.INTER_AREA).min())


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
