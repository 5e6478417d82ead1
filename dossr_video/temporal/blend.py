"""Temporal blending: each frame, or its predicted clean latents, with the warped frame before it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import lcm
from typing import Literal

import cv2
import torch
import torch.nn.functional as F
from torch import Tensor

from dossr_video.frames import Motion
from dossr_video.temporal.flow import box_mean, plane_sum
from dossr_video.temporal.warping import warp

Warp = Callable[[Tensor, Tensor], Tensor]  # images (1, C, h, w), flow (1, 2, H, W) in input pixels -> moved images

Calls = Literal["first", "last", "all"]

PASS = 0.8  # gain of a 5 x 5 high-pass filter on its own output: 0.65 to 0.75 on images, 1 on noise
GAIN = 1.75  # at most, of the detail that blending averages out
RECOVERY = 0.7  # share of the lost detail, in dB, that is restored: all of it would bring back half the flicker
TINY = 1e-8  # energy of a detail of 1e-4
RANGE = 2.0  # at most, of contrast between two frames
CONTRAST = 0.01  # deviation of cells below which a channel has no contrast to match
STRIP = 2**18  # pixels that are blended at a time: all that is worked out on the way takes ten times as much memory
QUARTER = 4  # cells a side, over which energies are averaged
REACH = 12  # rows on either side that a blended row depends on
LEVEL = 4  # input pixels; over 5 x 5 of such cells two frames are brought to one level
GHOST = 2 / 255  # difference of a cell from the moved one, both at one level, from which on it shows something else
EDGE = 0.06  # of the contrast between cells, how far they may differ for flow that is off by a fraction of a pixel
GRAIN = 2 / 255  # the largest median of these differences that grain explains


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


def blend_pictures(
    pictures: Tensor, previous: Tensor | None, motion: Motion, source: Tensor, *, strength: float
) -> Tensor:
    """Blend frames (T, 3, sH, sW) with the blended frame before each, keeping sharpness and exposure.

    y[i] = x[i] + m b (warp(y[i-1]) - x[i]), m the motion's confidence, b the strength in [0, 1], and the warped frame
    with the contrast of this one and its level around each place, so that blending changes detail only. `previous`
    (1, 3, sH, sW) is y of the frame before the first: the last of the chunk before, or None at a shot's start. `source`
    (T, 3, H, W) is what the frames were made of. Only earlier frames are used, so the chunk length does not change the
    result.

    A frame is blended where it lies in memory, for of large ones a copy is a lot.
    """
    return _blend(pictures, previous, motion, source, strength, warp)


def blend_latents(latents: Tensor, previous: Tensor | None, motion: Motion, *, strength: float, move: Warp) -> Tensor:
    """The same for latents (T, C, h, w), per channel; `move` warps the codec's latents.

    Only the level is matched: most channels are detail and have no coarse contrast.
    """
    return _blend(latents.clone(), previous, motion, None, strength, move)


def _blend(
    frames: Tensor, previous: Tensor | None, motion: Motion, source: Tensor | None, strength: float, move: Warp
) -> Tensor:
    """Without a source: of latents."""
    cell = max(round(LEVEL * frames.shape[-1] / motion.flow.shape[-1]), 1)
    for i in range(len(frames)):
        frame = frames[i : i + 1]
        if previous is not None:
            flow, confidence = motion.flow[i : i + 1].to(frame.device), motion.confidence[i : i + 1].to(frame.device)
            weight = strength * trust(confidence, frame.shape[-2:])
            given = None if source is None else _means(source[i : i + 1].to(frame.device).float(), LEVEL)
            _blend_frame(frame, move(previous, flow), weight, cell, given)
        previous = frame
    return frames


def _blend_frame(frame: Tensor, moved: Tensor, weight: Tensor, cell: int, given: Tensor | None) -> None:
    """Blend one frame (1, C, h, w), in place, with the warped one before it, strip by strip.

    `given`: means of its source over cells (1, C, h / cell, w / cell); None: these are latents.
    """
    step = lcm(cell, QUARTER)
    rows, margin = step * max(STRIP // (frame.shape[-1] * step), 1), step * -(-REACH // step)
    height = frame.shape[-2]
    gain, level, alike = _exposure(frame, moved, weight, cell, rows, given)
    above = frame[..., :0, :]  # the last rows before the strip, as they were
    for top in range(0, height, rows):
        first, last = max(top - margin, 0), min(top + rows + margin, height)
        # In float32: local energies are too small for half precision.
        now = torch.cat([above, frame[..., top:last, :]], 2).float()
        then = moved[..., first:last, :].float() * gain
        then += _rows(level, cell, first, now.shape[-2:])
        above = now[..., max(top + rows - margin, 0) - first : top + rows - first, :].to(frame, copy=True)
        if given is None:
            now, then = now.transpose(0, 1), then.transpose(0, 1)
        blended = weight[..., first:last, :] * _rows(alike, cell, first, now.shape[-2:])
        part = _towards(now, then, blended, slice(top - first, top - first + rows))
        frame[..., top : top + rows, :] = part.transpose(0, 1) if given is None else part


def trust(confidence: Tensor, size: torch.Size) -> Tensor:
    """Confidence (1, 1, H, W) at a frame's size, nowhere above what it was, and without hard edges."""
    # The least of 3 x 3 pixels, then their mean: where flow breaks off, its pictures do too, and an edge would show.
    least = -F.max_pool2d(-confidence, 3, stride=1, padding=1)
    soft = F.avg_pool2d(F.pad(least, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
    if size[0] < confidence.shape[-2]:
        # A larger cell takes the least of its pixels, or occlusions would ghost.
        return -F.adaptive_max_pool2d(-soft, tuple(size))
    return _resized(soft, (size[0], size[1]))


def _exposure(
    frame: Tensor, moved: Tensor, weight: Tensor, cell: int, rows: int, given: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """What brings the moved frame to the exposure of this one, where it is blended, and where the two then are alike.

    The gain (1, C, 1, 1) matches coarse contrast; the level (1, C, h / cell, w / cell) the mean around each place.
    Without them blending would lengthen fades, and wherever the weight changes on a flat wall that flickers an outline
    would show. The mean of the whole frame is not enough: film flickers in parts.
    """
    # Of coarse cells, so that noise does not count as contrast.
    cells = [_cells(frame[..., cut, :], moved[..., cut, :], weight[..., cut, :], cell) for cut in _cuts(frame, rows)]
    share, now, then, weighted_now, weighted_then = (torch.cat(parts, 2) for parts in zip(*cells, strict=True))
    gain = torch.ones_like(now[..., :1, :1])
    if given is not None:
        wanted, found = (_mean((part - _mean(part, share)).square(), share) for part in (now, then))
        gain = ((wanted + CONTRAST**2) / (found + CONTRAST**2)).sqrt().clamp(1 / RANGE, RANGE)
    level = box_mean(weighted_now - gain * weighted_then) / (box_mean(share) + TINY)
    return gain, level, torch.ones_like(share) if given is None else _alike(now, gain * then + level, given)


def _alike(now: Tensor, then: Tensor, given: Tensor) -> Tensor:
    """1 where cells (1, C, h, w) of two frames show the same, 0 where they do not: (1, 1, h, w).

    A dissolve changes little from one frame to the next, but what is left of the scene before adds up, from blended
    frame to blended frame. Allowed for is what a model makes of its own: how far its picture is from the `given` cells
    of its source; and beside an edge a part of the contrast, which flow that is not quite right makes.
    """
    contrast = (F.max_pool2d(now, 3, 1, 1) + F.max_pool2d(-now, 3, 1, 1)).mean(1, keepdim=True)
    difference, drawn = (now - then).abs().mean(1, keepdim=True), now - given
    allowed = GHOST + 1.5 * _middle(difference).clamp(max=GRAIN) + EDGE * contrast
    allowed += _middle((drawn - box_mean(drawn)).abs().mean(1, keepdim=True))
    return trust((2 - difference / allowed).clamp(0, 1), now.shape[-2:])


def _middle(cells: Tensor) -> Tensor:
    """The median of (1, 1, h, w)."""
    return cells.flatten().median()


def _cuts(frame: Tensor, rows: int) -> list[slice]:
    return [slice(top, top + rows) for top in range(0, frame.shape[-2], rows)]


def _cells(frame: Tensor, moved: Tensor, weight: Tensor, cell: int) -> list[Tensor]:
    """Means over cells of the weight, of both frames, and of both times the weight."""
    frame, moved = frame.float(), moved.float()
    images = (weight, frame, moved, weight * frame, weight * moved)
    return [_means(image, cell) for image in images]


def _means(images: Tensor, cell: int) -> Tensor:
    """Means over cells, the last of which may be smaller; a pooling layer takes seven times as long on a CPU."""
    height, width = images.shape[-2:]
    below, right = -height % cell, -width % cell
    if below or right:
        images = F.pad(images, (0, right, 0, below))
    sums = torch.unflatten(torch.unflatten(images, -2, (-1, cell)).sum(-2), -1, (-1, cell)).sum(-1)
    sums[..., -1, :] *= cell / (cell - below)
    sums[..., -1] *= cell / (cell - right)
    return sums.div_(cell * cell)


def _rows(cells: Tensor, cell: int, first: int, size: torch.Size) -> Tensor:
    """Rows of what is known by cell, at the frame's size; `first`, a multiple of the cell, is the first of them."""
    above = 1 if first else 0
    begin = first // cell - above
    part = cells[..., begin : begin + above + -(-size[0] // cell) + 1, :]
    large = _enlarged(part, cell, torch.Size((above * cell + size[0], size[1])))
    return large[..., above * cell :, :]


def _enlarged(images: Tensor, factor: int, size: torch.Size) -> Tensor:
    # By the same factor for every strip, not to its size: the last strip may end within a cell.
    large = _resized(images, (images.shape[-2] * factor, images.shape[-1] * factor))
    return large[..., : size[0], : size[1]]


def _resized(images: Tensor, size: tuple[int, int]) -> Tensor:
    if images.device.type == "cpu":
        large = torch.empty(*images.shape[:2], *size)
        for plane, result in zip(images.flatten(0, 1).numpy(), large.flatten(0, 1).numpy(), strict=True):
            cv2.resize(plane, size[::-1], dst=result, interpolation=cv2.INTER_LINEAR)  # ten times as fast
        return large
    return F.interpolate(images, size=size, mode="bilinear", align_corners=False)


def _mean(images: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean (1, C, 1, 1); 0 where all weights are 0."""
    return plane_sum(weight * images) / (plane_sum(weight) + TINY)


def _towards(frame: Tensor, moved: Tensor, weight: Tensor, rows: slice) -> Tensor:
    """Rows of frame + w (moved - frame), about as sharp as frame: (B, C, h, w), weight (1, 1, h, w).

    The frame is written over.

    Averaging loses detail that the two do not share. With A and B the high-pass energies of frame and moved and R
    that of their product, E = A - 2 (A - R) w + (A + B - 2 R) w^2 is left, so sqrt(A / E) would bring the high-pass
    part back to its energy; it is multiplied by that to the power of RECOVERY. Where more than GAIN would be needed
    the two differ in content and w is reduced, smoothly, so that rounding errors stay small.
    """
    coarse, coarse_moved = box_mean(frame), box_mean(moved)
    high, high_moved = frame - coarse, moved - coarse_moved
    energy, shared = _local(high, high), _local(high, high_moved)
    slope = 1 - shared / energy
    bend = slope - (shared - _local(high_moved, high_moved)) / energy
    slope, bend = (_enlarged(part, QUARTER, frame.shape[-2:])[..., rows, :] for part in (slope, bend))
    weight = weight[..., rows, :]
    weight = weight * _left(weight, slope, bend).mul_(GAIN**2).clamp_(0, 1)
    gain = _left(weight, slope, bend).clamp_(GAIN**-2, 1).log_().mul_(-RECOVERY / 2).exp_()  # a power takes thrice that
    # The high-pass part of what is blended is what lies between it and the blended coarse parts.
    frame, moved, coarse, coarse_moved = (part[..., rows, :] for part in (frame, moved, coarse, coarse_moved))
    return coarse.lerp_(coarse_moved, weight).lerp_(frame.lerp_(moved, weight), gain.sub_(1).div_(PASS).add_(1))


def _left(weight: Tensor, slope: Tensor, bend: Tensor) -> Tensor:
    """E / A = 1 - 2 slope w + bend w^2."""
    return (bend * weight).sub_(slope, alpha=2).mul_(weight).add_(1)


def _local(one: Tensor, other: Tensor) -> Tensor:
    """The product's means over channels and 12 x 12 pixels: (B, C, h, w) -> (B, 1, h/4, w/4)."""
    product = one[:, :1] * other[:, :1]
    for channel in range(1, one.shape[1]):
        product.addcmul_(one[:, channel : channel + 1], other[:, channel : channel + 1])
    blocks = _means(product, QUARTER).div_(one.shape[1])
    return F.avg_pool2d(F.pad(blocks, (1, 1, 1, 1), mode="replicate"), 3, stride=1) + TINY
