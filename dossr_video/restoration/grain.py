"""Film grain of the source put back after the model, with the statistics that `measure_grain` found."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from dossr_video.diffusion.noise import IndependentNoise
from dossr_video.frames import luma
from dossr_video.restoration.grain_profile import BINS, GrainProfile, measure_grain

DRAW = -2  # number of the draw, unlike those of the sampler


def add_grain(
    pictures: Tensor,
    frames: Sequence[int],
    profile: GrainProfile,
    amount: float,
    *,
    size: tuple[int, int],
    seed: int,
    shot: int,
) -> Tensor:
    """Pictures with the grain of the source, less what they still have of it.

    Args:
        pictures: (T, 3, H, W) in [0, 1].
        frames: Index of each in the file: its grain depends on that, the seed and the shot alone.
        profile: The source's grain.
        amount: Of its deviation, in [0, 1].
        size: Height and width of the source's frames, on whose grid the grain has its size.
        seed: Of all noise.
        shot: Index of the shot in the file.
    """
    noise = IndependentNoise(seed, shot)(DRAW, frames, (1, *size))
    noise = _blurred(noise, profile)
    noise = F.interpolate(noise, pictures.shape[-2:], mode="bicubic", align_corners=False).to(pictures)
    grained = []
    for picture, field in zip(pictures, noise, strict=True):
        grey = luma(picture[None])
        small = F.interpolate(grey, size, mode="area").cpu()
        left = measure_grain([small[0]])
        missing = [
            math.sqrt(max(0.0, (amount * level) ** 2 - (0.0 if left is None else left.levels[i]) ** 2))
            for i, level in enumerate(profile.levels)
        ]
        grained.append(picture + field * _at(picture.new_tensor(missing), grey)[0])
    return torch.stack(grained).clamp(0, 1)


def _at(levels: Tensor, grey: Tensor) -> Tensor:
    """Level for each pixel's luma, between the bins' middles."""
    place = (grey * BINS - 0.5).clamp(0, BINS - 1)
    low = place.floor().long().clamp(max=BINS - 2)
    return levels[low].lerp(levels[low + 1], place - low)


def _blurred(noise: Tensor, profile: GrainProfile) -> Tensor:
    """Noise (T, 1, h, w) of variance 1, correlated as the profile says."""
    for sigma, dim in ((profile.across, 3), (profile.down, 2)):
        if sigma:
            reach = math.ceil(3 * sigma)
            taps = torch.exp(-torch.arange(-reach, reach + 1).square() / (2 * sigma**2))
            taps = taps / taps.square().sum().sqrt()
            shape = (1, 1, 1, -1) if dim == 3 else (1, 1, -1, 1)
            pad = (reach, reach, 0, 0) if dim == 3 else (0, 0, reach, reach)
            noise = F.conv2d(F.pad(noise, pad, mode="replicate"), taps.view(shape))
    return noise
