"""Figures and pictures on clips that were held out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from dossr_video.models.compact.restorer import Restorer
from dossr_video.quality.networks import Networks
from dossr_video.training.batches import SCALE, Sample, make_sample
from dossr_video.training.corrected import Corrected
from dossr_video.training.degradation import Recipe
from dossr_video.training.footage import Footage


def held_out(footage: Footage, recipes: Sequence[Recipe], *, clips: int, frames: int, side: int) -> list[Sample]:
    """The same clips for every run: recipes in turn, seeds of their own."""
    generators = (np.random.default_rng((2, i)) for i in range(clips))
    return [
        make_sample(footage, recipes[i % len(recipes)], rng, frames=frames, side=side)
        for i, rng in enumerate(generators)
    ]


@torch.no_grad()
def enlarge(network: Restorer | Corrected, sample: Sample, *, memory: bool = True) -> Tensor:
    """Pictures (T, 3, 4h, 4w), clamped; without `memory` each frame is the first of a shot."""
    device = next(network.parameters()).device
    hidden, pictures = None, []
    for frame, flow, confidence in zip(sample.frames, sample.flow, sample.confidence, strict=True):
        inputs = (frame.float() / 255, flow, confidence)
        picture, state = network(*(part[None].to(device) for part in inputs), hidden)
        hidden = state if memory else None
        pictures.append(picture)
    return torch.cat(pictures).clamp(0, 1).cpu()


def figures(network: Restorer | Corrected, samples: Sequence[Sample], judges: Networks) -> dict[str, float]:
    """Means over clips, of the last frames: PSNR (dB) with and without memory, distances, change of mean colour."""
    rows = []
    for sample in samples:
        truth = sample.truth[-1:].float() / 255
        pictures, alone = (enlarge(network, sample, memory=memory)[-1:] for memory in (True, False))
        change = pictures.mean((2, 3)) - sample.frames[-1:].float().mean((2, 3)) / 255
        row = {"psnr": psnr(pictures, truth), "psnr_alone": psnr(alone, truth)}
        row["colour"] = float(255 * change.abs().max())
        for figure in ("lpips", "dists", "lpips_a"):
            row[figure] = float(getattr(judges, figure)(pictures, truth))
        rows.append(row)
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def psnr(pictures: Tensor, truth: Tensor) -> float:
    return float(-10 * (pictures - truth).square().mean((1, 2, 3)).log10().mean())


def sheet(network: Restorer | Corrected, samples: Sequence[Sample]) -> NDArray[np.uint8]:
    """One row for each clip's last frame: input, result, truth; (H, W, 3) RGB."""
    rows = []
    for sample in samples:
        shown = F.interpolate(sample.frames[-1:].float() / 255, scale_factor=SCALE, mode="nearest")
        rows.append(torch.cat([shown, enlarge(network, sample)[-1:], sample.truth[-1:].float() / 255], -1)[0])
    return (torch.cat(rows, 1) * 255).round().byte().permute(1, 2, 0).numpy()
