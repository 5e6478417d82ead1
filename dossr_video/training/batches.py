"""Training batches: crops of damaged clips with their truth and their motion. All of it follows from (seed, step)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from dossr_video.temporal.flow import DisFlow, motion
from dossr_video.training.degradation import Recipe, degrade, pick
from dossr_video.training.footage import Footage
from dossr_video.training.saving import save_whole

SCALE = 4

Teacher = Callable[[Tensor], Tensor]  # (3, h, w) uint8 to (3, 4h, 4w) uint8: how a frame should come out


@dataclass(frozen=True, eq=False)
class Sample:
    """A damaged clip, its truth and the motion that inference would find in it."""

    frames: Tensor  # (T, 3, h, w) uint8
    truth: Tensor  # (T, 3, 4h, 4w) uint8
    flow: Tensor  # (T, 2, h, w) float32, input pixels, back to the frame before
    confidence: Tensor  # (T, 1, h, w) float32
    wanted: Tensor  # (3, 4h, 4w) uint8: how the last frame should come out; its truth, or a teacher's picture


@dataclass(frozen=True, eq=False)
class Batch:
    """Crops of B clips, time first; pictures are RGB in [0, 1]."""

    frames: Tensor  # (T, B, 3, h, w)
    truth: Tensor  # (T, B, 3, 4h, 4w)
    flow: Tensor  # (T, B, 2, h, w)
    confidence: Tensor  # (T, B, 1, h, w)
    wanted: Tensor  # (B, 3, 4h, 4w)

    def last(self, count: int) -> Batch:
        """The last `count` frames: a shot that begins there."""
        parts = {name: value[-count:] for name, value in vars(self).items()}
        return Batch(**{**parts, "wanted": self.wanted})

    def to(self, device: torch.device) -> Batch:
        return Batch(**{name: value.to(device) for name, value in vars(self).items()})


def make_sample(footage: Footage, recipe: Recipe, rng: np.random.Generator, *, frames: int, side: int) -> Sample:
    """A clip of `frames` frames and `side` input pixels a side, through one recipe."""
    sharp = footage.draw(rng, frames=frames, side=SCALE * side)
    damaged, truth = (_planes(clip) for clip in degrade(sharp, recipe, rng))
    found = motion(None, damaged.float() / 255, DisFlow())
    return Sample(damaged, truth, found.flow, found.confidence, wanted=truth[-1])


def _planes(clip: NDArray[np.uint8]) -> Tensor:
    return torch.from_numpy(clip).permute(0, 3, 1, 2).contiguous()


class Batches:
    """A window of clips that moves on by `renew` clips a step; each clip is cut several times before it leaves.

    A `teacher` is shown the busiest TAUGHT_SIDE input pixels of each clip's last frame, for it is slow, and without the
    damage, for it should not draw grain and blur large. With a folder `kept`, clips are read from there when an earlier
    run or another process has made them.
    """

    TAUGHT_SIDE = 64

    def __init__(
        self,
        footage: Footage,
        recipes: tuple[Recipe, ...],
        *,
        seed: int,
        frames: int,
        side: int = 96,
        window: int = 24,
        renew: float = 1.0,
        teacher: Teacher | None = None,
        kept: Path | None = None,
    ) -> None:
        self.footage, self.recipes, self.seed = footage, recipes, seed
        self.frames, self.side, self.window, self.renew = frames, side, window, renew
        self.teacher, self.kept = teacher, kept
        self._samples: dict[int, Sample] = {}

    def at(self, step: int, *, size: int, side: int) -> Batch:
        """The batch of a step: `size` crops of `side` input pixels a side, half of them mirrored."""
        first = int(step * self.renew)
        self._samples = {i: self._samples.get(i) or self.sample(i) for i in range(first, first + self.window)}
        rng = np.random.default_rng((self.seed, 1, step))
        chosen = rng.choice(self.window, size, replace=False)
        crops = [cut(self._samples[first + int(i)], rng, side) for i in chosen]
        crops = [mirrored(crop) if rng.random() < 0.5 else crop for crop in crops]
        return Batch(
            frames=torch.stack([crop.frames for crop in crops], 1).float() / 255,
            truth=torch.stack([crop.truth for crop in crops], 1).float() / 255,
            flow=torch.stack([crop.flow for crop in crops], 1),
            confidence=torch.stack([crop.confidence for crop in crops], 1),
            wanted=torch.stack([crop.wanted for crop in crops]).float() / 255,
        )

    def sample(self, index: int) -> Sample:
        """Clip `index` of all that there will be."""
        file = self.kept / f"{self.seed}_{index:06}.pt" if self.kept else None
        if file and file.exists():
            return Sample(**torch.load(file, weights_only=True))
        rng = np.random.default_rng((self.seed, 0, index))
        sample = make_sample(self.footage, pick(self.recipes, rng), rng, frames=self.frames, side=self.side)
        if self.teacher:
            sample = cut(sample, rng, self.TAUGHT_SIDE)
            sample = replace(sample, wanted=self.teacher(_shrunk(sample.truth[-1])))
        if file:
            # Copies, for views would be saved with all that they are cut from.
            save_whole({name: value.clone() for name, value in vars(sample).items()}, file)
        return sample


def cut(sample: Sample, rng: np.random.Generator, side: int) -> Sample:
    """The busier of two crops (flat ones teach little), with no confidence in what lies outside of it."""
    h, w = sample.frames.shape[-2:]
    places = [tuple(int(v) for v in rng.integers(0, (h - side + 1, w - side + 1))) for _ in range(2)]
    y, x = max(places, key=lambda place: _detail(sample.truth[0], place, side))
    inside = np.s_[..., y : y + side, x : x + side]
    large = np.s_[..., SCALE * y : SCALE * (y + side), SCALE * x : SCALE * (x + side)]
    flow = sample.flow[inside]
    column = torch.arange(side) + flow[:, :1]
    row = torch.arange(side)[:, None] + flow[:, 1:]
    seen = (column >= 0) & (column <= side - 1) & (row >= 0) & (row <= side - 1)
    return Sample(
        frames=sample.frames[inside],
        truth=sample.truth[large],
        flow=flow,
        confidence=sample.confidence[inside] * seen,
        wanted=sample.wanted[large],
    )


def mirrored(sample: Sample) -> Sample:
    """Left and right exchanged."""
    parts = {name: value.flip(-1) for name, value in vars(sample).items()}
    parts["flow"] = parts["flow"] * torch.tensor([-1.0, 1.0]).view(2, 1, 1)
    return Sample(**parts)


def _shrunk(truth: Tensor) -> Tensor:
    """(3, 4h, 4w) uint8 to (3, h, w): the frame as it would be without its damage."""
    return F.avg_pool2d(truth.float(), SCALE).round().byte()


def _detail(picture: Tensor, place: tuple[int, ...], side: int) -> float:
    y, x = (SCALE * v for v in place)
    part = picture[:, y : y + SCALE * side, x : x + SCALE * side].float()
    return float(part.diff(dim=-1).abs().mean() + part.diff(dim=-2).abs().mean())
