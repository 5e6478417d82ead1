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
from torch.utils.data import Dataset

from dossr_video.frames import luma
from dossr_video.models.compact.restorer import Restorer
from dossr_video.quality.networks import Lpips
from dossr_video.temporal.warping import warp
from dossr_video.training.batches import Batch, Batches
from dossr_video.training.corrected import Corrected
from dossr_video.training.losses import (
    Discriminator,
    FineFilters,
    Maps,
    PixelDiscriminator,
    grid,
    hinge,
    seen_alike,
    texture,
    unrest,
)
from dossr_video.training.saving import save_whole


@dataclass(frozen=True)
class Stage:
    """Until which step something is trained, how fast, and the weight of each loss."""

    until: int  # step
    rate: float  # learning rate of Adam
    memory_rate: float  # that of the weights that what is remembered enters by
    batch: int = 4  # clips
    side: int = 48  # input pixels of a crop
    shortest: int = 1  # frames of a clip: 1 where the first frames of a shot are learnt too
    through: int = 6  # last frames of a clip that are learnt from; those before are only remembered
    pixels: float = 1.0  # difference of all pictures from the truth
    wanted: float = 0.0  # the same of each clip's last one from what is wanted: the truth, or a teacher's picture
    steadiness: float = 1.0  # how the errors change along the motion
    features: float = 0.0  # distance of the critics' features, place by place
    texture: float = 0.0  # means and covariances of the same
    fine: float = 0.0  # the same of fine random filters
    unrest: float = 0.0  # fine errors where the truth is flat
    grid: float = 0.0  # errors that repeat with the pixel shuffle's period
    taught: float = 0.5  # share of pictures whose looks are held against what is wanted, not against the truth
    adversarial: float = 0.0  # what the discriminator of features holds against the pictures
    dots: float = 0.0  # what the discriminator of pixels does; both are trained where one of them counts

    @property
    def looks(self) -> bool:
        """Whether anything but fidelity counts."""
        return max(self.features, self.texture, self.fine) > 0 or self.opposed

    @property
    def opposed(self) -> bool:
        return max(self.adversarial, self.dots) > 0


CPU = torch.device("cpu")
Shown = tuple[Maps, Tensor]  # the critics' features of pictures, and the pictures
LOSSES = (
    *("pixels", "wanted", "steadiness", "grid", "unrest"),
    *("features", "texture", "fine", "adversarial", "dots", "told_apart"),
)


def stage_at(stages: Sequence[Stage], step: int) -> Stage:
    return next(stage for stage in stages if step < stage.until)


class Steps(Dataset[Batch]):
    """The batch of every step, for worker processes that draw ahead of the training."""

    def __init__(self, batches: Batches, stages: Sequence[Stage]) -> None:
        self.batches, self.stages = batches, stages

    def __getitem__(self, step: int) -> Batch:
        stage = stage_at(self.stages, step)
        return self.batches.at(step, size=stage.batch, side=stage.side)


class Trainer:
    """A network, its running average, two discriminators and the optimisers.

    `critics` are the fixed networks whose features the pictures should share with the truth; they see the luma alone.
    Everything random follows from the seed and the step, so a resumed run is the uninterrupted one. `dtype` is what
    autocast computes convolutions in; weights and losses stay in float32.
    """

    def __init__(
        self,
        network: Restorer | Corrected,
        critics: Sequence[Lpips],
        *,
        seed: int,
        average: float = 0.99,
        device: torch.device = CPU,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.network = network.train().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = copy.deepcopy(network).requires_grad_(False).eval()
        self.decay, self.seed, self.device, self.dtype, self.step = average, seed, device, dtype, 0
        self.critics, self.filters = [critic.to(device) for critic in critics], FineFilters().to(device)
        fresh = network.fresh()
        trained = [p for p in network.parameters() if p.requires_grad]
        others = [p for p in trained if all(p is not other for other in fresh)]
        self.optimiser = torch.optim.Adam([{"params": others}, {"params": fresh}], betas=(0.9, 0.99))
        with torch.random.fork_rng([]):
            torch.manual_seed(seed)
            channels = [maps.shape[1] for maps in self._features(torch.zeros(1, 3, 64, 64, device=device))]
            self.discriminators = nn.ModuleList([Discriminator(channels), PixelDiscriminator()])
        self.discriminators.train().to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.opponent = torch.optim.Adam(self.discriminators.parameters(), lr=4e-4, betas=(0.5, 0.99))

    def advance(self, batch: Batch, stage: Stage) -> dict[str, float]:
        """One step; the losses by name."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.step)
        # Of any length, for the first frames of a shot must come out as well as those that remember many.
        length = torch.randint(stage.shortest, len(batch.frames) + 1, (), generator=generator)
        batch = batch.last(int(length)).to(self.device)
        rates = stage.rate, stage.memory_rate
        for group, rate in zip(self.optimiser.param_groups, rates, strict=True):
            group["lr"] = rate
        with self._autocast():
            pictures = self._run(batch, stage.through)
            truth = batch.truth[-len(pictures) :]
            losses = {
                "pixels": charbonnier(pictures, truth),
                "wanted": charbonnier(pictures[-1], batch.wanted),
                "steadiness": unsteadiness(pictures - truth, batch),
                "grid": grid(pictures[-1] - batch.wanted),
                "unrest": unrest(pictures[-1], batch.wanted),
            }
            if stage.looks:
                taught = torch.rand((len(batch.wanted), 1, 1, 1), generator=generator) < stage.taught
                # Of the truth or of a teacher: the one has more detail, the other only what can be drawn.
                wanted_pictures = torch.where(taught.to(self.device), batch.wanted, batch.truth[-1])
                more, shown, wanted = self._looks(pictures[-1], wanted_pictures, generator, stage)
                losses |= more
        total = torch.stack([getattr(stage, name) * value for name, value in losses.items()]).sum()
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_([p for p in self.network.parameters() if p.grad is not None], 1.0)
        self.optimiser.step()
        if stage.opposed:
            losses["told_apart"] = self._oppose(shown, wanted)
        self.step += 1
        self._average()
        return {name: float(value.detach()) for name, value in losses.items()}

    def _oppose(self, shown: Shown, wanted: Shown) -> Tensor:
        """One step of the discriminators; their loss, 2 where they know nothing."""
        self.discriminators.requires_grad_(True)
        with self._autocast():
            false_scores = self._scores([maps.detach() for maps in shown[0]], shown[1].detach())
            pairs = zip(self._scores(*wanted), false_scores, strict=True)
            loss = torch.stack([hinge(true, false) for true, false in pairs]).mean()
        self.opponent.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.opponent.step()
        return loss

    def _scores(self, maps: Maps, pictures: Tensor) -> list[list[Tensor]]:
        """Those of the discriminator of features and of that of pixels."""
        features, pixels = self.discriminators
        return [features(maps), pixels(pictures)]

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32)

    def _features(self, pictures: Tensor) -> Maps:
        return [maps for critic in self.critics for maps in critic.features(pictures)]

    def _run(self, batch: Batch, through: int) -> Tensor:
        """Pictures of the last `through` frames (T, B, 3, 4h, 4w), with gradients."""
        hidden, pictures = None, []
        first = len(batch.frames) - through
        for i, (frames, flow, confidence) in enumerate(zip(batch.frames, batch.flow, batch.confidence, strict=True)):
            frames = frames.contiguous(memory_format=torch.channels_last)
            with torch.set_grad_enabled(i >= first):
                picture, hidden = self.network(frames, flow, confidence, hidden)
            if i >= first:
                pictures.append(picture)
        return torch.stack(pictures)

    def _looks(
        self, pictures: Tensor, wanted: Tensor, generator: torch.Generator, stage: Stage
    ) -> tuple[dict[str, Tensor], Shown, Shown]:
        """Losses of how pictures (B, 3, 4h, 4w) look; what the discriminators see of them and of what is wanted.

        Of the luma alone: what critics like of colour is speckle.
        """
        grey, wanted_grey = (uncoloured(part) for part in (pictures, wanted))
        shown, wanted = seen_alike(grey, wanted_grey, generator)
        maps, fine = self._features(shown), self.filters(shown)
        with torch.no_grad():
            true_maps, true_fine = self._features(wanted), self.filters(wanted)
        first, distances = 0, []
        for critic in self.critics:
            own = slice(first, first + len(critic.stages))
            distances.append(critic.distance(maps[own], true_maps[own]).mean())
            first = own.stop
        losses = {
            "features": torch.stack(distances).mean(),
            "texture": texture(maps, true_maps).mean(),
            "fine": texture(fine, true_fine).mean(),
        }
        if stage.opposed:
            self.discriminators.requires_grad_(False)
            for name, scores in zip(("adversarial", "dots"), self._scores(maps, grey), strict=True):
                losses[name] = -torch.stack([score.mean() for score in scores]).mean()
        return losses, (maps, grey), (true_maps, wanted_grey)

    @torch.no_grad()
    def _average(self) -> None:
        decay = min(self.decay, (1 + self.step) / (10 + self.step))
        for kept, value in zip(self.average.parameters(), self.network.parameters(), strict=True):
            kept.lerp_(value, 1 - decay)

    def state(self) -> dict[str, Any]:
        """All that `load` needs."""
        parts = ("network", "average", "optimiser", "discriminators", "opponent")
        return {"step": self.step, **{name: getattr(self, name).state_dict() for name in parts}}

    def load(self, state: dict[str, Any]) -> None:
        self.step = state["step"]
        for name, value in state.items():
            if name != "step":
                getattr(self, name).load_state_dict(value)

    def save(self, path: Path) -> None:
        """A file for torch.load and `load`; a killed run leaves the one before."""
        save_whole(self.state(), path)


def uncoloured(pictures: Tensor) -> Tensor:
    """The luma of pictures (B, 3, H, W), as grey ones, whose gradients change all channels alike.

    Those of the luma itself would change green five times as much as blue, and edges would turn green.
    """
    grey = pictures.mean(1, keepdim=True)
    return (luma(pictures).detach() + grey - grey.detach()).expand(-1, 3, -1, -1)


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
