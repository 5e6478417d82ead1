"""A flickering exposure is evened out; fades, flashes and changes of light stay, and nothing else is touched."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from dossr_video.temporal.exposure import ExposureState, even_out
from dossr_video.temporal.flow import DisFlow, motion

H, W = 64, 96


def scene(frames: int, *, speed: int = 1) -> Tensor:
    """(T, 3, H, W): a texture that slides, with grain, means about 0.4."""
    rng = np.random.default_rng(0)
    texture = cv2.GaussianBlur(rng.random((H, W + speed * frames, 3), np.float32), (0, 0), 2.5)
    texture = (texture - texture.mean()) / texture.std() * 0.12 + 0.4
    clip = np.stack([texture[:, speed * t : speed * t + W] for t in range(frames)])
    clip += rng.normal(0, 0.01, clip.shape).astype(np.float32)
    return torch.from_numpy(clip).permute(0, 3, 1, 2).clamp(0, 1).contiguous()


def lit(frames: Tensor, gains: Tensor) -> Tensor:
    return (frames * gains.view(-1, 1, 1, 1)).clamp(0, 1)


def evened(frames: Tensor) -> Tensor:
    return even_out(frames, None, motion(None, frames, DisFlow()), ExposureState())[0]


def unrest(gains: Tensor) -> float:
    return float((gains[2:] - 2 * gains[1:-1] + gains[:-2]).abs().mean())


def found(frames: Tensor, steady: Tensor) -> Tensor:
    """The exposure of each frame."""
    return frames.mean((1, 2, 3)) / steady.mean((1, 2, 3))


def flickering(frames: int, deviation: float) -> Tensor:
    gains = 1 + deviation * torch.randn(frames, generator=torch.Generator().manual_seed(1))
    gains[0] = 1
    return gains


@pytest.mark.parametrize("speed", [0, 2])
def test_flicker_goes_and_the_first_frame_stays(speed: int) -> None:
    steady, gains = scene(30, speed=speed), flickering(30, 0.02)
    frames = lit(steady, gains)
    result = evened(frames)
    assert torch.equal(result[0], frames[0])
    assert unrest(found(result, steady)) < 0.35 * unrest(gains)
    assert (found(result, steady) - 1).abs().max() < 0.03


def test_what_is_steady_stays_what_it_is() -> None:
    frames = scene(12, speed=2)
    assert (evened(frames) - frames).abs().max() < 0.8 / 255


def test_colours_that_flicker_apart_are_evened_out_apart() -> None:
    steady = scene(24)
    frames = steady.clone()
    frames[:, 0] *= flickering(24, 0.02).view(-1, 1, 1)
    result = evened(frames)
    red, green = (result.mean((2, 3)) / steady.mean((2, 3)))[:, :2].unbind(1)
    assert unrest(red) < 0.35 * unrest(flickering(24, 0.02))
    assert (green - 1).abs().max() < 0.004


@pytest.mark.parametrize("frames", [24, 60])
def test_a_fade_stays(frames: int) -> None:
    gains = torch.cat([torch.ones(8), torch.linspace(1, 0, frames), torch.zeros(4)])
    steady = scene(len(gains))
    change = (evened(lit(steady, gains)) - lit(steady, gains)).mean((1, 2, 3)).abs() * 255
    assert change.max() < (5 if frames == 24 else 2)
    assert change[-4:].max() == 0


@pytest.mark.parametrize("after", [0.6, 1.4])
def test_light_that_changes_at_once_stays_changed(after: float) -> None:
    gains = torch.cat([torch.ones(10), torch.full((10,), after)])
    frames = lit(scene(20), gains)
    assert ((evened(frames) - frames).mean((1, 2, 3)).abs() * 255).max() < 0.5


def test_a_flash_stays_and_leaves_nothing_behind() -> None:
    gains = torch.ones(20)
    gains[10] = 1.8
    frames = lit(scene(20), gains)
    assert ((evened(frames) - frames).mean((1, 2, 3)).abs() * 255).max() < 0.5


def test_a_bright_thing_that_comes_in_is_no_exposure() -> None:
    frames = scene(14)
    for t in range(14):
        frames[t, :, 16:48, max(0, 90 - 6 * t) : max(0, 122 - 6 * t)] = 0.95
    assert ((evened(frames) - frames).abs() * 255).max() < 1.5


def test_pictures_of_nothing() -> None:
    black = torch.zeros(4, 3, H, W)
    assert torch.equal(evened(black), black)
    assert torch.equal(evened(torch.ones_like(black)), torch.ones_like(black))


@pytest.mark.parametrize("length", [1, 4, 7])
def test_chunks_do_not_matter(length: int) -> None:
    frames = lit(scene(16), flickering(16, 0.03))
    previous, state, parts = None, ExposureState(), []
    for start in range(0, 16, length):
        part = frames[start : start + length]
        result, state = even_out(part, previous, motion(previous, part, DisFlow()), state)
        parts.append(result)
        previous = part[-1]
    assert torch.equal(torch.cat(parts), evened(frames))


def test_a_lead_in_of_eight_frames_forgets_what_came_before() -> None:
    frames = lit(scene(40), flickering(40, 0.03))
    assert ((evened(frames[8:])[8:] - evened(frames)[16:]).abs() * 255).max() < 1
