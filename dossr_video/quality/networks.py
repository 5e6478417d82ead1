"""LPIPS and DISTS: distances between pictures in the features of a classification network.

The weights come from a folder made by `scripts/fetch_metric_weights.py`:

    lpips_alex.npz  conv{0..4}_w, conv{0..4}_b   AlexNet
                    lin{0..4}                    LPIPS v0.1, one weight per feature
    vgg16.npz       conv{0..12}_w, conv{0..12}_b VGG16
                    lin{0..4}                    LPIPS v0.1
                    dists_alpha, dists_beta      DISTS, one pair per feature, the picture's three channels first
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dossr_video.errors import ModelError

Arrays = Mapping[str, np.ndarray]

# The constants LPIPS v0.1 was trained with, for pictures in [-1, 1]; DISTS takes torchvision's, for [0, 1].
LPIPS_SHIFT, LPIPS_SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class SoftPool(nn.Module):
    """Half the side by the root of the locally averaged square: no aliasing (Henaff and Simoncelli 2016)."""

    kernel: Tensor  # (3, 3), sums to one

    def __init__(self) -> None:
        super().__init__()
        window = torch.hann_window(5, periodic=False)[1:-1]
        self.register_buffer("kernel", torch.outer(window, window) / window.sum() ** 2)

    def forward(self, x: Tensor) -> Tensor:
        channels = x.shape[1]
        kernel = self.kernel.expand(channels, 1, 3, 3)
        return (F.conv2d(x**2, kernel, stride=2, padding=1, groups=channels) + 1e-12).sqrt()


def alexnet(arrays: Arrays) -> list[nn.Module]:
    """The five stages of AlexNet's trunk, each ending in the rectifier LPIPS looks at."""
    pool, rectify = nn.MaxPool2d(3, 2), nn.ReLU(inplace=True)
    return [
        nn.Sequential(convolution(arrays, 0, stride=4, padding=2), rectify),
        nn.Sequential(pool, convolution(arrays, 1, padding=2), rectify),
        nn.Sequential(pool, convolution(arrays, 2, padding=1), rectify),
        nn.Sequential(convolution(arrays, 3, padding=1), rectify),
        nn.Sequential(convolution(arrays, 4, padding=1), rectify),
    ]


def vgg16(arrays: Arrays, *, pool: nn.Module) -> list[nn.Module]:
    """The five stages of VGG16's trunk; every stage after the first begins with `pool`."""
    stages: list[nn.Module] = []
    first = 0
    for depth in (2, 2, 3, 3, 3):
        layers = [] if first == 0 else [pool]
        for i in range(first, first + depth):
            layers += [convolution(arrays, i, padding=1), nn.ReLU(inplace=True)]
        stages.append(nn.Sequential(*layers))
        first += depth
    return stages


class Lpips(nn.Module):
    """LPIPS v0.1 (Zhang et al. 2018): (N, 3, H, W) and (N or 1, 3, H, W) in [0, 1] -> (N,), 0 for equal pictures.

    `shift` and `scale`, one value per channel, take pictures in [-1, 1] to what the network expects.
    """

    shift: Tensor
    scale: Tensor

    def __init__(
        self,
        stages: Iterable[nn.Module],
        weights: Iterable[Tensor],
        *,
        shift: Sequence[float] = LPIPS_SHIFT,
        scale: Sequence[float] = LPIPS_SCALE,
    ) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)
        self.weights = nn.ParameterList(nn.Parameter(w, requires_grad=False) for w in weights)
        self.register_buffer("shift", _per_channel(shift))
        self.register_buffer("scale", _per_channel(scale))

    @torch.inference_mode()
    def forward(self, pictures: Tensor, truth: Tensor) -> Tensor:
        return self.distance(self.features(pictures), self.features(truth))

    def features(self, pictures: Tensor) -> list[Tensor]:
        """A map (N, C, h, w) of each stage in float32, with gradients where the pictures have them."""
        x = (pictures * 2 - 1 - self.shift) / self.scale
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x.float())  # distances are too small for half precision
        return maps

    def distance(self, pictures: Sequence[Tensor], truth: Sequence[Tensor]) -> Tensor:
        """LPIPS (N,) of two pictures' features."""
        parts = [
            F.conv2d((_unit(x) - _unit(y)) ** 2, weight).mean((1, 2, 3))
            for x, y, weight in zip(pictures, truth, self.weights, strict=True)
        ]
        return torch.stack(parts).sum(0)


class Dists(nn.Module):
    """DISTS (Ding et al. 2020): (N, 3, H, W) and (N or 1, 3, H, W) in [0, 1] -> (N,), 0 for equal pictures."""

    alpha: Tensor  # of the texture terms
    beta: Tensor  # of the structure terms
    mean: Tensor
    std: Tensor

    def __init__(self, stages: Iterable[nn.Module], alpha: Tensor, beta: Tensor) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)
        total = alpha.sum() + beta.sum()
        self.register_buffer("alpha", alpha / total)
        self.register_buffer("beta", beta / total)
        self.register_buffer("mean", _per_channel(IMAGENET_MEAN))
        self.register_buffer("std", _per_channel(IMAGENET_STD))

    @torch.inference_mode()
    def forward(self, pictures: Tensor, truth: Tensor) -> Tensor:
        texture, structure = [], []
        for x, y in zip(self._features(pictures), self._features(truth), strict=True):
            mx, my = x.mean((2, 3)), y.mean((2, 3))
            dx, dy = x - mx[..., None, None], y - my[..., None, None]
            vx, vy, covariance = (dx**2).mean((2, 3)), (dy**2).mean((2, 3)), (dx * dy).mean((2, 3))
            texture.append((2 * mx * my + 1e-6) / (mx**2 + my**2 + 1e-6))
            structure.append((2 * covariance + 1e-6) / (vx + vy + 1e-6))
        return 1 - torch.cat(texture, 1) @ self.alpha - torch.cat(structure, 1) @ self.beta

    def _features(self, pictures: Tensor) -> Iterable[Tensor]:
        yield pictures
        x = (pictures - self.mean) / self.std
        for stage in self.stages:
            x = stage(x)
            yield x


@dataclass(frozen=True, eq=False)
class Networks:
    """The three perceptual distances, loaded once."""

    lpips: Lpips  # VGG16
    dists: Dists  # VGG16
    lpips_a: Lpips  # AlexNet

    @classmethod
    def load(cls, folder: Path) -> Networks:
        """The networks of a folder laid out as above; ModelError when a file or an array is missing or damaged."""
        try:
            alex, vgg = (read_arrays(folder / name) for name in ("lpips_alex.npz", "vgg16.npz"))
            return cls(
                lpips=Lpips(vgg16(vgg, pool=nn.MaxPool2d(2)), _linear(vgg)),
                dists=Dists(vgg16(vgg, pool=SoftPool()), _tensor(vgg, "dists_alpha"), _tensor(vgg, "dists_beta")),
                lpips_a=Lpips(alexnet(alex), _linear(alex)),
            )
        except (OSError, KeyError, ValueError, BadZipFile) as error:
            raise ModelError(
                f"the metric weights in {folder} cannot be used: {error}",
                hint=f"make the folder with `python scripts/fetch_metric_weights.py {folder}`",
            ) from error


def read_arrays(path: Path) -> Arrays:
    """All arrays of an npz file. Raises OSError, ValueError or BadZipFile."""
    with path.open("rb") as file, np.load(file) as arrays:
        return dict(arrays)


def _tensor(arrays: Arrays, name: str) -> Tensor:
    return torch.from_numpy(arrays[name].astype(np.float32))


def _linear(arrays: Arrays) -> list[Tensor]:
    return [_tensor(arrays, f"lin{i}") for i in range(5)]


def convolution(arrays: Arrays, index: int, *, padding: int, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """The fixed layer of `conv{index}_w` (out, in / groups, side, side) and `conv{index}_b` (out,)."""
    weight = _tensor(arrays, f"conv{index}_w")
    outputs, inputs, side, _ = weight.shape
    layer = nn.Conv2d(groups * inputs, outputs, side, stride=stride, padding=padding, groups=groups)
    layer.weight.data = weight.contiguous(memory_format=torch.channels_last)
    layer.bias = nn.Parameter(_tensor(arrays, f"conv{index}_b"))
    return layer.requires_grad_(False)


def _per_channel(values: Sequence[float]) -> Tensor:
    return torch.tensor(values).view(1, 3, 1, 1)


def _unit(features: Tensor) -> Tensor:
    # The smaller constant is for the gradient alone, which has no value at 0.
    return features / ((features.pow(2).sum(1, keepdim=True) + 1e-20).sqrt() + 1e-10)
