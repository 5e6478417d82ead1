"""The large model: a call that pays, a memory that counts, colours that stay, chunks and tiles that do not matter."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from dossr_video.errors import ModelError
from dossr_video.frames import Motion
from dossr_video.models.base import Restored
from dossr_video.models.compact.model import load_compact
from dossr_video.models.large.denoiser import ALONE, BOTH, DRAWN, GAIN, HIGH, LOW, Denoiser, agreement
from dossr_video.models.large.model import SEEN, LargeModel, LargeNetworks, lit, load_large, remember
from dossr_video.models.large.wavelet import CHANNELS
from dossr_video.models.tiled import TiledModel
from dossr_video.quality.pairs import damage, ground_truth, read_clip
from dossr_video.temporal.flow import DisFlow, motion
from dossr_video.temporal.warping import warp


@pytest.fixture(scope="module")
def model() -> LargeModel:
    return load_large(device=torch.device("cpu"), dtype=torch.float32)


@pytest.fixture(scope="module")
def pair(sample: Path) -> tuple[Tensor, Tensor]:
    """Three frames of the sample clip, (3, 3, 80, 208), and the same a quarter as large, compressed and noisy."""
    truth = ground_truth(read_clip(sample, frames=3), height=88)
    return _planes(truth), _planes(damage(truth, "compressed", seed=0))


@pytest.fixture(scope="module")
def found(pair: tuple[Tensor, Tensor]) -> Motion:
    return motion(None, pair[1], DisFlow())


@pytest.fixture(scope="module")
def restored(model: LargeModel, pair: tuple[Tensor, Tensor], found: Motion) -> Restored:
    return model.restore(pair[1], found, None)


def _planes(clip: np.ndarray) -> Tensor:
    return torch.from_numpy(clip).permute(0, 3, 1, 2).float() / 255


def part(whole: Motion, start: int, stop: int) -> Motion:
    return Motion(whole.flow[start:stop], whole.confidence[start:stop])


@torch.inference_mode()
def called(model: LargeModel, restored: Restored, *, seed: int = 0) -> Tensor:
    """Pictures after one network call."""
    latents = model.encode(restored.pictures)
    noise = torch.randn(latents.shape[1:], generator=torch.Generator().manual_seed(seed))
    x = 0.53 * latents + 0.85 * noise
    return model.decode(model.denoise(x, 499, model.condition(restored, latents))).clamp(0, 1)


def psnr(pictures: Tensor, truth: Tensor) -> float:
    """In dB."""
    return float(-10 * (pictures - truth).square().mean((1, 2, 3)).log10().mean())


def test_a_call_is_a_gain(model: LargeModel, pair: tuple[Tensor, Tensor], restored: Restored) -> None:
    pictures = called(model, restored)
    assert psnr(pictures, pair[0]) > psnr(restored.pictures, pair[0])
    assert (pictures - restored.pictures).abs().mean() > 3 / 255


def test_noise_leaves_no_pattern(model: LargeModel, restored: Restored) -> None:
    assert (called(model, restored) - called(model, restored, seed=1)).abs().max() < 0.01 / 255


def test_what_the_frames_before_show_counts(model: LargeModel, restored: Restored, found: Motion) -> None:
    assert restored.seen is not None
    with_memory = called(model, restored)
    confidence, change = slice(12, 16), slice(16, 16 + CHANNELS)
    alone = restored.seen.clone()
    alone[:, confidence] = 0
    alone[:, change] = 0
    without = called(model, replace(restored, seen=alone))
    assert torch.equal(with_memory[0], without[0])  # a shot's first frame has nothing before it
    assert (with_memory[1:] - without[1:]).abs().mean() > 0.1 / 255


def test_a_share_of_a_picture_is_compact_s(
    model: LargeModel, pair: tuple[Tensor, Tensor], found: Motion, restored: Restored
) -> None:
    """Its memory too: the second frame's share is what compact makes of it after the first."""
    first = Motion(found.flow[:2], found.confidence[:2])
    remembered = load_compact(device=torch.device("cpu"), dtype=torch.float32).restore(pair[1][:2], first, None).hidden
    assert remembered is not None
    compact = remembered[1]  # as its network draws it, dots and all
    drawn = (restored.pictures[1:2] - (1 - DRAWN) * compact.clamp(0, 1)) / DRAWN
    x4plus = lit(model.networks.x4plus(pair[1][1:2]).clamp(0, 1), pair[1][1:2])
    assert torch.allclose(drawn, x4plus, atol=1e-4)


def test_where_the_two_differ_is_seen(model: LargeModel, restored: Restored) -> None:
    assert restored.seen is not None
    blind = restored.seen.clone()
    blind[:, -CHANNELS:] = 0
    assert (called(model, restored) - called(model, replace(restored, seen=blind))).abs().mean() > 0.1 / 255


def test_what_the_two_agree_on_is_told_from_what_one_draws_alone() -> None:
    generator = torch.Generator().manual_seed(0)
    first, other = torch.randn(2, 1, 36, 12, 12, generator=generator)
    assert torch.allclose(agreement(first, torch.zeros_like(first)), torch.ones(1), atol=1e-4)
    assert agreement((first + other) / 2, first - other).max() < 0.2  # nothing in common
    assert agreement(torch.zeros_like(first), 2 * first).max() == 0  # opposites
    half = (first + (first + other)) / 2, first - (first + other)  # noise as strong as what both show
    assert (agreement(*half) - 2 / 3).abs().max() < 0.15


def test_only_what_the_two_agree_on_is_made_stronger() -> None:
    denoiser = Denoiser(width=8, deep_width=8, seen=SEEN)
    torch.nn.init.constant_(denoiser.tail.bias, 9.0)  # as strong as can be
    generator = torch.Generator().manual_seed(0)
    first, other = torch.randn(2, 1, CHANNELS, 12, 12, generator=generator)
    beside = torch.zeros(1, SEEN - CHANNELS, 12, 12)
    for second, finest in ((first, 1 + GAIN + BOTH[-1]), (other, 1 - ALONE[-1])):
        mean = torch.lerp(first, second, DRAWN)
        clean = denoiser(first, torch.cat([mean, beside, second - first], 1), torch.tensor([499]))
        assert torch.equal(clean[:, :LOW], mean[:, :LOW])
        assert abs((clean / mean)[:, -HIGH[-1] :].median() - finest) < 0.1


def test_without_confidence_nothing_is_remembered() -> None:
    picture, before = torch.rand(2, 1, 3, 32, 32)
    flow, confidence = torch.zeros(1, 2, 8, 8), torch.zeros(1, 1, 8, 8)
    assert torch.equal(remember(picture, before, flow, confidence)[1], picture)
    kept = remember(picture, before, flow, confidence + 1)[1]
    assert torch.allclose(kept, 0.7 * before + 0.3 * picture, atol=1e-6)
    assert all(torch.equal(part, picture) for part in remember(picture, None, flow, confidence))


def test_frame_by_frame_is_one_chunk(
    model: LargeModel, pair: tuple[Tensor, Tensor], found: Motion, restored: Restored
) -> None:
    first = model.restore(pair[1][:1], part(found, 0, 1), None)
    rest = model.restore(pair[1][1:], part(found, 1, 3), first.hidden)
    assert restored.seen is not None
    assert first.seen is not None
    assert rest.seen is not None
    assert torch.equal(torch.cat([first.pictures, rest.pictures]), restored.pictures)
    assert torch.equal(torch.cat([first.seen, rest.seen]), restored.seen)


def test_colour_stays(pair: tuple[Tensor, Tensor], restored: Restored) -> None:
    assert (restored.pictures.mean((2, 3)) - pair[1].mean((2, 3))).abs().max() < 0.5 / 255


def test_tiles_give_nearly_the_whole_frame_s_result(
    model: LargeModel, pair: tuple[Tensor, Tensor], found: Motion, restored: Restored
) -> None:
    tiled = TiledModel(model, 44)
    cut = tiled.restore(pair[1][:1], part(found, 0, 1), None)
    assert cut.seen is not None
    assert restored.seen is not None
    assert cut.seen.shape == restored.seen[:1].shape
    assert (cut.pictures - restored.pictures[:1]).abs().mean() < 8e-3
    latents = model.encode(cut.pictures)
    assert tiled.condition(cut, latents).hint.shape == model.condition(cut, latents).hint.shape


def test_weights_of_another_model_are_refused(model: LargeModel) -> None:
    networks = model.networks
    restorers = networks.x4plus.state_dict(), networks.compact.state_dict()
    trained = {k: v for k, v in networks.state_dict().items() if k.startswith(("denoiser.", "codec."))}
    del trained["denoiser.head.bias"]
    with pytest.raises(ModelError) as caught:
        LargeNetworks.from_state(*restorers, trained)
    assert "denoiser.head.bias" in caught.value.message


def test_codec_round_trip_and_scale(model: LargeModel, moving: Tensor) -> None:
    latents = model.encode(moving)
    assert torch.allclose(model.decode(latents), moving, atol=1e-5)
    assert model.networks.codec.std.min() > 0


def test_latents_move_through_pixels(model: LargeModel, moving: Tensor) -> None:
    flow = torch.full((1, 2, 8, 10), 1.5)  # input pixels: 6 of the picture's
    moved = model.decode(model.warp(model.encode(moving[:1]), flow))
    assert torch.allclose(moved, warp(moving[:1], flow), atol=1e-5)
    assert torch.allclose(moved[..., 8:-8, 8:-8], moving[:1, :, 14:-2, 14:-2], atol=1e-4)
