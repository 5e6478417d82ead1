"""What the networks are trained to please: AlexNet's features, and textures.

VGG16 features judge the result (LPIPS, DISTS) and stay out of training.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dossr_video.temporal.flow import box_mean

Maps = list[Tensor]  # (B, C, h, w) each


class FineFilters(nn.Module):
    """Fixed random filters at full and half size: what AlexNet, whose first stride is 4, does not see."""

    first: Tensor
    second: Tensor

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        first, second = (torch.randn(shape, generator=generator) for shape in ((32, 3, 3, 3), (48, 32, 3, 3)))
        self.register_buffer("first", first - first.mean((2, 3), keepdim=True))
        self.register_buffer("second", second / second[0].numel() ** 0.5)

    def forward(self, pictures: Tensor) -> Maps:
        with torch.autocast(pictures.device.type, enabled=False):  # half precision would drown what is fine
            fine = F.relu(F.conv2d(pictures, self.first))
            return [pictures, fine, F.relu(F.conv2d(F.avg_pool2d(fine, 2), self.second))]


class Discriminator(nn.Module):
    """Tells truth from result by fixed features, one small head for each (Sauer et al. 2021, Projected GANs).

    Learning from features instead of pixels, it says something useful after hundreds of steps, not ten thousands.
    """

    def __init__(self, channels: Sequence[int], *, width: int = 48) -> None:
        super().__init__()
        normed = nn.utils.parametrizations.spectral_norm
        self.heads = nn.ModuleList(
            nn.Sequential(
                normed(nn.Conv2d(count, width, 3, stride=2, padding=1)),  # or the heads would cost most of a step
                nn.LeakyReLU(0.2),
                normed(nn.Conv2d(width, width, 3, padding=1)),
                nn.LeakyReLU(0.2),
                normed(nn.Conv2d(width, 1, 1)),
            )
            for count in channels
        )

    def forward(self, maps: Maps) -> list[Tensor]:
        """A score for every other place of each of the maps: high where it looks like truth."""
        scores = []
        for head, features in zip(self.heads, maps, strict=True):
            # Unit features, as LPIPS takes them: no map speaks louder than another.
            unit = features / (features.square().mean(1, keepdim=True) + 1e-6).sqrt()
            scores.append(head(unit).float())
        return scores


class PixelDiscriminator(nn.Module):
    """Tells truth from result by the pixels of their luma, over some fourteen of them.

    Features with a stride of 4 do not see dots the size of an input pixel; this does.
    """

    def __init__(self, *, width: int = 32) -> None:
        super().__init__()
        normed = nn.utils.parametrizations.spectral_norm
        layers: list[nn.Module] = [nn.Conv2d(2, width, 3, padding=1), nn.LeakyReLU(0.2)]
        sizes = ((width, 4, 2), (2 * width, 3, 1), (2 * width, 4, 2), (2 * width, 3, 1))
        for count, kernel, stride in sizes:
            layers += [normed(nn.Conv2d(count, 2 * width, kernel, stride, padding=1)), nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(2 * width, 1, 1))

    def forward(self, pictures: Tensor) -> list[Tensor]:
        """A score for every fourth pixel of pictures (B, 3, H, W) in [0, 1], of which the first channel is seen."""
        shades = pictures[:, :1]
        fine = shades - F.avg_pool2d(shades, 5, stride=1, padding=2, count_include_pad=False)
        scores: Tensor = self.layers(torch.cat([4 * (shades - 0.5), 25 * fine], 1))  # both about as large as 1
        return [scores.float()]


def hinge(true_scores: Sequence[Tensor], false_scores: Sequence[Tensor]) -> Tensor:
    """The discriminator's loss; 2 where it knows nothing."""
    pairs = zip(true_scores, false_scores, strict=True)
    return torch.stack([F.relu(1 - true).mean() + F.relu(1 + false).mean() for true, false in pairs]).mean()


def texture(pictures: Maps, truth: Maps) -> Tensor:
    """Distances (B,) in the form of DISTS (Ding et al. 2020): means and covariances of channels over the picture."""
    distances = []
    for a, b in zip(pictures, truth, strict=True):
        a_mean, b_mean = a.mean((2, 3)), b.mean((2, 3))
        a_variance, b_variance = a.square().mean((2, 3)) - a_mean.square(), b.square().mean((2, 3)) - b_mean.square()
        covariance = (a * b).mean((2, 3)) - a_mean * b_mean
        luminance = (2 * a_mean * b_mean + 1e-6) / (a_mean.square() + b_mean.square() + 1e-6)
        structure = (2 * covariance + 1e-6) / (a_variance + b_variance + 1e-6)
        distances.append(1 - (luminance + structure).mean(1) / 2)
    return torch.stack(distances).mean(0)


def grid(errors: Tensor, *, period: int = 8) -> Tensor:
    """How much errors (B, 3, H, W) repeat with the period of the codec (8 pixels) or of the pixel shuffle (4).

    AlexNet looks at every fourth pixel: such patterns please it, and nobody else.
    """
    h, w = (side // period * period for side in errors.shape[-2:])
    phases = F.pixel_unshuffle(errors[..., :h, :w].flatten(0, 1)[:, None], period)
    phases = phases - phases.mean(1, keepdim=True)
    return F.avg_pool2d(phases, min(4, *phases.shape[-2:]), stride=2).abs().mean()


def unrest(pictures: Tensor, truth: Tensor) -> Tensor:
    """Fine error of pictures (B, 3, H, W) where the truth is flat: patterns that please AlexNet show up there first."""

    def fine(x: Tensor) -> Tensor:
        return x - box_mean(x)

    rough = box_mean(box_mean(fine(truth).square().mean(1, keepdim=True)))
    flat = 1 / (1 + rough / 0.01**2)  # 0.01: two and a half 8-bit codes
    return (flat * fine(pictures - truth).abs()).mean()


def seen_alike(pictures: Tensor, truth: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Both cut, scaled and turned at random, alike: AlexNet's stride must not find the same pixels every time."""
    y, x, flip, turn = (int(v) for v in torch.randint(0, 8, (4,), generator=generator))
    both = torch.cat([pictures, truth])[..., y : y - 8, x : x - 8]
    factor = float(torch.empty(()).uniform_(0.75, 1.25, generator=generator))
    size = round(both.shape[-2] * factor), round(both.shape[-1] * factor)
    both = F.interpolate(both, size=size, mode="bilinear", align_corners=False, antialias=True)
    if flip % 2:
        both = both.flip(-1)
    if turn % 2:
        both = both.transpose(-1, -2)
    first, second = both.chunk(2)
    return first, second
