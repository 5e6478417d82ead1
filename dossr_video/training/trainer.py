"""The training loop's one step, and the state that a resumed run takes up where it stopped."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dossr_video.diffusion.schedule import SHIFT_STEPS, make_point
from dossr_video.diffusion.solver import diffuse
from dossr_video.models.compact.model import CompactNetworks
from dossr_video.quality.networks import Lpips
from dossr_video.temporal.flow import warp
from dossr_video.training.batches import Batch, Batches
from dossr_video.training.losses import (
    Discriminator,
    FineFilters,
    Maps,
    grid,
    hinge,
    seen_alike,
    texture,
    unrest,
)
from dossr_video.training.saving import save_whole

RESTORED = 0.25  # of the pictures are judged as restored, the others as final


@dataclass(frozen=True)
class Stage:
    """What is trained until which step, and the weight of each loss."""

    until: int  # step
    parts: Sequence[str]  # of CompactNetworks: restorer, denoiser
    rate: float  # learning rate of Adam
    batch: int = 2  # clips
    side: int = 48  # input pixels of a crop
    judged: int = 2  # frames of each clip, the last ones, that become final pictures
    pixels: float = 2.0  # difference of the final pictures from the truth
    wanted: float = 0.0  # the same of each clip's last one from what is wanted: the truth, or a teacher's picture
    restored: float = 0.3  # the same of the restored pictures, all frames
    steadiness: float = 1.0  # how their errors change along the motion
    features: float = 0.3  # distance of the critics' features, place by place
    texture: float = 0.3  # means and covariances of the same
    fine: float = 0.5  # the same of fine random filters
    unrest: float = 15.0  # fine errors where the truth is flat
    grid: float = 15.0  # errors that repeat with the codec's or the pixel shuffle's period
    taught: float = 0.5  # share of pictures whose looks are held against what is wanted, not against the truth
    adversarial: float = 0.0  # what the discriminator holds against the pictures; 0: it is not trained either


class Trainer:
    """Networks, their running average, a discriminator and the optimisers.

    `critics` are the fixed networks whose features the pictures should share with the truth. Everything random follows
    from the seed and the step, so a resumed run is the uninterrupted one. `dtype` is what autocast computes
    convolutions in; weights and losses stay in float32.
    """

    def __init__(
        self,
        networks: CompactNetworks,
        critics: Sequence[Lpips],
        batches: Batches,
        *,
        seed: int,
        average: float = 0.997,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.networks = networks.train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(networks).requires_grad_(False).eval()
        self.decay, self.seed, self.dtype, self.step = average, seed, dtype, 0
        self.critics, self.filters, self.batches = critics, FineFilters(), batches
        self.optimiser = torch.optim.Adam(networks.parameters(), betas=(0.9, 0.99))
        with torch.random.fork_rng([]):
            torch.manual_seed(seed)
            channels = [maps.shape[1] for maps in self._features(torch.zeros(1, 3, 64, 64))]
            self.discriminator = Discriminator(channels).train().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.opponent = torch.optim.Adam(self.discriminator.parameters(), lr=4e-4, betas=(0.5, 0.99))

    def advance(self, stage: Stage) -> dict[str, float]:
        """One step; the losses by name."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.step)
        batch = self.batches.at(self.step, size=stage.batch, side=stage.side)
        # Of any length, for the first frames of a shot must come out as well as those that remember many.
        batch = batch.last(int(torch.randint(1, len(batch.frames) + 1, (), generator=generator)))
        for name, part in self.networks.named_children():
            part.requires_grad_(name in stage.parts)
        for group in self.optimiser.param_groups:
            group["lr"] = stage.rate
        with self._autocast():
            restored, final = self._run(batch, stage, generator)
            losses, seen, wanted = self._losses(batch, restored, final, stage, generator)
        total = torch.stack([getattr(stage, name) * value for name, value in losses.items()]).sum()
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_([p for p in self.networks.parameters() if p.grad is not None], 1.0)
        self.optimiser.step()
        if stage.adversarial:
            losses["told_apart"] = self._oppose(seen, wanted)
        self.step += 1
        self._average()
        return {name: float(value.detach()) for name, value in losses.items()}

    def _oppose(self, seen: Maps, wanted: Maps) -> Tensor:
        """One step of the discriminator; its loss."""
        self.discriminator.requires_grad_(True)
        with self._autocast():
            loss = hinge(self.discriminator(wanted), self.discriminator([maps.detach() for maps in seen]))
        self.opponent.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.opponent.step()
        return loss

    def _autocast(self) -> torch.autocast:
        return torch.autocast("cpu", self.dtype, enabled=self.dtype != torch.float32)

    def _exact(self) -> torch.autocast:
        """The codec stays in float32, as it does in use: half precision loses shades."""
        return torch.autocast("cpu", enabled=False)

    def _features(self, pictures: Tensor) -> Maps:
        return [maps for critic in self.critics for maps in critic.features(pictures)]

    def _run(self, batch: Batch, stage: Stage, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Restored pictures of all frames (T, B, 3, 4h, 4w), and final ones of the last `judged`."""
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
        codec, denoiser = self.networks.codec, self.networks.denoiser
        with self._exact():
            degraded = codec.encode(judged.float().flatten(0, 1))
            goals = torch.cat([batch.truth[-len(judged) : -1], batch.wanted[None]])
            clean = codec.encode(goals.flatten(0, 1))
        entries, own = draw_entries(len(clean), generator)
        if own.any():
            first = torch.full_like(entries[own], SHIFT_STEPS - 1)
            start = mix(degraded[own], clean[own], first, generator)
            clean = clean.index_put((own,), denoiser(start, degraded[own], first).float().detach())
        estimate = denoiser(mix(degraded, clean, entries, generator), degraded, entries)
        with self._exact():
            final = codec.decode(estimate.float())
        return restored, final.unflatten(0, judged.shape[:2])

    def _losses(
        self, batch: Batch, restored: Tensor, final: Tensor, stage: Stage, generator: torch.Generator
    ) -> tuple[dict[str, Tensor], Maps, Maps]:
        """The losses by name; the features of the last pictures and of what is wanted."""
        truth, wanted = batch.truth[-stage.judged :], batch.wanted
        losses = {"pixels": charbonnier(final, truth), "steadiness": unsteadiness(final - truth, batch)}
        losses["wanted"] = charbonnier(final[-1], wanted)
        if "restorer" in stage.parts:
            losses["restored"] = charbonnier(restored, batch.truth)
        # The restored picture is a result too, that of no call: each last one is judged in one of its two forms.
        early, taught = torch.rand((2, len(wanted), 1, 1, 1), generator=generator)
        shown = torch.where(early < RESTORED, restored[-1], final[-1])
        losses["grid"] = grid(shown - wanted)
        losses["unrest"] = unrest(shown, wanted)
        # Looks are those of the truth or of a teacher: the one has more detail, the other only what can be drawn.
        wanted = torch.where(taught < stage.taught, wanted, truth[-1])
        shown, wanted = seen_alike(shown, wanted, generator)
        maps, fine = self._features(shown), self.filters(shown)
        with torch.no_grad():
            true_maps, true_fine = self._features(wanted), self.filters(wanted)
        first, distances = 0, []
        for critic in self.critics:
            own = slice(first, first + len(critic.stages))
            distances.append(critic.distance(maps[own], true_maps[own]).mean())
            first = own.stop
        losses["features"] = torch.stack(distances).mean()
        losses["texture"] = texture(maps, true_maps).mean()
        losses["fine"] = texture(fine, true_fine).mean()
        if stage.adversarial:
            self.discriminator.requires_grad_(False)
            losses["adversarial"] = -torch.stack([scores.mean() for scores in self.discriminator(maps)]).mean()
        return losses, maps, true_maps

    @torch.no_grad()
    def _average(self) -> None:
        decay = min(self.decay, (1 + self.step) / (10 + self.step))
        for kept, value in zip(self.average.parameters(), self.networks.parameters(), strict=True):
            kept.lerp_(value, 1 - decay)

    def state(self) -> dict[str, Any]:
        """All that `load` needs."""
        parts = ("networks", "average", "optimiser", "discriminator", "opponent")
        return {"step": self.step, **{name: getattr(self, name).state_dict() for name in parts}}

    def load(self, state: dict[str, Any]) -> None:
        self.step = state["step"]
        for name, value in state.items():
            if name != "step":
                getattr(self, name).load_state_dict(value)

    def save(self, path: Path) -> None:
        """A file for torch.load and `load`; a killed run leaves the one before."""
        save_whole(self.state(), path)


def draw_entries(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Schedule entries (B,) in [0, 500), and for which of them (B,) the clean latents are the network's own estimate.

    Every sampling run starts at the last entry, and a run of one call sees no other. A later call starts from what the
    earlier ones made, which is not the truth: half of the other entries are trained on that.
    """
    entries = torch.randint(0, SHIFT_STEPS, (count,), generator=generator)
    later, own = torch.rand((2, count), generator=generator) < torch.tensor([[0.3], [0.5]])
    entries[~later] = SHIFT_STEPS - 1
    return entries, later & own


def mix(degraded: Tensor, clean: Tensor, entries: Tensor, generator: torch.Generator) -> Tensor:
    """x_t of the forward process at the entries (B,), for latents (B, C, h, w)."""
    noise = torch.randn(clean.shape, generator=generator)
    parts = zip(clean, degraded, noise, entries.tolist(), strict=True)
    return torch.stack([diffuse(x0, xhat0, n, make_point(t)) for x0, xhat0, n, t in parts])


def charbonnier(pictures: Tensor, truth: Tensor) -> Tensor:
    """Smooth L1: mean of sqrt(d^2 + 1e-6)."""
    return ((pictures - truth).square() + 1e-6).sqrt().mean()


def unsteadiness(errors: Tensor, batch: Batch) -> Tensor:
    """How the errors (T, B, 3, 4h, 4w) of a batch's last T pictures change along the motion, where it holds.

    An error that moves with the scene is only wrong; one that does not, flickers.
    """
    steps = len(errors) - 1
    if not steps:
        return errors.new_zeros(())
    flow, confidence = (part[-steps:].flatten(0, 1) for part in (batch.flow, batch.confidence))
    moved = warp(errors[:-1].flatten(0, 1), flow, mode="bilinear")
    trust = F.interpolate(confidence, size=moved.shape[-2:], mode="nearest")
    return (trust * (errors[1:].flatten(0, 1) - moved).abs()).mean()
