"""Dots smaller than an input pixel, which the network draws where it knows no texture, taken out of its pictures."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from dossr_video.frames import luma

# Squared distances of the pixels around one, from and to: rings as far away as 1/2 and 3/4 of an input pixel at x4.
RINGS = ((4, 5), (7, 10))
TEXTURE = 0.05  # share of the frame's range around a pixel by which it may leave that of the ring
_REACH = 3  # pixels, of the larger one
_STRIP = 32  # input rows at a time: what is made on the way takes as much memory as the pictures


def without_dots(pictures: Tensor, frames: Tensor) -> Tensor:
    """Pictures (B, 3, sH, sW) of frames (B, 3, H, W), every dot no brighter or darker than what is around it.

    Conservative smoothing: the luma of a pixel is held to the range of a ring of pixels around it and of the frame's
    own pixel there; first by the smaller ring, then by the larger. Lines and edges reach the ring, and stay. Where the
    frame itself has texture, dots may be a little brighter or darker. All channels change alike, and no mean colour.
    """
    height = frames.shape[2]
    scale = pictures.shape[2] // height
    margin = math.ceil(len(RINGS) * _REACH / scale) + 2  # input rows; two of them for the frame's own filters
    done, total = torch.empty_like(pictures), pictures.new_zeros(len(pictures), 1, 1, 1, dtype=torch.float64)
    for top in range(0, height, _STRIP):
        bottom = min(top + _STRIP, height)
        first, last = max(top - margin, 0), min(bottom + margin, height)
        change = _change(pictures[:, :, first * scale : last * scale], frames[:, :, first:last])
        change = change[:, :, (top - first) * scale : (bottom - first) * scale]
        rows = slice(top * scale, bottom * scale)
        torch.add(pictures[:, :, rows], change, out=done[:, :, rows])
        total += change.sum((2, 3), keepdim=True, dtype=torch.float64)
    return done.sub_((total / pictures[0, 0].numel()).to(done.dtype))


def _change(pictures: Tensor, frames: Tensor) -> Tensor:
    """What the luma of pictures changes by, (B, 1, sH, sW)."""
    light, small, size = luma(pictures), luma(frames), pictures.shape[2:]
    known = F.interpolate(small, size=size, mode="nearest")
    around = F.pad(small, (1,) * 4, mode="replicate")
    texture = F.max_pool2d(around, 3, 1) + F.max_pool2d(-around, 3, 1)
    spared = F.interpolate(TEXTURE * texture, size=size, mode="bilinear", align_corners=False)
    held = light
    for ring in RINGS:
        low, high = _range(held, known, ring)
        held = torch.minimum(torch.maximum(held, low.sub_(spared), out=low), high.add_(spared), out=low)
    return held.sub_(light)


def _range(light: Tensor, known: Tensor, ring: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """The lowest and the highest of what is known and of the ring around each pixel."""
    reach = range(-_REACH, _REACH + 1)
    places = [(y, x) for y in reach for x in reach if ring[0] <= y * y + x * x <= ring[1]]
    height, width = light.shape[2:]
    around = F.pad(light, (_REACH,) * 4, mode="replicate")
    low, high = known.clone(), known.clone()
    for y, x in places:
        part = around[:, :, _REACH + y : _REACH + y + height, _REACH + x : _REACH + x + width]
        torch.minimum(low, part, out=low)
        torch.maximum(high, part, out=high)
    return low, high
