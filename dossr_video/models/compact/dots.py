"""Dots smaller than an input pixel, which the network draws where it knows no texture, taken out of its pictures."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from dossr_video.frames import luma

# Squared distances of the pixels around one, from and to: rings as far away as 1/2 and 3/4 of an input pixel at x4.
RINGS = ((4, 5), (7, 10))
TEXTURE = 0.05  # share of the frame's range around a pixel by which it may leave that of the ring
_REACH = 3  # pixels, of the larger one
_STRIP = 64  # rows at a time, which stay in the processor's caches


def without_dots(pictures: Tensor, frames: Tensor) -> Tensor:
    """Pictures (B, 3, sH, sW) of frames (B, 3, H, W), every dot no brighter or darker than what is around it.

    Conservative smoothing: the luma of a pixel is held to the range of a ring of pixels around it and of the frame's
    own pixel there; first by the smaller ring, then by the larger. Lines and edges reach the ring, and stay. Where the
    frame itself has texture, dots may be a little brighter or darker. All channels change alike.
    """
    light, size = luma(pictures), pictures.shape[-2:]
    small = luma(frames)
    known = F.interpolate(small, size=size, mode="nearest")
    around = F.pad(small, (1,) * 4, mode="replicate")
    texture = F.max_pool2d(around, 3, 1) + F.max_pool2d(-around, 3, 1)
    spared = TEXTURE * F.interpolate(texture, size=size, mode="bilinear", align_corners=False)
    held = light
    for ring in RINGS:
        held = _held(held, known, spared, ring)
    change = held - light
    return pictures + (change - change.mean((2, 3), keepdim=True))  # no frame changes its mean colour


def _held(light: Tensor, known: Tensor, spared: Tensor, ring: tuple[int, int]) -> Tensor:
    reach = range(-_REACH, _REACH + 1)
    places = [(y, x) for y in reach for x in reach if ring[0] <= y * y + x * x <= ring[1]]
    height, width = light.shape[-2:]
    around = F.pad(light, (_REACH,) * 4, mode="replicate")
    held = torch.empty_like(light)
    for top in range(0, height, _STRIP):
        rows = slice(top, min(top + _STRIP, height))
        low, high = known[..., rows, :].clone(), known[..., rows, :].clone()
        for y, x in places:
            first, left = rows.start + _REACH + y, _REACH + x
            part = around[..., first : first + rows.stop - rows.start, left : left + width]
            torch.minimum(low, part, out=low)
            torch.maximum(high, part, out=high)
        low -= spared[..., rows, :]
        high += spared[..., rows, :]
        held[..., rows, :] = torch.minimum(torch.maximum(light[..., rows, :], low, out=low), high, out=high)
    return held
