"""Figures of results beside their source, frame by frame: brightness, sharpness, flicker, difference from the source.

Only the luma is looked at, scaled to full range. One pass over all files, in step; a frame of memory for each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from dossr_video.errors import SourceError
from dossr_video.report.moments import frames_from
from dossr_video.temporal.shots import Luma, find_shots
from dossr_video.video.read.frame import Frame
from dossr_video.video.read.pyav import VideoReader

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


def measure(
    source: VideoReader,
    results: Sequence[VideoReader],
    *,
    start: float = 0.0,
    on_frame: Callable[[int], None] = lambda count: None,
) -> Measured:
    """Read all files once. Every file's time is counted from its first frame, which is taken to be the same picture.

    Args:
        source: What the results were made from.
        results: Files of any size and rate.
        start: Seconds of the source before the results begin.
        on_frame: Called with the number of frames of the source that are done.

    Returns:
        The figures of the source and of every result, as long as both last.

    Raises:
        SourceError: A file has no frame.
    """
    followers = [_Follower(result) for result in results]
    size = max(((r.info.video.width, r.info.video.height) for r in (source, *results)), key=lambda s: s[0] * s[1])
    columns = [_Columns(size, reader) for reader in (source, *results)]
    seconds: list[float] = []

    def lumas() -> Iterator[Luma]:
        origin: int | None = None
        for frame in frames_from(start, source):
            origin = frame.pts if origin is None else origin
            now = float((frame.pts - origin) * source.time_base)
            shown = [follower.at(now) for follower in followers]
            if not any(shown):
                return
            seconds.append(now)
            columns[0].add(frame, None)
            for column, result in zip(columns[1:], shown, strict=True):
                column.add(result, columns[0].last)
            yield frame.luma_small()
            on_frame(len(seconds))

    starts = list(find_shots(lumas()))
    if not starts:
        raise SourceError(f"{source.info.path} has no frame to compare", hint="compare files that hold moving pictures")
    shots = tuple(range(first, stop) for first, stop in pairwise([*starts, len(seconds)]))
    return Measured(np.array(seconds), shots, tuple(column.track(starts) for column in columns))


class _Follower:
    """The frame of a result that is shown at a time; times only rise."""

    def __init__(self, reader: VideoReader) -> None:
        self._period = float(1 / reader.frame_rate)
        self._unit = float(reader.time_base)
        self._frames = reader.frames()
        self._next = next(self._frames, None)
        if self._next is None:
            raise SourceError(f"{reader.info.path} has no frame", hint="compare files that hold moving pictures")
        self._now, self._first = self._next, self._next.pts

    def at(self, seconds: float) -> Frame | None:
        """None where the file has ended."""
        while self._next is not None and self._time(self._next) <= seconds + self._period / 4:
            self._now, self._next = self._next, next(self._frames, None)
        ended = self._next is None and seconds > self._time(self._now) + 0.75 * self._period
        return None if ended else self._now

    def _time(self, frame: Frame) -> float:
        return (frame.pts - self._first) * self._unit


class _Columns:
    """The figures of one file, as its frames come."""

    def __init__(self, size: tuple[int, int], reader: VideoReader) -> None:
        self._size = size  # width, height of the largest file
        self._limited = reader.info.video.resolved_color.range == "tv"
        self._recent: list[Plane] = []  # of three frames, at the source's size
        self._rows: list[tuple[float, ...]] = []
        self._pts: list[int] = []

    @property
    def last(self) -> Plane:
        return self._recent[-1]

    def add(self, frame: Frame | None, source: Plane | None) -> None:
        """`source`: the source's luma at this time; None for the source itself."""
        if frame is None:
            self._pts.append(-1)
            self._rows.append((np.nan,) * 5)
            return
        plane = full_range(frame.luma(), limited=self._limited)
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
        self._pts.append(frame.pts)
        self._rows.append((float(small.mean()), sharpness, flicker, change, difference))

    def track(self, starts: Sequence[int]) -> Track:
        rows = np.array(self._rows, np.float64)
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
