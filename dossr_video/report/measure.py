"""Figures of results beside their source: one pass over all files, in step; a frame of memory for each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from dossr_video.errors import SourceError
from dossr_video.quality.track import Luma8, Measured, Watch
from dossr_video.report.moments import frames_from
from dossr_video.temporal.shots import Luma, find_shots
from dossr_video.video.read.frame import Frame
from dossr_video.video.read.pyav import VideoReader


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
    readers = (source, *results)
    watch = Watch([(reader.info.video.width, reader.info.video.height) for reader in readers])

    def lumas() -> Iterator[Luma]:
        origin: int | None = None
        for frame in frames_from(start, source):
            origin = frame.pts if origin is None else origin
            now = float((frame.pts - origin) * source.time_base)
            shown = [follower.at(now) for follower in followers]
            if not any(shown):
                return
            pairs = zip(shown, results, strict=True)
            pictures = [None if made is None else (made.pts, _luma(made, reader)) for made, reader in pairs]
            watch.add(now, (frame.pts, _luma(frame, source)), pictures)
            yield frame.luma_small()
            on_frame(len(watch))

    starts = list(find_shots(lumas()))
    if not starts:
        raise SourceError(f"{source.info.path} has no frame to compare", hint="compare files that hold moving pictures")
    return watch.measured(starts)


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


def _luma(frame: Frame, reader: VideoReader) -> Luma8:
    return Luma8(frame.luma(), limited=reader.info.video.resolved_color.range == "tv")
