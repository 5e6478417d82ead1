"""Deflicker: evening out the exposure from frame to frame.

In film flicker every frame is exposed a little differently, by the camera, the printer or the lamp of the telecine.
Each frame's exposure is drawn towards a level that follows the frames before it and their trend, so that fades, slow
and sudden changes of light stay.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from dossr_video.frames import Motion
from dossr_video.temporal.warping import warp

FOLLOW = 0.4  # share of a frame's deviation that the level follows
TREND = 0.1  # share that the trend follows: critically damped with FOLLOW (Benedict and Bordner 1962)
FLICKER = 0.1  # log of exposure; larger deviations are changes of light, fully from twice as much on
DARK, BRIGHT = 1 / 255, 0.98  # below there is no exposure to measure, above it is clipped
LEAST = 0.05  # of the frame must have confidence, or the change is unknown


@dataclass(frozen=True)
class ExposureState:
    """State passed from chunk to chunk of a shot; the default starts a shot. Logarithms per channel (3, 1, 1)."""

    correction: Tensor | None = None  # of the last frame; None: unknown
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
    # One weight for all channels: a change of light must not shift the hue.
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
