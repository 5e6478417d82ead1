"""EfficientNet-Lite0's features: a second network to please, that AlexNet's blind spots do not fool.

Its first stride is 2, not 4. Projected GANs (Sauer et al. 2021) found this family's features best for a discriminator.
The weights are `efficientnet_lite0.npz` of a folder made by `scripts/fetch_metric_weights.py`: conv{i}_w and conv{i}_b
in the network's order, batch normalisation folded in.
"""

from __future__ import annotations

from itertools import count
from pathlib import Path
from zipfile import BadZipFile

import torch
from torch import Tensor, nn

from dossr_video.errors import ModelError
from dossr_video.quality.networks import Arrays, Lpips, convolution, read_arrays

# Features of a stage all count alike, for nobody calibrated them; at 0.3 a distance is about as large as AlexNet's.
WEIGHT = 0.3
SHIFT, SCALE = (-1 / 255,) * 3, (256 / 255,) * 3  # (255 x - 127) / 128 for x in [0, 1]


class Residual(nn.Module):
    """Adds its input to what its layers make of it."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        change: Tensor = self.layers(x)
        return x + change


def load_efficientnet(folder: Path) -> Lpips:
    """The distance over the first four stages. Raises ModelError when the file is missing or damaged."""
    try:
        stages = efficientnet(read_arrays(folder / "efficientnet_lite0.npz"))
    except (OSError, KeyError, ValueError, BadZipFile) as error:
        raise ModelError(
            f"the features to train on in {folder} cannot be used: {error}",
            hint=f"make the folder with `python scripts/fetch_metric_weights.py {folder}`",
        ) from error
    widths = [next(m for m in reversed(list(stage.modules())) if isinstance(m, nn.Conv2d)) for stage in stages]
    weights = [torch.full((1, layer.out_channels, 1, 1), WEIGHT) for layer in widths]
    return Lpips(stages, weights, shift=SHIFT, scale=SCALE)


def efficientnet(arrays: Arrays) -> list[nn.Module]:
    """Four stages at 1/2, 1/4, 1/8 and 1/16 of the side.

    All but the first end where a block that has no residual connection has widened its features, for between two
    blocks they are few and not rectified.
    """
    index = count()

    def rectified(*, stride: int = 1, depthwise: bool = False) -> nn.Module:
        i = next(index)
        outputs, _, side, _ = arrays[f"conv{i}_w"].shape
        groups = outputs if depthwise else 1
        return nn.Sequential(convolution(arrays, i, padding=side // 2, stride=stride, groups=groups), nn.ReLU6())

    def narrowed(*, stride: int = 1) -> list[nn.Module]:
        return [rectified(stride=stride, depthwise=True), convolution(arrays, next(index), padding=0)]

    def block() -> nn.Module:
        return Residual(rectified(), *narrowed())

    return [
        rectified(stride=2),
        nn.Sequential(*narrowed(), rectified(), *narrowed(stride=2), block(), rectified()),
        nn.Sequential(*narrowed(stride=2), block(), rectified()),
        nn.Sequential(*narrowed(stride=2), block(), block(), rectified()),
    ]
