"""Colour fixes: a generated picture keeps its detail and takes its colours from the restored one.

All pictures are (T, 3, H, W) RGB; nothing is clamped but by `match_mean` and `keep_grey`.
"""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from dossr_video.frames import luma

WAVELET_LEVELS = 5
NEUTRAL = 2 / 255  # by how much the channels of a pixel without colour differ at most


def color_fix(pictures: Tensor, colors: Tensor, kind: Literal["none", "adain", "wavelet"]) -> Tensor:
    """`pictures` with the colours of `colors`, of the same shape."""
    if kind == "none":
        return pictures
    return wavelet(pictures, colors) if kind == "wavelet" else adain(pictures, colors)


def wavelet(pictures: Tensor, colors: Tensor) -> Tensor:
    """The fine scales of `pictures` on the coarsest scale of `colors` (a-trous wavelet, binomial kernel, 5 levels)."""
    return pictures - _coarsest(pictures) + _coarsest(colors)


def _coarsest(pictures: Tensor) -> Tensor:
    row = torch.tensor([0.25, 0.5, 0.25], device=pictures.device, dtype=pictures.dtype)
    channels = pictures.shape[1]
    kernel = (row[:, None] * row).expand(channels, 1, 3, 3)
    for level in range(WAVELET_LEVELS):
        reach = 2**level
        padded = F.pad(pictures, (reach,) * 4, mode="replicate")
        pictures = F.conv2d(padded, kernel, dilation=reach, groups=channels)
    return pictures


def adain(pictures: Tensor, colors: Tensor) -> Tensor:
    """`pictures` with mean and deviation of every channel taken from `colors` (Huang and Belongie 2017)."""
    mean, deviation = _statistics(pictures)
    wanted_mean, wanted_deviation = _statistics(colors)
    return (pictures - mean) / deviation * wanted_deviation + wanted_mean


def _statistics(pictures: Tensor) -> tuple[Tensor, Tensor]:
    variance, mean = torch.var_mean(pictures, dim=(2, 3), keepdim=True)
    return mean, (variance + 1e-5).sqrt()


def match_mean(pictures: Tensor, source: Tensor) -> Tensor:
    """Pictures in [0, 1] with the mean colour of the source's frames: a restorer drifts.

    Both are (T, 3, any size). What is clipped makes up for a part of the shift, so it is done twice.
    """
    wanted = source.mean((2, 3), keepdim=True)
    for _ in range(2):
        pictures = (pictures + wanted - pictures.mean((2, 3), keepdim=True)).clamp(0, 1)
    return pictures


def keep_grey(pictures: Tensor, frames: Tensor) -> Tensor:
    """Pictures in [0, 1], those of black-and-white frames black and white: what a network colours there is speckle.

    Both are (T, 3, any size), on any devices; the mean colour of a frame, a faint tint, stays.
    """
    grey = (frames.amax(1) - frames.amin(1)).amax((1, 2)) <= NEUTRAL
    if not grey.any():
        return pictures
    tint = (frames - luma(frames)).mean((2, 3), keepdim=True).to(pictures.device)
    grey = grey[:, None, None, None].to(pictures.device)
    return torch.where(grey, (luma(pictures) + tint).clamp_(0, 1), pictures)
