"""The denoiser of `large`: a small U-Net on the wavelet grid that weighs the bands of a picture."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dossr_video.models.large.wavelet import CHANNELS, LEVELS

_FREQUENCIES = 32
DRAWN = 0.7  # share of the second of two pictures in their mean; the denoiser was trained with 0.5
GAIN = 0.7  # share by which a band is made stronger or weaker at most
LOW = 3  # bands that stay as they are
HIGH = [LOW * (4 ** (level + 1) - 4**level) for level in range(LEVELS)]  # numbers of the others, coarse to fine
BOTH = (0.1, 0.35, 0.3)  # share of them that is added where the two pictures are the same, for their mean is soft
ALONE = (0.1, 0.4, 0.6)  # share of them that is taken off where the two pictures have nothing in common
SHARES = repr((DRAWN, GAIN, BOTH, ALONE)).encode()  # results depend on them as on the weights


def embed_time(t: Tensor) -> Tensor:
    """Schedule entries (B,) in [0, 1000) -> sines and cosines (B, 64)."""
    rates = torch.exp(-math.log(10000) * torch.arange(_FREQUENCIES, device=t.device) / _FREQUENCIES)
    angles = t[:, None].float() * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def agreement(half: Tensor, difference: Tensor) -> Tensor:
    """How far two pictures agree in some bands, (B, 1, h, w) in [0, 1].

    `half` their sum and their difference are (B, C, h, w). It is the correlation of the bands over three by three
    cells: the product of a and b over the mean of their squares, which are the square of (a + b) / 2 less, and more,
    that of (a - b) / 2.
    """
    both, apart = (
        F.avg_pool2d(part.square().mean(1, keepdim=True), 3, stride=1, padding=1, count_include_pad=False)
        for part in (half, 0.5 * difference)
    )
    return ((both - apart) / (both + apart + 1e-6)).clamp(min=0)


class _Block(nn.Module):
    """Two convolutions around a time-dependent scale and shift. No normalisation: it would move colours."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)
        self.time = nn.Linear(2 * _FREQUENCIES, 2 * width)
        nn.init.zeros_(self.time.weight)
        nn.init.zeros_(self.time.bias)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        scale, shift = self.time(time)[:, :, None, None].chunk(2, dim=1)
        return x + self.second(F.silu(self.first(x) * (1 + scale) + shift))


class Denoiser(nn.Module):
    """x_t (B, 192, h, w), sides even, a hint (B, 192 + seen, h, w) and t (B,) -> x0 (B, 192, h, w).

    The hint begins with xhat0, the mean of two pictures with DRAWN of the second, and ends with how the second differs
    from the first (192); between them is whatever else the model shows. x0 is xhat0 with every high band of every cell
    made stronger or weaker: stronger only as far as the two pictures agree, for their mean is softer than either where
    they do, and weaker where they do not, for what one of them alone draws may not be there. So nothing is invented.
    Latents are float32 whatever the weights are; only the gain is computed in half precision.
    """

    def __init__(self, *, width: int, deep_width: int, seen: int) -> None:
        super().__init__()
        self.head = nn.Conv2d(2 * CHANNELS + seen, width, 1)
        self.fine_in = _Block(width)
        self.down = nn.Conv2d(width, deep_width, 2, stride=2)
        self.deep = nn.ModuleList([_Block(deep_width), _Block(deep_width)])
        self.up = nn.Conv2d(deep_width, width, 1)
        self.fine_out = _Block(width)
        self.tail = nn.Conv2d(width, sum(HIGH), 3, padding=1)
        # Starts with no gain of its own.
        for parameter in self.tail.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor, hint: Tensor, t: Tensor) -> Tensor:
        dtype = self.head.weight.dtype
        time = embed_time(t).to(dtype)
        # Some of the weights for each: side by side the two are the largest tensor of all.
        weight = self.head.weight
        fine = F.conv2d(x.to(dtype), weight[:, :CHANNELS], self.head.bias)
        fine += F.conv2d(hint.to(dtype), weight[:, CHANNELS:])
        fine = self.fine_in(fine, time)
        deep = self.down(fine)
        for block in self.deep:
            deep = block(deep, time)
        fine = fine + F.interpolate(self.up(deep), scale_factor=2.0, mode="nearest")
        fine = self.fine_out(fine, time)
        gain = GAIN * torch.tanh(self.tail(F.silu(fine)).float())
        parts = torch.split(hint[:, LOW:CHANNELS], HIGH, 1)
        differences = torch.split(hint[:, LOW - CHANNELS :], HIGH, 1)
        clean = [hint[:, :LOW]]
        changes = torch.split(gain, HIGH, 1)
        for bands, apart, change, both, alone in zip(parts, differences, changes, BOTH, ALONE, strict=True):
            same = agreement(bands - (DRAWN - 0.5) * apart, apart)
            change = torch.where(change > 0, change * same, change)
            clean.append(bands * (1 + change + both * same - alone * (1 - same)))
        return torch.cat(clean, 1)
