"""Batches: what they are made of follows from seed and step, fits together, and can be drawn ahead."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from dossr_video.temporal.warping import warp
from dossr_video.training.batches import Batch, Batches, Sample, Teacher, mirrored
from dossr_video.training.degradation import read_recipes
from dossr_video.training.footage import Footage
from dossr_video.training.teacher import NetworkTeacher

RECIPES = Path(__file__).parents[2] / "configs" / "degradation.yaml"


def test_batches_follow_from_seed_and_step(footage: Footage) -> None:
    def batch(seed: int, step: int) -> Batch:
        return Batches(footage, read_recipes(RECIPES), seed=seed, frames=3, side=24, window=3).at(step, size=2, side=16)

    one, two = batch(0, 4), batch(0, 4)
    assert one.frames.shape == (3, 2, 3, 16, 16)
    assert one.truth.shape == (3, 2, 3, 64, 64)
    assert one.confidence[0].max() == 0
    for name in ("frames", "truth", "flow", "confidence"):
        assert torch.equal(getattr(one, name), getattr(two, name))
    assert not torch.equal(one.frames, batch(0, 5).frames)
    assert not torch.equal(one.frames, batch(1, 4).frames)


def test_truth_lies_over_the_frames(footage: Footage) -> None:
    clean = tuple(recipe for recipe in read_recipes(RECIPES) if recipe.name == "clean")
    batch = Batches(footage, clean, seed=0, frames=2, side=24, window=2).at(0, size=1, side=16)
    small = nn.functional.avg_pool2d(batch.truth.flatten(0, 1), 4)
    assert (small - batch.frames.flatten(0, 1)).abs().mean() < 0.04


def test_without_a_teacher_the_truth_is_wanted(footage: Footage) -> None:
    batch = Batches(footage, read_recipes(RECIPES), seed=0, frames=3, side=24, window=2).at(0, size=2, side=16)
    assert torch.equal(batch.wanted, batch.truth[-1])
    late = batch.last(1)
    assert torch.equal(late.frames, batch.frames[2:])
    assert torch.equal(late.wanted, batch.wanted)


def test_a_mirrored_clip_moves_the_other_way(moving: Tensor) -> None:
    frames = (moving * 255).byte()
    flow = torch.tensor([1.5, 0.75]).view(1, 2, 1, 1).expand(len(frames), 2, 32, 40)
    sample = Sample(frames, frames, flow=flow, confidence=torch.ones(9, 1, 32, 40), wanted=frames[-1])

    def mismatch(clip: Sample) -> Tensor:
        moved = warp(clip.frames[:-1].float(), clip.flow[1:])
        return (clip.frames[1:].float() - moved)[..., 3:-3, 3:-3].abs().mean()

    turned = mirrored(sample)
    assert torch.equal(turned.frames, frames.flip(-1))
    assert abs(mismatch(turned) - mismatch(sample)) < 0.01 < 0.05 * (frames[1:].float() - frames[:-1]).abs().mean()


def test_taught_clips_are_kept(footage: Footage, tmp_path: Path) -> None:
    shown: list[Tensor] = []

    def teacher(frame: Tensor) -> Tensor:
        shown.append(frame)
        return 255 - frame.repeat_interleave(4, 1).repeat_interleave(4, 2)

    def batches(used: Teacher) -> Batches:
        recipes = read_recipes(RECIPES)
        return Batches(footage, recipes, seed=0, frames=2, side=80, window=2, teacher=used, kept=tmp_path)

    sample = batches(teacher).sample(5)
    assert sample.frames.shape == (2, 3, 64, 64)
    # The teacher sees what the frame would be without its damage.
    undamaged = nn.functional.avg_pool2d(sample.truth[-1].float(), 4)
    assert (shown[0] - undamaged).abs().max() <= 0.5
    assert not torch.equal(shown[0], sample.frames[-1])
    assert torch.equal(sample.wanted[:, ::4, ::4], 255 - shown[0])
    again = batches(teacher).sample(5)
    assert len(shown) == 1  # the second was read
    assert all(torch.equal(part, vars(again)[name]) for name, part in vars(sample).items())


def test_a_teacher_keeps_the_light(moving: Tensor) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 48, 3, padding=1), nn.PixelShuffle(4))
    frame = (moving[0] * 255).byte()
    picture = NetworkTeacher(network, torch.float32)(frame)
    assert picture.shape == (3, 128, 160)
    assert picture.dtype == torch.uint8
    drift = network(frame[None].float() / 255).mean((2, 3)) * 255 - frame.float().mean((1, 2))
    assert (picture.float().mean((1, 2)) - frame.float().mean((1, 2))).abs().max() < 0.05 * drift.abs().max()
