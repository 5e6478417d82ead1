"""Reader, networks, blending and writer of one segment, each on its own thread, with short queues between them.

Decoding, flow, convolutions and encoding all release the interpreter's lock, so they overlap; memory holds a few
chunks whatever the length of the file.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from dossr_video.pipeline.chunks import Read, read_chunks
from dossr_video.pipeline.keeping import Done, Keeper
from dossr_video.pipeline.memory import CHUNK, MemoryBudget
from dossr_video.pipeline.quality import QualityWatch
from dossr_video.pipeline.stages import Enlarged, Result, enlarged, finished, with_motion
from dossr_video.runspec import RunSpec
from dossr_video.segments import Segment, SegmentResult
from dossr_video.video.read.pyav import VideoReader
from dossr_video.video.write.encoders import LARGE
from dossr_video.video.write.kept import to_bytes

if TYPE_CHECKING:
    from dossr_video.video.write.writer import VideoWriter

T = TypeVar("T")

QUEUE = 2  # items waiting at each border: enough to hide a slow one, no more memory than that
CHUNK_BYTES = 2**26  # of a chunk's enlarged pictures, of which half a dozen copies are on their way at a time


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
        _beside(
            enlarged(work, budget, warn, spec.sampling, spec.temporal, spec.restoration, done.shot, shot=segment.shot),
            size,
        ) as pictures,
        prefetched(
            finished(
                pictures,
                budget.model,
                spec.sampling,
                spec.temporal,
                spec.restoration,
                size,
                done.shot.blend.picture,
                shot=segment.shot,
            ),
            ahead=1,
        ) as results,
    ):
        del done  # what an earlier run has left is large
        for result in results:
            if watch is not None:
                watch.take(result.pictures, list(map(bool, result.display_times)))
            written += _write(result, writer, segment.first_pts, keeper)
            computed += len(result.display_times)
            on_frames(written)
            after = result.after
            del result  # its pictures, while the next ones are made
            if after is None:
                continue
            dirt = after[0].dirt
            if keeper is not None and (stopping() or keeper.is_due()):
                now = Done(written, computed, time.monotonic() - began, tuple(warnings), *after)
                if keeper.keep(now) and stopping():
                    return None
            del after
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


def _write(result: Result, writer: VideoWriter, first_pts: int, keeper: Keeper | None) -> int:
    """The pictures at their times, counted from the segment's first; returns how many frames they are."""
    count = 0
    for i, times in enumerate(result.display_times):
        alpha = None if result.alpha is None else result.alpha[i]
        for pts, duration in times:
            frame = writer.write(result.pictures[i], pts - first_pts, alpha=alpha, duration=duration or None)
            if keeper is not None:
                keeper.add(partial(to_bytes, frame))
            count += 1
    return count


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


def _beside(items: Iterable[Enlarged], size: tuple[int, int]) -> AbstractContextManager[Iterable[Enlarged]]:
    """On a thread of their own, but for large pictures: beside those that are blended they would fill the memory."""
    return nullcontext(items) if size[0] * size[1] >= LARGE else prefetched(items, ahead=1)


@contextmanager
def prefetched(items: Iterable[T], ahead: int = QUEUE) -> Iterator[Iterator[T]]:
    """The items, made on a thread of their own, so many ahead; its exception is raised here in its place."""
    # In a list, which the consumer empties: nobody else keeps an item, and large ones are let go of soon.
    waiting: queue.Queue[list[T] | BaseException] = queue.Queue(ahead)
    stop = threading.Event()

    def offer(item: list[T] | BaseException) -> None:
        while not stop.is_set():
            try:
                waiting.put(item, timeout=0.1)
            except queue.Full:
                continue
            return

    def produce() -> None:
        try:
            for item in items:
                box = [item]
                del item
                offer(box)
                del box
                if stop.is_set():
                    return
            offer(StopIteration())
        except BaseException as error:
            offer(error)

    def consume() -> Iterator[T]:
        while not isinstance(item := waiting.get(), BaseException):
            yield item.pop()
        if not isinstance(item, StopIteration):
            raise item

    thread = threading.Thread(target=produce, daemon=True)
    thread.start()
    try:
        yield consume()
    finally:
        stop.set()
        thread.join()
