"""Blending: steadier, as sharp as before, and never a ghost."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from dossr_video.frames import Motion
from dossr_video.temporal import blend, warping
from dossr_video.temporal.blend import Guide, blend_latents, blend_weights
from dossr_video.temporal.flow import DisFlow, box_mean, motion
from dossr_video.temporal.warping import warp

H, W = 48, 64


def texture(seed: int, h: int, w: int, sigma: float) -> Tensor:
    noise = cv2.GaussianBlur(np.random.default_rng(seed).random((h, w, 3), np.float32), (0, 0), sigma)
    noise = (noise - noise.mean()) / noise.std() * 0.15 + 0.5
    return torch.from_numpy(noise.clip(0, 1)).permute(2, 0, 1)


def flickering(frames: int, scale: int = 2) -> Tensor:
    """A still picture with detail of its own in every frame: (T, 3, scale H, scale W)."""
    torch.manual_seed(1)
    picture = texture(1, scale * H, scale * W, 2.0)
    return picture + 0.04 * torch.randn(frames, 3, scale * H, scale * W)


def still(frames: int) -> Motion:
    confidence = torch.ones(frames, 1, H, W)
    confidence[0] = 0
    return Motion(torch.zeros(frames, 2, H, W), confidence)


def blend_pictures(pictures: Tensor, previous: Tensor | None, moved: Motion, *, strength: float) -> Tensor:
    """Of a copy, for it is done in place."""
    source = F.interpolate(pictures.float(), moved.flow.shape[-2:], mode="area")
    return blend.blend_pictures(pictures.clone(), previous, moved, source, strength=strength)


def sharpness(pictures: Tensor) -> float:
    return float((pictures - box_mean(pictures)).abs().mean())


def unsteadiness(pictures: Tensor) -> float:
    return float((pictures[1:] - pictures[:-1]).square().mean())


def test_blending_steadies_and_keeps_sharpness() -> None:
    pictures = flickering(8)
    blended = blend_pictures(pictures, None, still(8), strength=0.6)
    assert torch.equal(blended[0], pictures[0])
    assert unsteadiness(blended) < 0.33 * unsteadiness(pictures)
    assert 0.93 < sharpness(blended) / sharpness(pictures) < 0.97  # RECOVERY leaves some of the loss


def test_a_steady_picture_stays_what_it_is() -> None:
    pictures = texture(1, 2 * H, 2 * W, 2.0).repeat(5, 1, 1, 1)
    assert torch.allclose(blend_pictures(pictures, None, still(5), strength=0.9), pictures, atol=1e-5)


def test_where_nothing_is_sure_nothing_is_blended() -> None:
    pictures = flickering(3)
    unsure = Motion(torch.zeros(3, 2, H, W), torch.zeros(3, 1, H, W))
    assert torch.equal(blend_pictures(pictures, None, unsure, strength=1.0), pictures)
    assert torch.equal(blend_pictures(pictures, pictures[:1], still(3), strength=0.0), pictures)
    half = still(3)
    half.confidence[..., : W // 2] = 0
    blended = blend_pictures(pictures, None, half, strength=0.6)
    assert torch.equal(blended[..., : W - 2], pictures[..., : W - 2])
    assert not torch.equal(blended[..., W + 2 :], pictures[..., W + 2 :])


def test_half_precision_is_blended_like_single() -> None:
    pictures = torch.cat([flickering(2), torch.zeros(1, 3, 2 * H, 2 * W)])
    blended = blend_pictures(pictures.half(), None, still(3), strength=0.6)
    assert blended.dtype == torch.float16
    assert torch.allclose(blended.float(), blend_pictures(pictures, None, still(3), strength=0.6), atol=2e-3)


@pytest.mark.parametrize("length", [1, 4, 7, 16])
def test_chunks_do_not_matter(length: int) -> None:
    pictures, moved = flickering(9), still(9)
    moved.flow[:, 0] = 0.7
    whole = blend_pictures(pictures, None, moved, strength=0.6)
    previous, parts = None, []
    for start in range(0, 9, length):
        part = slice(start, start + length)
        parts.append(
            blend_pictures(pictures[part], previous, Motion(moved.flow[part], moved.confidence[part]), strength=0.6)
        )
        previous = parts[-1][-1:]
    assert torch.equal(torch.cat(parts), whole)


@pytest.mark.parametrize("scale", [4, 2])
def test_strips_do_not_matter(monkeypatch: pytest.MonkeyPatch, scale: int) -> None:
    pictures, moved = flickering(3, scale), still(3)
    moved.flow[:, 1] = torch.randn(3, H, W, generator=torch.Generator().manual_seed(0))
    moved.confidence[1:] = (texture(9, H, W, 4.0)[:1] > 0.5).float()
    whole = blend_pictures(pictures, None, moved, strength=0.6)
    latents = blend_latents(pictures[..., ::8, ::8], None, moved, strength=0.6, move=warp)
    monkeypatch.setattr(blend, "STRIP", 1)
    monkeypatch.setattr(warping, "STRIP", 7 * scale * W)
    assert torch.allclose(blend_pictures(pictures, None, moved, strength=0.6), whole, rtol=0, atol=2e-5)
    again = blend_latents(pictures[..., ::8, ::8], None, moved, strength=0.6, move=warp)
    assert torch.allclose(again, latents, rtol=0, atol=2e-5)


def test_a_lead_in_of_eight_frames_forgets_what_came_before() -> None:
    pictures, moved = flickering(24), still(24)
    whole = blend_pictures(pictures, None, moved, strength=0.6)
    late = Motion(moved.flow[8:], moved.confidence[8:].clone())
    late.confidence[0] = 0
    again = blend_pictures(pictures[8:], None, late, strength=0.6)
    difference = (again[8:] - whole[16:]).abs()
    assert difference.mean() < 0.5 / 255
    assert difference.max() < 4 / 255


def test_no_ghost_behind_a_moving_object() -> None:
    # Input frames and pictures with known content: a bright patch crosses a darker background.
    background, patch = texture(2, 4 * H, 4 * W, 3.0) * 0.5, texture(3, 64, 64, 3.0) * 0.3 + 0.7
    pictures = background.repeat(6, 1, 1, 1)
    for t in range(6):
        pictures[t, :, 64:128, 32 + 16 * t : 96 + 16 * t] = patch
    frames = torch.nn.functional.interpolate(pictures, scale_factor=0.25, mode="area")
    blended = blend_pictures(pictures, None, motion(None, frames, DisFlow()), strength=0.6)
    trail = [(blended - pictures)[t, :, 64:128, 16 + 16 * t : 32 + 16 * t] for t in range(1, 6)]
    contrast = float(patch.mean() - background.mean())
    assert max(float(part.mean().abs()) for part in trail) < 0.05 * contrast
    assert (blended - pictures).abs().mean() < 2 / 255


def test_no_ghost_after_a_dissolve() -> None:
    """From one frame to the next it changes little, and what blending leaves of it adds up."""
    first, second = (texture(seed, H, W, 3.0) for seed in (1, 2))
    second[..., : W // 2] = 0.2  # a dark wall, where it is seen best
    frames = torch.stack([torch.lerp(first, second, min(i / 12, 1)) for i in range(15)])
    pictures = F.interpolate(frames, scale_factor=4, mode="bicubic", align_corners=False)
    blended = blend_pictures(pictures, None, motion(None, frames, DisFlow()), strength=0.7)
    left = F.avg_pool2d(blended - pictures, 16, 8)[..., : 2 * W // 8 - 4].abs().amax((1, 2, 3))
    assert float(left.max()) < 12 / 255
    assert float(left[14]) < 5 / 255


def test_what_a_model_draws_anew_in_every_frame_is_steadied_all_the_same() -> None:
    """Large things too, which a dissolve could have left: none of them is in the source."""
    invented = torch.stack([texture(seed, 4 * H, 4 * W, 10.0) for seed in range(8)])
    picture = texture(9, 4 * H, 4 * W, 6.0)
    pictures = picture + 0.6 * (invented - 0.5)
    source = F.avg_pool2d(picture[None], 4).expand(8, -1, -1, -1)
    blended = blend.blend_pictures(pictures.clone(), None, still(8), source, strength=0.7)
    assert unsteadiness(blended) < 0.5 * unsteadiness(pictures)


def test_nothing_is_torn_where_the_flow_breaks_off() -> None:
    """Eyes of a drawn face: beside them it is flat, and its flow zero."""
    pictures = np.full((4, 480, 640, 3), (0.98, 0.86, 0.6), np.float32)
    for i, picture in enumerate(pictures):
        x = 160 + 50 * i
        cv2.ellipse(picture, (x, 260), (80, 110), 0, 0, 360, (0.86, 0.24, 0.24), -1, cv2.LINE_AA)
        for eye in (x - 20, x + 30):
            cv2.circle(picture, (eye, 210), 18, (1.0, 1.0, 1.0), -1, cv2.LINE_AA)
    enlarged = torch.from_numpy(pictures).permute(0, 3, 1, 2)
    frames = F.avg_pool2d(enlarged, 4)
    blended = blend_pictures(enlarged, None, motion(None, frames, DisFlow()), strength=0.7)
    face = enlarged[:, 1:2] < 0.3
    face &= F.max_pool2d(1 - face.float(), 9, 1, 4) == 0
    assert float(((blended - enlarged).abs() * face).max()) < 0.05


def test_no_islands_where_a_flat_wall_flickers() -> None:
    # Film flickers in parts, and motion on a flat wall is trusted in patches: their outlines must not show.
    flicker = torch.stack([texture(seed, 2 * H, 2 * W, 24.0) for seed in range(6)])
    grain = 0.01 * torch.randn(6, 3, 2 * H, 2 * W, generator=torch.Generator().manual_seed(0))
    pictures = 0.5 + 0.1 * (flicker - 0.5) + grain
    patchy = still(6)
    patchy.confidence[1:] = (texture(9, H, W, 4.0)[:1] > 0.5).float()
    drawn = blend_pictures(pictures, None, patchy, strength=0.7) - pictures
    assert unsteadiness(grain + drawn) < 0.65 * unsteadiness(grain)
    assert float(box_mean(box_mean(drawn)).abs().max()) < 4 / 255


@pytest.mark.parametrize("width", [1, 2])
def test_a_scratch_of_the_frame_before_is_not_drawn_in(width: int) -> None:
    background = texture(2, H, 2 * W, 1.5)
    frames = torch.stack([background[..., t : t + W] for t in range(4)])
    frames = frames + 0.01 * torch.randn(4, 3, H, W, generator=torch.Generator().manual_seed(0))
    frames[1, :, :, 30 : 30 + width] += 0.25
    frames[1, :, 10 : 10 + width, 50 : 50 + width] -= 0.25
    frames = frames.clamp(0, 1)
    moved = motion(None, frames, DisFlow())
    drawn = blend_pictures(frames, None, moved, strength=0.7)[2] - frames[2]
    # The scene slides by a pixel: there it would be now.
    assert float(drawn[..., 29 : 29 + width].mean().abs()) < 1 / 255
    assert float(drawn[..., 10 : 10 + width, 49 : 49 + width].abs().mean()) < 8 / 255
    assert float(moved.confidence[2].mean()) > 0.7


def test_two_different_things_are_not_mixed() -> None:
    # The flow claims they are the same: the weight yields where the gain cannot make up for what is lost.
    a, b = texture(4, 2 * H, 2 * W, 1.0), texture(5, 2 * H, 2 * W, 1.0)
    opposite = torch.stack([a, 1 - a])
    blended = blend_pictures(opposite, None, still(2), strength=0.5)
    assert sharpness(blended[1:]) > 0.9 * sharpness(opposite[1:])
    blended = blend_pictures(torch.stack([a, b]), None, still(2), strength=0.5)
    assert sharpness(blended[1:]) > 0.9 * sharpness(b[None])


def test_latents_are_blended_each_channel_for_itself() -> None:
    torch.manual_seed(0)
    latents = torch.randn(6, 5, H // 2, W // 2)
    latents[:, 2] = latents[:1, 2]
    blended = blend_latents(latents, None, still(6), strength=0.5, move=warp)
    assert torch.allclose(blended[:, 2], latents[:, 2], atol=1e-5)
    assert unsteadiness(blended) < 0.5 * unsteadiness(latents)
    assert sharpness(blended) == pytest.approx(sharpness(latents), rel=0.1)


def test_a_large_cell_is_as_sure_as_its_least_sure_pixel() -> None:
    latents, moved = torch.randn(2, 4, H // 4, W // 4), still(2)
    moved.confidence[1, 0, 9, 13] = 0
    blended = blend_latents(latents, None, moved, strength=0.5, move=warp)
    assert torch.equal(blended[1, :, 2, 3], latents[1, :, 2, 3])
    assert not torch.equal(blended[1, :, 2, 4], latents[1, :, 2, 4])


def test_weights_of_the_calls() -> None:
    assert blend_weights(0.5, 3, "first") == {1: 0.5}
    assert blend_weights(0.5, 3, "last") == {3: 0.5}
    assert blend_weights(0.5, 3, "all") == {1: 0.5, 2: 0.5, 3: 0.5}
    assert blend_weights(0.5, 1, "first") == blend_weights(0.5, 1, "last") == blend_weights(0.5, 1, "all")


@pytest.mark.parametrize("cut", [1, 3, 5])
def test_the_guide_carries_every_call_across_chunks(cut: int) -> None:
    torch.manual_seed(0)
    calls = {call: torch.randn(6, 4, H // 2, W // 2) for call in (1, 2, 3)}
    moved = still(6)
    moved.flow[:] = 0.4

    def guide(part: slice, before: Mapping[int, Tensor]) -> tuple[dict[int, Tensor], Mapping[int, Tensor]]:
        guided = Guide(before, Motion(moved.flow[part], moved.confidence[part]), {1: 0.5, 3: 0.5}, move=warp)
        return {call: guided(x0[part], call) for call, x0 in calls.items()}, guided.latents

    whole, _ = guide(slice(0, 6), {})
    first, state = guide(slice(0, cut), {})
    second, _ = guide(slice(cut, 6), state)
    assert [torch.equal(whole[call], calls[call]) for call in calls] == [False, True, False]
    for call in calls:
        assert torch.equal(torch.cat([first[call], second[call]]), whole[call])


def test_blending_keeps_the_exposure_of_every_frame() -> None:
    pictures = flickering(8) * torch.tensor([1, 1.06, 0.95, 1, 0.9, 0.8, 0.7, 0.6]).view(-1, 1, 1, 1)
    blended = blend_pictures(pictures, None, still(8), strength=0.6)
    assert (blended.mean((2, 3)) - pictures.mean((2, 3))).abs().max() < 0.1 / 255
    # Coarse contrast and coarse differences are what a lagging fade would leave.
    coarse, wanted = (torch.nn.functional.avg_pool2d(images, 16) for images in (blended, pictures))
    assert (coarse.std((2, 3)) / wanted.std((2, 3)) - 1).abs().max() < 0.02
    assert (coarse - wanted).abs().max() < 4 / 255


def test_half_of_the_frame_keeps_its_light_when_the_other_is_not_sure() -> None:
    pictures = flickering(4) * torch.tensor([1, 0.9, 1.1, 0.9]).view(-1, 1, 1, 1)
    moved = still(4)
    moved.confidence[..., W // 2 :] = 0
    blended = blend_pictures(pictures, None, moved, strength=0.6)
    for half in (slice(0, W - 8), slice(W + 8, None)):
        assert (blended[..., half].mean((2, 3)) - pictures[..., half].mean((2, 3))).abs().max() < 0.3 / 255
