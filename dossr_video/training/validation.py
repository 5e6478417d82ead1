"""Figures and pictures on clips that were held out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from dossr_video.diffusion.schedule import SHIFT_STEPS, make_point
from dossr_video.diffusion.solver import diffuse
from dossr_video.models.compact.model import CompactNetworks
from dossr_video.quality.networks import Networks
from dossr_video.training.batches import SCALE, Sample, make_sample
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
def enlarge(trained: CompactNetworks, sample: Sample) -> tuple[Tensor, Tensor]:
    """The restored and, after one network call, the final pictures (T, 3, 4h, 4w), clamped."""
    memory, pictures = None, []
    for frame, flow, confidence in zip(sample.frames, sample.flow, sample.confidence, strict=True):
        picture, memory = trained.restorer(frame[None].float() / 255, flow[None], confidence[None], memory)
        pictures.append(picture)
    restored = torch.cat(pictures)
    degraded = trained.codec.encode(restored)
    noise = torch.randn(degraded.shape[1:], generator=torch.Generator().manual_seed(0))
    start = diffuse(degraded, degraded, noise, make_point(SHIFT_STEPS - 1))
    final = trained.codec.decode(trained.denoiser(start, degraded, torch.full((len(start),), SHIFT_STEPS - 1)))
    return restored.clamp(0, 1), final.clamp(0, 1)


def figures(trained: CompactNetworks, samples: Sequence[Sample], judges: Networks) -> dict[str, float]:
    """Means over clips: PSNR (dB), distances of the last frames, largest change of a mean colour (codes)."""
    rows = []
    for sample in samples:
        truth = sample.truth.float() / 255
        _, pictures = enlarge(trained, sample)
        error = (pictures - truth).square().mean((1, 2, 3))
        change = pictures.mean((2, 3)) - sample.frames.float().mean((2, 3)) / 255
        row = {"psnr": float(-10 * error.log10().mean()), "colour": float(255 * change.abs().max())}
        for figure in ("lpips", "dists", "lpips_a"):
            row[figure] = float(getattr(judges, figure)(pictures[-1:], truth[-1:]))
        rows.append(row)
    return {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}


def sheet(trained: CompactNetworks, samples: Sequence[Sample]) -> NDArray[np.uint8]:
    """One row for each clip's last frame: input, restored, final, truth; (H, W, 3) RGB."""
    rows = []
    for sample in samples:
        restored, final = enlarge(trained, sample)
        shown = F.interpolate(sample.frames[-1:].float() / 255, scale_factor=SCALE, mode="nearest")
        rows.append(torch.cat([shown, restored[-1:], final[-1:], sample.truth[-1:].float() / 255], -1)[0])
    return (torch.cat(rows, 1) * 255).round().byte().permute(1, 2, 0).numpy()
