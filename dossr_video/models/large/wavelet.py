"""The codec of `large`: a three-level Haar transform, exact and free of training.

A picture becomes 192 channels at 1/8 of its side: the low band of each colour (3), and the high bands of level 3 (9),
level 2 (9 x 2 x 2 by space-to-depth) and level 1 (9 x 4 x 4). Channels encode position, so latents are moved through
pixels, never directly.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dossr_video.frames import concatenated

LEVELS = 3
CHANNELS = 3 * 4**LEVELS
STRIDE = 2**LEVELS  # picture pixels per latent cell side

# Rows: mean, horizontal, vertical and diagonal detail of a 2 x 2 block; orthonormal and its own inverse.
_HAAR = 0.5 * torch.tensor([[1.0, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]])


def _matrix() -> Tensor:
    """The transform of one cell: (192 channels, 192 values of its 8 x 8 pixels in the order of `pixel_unshuffle`)."""
    low = F.pixel_shuffle(torch.eye(CHANNELS, dtype=torch.float64)[:, :, None, None], STRIDE)
    bands = []
    for level in range(LEVELS):
        b, c, h, w = low.shape
        blocks = F.pixel_unshuffle(low, 2).reshape(b, c, 4, h // 2, w // 2)
        split = torch.einsum("kj,bcjhw->bkchw", _HAAR.double(), blocks)
        low, high = split[:, 0], split[:, 1:].reshape(b, 3 * c, h // 2, w // 2)
        bands.append(F.pixel_unshuffle(high, 2 ** (LEVELS - 1 - level)))
    return torch.cat([low, *reversed(bands)], dim=1)[:, :, 0, 0].T.contiguous()


# One product with a matrix is several times faster than three levels of slices, and never rounds to half precision.
_MATRIX = _matrix()


def haar(pictures: Tensor) -> Tensor:
    """(B, 3, 8h, 8w) -> (B, 192, h, w), orthonormal."""
    return _product(_MATRIX.to(pictures), F.pixel_unshuffle(pictures, STRIDE))


def inverse_haar(latents: Tensor) -> Tensor:
    """(B, 192, h, w) -> (B, 3, 8h, 8w)."""
    return F.pixel_shuffle(_product(_MATRIX.T.to(latents), latents), STRIDE)


def _product(matrix: Tensor, cells: Tensor, offset: Tensor | None = None) -> Tensor:
    """matrix (192, 192) times every cell of (B, 192, h, w), plus an offset (192, 1)."""
    # Frame by frame: a batched product may round differently, and results must not depend on the chunk length.
    columns = cells.flatten(2)
    frames = [matrix @ part if offset is None else torch.addmm(offset, matrix, part) for part in columns]
    return concatenated([part[None] for part in frames]).reshape(cells.shape)


class WaveletCodec(nn.Module):
    """Haar latents, each channel scaled to mean 0 and variance 1 over photographs, so that noise means something."""

    mean: Tensor  # (192, 1, 1)
    std: Tensor  # (192, 1, 1)
    matrix: Tensor  # (192, 192)

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("matrix", _MATRIX.float(), persistent=False)
        self.register_buffer("mean", torch.zeros(CHANNELS, 1, 1))
        self.register_buffer("std", torch.ones(CHANNELS, 1, 1))

    def encode(self, pictures: Tensor) -> Tensor:
        """(B, 3, 8h, 8w) -> (B, 192, h, w)."""
        mean, std = self.mean[:, :, 0], self.std[:, :, 0]
        return _product(self.matrix / std, F.pixel_unshuffle(pictures, STRIDE), -mean / std)

    def decode(self, latents: Tensor) -> Tensor:
        """(B, 192, h, w) -> (B, 3, 8h, 8w), not clamped."""
        mean, std = self.mean[:, :, 0], self.std[:, :, 0]
        return F.pixel_shuffle(_product((std * self.matrix).T, latents, self.matrix.T @ mean), STRIDE)
