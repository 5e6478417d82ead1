"""Grain that is put back has the level, the size and the dependence on brightness of the source's."""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from dossr_video import upscale_frames
from dossr_video.models.bicubic import Bicubic
from dossr_video.models.registry import load_model
from dossr_video.restoration.grain import add_grain
from dossr_video.restoration.grain_profile import measure_grain

H, W = 160, 256


def ramp(frames: int = 1) -> Tensor:
    """(T, 3, H, W): brightness from 0.1 to 0.9."""
    return torch.linspace(0.1, 0.9, W).expand(frames, 3, H, W).clone()


def grainy(dark: float, bright: float, size: float, *, frames: int = 1) -> Tensor:
    """The ramp with grain of so many codes at its ends, blurred by `size` pixels."""
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 1, (frames, H, W)).astype(np.float32)
    if size:
        noise = np.stack([cv2.GaussianBlur(field, (0, 0), size) for field in noise])
    noise /= noise.std()
    level = torch.linspace(dark, bright, W) / 255
    return (ramp(frames) + torch.from_numpy(noise)[:, None] * level).clamp(0, 1)


@pytest.mark.parametrize(("dark", "bright"), [(4, 7), (6, 6), (8, 5)])
@pytest.mark.parametrize("size", [0, 0.8])
def test_level_size_and_brightness_are_measured(dark: float, bright: float, size: float) -> None:
    profile = measure_grain(grainy(dark, bright, size))
    assert profile is not None
    for i in (1, 3, 6):
        place = ((i + 0.5) / 8 - 0.1) / 0.8
        assert profile.levels[i] * 255 == pytest.approx(dark + (bright - dark) * place, rel=0.25)
    assert profile.across == pytest.approx(size, abs=0.3)
    assert profile.down == pytest.approx(size, abs=0.3)


@pytest.mark.parametrize("amount", [1.0, 0.5])
def test_the_result_has_the_statistics_of_the_source(amount: float) -> None:
    profile = measure_grain(grainy(5, 8, 0.8))
    assert profile is not None
    clean = torch.nn.functional.interpolate(ramp(), scale_factor=2, mode="bicubic")
    result = add_grain(clean, (7,), profile, amount, size=(H, W), seed=0, shot=0)
    again = measure_grain(torch.nn.functional.interpolate(result, scale_factor=0.5, mode="area"))
    assert again is not None
    for wanted, found in zip(profile.levels[1:7], again.levels[1:7], strict=True):
        assert found == pytest.approx(amount * wanted, rel=0.3)
    assert again.across == pytest.approx(profile.across, abs=0.4)


def test_grain_that_is_still_there_is_not_put_twice() -> None:
    source = grainy(5, 5, 0.8)
    profile = measure_grain(source)
    assert profile is not None
    result = add_grain(source, (0,), profile, 1.0, size=(H, W), seed=0, shot=0)
    assert (result - source).square().mean().sqrt() * 255 < 1.5


def test_texture_is_no_grain() -> None:
    rng = np.random.default_rng(0)
    texture = cv2.GaussianBlur(rng.normal(0, 1, (H, W)).astype(np.float32), (0, 0), 2.0)
    picture = grainy(5, 5, 0.6)
    picture[..., W // 2 :] += torch.from_numpy(texture[:, W // 2 :] / texture.std() * 0.12)
    profile = measure_grain(picture.clamp(0, 1))
    assert profile is not None
    assert 255 * max(profile.levels) < 9


def test_what_stands_still_is_no_grain() -> None:
    """A lawn: fine texture all over, which only a frame after tells from grain, and not one that is repeated."""
    grain, lawn = grainy(3, 3, 0.8, frames=3) - ramp(3), grainy(12, 12, 0.8)
    frames = (lawn + grain[1:]).clamp(0, 1)
    alone, both = measure_grain(frames[:1]), measure_grain(frames[:1], [[frames[0], frames[1]]])
    assert alone is not None
    assert both is not None
    assert 255 * max(alone.levels) > 10
    assert both.levels[1:7] == pytest.approx([3 / 255] * 6, rel=0.25)
    assert both.across == pytest.approx(0.8, abs=0.3)
    still = measure_grain(lawn, [lawn + torch.eye(H, W)[None, None] / 255])
    assert still is None or 255 * max(still.levels) < 0.5


def filmed(sample: Path, motion: str, level: float) -> Tensor:
    """(4, 1, h, w): a decoded frame that moves, with grain of so many codes."""
    with av.open(str(sample)) as container:
        picture = next(container.decode(video=0)).to_ndarray(format="rgb24")
    picture = cv2.resize(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
    height, width = picture.shape
    rng = np.random.default_rng(0)
    frames = []
    for t in range(4):
        scale = 1.04**t if motion == "zoom" else 1.0
        by = 3.0 * t if motion == "pan" else (1 - scale) * width / 2
        away = np.float32([[scale, 0, by], [0, scale, (1 - scale) * height / 2]])
        moved = cv2.warpAffine(picture, away, (width, height), flags=cv2.INTER_CUBIC)[16:-16, 32:-32]
        frames.append(moved + rng.normal(0, level, moved.shape) if level else moved)
    return torch.from_numpy(np.stack(frames).astype(np.float32) / 255)[:, None].clamp(0, 1)


@pytest.mark.parametrize("motion", ["still", "pan", "zoom"])
@pytest.mark.parametrize("level", [0, 2, 5, 10])
def test_grain_of_a_filmed_picture_is_measured_and_moving_texture_is_none(
    sample: Path, motion: str, level: float
) -> None:
    frames = filmed(sample, motion, level)
    profile = measure_grain(frames[:1], [frames[1:]])
    if level == 2 and motion != "still":  # too little to be told from what is left of moving texture
        assert profile is None or 255 * float(np.median(profile.levels)) < 3
    elif level:
        assert profile is not None
        assert 255 * float(np.median(profile.levels)) == pytest.approx(level, rel=0.2)
    else:
        assert profile is None or 255 * max(profile.levels) < 1


def test_no_grain_no_noise() -> None:
    assert measure_grain([torch.zeros(3, 64, 64)]) is None
    profile = measure_grain(ramp())
    assert profile is None or max(profile.levels) < 1e-3


@pytest.mark.parametrize("length", [1, 2, 3])
def test_the_option_keeps_grain_whatever_the_chunk(length: int) -> None:
    frames = grainy(6, 6, 0.8, frames=3)
    model = Smooth(device=torch.device("cpu"), dtype=torch.float32)
    options = {"model": model, "scale": 2, "blend": "off"}
    keep, removed, half = (
        upscale_frames(frames, grain=grain, chunk=length, **options) for grain in ("keep", "remove", 0.5)
    )
    assert torch.equal(keep, upscale_frames(frames, grain=1.0, chunk=3, **options))
    assert torch.equal(removed, upscale_frames(frames, **options))
    added, less = (float((picture - removed).square().mean().sqrt()) * 255 for picture in (keep, half))
    assert 3 < added < 7
    assert less == pytest.approx(added / 2, rel=0.3)
    assert (keep[0] - removed[0] - keep[1] + removed[1]).square().mean().sqrt() * 255 > added  # new on every frame
    other = upscale_frames(frames, grain="keep", seed=1, chunk=length, **options)
    assert not torch.equal(other, keep)


class Smooth(Bicubic):
    """A model that takes the grain away."""

    def restore(self, frames, motion, hidden):  # type: ignore[no-untyped-def]
        small = torch.nn.functional.interpolate(frames, scale_factor=1 / 8, mode="area")
        restored = super().restore(frames, motion, hidden)
        size = restored.pictures.shape[-2:]
        pictures = torch.nn.functional.interpolate(small, size, mode="bicubic", align_corners=False)
        return type(restored)(pictures)


def test_grain_is_off_by_default() -> None:
    frames = grainy(6, 6, 0.8)
    model = load_model("bicubic", device="cpu", dtype="float32")
    assert torch.equal(upscale_frames(frames, model=model), upscale_frames(frames, model=model, grain="remove"))
