"""The training loop's one step, and the state that a resumed run takes up where it stopped."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dossr_video.diffusion.schedule import SHIFT_STEPS, training_tables
from dossr_video.models.compact import CompactNetworks
from dossr_video.temporal.flow import warp
from dossr_video.training.batches import Batch, Batches
from dossr_video.training.losses import Discriminator, LpipsAlex, moved_alike, relativistic


@dataclass(frozen=True)
class Stage:
    """What is trained until which step, and on what; a loss of weight 0 is not computed."""

    until: int  # step
    parts: tuple[str, ...]  # of CompactNetworks: restorer, denoiser
    rate: float  # learning rate of Adam
    batch: int = 2  # clips
    side: int = 48  # input pixels of a crop
    judged: int = 3  # frames of each clip, the last ones, that the features and the discriminator see
    pixels: float = 1.0
    features: float = 0.3
    adversary: float = 0.05
    steadiness: float = 0.5
    restored: float = 0.5  # share of the pixel loss that the restored picture bears when the denoiser is trained


class Trainer:
    """Networks, their running average, the discriminator and the optimisers.

    Everything random follows from the seed and the step, so a resumed run is the uninterrupted one.
    """

    def __init__(
        self, networks: CompactNetworks, features: LpipsAlex, batches: Batches, *, seed: int, average: float = 0.995
    ) -> None:
        self.networks = networks.train().to(memory_format=torch.channels_last)
        self.average = copy.deepcopy(networks).requires_grad_(False).eval()
        self.decay, self.seed, self.step = average, seed, 0
        self.features, self.batches = features.requires_grad_(False), batches
        torch.manual_seed(seed)
        self.discriminator = Discriminator().to(memory_format=torch.channels_last)
        self.optimiser = torch.optim.Adam(networks.parameters(), betas=(0.9, 0.99))
        self.opponent = torch.optim.Adam(self.discriminator.parameters(), lr=2e-4, betas=(0.9, 0.99))

    def advance(self, stage: Stage) -> dict[str, float]:
        """One step; the losses by name."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.step)
        batch = self.batches.at(self.step, size=stage.batch, side=stage.side)
        for name, part in self.networks.named_children():
            part.requires_grad_(name in stage.parts)
        for group in self.optimiser.param_groups:
            group["lr"] = stage.rate
        restored, final = self._run(batch, stage, generator)
        losses = self._losses(batch, restored, final, stage, generator)
        total = torch.stack([getattr(stage, name) * value for name, value in losses.items()]).sum()
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()
        nn.utils.clip_grad_norm_([p for p in self.networks.parameters() if p.grad is not None], 1.0)
        self.optimiser.step()
        if stage.adversary:
            losses["opponent"] = self._train_opponent(batch, final.detach(), stage)
        self.step += 1
        self._average()
        return {name: float(value.detach()) for name, value in losses.items()}

    def _run(self, batch: Batch, stage: Stage, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Restored pictures of all frames (T, B, 3, 4h, 4w), and the final ones of the judged frames."""
        memory, pictures = None, []
        with torch.set_grad_enabled("restorer" in stage.parts):
            for frames, flow, confidence in zip(batch.frames, batch.flow, batch.confidence, strict=True):
                frames = frames.contiguous(memory_format=torch.channels_last)
                picture, memory = self.networks.restorer(frames, flow, confidence, memory)
                pictures.append(picture)
            restored = torch.stack(pictures)
        judged = restored[-stage.judged :]
        if "denoiser" not in stage.parts:
            return restored, judged
        codec = self.networks.codec
        degraded, clean = codec.encode(judged.flatten(0, 1)), codec.encode(batch.truth[-stage.judged :].flatten(0, 1))
        mixed, t = mix(degraded, clean, generator)
        final = codec.decode(self.networks.denoiser(mixed, degraded, t))
        return restored, final.unflatten(0, judged.shape[:2])

    def _losses(
        self, batch: Batch, restored: Tensor, final: Tensor, stage: Stage, generator: torch.Generator
    ) -> dict[str, Tensor]:
        truth = batch.truth[-stage.judged :]
        losses = {}
        if "denoiser" in stage.parts:
            losses["pixels"] = charbonnier(final, truth)
            if "restorer" in stage.parts and stage.restored:
                losses["restored"] = charbonnier(restored, batch.truth)
        else:
            losses["pixels"] = charbonnier(restored, batch.truth)
        if stage.steadiness and "restorer" in stage.parts:
            losses["steadiness"] = unsteadiness(restored, batch)
        if stage.features:
            seen = moved_alike(final.flatten(0, 1), truth.flatten(0, 1), generator)
            losses["features"] = self.features(*seen).mean()
        if stage.adversary:
            self.discriminator.requires_grad_(False)
            frames = batch.frames[-stage.judged :].flatten(0, 1)
            real = self.discriminator(truth.flatten(0, 1), frames)
            losses["adversary"] = relativistic(self.discriminator(final.flatten(0, 1), frames), real)
            self.discriminator.requires_grad_(True)
        return losses

    def _train_opponent(self, batch: Batch, final: Tensor, stage: Stage) -> Tensor:
        frames = batch.frames[-stage.judged :].flatten(0, 1)
        real = self.discriminator(batch.truth[-stage.judged :].flatten(0, 1), frames)
        loss = relativistic(real, self.discriminator(final.flatten(0, 1), frames))
        self.opponent.zero_grad(set_to_none=True)
        loss.backward()
        self.opponent.step()
        return loss

    @torch.no_grad()
    def _average(self) -> None:
        decay = min(self.decay, (1 + self.step) / (10 + self.step))
        for kept, value in zip(self.average.parameters(), self.networks.parameters(), strict=True):
            kept.lerp_(value, 1 - decay)

    def state(self) -> dict[str, Any]:
        """All that `load` needs."""
        parts = ("networks", "average", "discriminator", "optimiser", "opponent")
        return {"step": self.step, **{name: getattr(self, name).state_dict() for name in parts}}

    def load(self, state: dict[str, Any]) -> None:
        self.step = state["step"]
        for name, value in state.items():
            if name != "step":
                getattr(self, name).load_state_dict(value)

    def save(self, path: Path) -> None:
        """Written beside and renamed, so that a killed run leaves the checkpoint before."""
        beside = path.with_suffix(".part")
        torch.save(self.state(), beside)
        beside.replace(path)


def mix(degraded: Tensor, clean: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """x_t of the forward process at random t (B,) in [0, 500), for latents (B, C, h, w)."""
    abar, eta = (table.float() for table in training_tables())
    t = torch.randint(0, SHIFT_STEPS, (len(clean),), generator=generator)
    # Every sampling run starts at the last entry, and a run of one call sees no other.
    t[torch.rand(len(t), generator=generator) < 0.5] = SHIFT_STEPS - 1
    a, s, shift = (v[t].view(-1, 1, 1, 1) for v in (abar.sqrt(), (1 - abar).sqrt(), eta))
    n = torch.randn(clean.shape, generator=generator)
    return a * (shift * degraded + (1 - shift) * clean) + s * n, t


def charbonnier(pictures: Tensor, truth: Tensor) -> Tensor:
    """Smooth L1: mean of sqrt(d^2 + 1e-6)."""
    return ((pictures - truth).square() + 1e-6).sqrt().mean()


def unsteadiness(pictures: Tensor, batch: Batch) -> Tensor:
    """How differently pictures (T, B, 3, H, W) change along the motion than the truth does, where the motion holds."""
    flow = batch.flow[1:].flatten(0, 1)
    error = (pictures - batch.truth).flatten(2, 2)
    moved = warp(error[:-1].flatten(0, 1), flow, mode="bilinear")
    trust = F.interpolate(batch.confidence[1:].flatten(0, 1), size=moved.shape[-2:], mode="nearest")
    return (trust * (error[1:].flatten(0, 1) - moved).abs()).mean()
