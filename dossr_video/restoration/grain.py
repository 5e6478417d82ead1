"""Film grain: measured in the source, and put back after the model with the same statistics.

Grain is taken as Gaussian noise on the luma whose deviation depends on the brightness and whose neighbours are
correlated as if it had been blurred a little, across and down apart.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from dossr_video.diffusion.noise import IndependentNoise
from dossr_video.temporal.flow import luma

BLOCK = 16  # pixels a side
BINS = 8  # of brightness
FLATTEST = 0.2  # of the blocks of a brightness; what is left in them is grain
ENOUGH = 4  # blocks that a brightness must have
TEXTURE = 0.88  # correlation of neighbours that no grain has
RANGE = 2.2  # at most, of levels between brightnesses: more is texture
BLACK, WHITE = 16 / 255, 239 / 255  # there grain is cut off
DRAW = -2  # number of the draw, unlike those of the sampler


@dataclass(frozen=True)
class GrainProfile:
    """Statistics of a source's grain."""

    levels: tuple[float, ...]  # deviation in each of BINS ranges of luma, in [0, 1]
    across: float  # deviation of the blur that its neighbours' correlation stands for, pixels of the source
    down: float


def measure_grain(frames: Iterable[Tensor]) -> GrainProfile | None:
    """The grain of sampled frames (C, H, W) in [0, 1], luma or RGB; None where nothing is flat enough to tell."""
    parts = [_residuals(luma(frame[None])) for frame in frames]
    if not parts or not sum(len(levels) for levels, _ in parts):
        return None
    brightness, blocks = (torch.cat(columns) for columns in zip(*parts, strict=True))
    grainy = torch.maximum(_correlation(blocks, -1), _correlation(blocks, -2)) < TEXTURE
    brightness, blocks = brightness[grainy], blocks[grainy]
    variance = blocks.square().mean((1, 2))
    bins = (brightness * BINS).long().clamp(max=BINS - 1)
    found: dict[int, float] = {}
    flat: list[Tensor] = []
    for i in range(BINS):
        inside = (bins == i).nonzero().flatten()
        if len(inside) >= ENOUGH:
            least = variance[inside].argsort()[: max(ENOUGH, int(FLATTEST * len(inside)))]
            found[i] = float(variance[inside[least]].median().sqrt())
            flat.append(blocks[inside[least]])
    if not found:
        return None
    found = {i: level for i, level in found.items() if level <= RANGE * min(found.values())}
    levels = tuple(round(found[min(found, key=lambda known: abs(known - i))], 5) for i in range(BINS))
    grain = torch.cat(flat)
    return GrainProfile(levels, _blur(grain, -1), _blur(grain, -2))


def _residuals(picture: Tensor) -> tuple[Tensor, Tensor]:
    """Mean luma (N,) and what is left of each block (N, BLOCK, BLOCK) without its slope; clipped blocks left out."""
    blocks = F.unfold(picture, BLOCK, stride=BLOCK // 2)[0].T.reshape(-1, BLOCK, BLOCK)
    mean = blocks.mean((1, 2))
    blocks = blocks[(mean > BLACK) & (mean < WHITE)]
    ramp = torch.linspace(-1, 1, BLOCK)
    ramp = ramp / ramp.square().sum().mul(BLOCK).sqrt()
    flat = blocks - blocks.mean((1, 2), keepdim=True)
    for plane in (ramp.view(1, 1, BLOCK), ramp.view(1, BLOCK, 1)):
        flat = flat - (flat * plane).sum((1, 2), keepdim=True) * plane
    return blocks.mean((1, 2)), flat


def _correlation(blocks: Tensor, dim: int) -> Tensor:
    """(N,): of neighbours along `dim`, in each block."""
    size = blocks.shape[dim]
    shared = (blocks.narrow(dim, 1, size - 1) * blocks.narrow(dim, 0, size - 1)).mean((1, 2))
    return (shared / blocks.square().mean((1, 2))).nan_to_num()


def _blur(grain: Tensor, dim: int) -> float:
    """Deviation of the Gaussian blur that would correlate white noise as much: exp(-1 / (4 s^2)) for neighbours."""
    correlation = float(_correlation(grain, dim).median().clamp(0, 0.95))
    return round(0.5 / math.sqrt(-math.log(correlation)), 3) if correlation > 0.02 else 0.0


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
