"""Reader, upscaler and writer of one segment, each on its own thread, with short queues between them.

Decoding, flow, convolutions and encoding all release the interpreter's lock, so the three overlap; memory holds a few
chunks whatever the length of the file.
"""

from __future__ import annotations

import queue
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from torch import Tensor

from dossr_video.frames import Chunk, Motion
from dossr_video.models.base import PictureModel
from dossr_video.pipeline.chunks import DisplayTimes, Read, Uncropped, read_chunks
from dossr_video.pipeline.dust import without_dust
from dossr_video.pipeline.keeping import Done, Keeper, LightState
from dossr_video.pipeline.latents import ShotState
from dossr_video.pipeline.memory import CHUNK, MemoryBudget, is_out_of_memory
from dossr_video.pipeline.quality import QualityWatch
from dossr_video.pipeline.shot import letterboxed, needs_motion, resize, upscale_chunk
from dossr_video.restoration.dust import DustState
from dossr_video.restoration.grain import add_grain
from dossr_video.restoration.native import to_native
from dossr_video.restoration.spec import RestorationSpec
from dossr_video.runspec import RunSpec, SamplingSpec, TemporalSpec
from dossr_video.segments import Dirt, Segment, SegmentResult
from dossr_video.temporal.exposure import even_out
from dossr_video.temporal.flow import FlowEstimator, motion
from dossr_video.video.read.pyav import VideoReader
from dossr_video.video.write.kept import to_bytes

if TYPE_CHECKING:
    from dossr_video.video.write.writer import VideoWriter

T = TypeVar("T")

QUEUE = 2  # items waiting at each border: enough to hide a slow one, no more memory than that
CHUNK_BYTES = 2**26  # of a chunk's enlarged pictures, of which half a dozen copies are on their way at a time


@dataclass(frozen=True, eq=False)
class Work:
    """A chunk on its way to the model."""

    chunk: Chunk
    motion: Motion
    display_times: tuple[DisplayTimes, ...]  # one per frame
    alpha: Tensor | None = None  # (T, 1, H, W) in [0, 1]
    uncropped: Uncropped | None = None  # what the chunk was cut from
    after: LightState = field(default_factory=LightState)  # left to the next chunk

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
    after: tuple[LightState, ShotState] | None = None  # left to the next chunk; None: more of this one follows


def run_segment(
    segment: Segment,
    *,
    reader: VideoReader,
    writer: VideoWriter,
    budget: MemoryBudget,
    spec: RunSpec,
    on_frames: Callable[[int], None],
    only_area: bool = False,
    keeper: Keeper | None = None,
    stopping: Callable[[], bool] = lambda: False,
) -> SegmentResult | None:
    """Decode, upscale and write the frames of a segment, at times counted from its first.

    `on_frames` is called with the number of frames written so far; what it raises ends the work. `only_area`: what lies
    around the segment's area is left away. `keeper` keeps what is done, and gives back what an earlier run has done;
    None when `stopping` has said so and it is kept.

    Raises SourceError when the file no longer holds the planned frames, ModelError when not even a small tile of a
    frame fits into memory.
    """
    done = Done() if keeper is None else keeper.load(budget.model.device)
    began = time.monotonic() - done.seconds
    written, computed, dirt = done.written, done.computed, done.before.dirt
    warnings = list(done.warnings)
    size, warn = (writer.spec.height, writer.spec.width), warnings.append
    if keeper is not None:
        for kept in keeper.frames():
            writer.again(kept)
        on_frames(written)
    chunks = read_chunks(segment, reader, spec.machine.chunk, only_area=only_area, skip=computed)
    watch = QualityWatch(reader.info.video, deflicker=spec.temporal.deflicker) if spec.qc else None
    if watch is not None:
        chunks = _noted(chunks, watch, segment.stop)
    with (
        prefetched(
            with_motion(chunks, budget, warn, spec.temporal, spec.restoration, done.before, stop=segment.stop)
        ) as work,
        prefetched(
            upscaled(
                work, budget, warn, spec.sampling, spec.temporal, spec.restoration, size, done.shot, shot=segment.shot
            )
        ) as results,
    ):
        for result in results:
            if watch is not None:
                watch.take(result.pictures, list(map(bool, result.display_times)))
            for i, times in enumerate(result.display_times):
                alpha = None if result.alpha is None else result.alpha[i]
                for pts, duration in times:
                    at = pts - segment.first_pts
                    frame = writer.write(result.pictures[i], at, alpha=alpha, duration=duration or None)
                    if keeper is not None:
                        keeper.add(partial(to_bytes, frame))
                    written += 1
            computed += len(result.display_times)
            on_frames(written)
            if result.after is None:
                continue
            dirt = result.after[0].dirt
            if keeper is not None and (stopping() or keeper.is_due()):
                now = Done(written, computed, time.monotonic() - began, tuple(warnings), *result.after)
                if keeper.keep(now) and stopping():
                    return None
    seconds = time.monotonic() - began
    return SegmentResult(
        segment.index,
        written,
        segment.first_pts,
        computed,
        seconds,
        tuple(warnings),
        dirt=dirt,
        quality=None if watch is None else watch.quality(),
    )


def _noted(chunks: Iterable[Read], watch: QualityWatch, stop: int) -> Iterator[Read]:
    """The same chunks, after `watch` has seen their frames, up to index `stop`, as they were decoded."""
    for item in chunks:
        chunk, _, _, uncropped = item
        if chunk.indices[0] < stop:
            watch.note(chunk.frames if uncropped is None else uncropped.pictures, chunk.indices)
        yield item


def chunk_length(width: int, height: int, *, scale: int, device: str) -> int:
    """Frames of width x height that are sampled at once, by default: a CPU gains nothing by more than one."""
    if device == "cpu":
        return 1
    bytes_each = width * height * scale**2 * 3 * 4  # RGB float32
    return max(1, min(CHUNK, CHUNK_BYTES // bytes_each))


def with_motion(
    chunks: Iterable[Read],
    budget: MemoryBudget,
    warn: Callable[[str], None],
    temporal: TemporalSpec,
    restoration: RestorationSpec,
    before: LightState | None = None,
    *,
    stop: int = sys.maxsize,
) -> Iterator[Work]:
    """The chunks of one shot as the model gets them: without dust, on their native grid, with motion, evenly exposed.

    `before` is what the chunk before the first has left; `stop` is that of `without_dust`.
    """
    state = before or LightState()
    previous, exposure, dirt = state.previous, state.exposure, state.dirt
    clean: Iterable[tuple[Read, DustState, Dirt]] = ((item, state.dust, Dirt()) for item in chunks)
    if restoration.dust > 0:
        clean = without_dust(chunks, budget.flow, restoration.dust, state.dust, stop=stop)
    needed = needs_motion(budget.model, temporal)
    for (chunk, display_times, alpha, uncropped), dust, found in clean:
        chunk = replace(chunk, frames=to_native(chunk.frames, restoration.native))
        while (moved := _motion(previous, chunk.frames, budget.flow if needed else None)) is None:
            warn(budget.shrink_flow(chunk))
        frames = chunk.frames
        if temporal.deflicker:
            frames, exposure = even_out(frames, previous, moved, exposure)
        previous, dirt = chunk.frames[-1], dirt + found
        after = LightState(previous, exposure, dust, dirt)
        yield Work(replace(chunk, frames=frames), moved, display_times, alpha, uncropped, after)


def _motion(previous: Tensor | None, frames: Tensor, flow: FlowEstimator | None) -> Motion | None:
    """None when memory ran out, as in `_attempt`."""
    try:
        return motion(previous, frames, flow)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return None


def upscaled(
    work: Iterable[Work],
    budget: MemoryBudget,
    warn: Callable[[str], None],
    sampling: SamplingSpec | None,
    temporal: TemporalSpec,
    restoration: RestorationSpec,
    size: tuple[int, int],
    before: ShotState | None = None,
    *,
    shot: int,
) -> Iterator[Result]:
    """The work of one shot done, at the size (height, width). Where memory runs out, less is done at a time.

    `before` is what the chunk before the first has left.
    """
    state = before or ShotState()
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
            start += len(part.chunk)
            after = (item.after, state) if start == len(item.chunk) else None
            yield Result(resize(pictures, *size).cpu(), part.display_times, alpha, after)


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
