"""Scenes too short to be found as shots: nothing of another scene is seen in them, not through the model's memory."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from dossr_video.api import upscale_frames
from dossr_video.models.base import PictureModel
from dossr_video.models.registry import load_model


@pytest.fixture(scope="module")
def compact() -> PictureModel:
    return load_model("compact", device="cpu")


def scene(seed: int, length: int) -> list[np.ndarray]:
    """48x40 pixels of a smooth texture in colours of its own, that moves by a pixel a frame."""
    rng = np.random.default_rng(seed)
    texture = cv2.GaussianBlur(rng.random((64, 64, 3), np.float32), (0, 0), 2)
    texture = (texture - texture.min()) / (texture.max() - texture.min()) * 0.6 + rng.random(3, np.float32) * 0.4
    return [texture[8:48, 8 - i : 56 - i] for i in range(length)]


def film(seeds: list[int], length: int) -> np.ndarray:
    return np.stack([frame for seed in seeds for frame in scene(seed, length)])


@pytest.mark.parametrize("length", [1, 2])
def test_no_trace_of_another_scene(compact: PictureModel, length: int) -> None:
    after = [5, 6, 7]
    one, other = (upscale_frames(film([*before, *after], length), model=compact) for before in ([1, 2], [3, 4]))
    first = 2 * length
    assert not np.array_equal(one[:first], other[:first])
    np.testing.assert_allclose(one[first:], other[first:], atol=0.5 / 255)
