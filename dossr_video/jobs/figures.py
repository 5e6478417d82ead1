"""Figures of a result beside its source, taken from the frames that the proof decodes anyway."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from dossr_video.quality.track import Luma8, Measured, Shown, Watch
from dossr_video.segments import Segment
from dossr_video.video.info import VideoInfo
from dossr_video.video.read.frame import Frame
from dossr_video.video.write.spec import VideoSpec


class ProofFigures:
    """Sees each frame of the source, then that of the result which belongs to it."""

    def __init__(self, source: VideoInfo, result: VideoSpec) -> None:
        self._watch = Watch([(source.width, source.height), (result.width, result.height)])
        self._limited = [video.resolved_color.range == "tv" for video in (source, result)]
        self._tick = float(result.time_base)  # that of the source's frames, after deinterlacing too
        self._first: int | None = None
        self._source: Shown | None = None

    def sources(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        """The same frames."""
        for frame in frames:
            self._first = frame.pts if self._first is None else self._first
            self._source = frame.pts, Luma8(frame.luma(), limited=self._limited[0])
            yield frame

    def result(self, frame: Frame) -> None:
        """The result's frame for the last one of the source."""
        assert self._source is not None
        assert self._first is not None
        seconds = (self._source[0] - self._first) * self._tick
        self._watch.add(seconds, self._source, [(frame.pts, Luma8(frame.luma(), limited=self._limited[1]))])

    def measured(self, segments: Iterable[Segment]) -> Measured | None:
        """After the proof; None where it found other frames than the plan's."""
        starts: dict[int, int] = {}
        count = 0
        for segment in segments:
            starts.setdefault(segment.shot, count)
            count += len(segment)
        return self._watch.measured(list(starts.values())) if count == len(self._watch) else None
