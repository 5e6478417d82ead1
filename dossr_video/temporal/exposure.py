"""Exposure from frame to frame: what changed, and evening out what flickers.

Film pumps: every frame was lit a little differently, by the camera's hand crank, the printer or the lamp of the
telecine. A frame's exposure is drawn to a level that follows the frames before it and their trend, so that fades, slow
changes of light and sudden ones stay.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dossr_video.frames import Motion
from dossr_video.temporal.flow import warp

FOLLOW = 0.4  # share of a frame's deviation that the level takes over
TREND = 0.1  # and that its trend does: critically damped with FOLLOW (Benedict and Bordner 1962)
FLICKER = 0.1  # log of exposure; deviations above are light that changed, wholly from twice as much on
DARK, BRIGHT = 1 / 255, 0.98  # codes below say nothing of exposure, and above it is clipped
LEAST = 0.05  # of the picture must be trusted, or nothing is known


@dataclass(frozen=True)
class ExposureState:
    """What a chunk leaves to the next of its shot; the default begins a shot. Logarithms per colour (3, 1, 1)."""

    correction: Tensor | None = None  # of the last frame; None: nothing is known of it
    trend: Tensor | None = None  # of the exposure, per frame


def even_out(
    frames: Tensor, previous: Tensor | None, motion: Motion, state: ExposureState
) -> tuple[Tensor, ExposureState]:
    """Frames (T, 3, H, W) in [0, 1] with their exposure evened out, and the state after them.

    `previous` (3, H, W) is the frame before the first as it was read; None at a shot's start, whose first frame stays
    as it is. The gain of each frame depends on the frames before it alone, so chunks do not matter.
    """
    corrected = []
    for i, frame in enumerate(frames):
        change = None if previous is None else _change(frame, previous, motion, i)
        state = _follow(change, state)
        corrected.append(frame if state.correction is None else (frame * state.correction.exp()).clamp(0, 1))
        previous = frame
    return torch.stack(corrected), state


def _follow(change: Tensor | None, state: ExposureState) -> ExposureState:
    """Level and trend after a frame whose exposure changed by `change`; as offsets from that frame's own exposure."""
    if change is None:
        return ExposureState()
    before = torch.zeros_like(change) if state.correction is None else state.correction
    trend = torch.zeros_like(change) if state.trend is None else state.trend
    deviation = change - before - trend
    # One weight for all colours: a change of light must not turn the colours on its way.
    flicker = (2 - deviation.abs().max() / FLICKER).clamp(0, 1)
    return ExposureState(-(1 - FOLLOW) * flicker * deviation, trend + TREND * flicker * deviation)


def _change(frame: Tensor, previous: Tensor, motion: Motion, i: int) -> Tensor | None:
    """Log of exposure (3, 1, 1) of frame i of the motion against the frame before, over the places that are trusted."""
    before = warp(previous[None], motion.flow[i : i + 1], mode="bilinear")[0]
    trusted = motion.confidence[i] * (torch.maximum(frame, before) < BRIGHT)
    if float(motion.confidence[i].mean()) < LEAST:
        return None
    now, then = ((trusted * picture).mean((1, 2), keepdim=True) for picture in (frame, before))
    floor = DARK * trusted.mean((1, 2), keepdim=True) + 1e-9
    return ((now + floor) / (then + floor)).log()
