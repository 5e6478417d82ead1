"""Soft sources are told from sharp ones, whatever their noise; a sharp one is never touched."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from dossr_video.restoration.detail import measure_detail, native_ratio
from dossr_video.restoration.native import to_native

H, W = 256, 320


def drawing(sigma: float, *, noise: float = 0.0, frames: int = 2) -> list[Tensor]:
    """Frames (3, H, W) of discs and bars with hard edges, blurred by sigma pixels, with noise of so many codes."""
    rng = np.random.default_rng(3)
    big = np.full((2 * H, 2 * W, 3), 110, np.float32)
    for _ in range(160):
        x, y, size = int(rng.integers(2 * W)), int(rng.integers(2 * H)), int(rng.integers(6, 60))
        colour = rng.uniform(40, 215, 3).tolist()
        if rng.random() < 0.5:
            cv2.circle(big, (x, y), size, colour, -1)
        else:
            cv2.rectangle(big, (x, y), (x + size, y + 2 * size), colour, -1)
    picture = cv2.resize(big, (W, H), interpolation=cv2.INTER_AREA)
    if sigma:
        picture = cv2.GaussianBlur(picture, (0, 0), sigma)
    clip = [(picture + rng.normal(0, noise, picture.shape)) / 255 for _ in range(frames)]
    return [torch.from_numpy(frame.astype(np.float32)).permute(2, 0, 1).clamp(0, 1) for frame in clip]


@pytest.mark.parametrize("noise", [0, 3, 8])
def test_a_sharp_source_is_left_as_it_is(noise: float) -> None:
    assert native_ratio(measure_detail(drawing(0, noise=noise))) == 1


@pytest.mark.parametrize("noise", [0, 4])
@pytest.mark.parametrize(("sigma", "least", "most"), [(1.3, 0.55, 0.78), (2.2, 0.5, 0.75)])
def test_grain_and_noise_are_no_detail(sigma: float, noise: float, least: float, most: float) -> None:
    assert least <= native_ratio(measure_detail(drawing(sigma, noise=noise))) <= most


def test_one_sharp_thing_before_a_blurred_background_makes_a_sharp_source() -> None:
    soft, sharp = drawing(3, frames=1)[0], drawing(0, frames=1)[0]
    soft[:, 64:192, 96:256] = sharp[:, 64:192, 96:256]
    assert native_ratio(measure_detail([soft])) == 1


def test_dust_is_no_detail() -> None:
    dirty = drawing(2.2, frames=1)[0]
    rng = np.random.default_rng(0)
    for y, x in rng.integers(2, (H - 4, W - 4), (20, 2)):
        dirty[:, y : y + 2, x : x + 2] = 0.95
    assert native_ratio(measure_detail([dirty])) < 0.7


def test_pictures_of_nothing_say_nothing() -> None:
    grain = 0.5 + 0.03 * torch.randn(3, H, W, generator=torch.Generator().manual_seed(0))
    for frames in ([], [torch.zeros(3, H, W)], [grain], [torch.rand(3, 8, 8)]):
        assert measure_detail(frames) is None
        assert native_ratio(measure_detail(frames)) == 1


def test_never_below_half() -> None:
    assert native_ratio(measure_detail(drawing(3))) == 0.5


def test_a_ratio_of_one_changes_nothing() -> None:
    frames = torch.stack(drawing(0))
    assert to_native(frames, 1.0) is frames
