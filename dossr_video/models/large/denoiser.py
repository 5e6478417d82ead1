"""The denoiser of `large`: a small U-Net on the wavelet grid that predicts x0 between the two restorers' pictures."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dossr_video.models.large.wavelet import CHANNELS

_FREQUENCIES = 32


def embed_time(t: Tensor) -> Tensor:
    """Schedule entries (B,) in [0, 1000) -> sines and cosines (B, 64)."""
    rates = torch.exp(-math.log(10000) * torch.arange(_FREQUENCIES, device=t.device) / _FREQUENCIES)
    angles = t[:, None].float() * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)


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

    The hint begins with xhat0, the mean of two pictures, and ends with their difference (192); between them is whatever
    else the model shows. x0 is xhat0 and -1/2 to 1/2 of the difference, in every band of every cell: a choice between
    the two pictures, which can invent nothing. Latents are float32 whatever the weights are; only the choice is
    computed in half precision.
    """

    def __init__(self, *, width: int, deep_width: int, seen: int) -> None:
        super().__init__()
        self.head = nn.Conv2d(2 * CHANNELS + seen, width, 1)
        self.fine_in = _Block(width)
        self.down = nn.Conv2d(width, deep_width, 2, stride=2)
        self.deep = nn.ModuleList([_Block(deep_width), _Block(deep_width)])
        self.up = nn.Conv2d(deep_width, width, 1)
        self.fine_out = _Block(width)
        self.tail = nn.Conv2d(width, CHANNELS, 3, padding=1)
        # Starts with the mean.
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
        choice = torch.tanh(self.tail(F.silu(fine)).float())
        clean = choice * (0.5 * hint[:, -CHANNELS:])
        # What is changed of the low band has no mean: no picture changes its mean colour.
        clean[:, :3] -= clean[:, :3].mean((2, 3), keepdim=True)
        clean += hint[:, :CHANNELS]
        return clean
