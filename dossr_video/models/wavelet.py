"""The compact model's codec: a three-level Haar transform, exact and free of training.

A picture becomes 192 channels at 1/8 of its side: the low band of each colour (3), and the high bands of level 3 (9),
level 2 (9 x 2 x 2 by space-to-depth) and level 1 (9 x 4 x 4). Channels encode position, so latents are moved through
pixels, never directly.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEVELS = 3
CHANNELS = 3 * 4**LEVELS
STRIDE = 2**LEVELS  # picture pixels per latent cell side

# Rows: mean, horizontal, vertical and diagonal detail of a 2 x 2 block; orthonormal and its own inverse.
_HAAR = 0.5 * torch.tensor([[1.0, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]])


def haar(pictures: Tensor) -> Tensor:
    """(B, 3, 8h, 8w) -> (B, 192, h, w), orthonormal."""
    bands = []
    low = pictures
    for level in range(LEVELS):
        b, c, h, w = low.shape
        blocks = F.pixel_unshuffle(low, 2).reshape(b, c, 4, h // 2, w // 2)
        split = torch.einsum("kj,bcjhw->bkchw", _HAAR.to(low), blocks)
        low, high = split[:, 0], split[:, 1:].reshape(b, 3 * c, h // 2, w // 2)
        bands.append(F.pixel_unshuffle(high, 2 ** (LEVELS - 1 - level)))
    return torch.cat([low, *reversed(bands)], dim=1)


def inverse_haar(latents: Tensor) -> Tensor:
    """(B, 192, h, w) -> (B, 3, 8h, 8w)."""
    low, *bands = torch.split(latents, [3, *(9 * 4**level for level in range(LEVELS))], dim=1)
    for level, band in enumerate(bands):
        b, c, h, w = low.shape
        high = F.pixel_shuffle(band, 2**level).reshape(b, 3, c, h, w)
        split = torch.cat([low[:, None], high], dim=1)
        blocks = torch.einsum("kj,bjchw->bckhw", _HAAR.to(low), split)
        low = F.pixel_shuffle(blocks.reshape(b, 4 * c, h, w), 2)
    return low


class WaveletCodec(nn.Module):
    """Haar latents, each channel scaled to mean 0 and variance 1 over photographs, so that noise means something."""

    mean: Tensor  # (192, 1, 1)
    std: Tensor  # (192, 1, 1)

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(CHANNELS, 1, 1))
        self.register_buffer("std", torch.ones(CHANNELS, 1, 1))

    def encode(self, pictures: Tensor) -> Tensor:
        """(B, 3, 8h, 8w) -> (B, 192, h, w)."""
        return (haar(pictures) - self.mean) / self.std

    def decode(self, latents: Tensor) -> Tensor:
        """(B, 192, h, w) -> (B, 3, 8h, 8w), not clamped."""
        return inverse_haar(latents * self.std + self.mean)
