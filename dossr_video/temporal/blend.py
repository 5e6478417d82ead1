"""Temporal blending: each frame, or its predicted clean latents, with the warped frame before it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from dossr_video.frames import Motion
from dossr_video.temporal.flow import box_mean, warp

Warp = Callable[[Tensor, Tensor], Tensor]  # images (1, C, h, w), flow (1, 2, H, W) in input pixels -> moved images

Calls = Literal["first", "last", "all"]

PASS = 0.8  # gain of a 5 x 5 high-pass filter on its own output: 0.65 to 0.75 on images, 1 on noise
GAIN = 1.75  # at most, of the detail that blending averages out
RECOVERY = 0.7  # share of the lost detail, in dB, that is restored: all of it would bring back half the flicker
TINY = 1e-8  # energy of a detail of 1e-4
RANGE = 2.0  # at most, of contrast between two frames
CONTRAST = 0.01  # deviation of cells below which a channel has no contrast to match
LEVEL = 3.0  # input pixels; over 5 x 5 of such cells two frames are brought to one level


@dataclass(frozen=True, eq=False)
class BlendState:
    """State passed from chunk to chunk of a shot; the default starts a shot."""

    latents: Mapping[int, Tensor] = field(default_factory=dict)  # the last frame's (1, C, h, w) by network call
    picture: Tensor | None = None  # the last frame's (1, 3, sH, sW)


def blend_weights(strength: float, calls: int, which: Calls) -> dict[int, float]:
    """Strength of blending latents by network call 1 ... `calls`; 0 where absent."""
    chosen = {"first": range(1, 2), "last": range(calls, calls + 1), "all": range(1, calls + 1)}[which]
    return dict.fromkeys(chosen, strength)


class Guide:
    """Blends the clean latents of chosen network calls with the frame before; keeps the state for the next chunk."""

    def __init__(
        self, before: Mapping[int, Tensor], motion: Motion, weights: Mapping[int, float], *, move: Warp
    ) -> None:
        """`before`: BlendState.latents of the chunk before; `move` warps the codec's latents."""
        self._before, self._motion, self._weights, self._move = before, motion, weights, move
        self.latents: dict[int, Tensor] = {}  # for the next chunk of the shot, once all calls are made

    def __call__(self, x0: Tensor, call: int) -> Tensor:
        """Clean latents (T, C, h, w) of network call 1 ... N -> the ones to go on with."""
        if call not in self._weights:
            return x0
        before = self._before.get(call)
        blended = blend_latents(x0, before, self._motion, strength=self._weights[call], move=self._move)
        self.latents[call] = blended[-1:].clone()  # not a view that keeps the whole chunk
        return blended


def blend_pictures(pictures: Tensor, previous: Tensor | None, motion: Motion, *, strength: float) -> Tensor:
    """Blend frames (T, 3, sH, sW) with the blended frame before each, keeping sharpness and exposure.

    y[i] = x[i] + m b (warp(y[i-1]) - x[i]), m the motion's confidence, b the strength in [0, 1], and the warped frame
    with the contrast of this one and its level around each place, so that blending changes detail only. `previous`
    (1, 3, sH, sW) is y of the frame before the first: the last of the chunk before, or None at a shot's start. Only
    earlier frames are used, so the chunk length does not change the result.
    """

    def as_exposed(frame: Tensor, moved: Tensor, weight: Tensor, cell: int) -> Tensor:
        moved = _with_contrast(moved, frame, weight, cell)
        return _towards(frame, moved + _level(frame - moved, weight, cell), weight)

    return _blend(pictures, previous, motion, strength, warp, as_exposed)


def blend_latents(latents: Tensor, previous: Tensor | None, motion: Motion, *, strength: float, move: Warp) -> Tensor:
    """The same for latents (T, C, h, w), per channel; `move` warps the codec's latents.

    Only the level is matched: most channels are detail and have no coarse contrast.
    """

    def each_channel(frame: Tensor, moved: Tensor, weight: Tensor, cell: int) -> Tensor:
        moved = moved + _level(frame - moved, weight, cell)
        return _towards(frame.transpose(0, 1), moved.transpose(0, 1), weight).transpose(0, 1)

    return _blend(latents, previous, motion, strength, move, each_channel)


def _blend(
    frames: Tensor,
    previous: Tensor | None,
    motion: Motion,
    strength: float,
    move: Warp,
    towards: Callable[[Tensor, Tensor, Tensor, int], Tensor],
) -> Tensor:
    cell = max(round(LEVEL * frames.shape[-1] / motion.flow.shape[-1]), 1)
    blended: list[Tensor] = []
    for i in range(len(frames)):
        frame = frames[i : i + 1]
        if previous is not None:
            flow, confidence = motion.flow[i : i + 1].to(frame.device), motion.confidence[i : i + 1].to(frame.device)
            weight = strength * _weight(confidence, frame.shape[-2:])
            # In float32: local energies are too small for half precision.
            frame = towards(frame.float(), move(previous, flow).float(), weight, cell).to(frame)
        blended.append(frame)
        previous = frame
    return torch.cat(blended)


def _weight(confidence: Tensor, size: torch.Size) -> Tensor:
    """Confidence (1, 1, H, W) at a frame's size, nowhere above what it was, and without hard edges."""
    # The least of 3 x 3 pixels, then their mean: where flow breaks off, its pictures do too, and an edge would show.
    least = -F.max_pool2d(-confidence, 3, stride=1, padding=1)
    soft = F.avg_pool2d(F.pad(least, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    if size[0] < confidence.shape[-2]:
        # A larger cell takes the least of its pixels, or occlusions would ghost.
        return -F.adaptive_max_pool2d(-soft, tuple(size))
    return F.interpolate(soft, size=tuple(size), mode="bilinear", align_corners=False)


def _with_contrast(moved: Tensor, frame: Tensor, weight: Tensor, cell: int) -> Tensor:
    """Moved (1, C, h, w) with every channel's coarse contrast, where it is blended, as in `frame`."""
    # Of coarse cells, so that noise does not count as contrast.
    share, *cells = (_coarse(images, cell) for images in (weight, moved, frame))
    contrast, wanted = ((share * (part - _mean(part, share)).square()).sum((2, 3), keepdim=True) for part in cells)
    floor = CONTRAST**2 * share.sum((2, 3), keepdim=True) + TINY
    return moved * ((wanted + floor) / (contrast + floor)).sqrt().clamp(1 / RANGE, RANGE)


def _mean(images: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean (1, C, 1, 1); 0 where all weights are 0."""
    return (weight * images).sum((2, 3), keepdim=True) / (weight.sum((2, 3), keepdim=True) + TINY)


def _level(difference: Tensor, weight: Tensor, cell: int) -> Tensor:
    """Mean of a difference (1, C, h, w) around each place, as far as it is blended.

    Without it blending would lengthen fades, and wherever the weight changes on a flat wall that flickers an outline
    would show. The mean of the whole frame is not enough: film flickers in parts.
    """
    share, total = (box_mean(_coarse(images, cell)) for images in (weight, weight * difference))
    return F.interpolate(total / (share + TINY), size=difference.shape[-2:], mode="bilinear", align_corners=False)


def _coarse(images: Tensor, cell: int) -> Tensor:
    return F.interpolate(images, size=[-(-side // cell) for side in images.shape[-2:]], mode="area")


def _towards(frame: Tensor, moved: Tensor, weight: Tensor) -> Tensor:
    """frame + w (moved - frame), about as sharp as frame: (B, C, h, w), weight (1, 1, h, w).

    Averaging loses detail that the two do not share. With A and B the high-pass energies of frame and moved and R
    that of their product, E = A - 2 (A - R) w + (A + B - 2 R) w^2 is left, so sqrt(A / E) would bring the high-pass
    part back to its energy; it is multiplied by that to the power of RECOVERY. Where more than GAIN would be needed
    the two differ in content and w is reduced, smoothly, so that rounding errors stay small.
    """
    high, high_moved = frame - box_mean(frame), moved - box_mean(moved)
    energy, shared = _local(high * high), _local(high * high_moved)
    slope = 1 - shared / energy
    bend = slope - (shared - _local(high_moved * high_moved)) / energy
    slope, bend = (F.interpolate(x, size=frame.shape[-2:], mode="bilinear", align_corners=False) for x in (slope, bend))
    left = 1 - 2 * slope * weight + bend * weight.square()  # E / A
    weight = weight * (left * GAIN**2).clamp(0, 1)
    gain = (1 - 2 * slope * weight + bend * weight.square()).clamp(GAIN**-2, 1) ** (-RECOVERY / 2)
    return frame + weight * (moved - frame) + (gain - 1) / PASS * (high + weight * (high_moved - high))


def _local(energy: Tensor) -> Tensor:
    """(B, C, h, w) -> (B, 1, h/4, w/4): means over channels and about 12 x 12 cells."""
    height, width = energy.shape[-2:]
    blocks = F.interpolate(energy.mean(1, keepdim=True), size=(-(-height // 4), -(-width // 4)), mode="area")
    return F.avg_pool2d(F.pad(blocks, (1, 1, 1, 1), mode="replicate"), 3, stride=1) + TINY
