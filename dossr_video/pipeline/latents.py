"""The clean latents of a chunk: what sampling begins from, and the network calls of each frame.

With a warm start the first of a shot's frames takes all calls. Those after it leave out the first ones, which find
little more than the mean of all that a picture can be: what they add to the degraded latents is taken from the frame
before, moved to its place, and sampling goes on from the forward process of that. What was found under strong noise is
carried on, never a result: one that is diffused under the same noise again and again gets twice the detail.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from torch import Tensor

from dossr_video.diffusion.noise import POSTERIOR, ChunkNoise, NoiseState, make_noise
from dossr_video.diffusion.sampler import sample
from dossr_video.diffusion.schedule import make_schedule
from dossr_video.diffusion.solver import Estimate
from dossr_video.frames import Motion, concatenated
from dossr_video.models.base import Condition, DomainShiftModel, HiddenState, Restored
from dossr_video.runspec import SamplingSpec, TemporalSpec
from dossr_video.temporal.blend import BlendState, Guide, blend_weights, trust

TRUSTED = 0.5  # mean trust in the motion, below which a frame takes all calls


@dataclass(frozen=True, eq=False)
class ShotState:
    """What is passed on from chunk to chunk of a shot; a fresh one begins a shot."""

    hidden: HiddenState = None
    noise: NoiseState = field(default_factory=NoiseState)
    blend: BlendState = field(default_factory=BlendState)
    added: Tensor | None = None  # (1, C, h, w): what the calls that a warm start leaves out add to the degraded latents


@dataclass(frozen=True, eq=False)
class Start:
    """What sampling begins from."""

    degraded: Tensor  # latents (T, C, h, w)
    condition: Condition
    noise: ChunkNoise


def start_of(
    model: DomainShiftModel,
    restored: Restored,
    motion: Motion,
    indices: tuple[int, ...],
    state: ShotState,
    sampling: SamplingSpec,
    temporal: TemporalSpec,
    shot: int,
) -> Start:
    """Of the restorer output, its pictures in [0, 1]."""
    degraded, deviation = model.posterior(restored.pictures)
    channels, height, width = degraded.shape[1:]
    noise = make_noise(
        state.noise, motion, indices, (channels, height, width), kind=temporal.noise, seed=temporal.seed, shot=shot
    )
    condition = model.condition(restored, degraded)  # of the posterior's mean: the hint is never a sample
    if sampling.posterior == "sample" and deviation is not None:
        degraded = degraded + deviation * noise(POSTERIOR).to(model.device)
    return Start(degraded, condition, noise)


def sampled(
    model: DomainShiftModel,
    start: Start,
    motion: Motion,
    state: ShotState,
    sampling: SamplingSpec,
    temporal: TemporalSpec,
) -> tuple[Tensor, ShotState]:
    """The clean latents (T, C, h, w), and the state after them."""
    weights: dict[int, float] = {}
    if temporal.blend == "latent":
        weights = blend_weights(temporal.blend_strength, sampling.steps, temporal.blend_calls)
    if temporal.warm_start is not None:
        return _one_after_another(
            model, start, motion, state, sampling, weights, left_out=sampling.steps - temporal.warm_start
        )
    guide = Guide(state.blend.latents, motion, weights, move=model.warp)
    latents = _sample(model, start.degraded, start.condition, start.noise, sampling, guide)
    return latents, replace(state, noise=start.noise.state(), blend=replace(state.blend, latents=guide.latents))


def _one_after_another(
    model: DomainShiftModel,
    start: Start,
    motion: Motion,
    state: ShotState,
    sampling: SamplingSpec,
    weights: dict[int, float],
    *,
    left_out: int,
) -> tuple[Tensor, ShotState]:
    """The same, frame by frame; one that goes on from the frame before leaves out so many calls."""
    # All of them, whatever each frame needs: the next chunk's noise follows from what was drawn.
    draws = [start.noise(draw) for draw in range(sampling.steps + 1)]
    skipped = make_schedule(sampling.steps)[sampling.steps - left_out + 1]
    frames, added, blended = [], state.added, state.blend.latents
    for i in range(len(start.degraded)):
        one = slice(i, i + 1)
        degraded = start.degraded[one]
        guide = Guide(blended, Motion(motion.flow[one], motion.confidence[one]), weights, move=model.warp)
        sure = trust(motion.confidence[one], degraded.shape[-2:])
        warm, moved = None, None
        if added is not None and sure.mean() >= TRUSTED:
            moved = model.warp(added, motion.flow[one])
            warm = Estimate(skipped, degraded + sure * moved)
        found: dict[int, Tensor] = {}

        def watch(x0: Tensor, call: int, guide: Guide = guide, found: dict[int, Tensor] = found) -> Tensor:
            found[call] = guide(x0, call)
            return found[call]

        noise = partial(_of_frame, draws, one)
        frames.append(_sample(model, degraded, Condition(start.condition.hint[one]), noise, sampling, watch, warm=warm))
        added = found[left_out if moved is None else left_out + 1] - degraded
        if moved is not None:
            added = added + sure * (moved - added)  # found anew only where nothing is known
        blended = guide.latents
    state = replace(state, noise=start.noise.state(), blend=replace(state.blend, latents=blended), added=added)
    return concatenated(frames), state


def _of_frame(draws: Sequence[Tensor], one: slice, draw: int) -> Tensor:
    return draws[draw][one]


def _sample(
    model: DomainShiftModel,
    degraded: Tensor,
    condition: Condition,
    noise: Callable[[int], Tensor],
    sampling: SamplingSpec,
    guide: Callable[[Tensor, int], Tensor],
    *,
    warm: Estimate | None = None,
) -> Tensor:
    return sample(
        lambda x, t: model.denoise(x, t, condition),
        make_schedule(sampling.steps),
        degraded,
        noise=lambda draw: noise(draw).to(model.device),
        order=sampling.order,
        final=sampling.final,
        corrected_third_order=sampling.corrected_third_order,
        guide=guide,
        warm=warm,
    )
