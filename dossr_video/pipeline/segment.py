"""Reader, upscaler and writer of one segment, each on its own thread, with short queues between them.

Decoding, flow, convolutions and encoding all release the interpreter's lock, so the three overlap; memory holds a few
chunks whatever the length of the file.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import TYPE_CHECKING, TypeVar

import torch
from torch import Tensor

from dossr_video.errors import SourceError
from dossr_video.frames import Area, Chunk, Motion
from dossr_video.models.base import PictureModel
from dossr_video.pipeline.memory import CHUNK, MemoryBudget, is_out_of_memory
from dossr_video.pipeline.quality import QualityWatch
from dossr_video.pipeline.shot import ShotState, letterboxed, needs_motion, resize, upscale_chunk
from dossr_video.restoration.dust import DustState, mend, specks_in
from dossr_video.restoration.grain import add_grain
from dossr_video.restoration.native import to_native
from dossr_video.restoration.spec import RestorationSpec
from dossr_video.runspec import RunSpec, SamplingSpec, TemporalSpec
from dossr_video.segments import Segment, SegmentResult
from dossr_video.temporal.exposure import ExposureState, even_out
from dossr_video.temporal.flow import FlowEstimator, motion
from dossr_video.video.read.frame import Frame
from dossr_video.video.read.pyav import VideoReader

if TYPE_CHECKING:
    from dossr_video.video.write.writer import VideoWriter

T = TypeVar("T")
DisplayTimes = tuple[tuple[int, int], ...]  # pts and duration of a frame and of its duplicates; () within the lead-in

QUEUE = 2  # items waiting at each border: enough to hide a slow one, no more memory than that
CHUNK_BYTES = 2**26  # of a chunk's enlarged pictures, of which half a dozen copies are on their way at a time


@dataclass(frozen=True, eq=False)
class Uncropped:
    """Whole frames of which only a part is restored: what is left by a letterbox."""

    pictures: Tensor  # (T, 3, H, W) RGB float32 in [0, 1]
    area: Area


@dataclass(frozen=True, eq=False)
class Work:
    """A chunk on its way to the model."""

    chunk: Chunk
    motion: Motion
    display_times: tuple[DisplayTimes, ...]  # one per frame
    alpha: Tensor | None = None  # (T, 1, H, W) in [0, 1]
    uncropped: Uncropped | None = None  # what the chunk was cut from

    def part(self, start: int, stop: int) -> Work:
        """Frames start to stop, half-open."""
        cut = slice(start, stop)
        chunk = Chunk(self.chunk.frames[cut], self.chunk.pts[cut], self.chunk.indices[cut])
        moved = Motion(self.motion.flow[cut], self.motion.confidence[cut])
        alpha = None if self.alpha is None else self.alpha[cut]
        uncropped = None
        if self.uncropped is not None:
            uncropped = Uncropped(self.uncropped.pictures[cut], self.uncropped.area)
        return Work(chunk, moved, self.display_times[cut], alpha, uncropped)


@dataclass(frozen=True, eq=False)
class Result:
    """A chunk on its way to the file, on the CPU."""

    pictures: Tensor  # (T, 3, H', W') RGB float32 in [0, 1], at the size that is written
    display_times: tuple[DisplayTimes, ...]
    alpha: Tensor | None  # (T, 1, H', W')


def run_segment(
    segment: Segment,
    *,
    reader: VideoReader,
    writer: VideoWriter,
    budget: MemoryBudget,
    spec: RunSpec,
    on_frames: Callable[[int], None],
    only_area: bool = False,
) -> SegmentResult:
    """Decode, upscale and write the frames of a segment, at times counted from its first.

    `on_frames` is called with the number of frames written so far; what it raises ends the work. `only_area`: what lies
    around the segment's area is left away. Raises SourceError when the file no longer holds the planned frames,
    ModelError when not even a small tile of a frame fits into memory.
    """
    began = time.monotonic()
    written = computed = 0
    warnings: list[str] = []
    size, warn = (writer.spec.height, writer.spec.width), warnings.append
    specks: list[int] = []
    chunks = read_chunks(segment, reader, spec.machine.chunk, only_area=only_area)
    watch = QualityWatch(reader.info.video, deflicker=spec.temporal.deflicker) if spec.qc else None
    if watch is not None:
        chunks = _noted(chunks, watch)
    with (
        prefetched(with_motion(chunks, budget, warn, spec.temporal, spec.restoration, count=specks.append)) as work,
        prefetched(
            upscaled(work, budget, warn, spec.sampling, spec.temporal, spec.restoration, size, shot=segment.shot)
        ) as results,
    ):
        for result in results:
            if watch is not None:
                watch.take(result.pictures, list(map(bool, result.display_times)))
            for i, times in enumerate(result.display_times):
                alpha = None if result.alpha is None else result.alpha[i]
                for pts, duration in times:
                    writer.write(result.pictures[i], pts - segment.first_pts, alpha=alpha, duration=duration or None)
                    written += 1
            computed += len(result.display_times)
            on_frames(written)
    seconds = time.monotonic() - began
    return SegmentResult(
        segment.index,
        written,
        segment.first_pts,
        computed,
        seconds,
        tuple(warnings),
        specks=sum(specks),
        quality=None if watch is None else watch.quality(),
    )


def _noted(chunks: Iterable[Read], watch: QualityWatch) -> Iterator[Read]:
    """The same chunks, after `watch` has seen their frames as they were decoded."""
    for item in chunks:
        chunk, _, _, uncropped = item
        watch.note(chunk.frames if uncropped is None else uncropped.pictures, chunk.indices)
        yield item


def chunk_length(width: int, height: int, *, scale: int, device: str) -> int:
    """Frames of width x height that are sampled at once, by default: a CPU gains nothing by more than one."""
    if device == "cpu":
        return 1
    bytes_each = width * height * scale**2 * 3 * 4  # RGB float32
    return max(1, min(CHUNK, CHUNK_BYTES // bytes_each))


Read = tuple[Chunk, tuple[DisplayTimes, ...], Tensor | None, Uncropped | None]  # the third: opacity (T, 1, H, W)


def read_chunks(segment: Segment, reader: VideoReader, length: int, *, only_area: bool) -> Iterator[Read]:
    """Chunks of `length` different frames; duplicates are only noted."""
    frames = _planned_frames(segment, reader)
    while batch := list(islice(frames, length)):
        indices, display_times, decoded = zip(*batch, strict=True)
        pictures = torch.stack([frame.rgb() for frame in decoded])
        uncropped = None if segment.area is None or only_area else Uncropped(pictures, segment.area)
        inner = pictures if segment.area is None else segment.area.of(pictures)
        opacity = [alpha for frame in decoded if (alpha := frame.alpha()) is not None]
        if only_area and segment.area is not None:
            opacity = [segment.area.of(alpha) for alpha in opacity]
        chunk = Chunk(inner, tuple(frame.pts for frame in decoded), indices)
        yield chunk, display_times, torch.stack(opacity) if opacity else None, uncropped


def without_dust(
    chunks: Iterable[Read], flow: FlowEstimator, sensitivity: float, count: Callable[[int], None]
) -> Iterator[Read]:
    """The chunks of one shot without their dust, one chunk late: its last frame needs the one after it."""
    state = DustState()
    held: Read | None = None
    for item in chain(chunks, [None]):
        if held is not None:
            chunk, display_times, alpha, uncropped = held
            clean = []
            for i, frame in enumerate(chunk.frames):
                later = chunk.frames if i + 1 < len(chunk) else None if item is None else item[0].frames
                after = None if later is None else later[(i + 1) % len(chunk)]
                result, mask, state = mend(frame, after, state, flow, sensitivity=sensitivity)
                clean.append(result)
                count(specks_in(mask) if display_times[i] else 0)
            yield replace(chunk, frames=torch.stack(clean)), display_times, alpha, uncropped
        held = item


def with_motion(
    chunks: Iterable[Read],
    budget: MemoryBudget,
    warn: Callable[[str], None],
    temporal: TemporalSpec,
    restoration: RestorationSpec,
    *,
    count: Callable[[int], None] = lambda specks: None,
) -> Iterator[Work]:
    """The chunks of one shot as the model gets them: without dust, on their native grid, with motion, evenly exposed.

    `count` gets the specks of dust of every frame that is written.
    """
    if restoration.dust > 0:
        chunks = without_dust(chunks, budget.flow, restoration.dust, count)
    previous: Tensor | None = None
    exposure = ExposureState()
    needed = needs_motion(budget.model, temporal)
    for chunk, display_times, alpha, uncropped in chunks:
        chunk = replace(chunk, frames=to_native(chunk.frames, restoration.native))
        while (moved := _motion(previous, chunk.frames, budget.flow if needed else None)) is None:
            warn(budget.shrink_flow(chunk))
        frames = chunk.frames
        if temporal.deflicker:
            frames, exposure = even_out(frames, previous, moved, exposure)
        yield Work(replace(chunk, frames=frames), moved, display_times, alpha, uncropped)
        previous = chunk.frames[-1]


def _motion(previous: Tensor | None, frames: Tensor, flow: FlowEstimator | None) -> Motion | None:
    """None when memory ran out, as in `_attempt`."""
    try:
        return motion(previous, frames, flow)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return None


def _planned_frames(segment: Segment, reader: VideoReader) -> Iterator[tuple[int, DisplayTimes, Frame]]:
    """Index, times to show at, and the frame, for every frame of the segment that is no duplicate."""
    decoded = reader.frames(segment.pts[0])
    fresh = [i for i, duplicate in enumerate(segment.duplicates) if not duplicate]
    for first, after in zip(fresh, [*fresh[1:], len(segment.pts)], strict=True):
        run = list(islice(decoded, after - first))
        if [frame.pts for frame in run] != segment.pts[first:after].tolist():
            raise SourceError(
                f"{reader.info.path} no longer holds the frames that were planned",
                hint="the file changed; run again with --restart",
            )
        written = run[max(segment.lead_in - first, 0) :]
        yield segment.start - segment.lead_in + first, tuple((f.pts, f.duration) for f in written), run[0]


def upscaled(
    work: Iterable[Work],
    budget: MemoryBudget,
    warn: Callable[[str], None],
    sampling: SamplingSpec | None,
    temporal: TemporalSpec,
    restoration: RestorationSpec,
    size: tuple[int, int],
    *,
    shot: int,
) -> Iterator[Result]:
    """The work of one shot done, at the size (height, width). Where memory runs out, less is done at a time."""
    state = ShotState()
    for item in work:
        start = 0
        while start < len(item.chunk):
            part = item.part(start, start + budget.frames)
            done = _attempt(budget.model, part, state, sampling, temporal, shot=shot, strength=restoration.strength)
            if done is None:
                warn(budget.shrink(part.chunk))
                continue
            pictures, state = done
            if restoration.grain_profile is not None:
                pictures = add_grain(
                    pictures,
                    part.chunk.indices,
                    restoration.grain_profile,
                    restoration.grain,
                    size=_source_size(part.chunk, restoration),
                    seed=temporal.seed,
                    shot=shot,
                )
            # Opacity has no texture to restore: it is only enlarged.
            alpha = None if part.alpha is None else resize(part.alpha, *size)
            if part.uncropped is not None:
                pictures = letterboxed(pictures.cpu(), part.uncropped.pictures, part.uncropped.area, size)
            yield Result(resize(pictures, *size).cpu(), part.display_times, alpha)
            start += len(part.chunk)


def _source_size(chunk: Chunk, restoration: RestorationSpec) -> tuple[int, int]:
    """Height and width of the frames before they were brought to their native grid."""
    height, width = chunk.frames.shape[-2:]
    return round(height / restoration.native), round(width / restoration.native)


def _attempt(
    model: PictureModel,
    work: Work,
    state: ShotState,
    sampling: SamplingSpec | None,
    temporal: TemporalSpec,
    *,
    shot: int,
    strength: float,
) -> tuple[Tensor, ShotState] | None:
    """None when memory ran out. The exception dies here: its traceback would keep the tensors alive."""
    try:
        return upscale_chunk(model, work.chunk, work.motion, state, sampling, temporal, shot=shot, strength=strength)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return None


@contextmanager
def prefetched(items: Iterable[T]) -> Iterator[Iterator[T]]:
    """The items, made on a thread of their own, at most QUEUE ahead; its exception is raised here in its place."""
    waiting: queue.Queue[tuple[T] | BaseException] = queue.Queue(QUEUE)
    stop = threading.Event()

    def offer(item: tuple[T] | BaseException) -> None:
        while not stop.is_set():
            try:
                waiting.put(item, timeout=0.1)
            except queue.Full:
                continue
            return

    def produce() -> None:
        try:
            for item in items:
                offer((item,))
                if stop.is_set():
                    return
            offer(StopIteration())
        except BaseException as error:
            offer(error)

    def consume() -> Iterator[T]:
        while not isinstance(item := waiting.get(), BaseException):
            yield item[0]
        if not isinstance(item, StopIteration):
            raise item

    thread = threading.Thread(target=produce, daemon=True)
    thread.start()
    try:
        yield consume()
    finally:
        stop.set()
        thread.join()
