"""How long the work takes and how much disk: measured on this machine, on a small part of a few frames of the file."""

from __future__ import annotations

import time
from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from dossr_video.errors import SourceError
from dossr_video.frames import Area
from dossr_video.jobs.execute.executor import Callbacks, Executor, Task
from dossr_video.jobs.resources import readable
from dossr_video.jobs.scratch import Scratch
from dossr_video.runspec import RunSpec
from dossr_video.segments import Segment, SegmentResult
from dossr_video.video.info import SourceInfo, VideoInfo
from dossr_video.video.read.pyav import PyavReader

FRAMES = 12  # that are measured, and more where several are computed at once
PIXELS = 96 * 96  # of the part of a frame; four times as many until it takes long enough
ENOUGH = 1.0  # seconds from which a measurement counts, where the frames are large enough for it
SHORT = 40 * 720 * 576  # pixels of all frames: work that is over so soon is not measured before


@dataclass(frozen=True)
class Cost:
    """What a run takes, about."""

    seconds: float
    size: int  # bytes of the result

    @property
    def disk(self) -> int:
        """Bytes, while the result is put together from its segments."""
        return 2 * self.size

    def describe(self) -> str:
        """One line."""
        return (
            f"about {duration(self.seconds)} on this machine; the result about {readable(self.size)}, "
            f"disk space for the work about {readable(self.disk)}"
        )


@dataclass(frozen=True)
class Speed:
    """What a frame costs by its pixels; files of the same settings are in proportion."""

    seconds_per_pixel: float  # of a source frame, on one worker
    bytes_per_pixel: float  # of a frame of the result

    def cost(self, frames: int, *, computed: int, pixels: int, result_pixels: int, workers: int) -> Cost:
        """Of so many frames in the result, of which `computed` are left to do; the pixels are those of a frame."""
        seconds = computed * pixels * self.seconds_per_pixel / workers
        return Cost(seconds, round(frames * result_pixels * self.bytes_per_pixel))


def computed_frames(segments: Sequence[Segment]) -> int:
    """Frames that go through the model: no duplicates."""
    return sum(len(segment) - segment.repeats for segment in segments)


def cost_of(speed: Speed, source: SourceInfo, spec: RunSpec, *, frames: int, computed: int) -> Cost:
    """Of a run over one file; see Speed.cost."""
    return speed.cost(
        frames,
        computed=computed,
        pixels=source.video.width * source.video.height,
        result_pixels=spec.video.width * spec.video.height,
        workers=spec.machine.workers,
    )


def sample_segment(source: SourceInfo, spec: RunSpec) -> Segment:
    """Some frames from the middle of what is read, where there is no plan. Raises SourceError where there are none."""
    length = float(source.video.duration or source.duration or 0) - spec.read.start
    middle = spec.read.start + max(0.0, min(length, spec.read.duration or length)) / 2
    with PyavReader(source, fields=spec.read.fields, max_pixels=spec.read.max_pixels) as reader:
        times = [frame.pts for frame in islice(reader.frames_near(middle), _count(spec))]
    if not times:
        raise SourceError(f"{source.path} has no frame after {middle:g} s", hint="lower --start")
    return _segment(times)


def measure(
    segment: Segment,
    source: SourceInfo,
    spec: RunSpec,
    executor: Executor,
    *,
    url: str | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Speed | None:
    """Upscale the middle of some frames at the beginning of a segment, as the run would, into a temporary file.

    Nothing of it is kept. None once `cancelled` says so. Raises as the run would.
    """
    video, pixels = source.video, PIXELS
    first = segment.lead_in
    few = _segment(segment.pts[first : first + _count(spec)])
    scratch = Scratch()
    target = scratch.path / f"part{spec.video.segment_suffix}"
    try:
        while True:
            area = _middle_of(video.width, video.height, pixels)
            part = _of_area(spec, area, video)
            task = Task(replace(few, area=area), source, target, part, url, only_area=True)
            seconds = _timed(task, executor, cancelled)
            if seconds is None:
                return None
            if seconds * len(few) >= ENOUGH or (area.width, area.height) == (video.width, video.height):
                size = target.stat().st_size / (len(few) * part.video.width * part.video.height)
                return Speed(seconds / (area.width * area.height), size)
            target.unlink()
            pixels *= 4
    finally:
        scratch.remove()


def _of_area(spec: RunSpec, area: Area, video: VideoInfo) -> RunSpec:
    """The run for an area of its frames alone."""
    width = _even(area.width * spec.video.width / video.width)
    height = _even(area.height * spec.video.height / video.height)
    return replace(spec, video=replace(spec.video, width=width, height=height))


def _timed(task: Task, executor: Executor, cancelled: Callable[[], bool]) -> float | None:
    """Seconds for one frame. The way to the first one, a seek and the loading of libraries, does not count."""
    counts: list[tuple[int, float]] = []
    done: list[SegmentResult] = []
    executor.run([task], Callbacks(done.append, lambda new: counts.append((new, time.monotonic())), cancelled))
    if not done:
        return None
    before, began = counts[0]
    if before < done[0].frames:
        return (time.monotonic() - began) / (done[0].frames - before)
    return done[0].seconds / done[0].frames  # a worker that tells of all frames at once


def _count(spec: RunSpec) -> int:
    return max(FRAMES, 3 * spec.machine.chunk)


def _segment(times: Sequence[int]) -> Segment:
    return Segment(0, 0, 0, len(times), 0, array("q", times), bytes(len(times)))


def _middle_of(width: int, height: int, pixels: int) -> Area:
    """The middle of a frame, of about so many pixels."""
    shrink = min(1.0, (pixels / (width * height)) ** 0.5)
    across, down = (side if shrink == 1 else min(side, _even(side * shrink)) for side in (width, height))
    left, top = (width - across) // 2, (height - down) // 2
    return Area(left, top, left + across, top + down)


def _even(side: float) -> int:
    return max(2, round(side / 2) * 2)


def duration(seconds: float) -> str:
    """`1.5 hours`, `12 minutes` or `40 seconds`."""
    for value, unit in ((seconds / 86400, "days"), (seconds / 3600, "hours"), (seconds / 60, "minutes")):
        if value >= (2 if unit == "days" else 1):
            return f"{value:.1f} {unit}" if value < 10 else f"{value:.0f} {unit}"
    return "1 second" if seconds < 1.5 else f"{seconds:.0f} seconds"
