"""Figures and pictures on clips that were held out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from dossr_video.diffusion.schedule import SHIFT_STEPS, training_tables
from dossr_video.models.compact import CompactNetworks
from dossr_video.training.batches import SCALE, Sample, make_sample
from dossr_video.training.degradation import Recipe
from dossr_video.training.footage import Footage
from dossr_video.training.losses import LpipsAlex


def held_out(footage: Footage, recipes: Sequence[Recipe], *, clips: int, frames: int, side: int) -> list[Sample]:
    """The same clips for every run: recipes in turn, seeds of their own."""
    generators = (np.random.default_rng((2, i)) for i in range(clips))
    return [
        make_sample(footage, recipes[i % len(recipes)], rng, frames=frames, side=side)
        for i, rng in enumerate(generators)
    ]


@torch.no_grad()
def enlarge(networks: CompactNetworks, sample: Sample) -> tuple[Tensor, Tensor]:
    """The restored and, after one network call, the final pictures (T, 3, 4h, 4w), clamped."""
    memory, pictures = None, []
    for frame, flow, confidence in zip(sample.frames, sample.flow, sample.confidence, strict=True):
        picture, memory = networks.restorer(frame[None].float() / 255, flow[None], confidence[None], memory)
        pictures.append(picture)
    restored = torch.cat(pictures)
    degraded = networks.codec.encode(restored)
    abar = float(training_tables()[0][SHIFT_STEPS - 1])
    noise = torch.randn(degraded.shape[1:], generator=torch.Generator().manual_seed(0))
    start = abar**0.5 * degraded + (1 - abar) ** 0.5 * noise
    final = networks.codec.decode(networks.denoiser(start, degraded, torch.full((len(start),), SHIFT_STEPS - 1)))
    return restored.clamp(0, 1), final.clamp(0, 1)


def figures(networks: CompactNetworks, samples: Sequence[Sample], features: LpipsAlex) -> dict[str, float]:
    """Means over clips: PSNR (dB) of all frames and LPIPS (AlexNet) of the last, restored and final; mean colour error."""
    rows = []
    for sample in samples:
        truth = sample.truth.float() / 255
        row = {}
        for name, pictures in zip(("restored", "final"), enlarge(networks, sample), strict=True):
            row[f"{name}_psnr"] = float(-10 * (pictures - truth).square().mean((1, 2, 3)).log10().mean())
            with torch.no_grad():
                row[f"{name}_lpips_a"] = float(features(pictures[-1:], truth[-1:]))
        colour = pictures.mean((2, 3)) - sample.frames.float().mean((2, 3)) / 255
        row["colour_codes"] = float(255 * colour.abs().max())
        rows.append(row)
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def sheet(networks: CompactNetworks, samples: Sequence[Sample]) -> NDArray[np.uint8]:
    """One row for each clip's last frame: input, restored, final, truth; (H, W, 3) RGB."""
    rows = []
    for sample in samples:
        restored, final = enlarge(networks, sample)
        shown = F.interpolate(sample.frames[-1:].float() / 255, scale_factor=SCALE, mode="nearest")
        rows.append(torch.cat([shown, restored[-1:], final[-1:], sample.truth[-1:].float() / 255], -1)[0])
    return (torch.cat(rows, 1) * 255).round().byte().permute(1, 2, 0).numpy()
