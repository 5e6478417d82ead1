"""What a chunk of one shot goes through: light and motion, the networks, then blending, grain and the final size."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

from torch import Tensor

from dossr_video.errors import ModelError
from dossr_video.frames import Chunk, Motion
from dossr_video.models.base import PictureModel
from dossr_video.pipeline.chunks import DisplayTimes, Read, Uncropped
from dossr_video.pipeline.dust import without_dust
from dossr_video.pipeline.keeping import LightState
from dossr_video.pipeline.latents import ShotState
from dossr_video.pipeline.memory import MemoryBudget, is_out_of_memory
from dossr_video.pipeline.shot import enlarge_chunk, letterboxed, needs_motion, resize, steady_chunk
from dossr_video.restoration.dust import DustState
from dossr_video.restoration.grain import add_grain
from dossr_video.restoration.native import to_native
from dossr_video.restoration.spec import RestorationSpec
from dossr_video.runspec import SamplingSpec, TemporalSpec
from dossr_video.segments import Dirt
from dossr_video.temporal.exposure import even_out
from dossr_video.temporal.flow import FlowEstimator, motion
from dossr_video.transfer import page_locked, to_main_memory


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
        return Work(chunk, moved, self.display_times[cut], alpha, uncropped, self.after)


@dataclass(frozen=True, eq=False)
class Enlarged:
    """A part of a chunk behind the networks."""

    work: Work  # the part alone
    pictures: list[Tensor]  # one, as `enlarge_chunk` makes it; whoever works on it takes it out
    state: ShotState  # after it, but for the blended picture
    whole: bool  # whether the chunk ends with it


@dataclass(frozen=True, eq=False)
class Result:
    """A chunk on its way to the file, on the CPU."""

    pictures: Tensor  # (T, 3, H', W') RGB float32 in [0, 1], at the size that is written
    display_times: tuple[DisplayTimes, ...]
    alpha: Tensor | None  # (T, 1, H', W')
    after: tuple[LightState, ShotState] | None = None  # left to the next chunk; None: more of this one follows


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
        frames = page_locked(frames, budget.model.device)
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
    *,
    shot: int,
) -> Iterator[Result]:
    """The work of one shot done, at the size (height, width)."""
    made = enlarged(work, budget, warn, sampling, temporal, restoration, shot=shot)
    return finished(made, budget.model, sampling, temporal, restoration, size, shot=shot)


def enlarged(
    work: Iterable[Work],
    budget: MemoryBudget,
    warn: Callable[[str], None],
    sampling: SamplingSpec | None,
    temporal: TemporalSpec,
    restoration: RestorationSpec,
    before: ShotState | None = None,
    *,
    shot: int,
) -> Iterator[Enlarged]:
    """What the networks make of the work of one shot. Where memory runs out, less is done at a time.

    `before` is what the chunk before the first has left.
    """
    state = before or ShotState()
    state = replace(state, blend=replace(state.blend, picture=None))  # nothing is blended here
    del before
    for item in work:
        if (notice := budget.prepare(item.chunk)) is not None:
            warn(notice)
        start = 0
        while start < len(item.chunk):
            part = item.part(start, start + budget.frames)
            done = _attempt(budget.model, part, state, sampling, temporal, shot=shot, strength=restoration.strength)
            if done is None:
                warn(budget.shrink(part.chunk))
                continue
            start += len(part.chunk)
            pictures, state = [done[0]], done[1]
            del done
            yield Enlarged(part, pictures, state, start == len(item.chunk))


def finished(
    items: Iterable[Enlarged],
    model: PictureModel,
    sampling: SamplingSpec | None,
    temporal: TemporalSpec,
    restoration: RestorationSpec,
    size: tuple[int, int],
    picture: Tensor | None = None,
    *,
    shot: int,
) -> Iterator[Result]:
    """The pictures of one shot blended, with grain and what is around them, at the size (height, width).

    `picture` is the blended one before the first; None at a shot's start.
    """
    for item in items:
        part, state = item.work, replace(item.state, blend=replace(item.state.blend, picture=picture))
        pictures, state = _steadied(model, item.pictures.pop(), part, state, sampling, temporal)
        picture = state.blend.picture
        made = [_finished(pictures, part, temporal, restoration, size, shot)]
        del pictures  # nobody keeps them, while the next ones are made
        # Opacity has no texture to restore: it is only enlarged.
        alpha = None if part.alpha is None else resize(part.alpha, *size)
        after = (part.after, state) if item.whole else None
        yield Result(made.pop(), part.display_times, alpha, after)
        del after, state, item


def _steadied(
    model: PictureModel,
    pictures: Tensor,
    part: Work,
    state: ShotState,
    sampling: SamplingSpec | None,
    temporal: TemporalSpec,
) -> tuple[Tensor, ShotState]:
    """It cannot be done again, for what the networks remembered is gone; and it takes a fraction of their memory."""
    try:
        return steady_chunk(model, pictures, part.chunk, part.motion, state, sampling, temporal)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        raise ModelError(
            f"memory ran out while frame {part.chunk.indices[0]} was blended with the one before",
            hint="close other programs, or lower --chunk, and give the same command again; finished segments are kept",
        ) from error


def _finished(
    pictures: Tensor,
    part: Work,
    temporal: TemporalSpec,
    restoration: RestorationSpec,
    size: tuple[int, int],
    shot: int,
) -> Tensor:
    """The pictures of a part with grain and what is around them, at the size (height, width), on the CPU."""
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
    if part.uncropped is not None:
        pictures = letterboxed(to_main_memory(pictures), part.uncropped.pictures, part.uncropped.area, size)
    return to_main_memory(resize(pictures, *size))


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
        return enlarge_chunk(model, work.chunk, work.motion, state, sampling, temporal, shot=shot, strength=strength)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        return None
