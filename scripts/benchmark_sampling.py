"""Sampling that scripts/benchmark.py compares: few domain-shift calls, and many of the plain diffusion from noise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from benchmark_tools import ROOT, clip
from torch import Tensor

from dossr_video.diffusion.noise import IndependentNoise
from dossr_video.diffusion.sampler import sample
from dossr_video.diffusion.schedule import TRAINING_STEPS, make_schedule, training_tables
from dossr_video.frames import Motion
from dossr_video.models.dossr.model import DoSSR, load_dossr

TINY = ROOT / "tests" / "data" / "golden" / "tiny" / "tiny.ckpt"


def load_networks(checkpoint: Path | None) -> DoSSR:
    """Those of a checkpoint; None: the small ones of the tests."""
    cpu = torch.device("cpu")
    if checkpoint is not None:
        return load_dossr(checkpoint, device=cpu, dtype=torch.float32)
    return load_dossr(TINY, device=cpu, dtype=torch.float32, head_channels=8, text_head_channels=8)


def truth_of() -> Tensor:
    """What the sampled picture should be: (1, 3, 128, 128)."""
    return F.interpolate(clip((32, 32), 1), scale_factor=4, mode="bicubic").clamp(0, 1)


def _start(model: DoSSR) -> tuple[Tensor, Any]:
    restored = model.restore(clip((32, 32), 1), Motion(torch.zeros(1, 2, 32, 32), torch.zeros(1, 1, 32, 32)), None)
    restored = replace(restored, pictures=restored.pictures.clamp(0, 1))
    degraded = model.encode(restored.pictures)
    return degraded, model.condition(restored, degraded)


def shifted(model: DoSSR, steps: int) -> Tensor:
    """Latents by `steps` domain-shift calls."""
    degraded, condition = _start(model)
    noise = IndependentNoise(0, 0)
    size = tuple(degraded.shape[1:])
    return sample(
        lambda x, t: model.denoise(x, t, condition),
        make_schedule(steps),
        degraded,
        noise=lambda call: noise(min(call, 1), [0], size),
        order=3,
        final="x0",
    )


def from_noise(model: DoSSR, steps: int) -> Tensor:
    """Latents by spaced calls of the plain diffusion from noise (DDPM, with the deviation of its posterior)."""
    degraded, condition = _start(model)
    abar = training_tables()[0]
    entries = torch.linspace(TRAINING_STEPS - 1, 0, steps).round().long().tolist()
    noise, size = IndependentNoise(0, 0), tuple(degraded.shape[1:])
    x = clean = noise(0, [0], size)
    for call, (here, there) in enumerate(zip(entries, [*entries[1:], entries[-1]], strict=True), start=1):
        now, then = float(abar[here]), float(abar[there])
        clean = (x - (1 - now) ** 0.5 * model.predict_noise(x, here, condition.hint, model.contexts)) / now**0.5
        kept = now / then
        mean = then**0.5 * (1 - kept) / (1 - now) * clean + kept**0.5 * (1 - then) / (1 - now) * x
        x = mean + ((1 - kept) * (1 - then) / (1 - now)) ** 0.5 * noise(call, [0], size)
    return clean
