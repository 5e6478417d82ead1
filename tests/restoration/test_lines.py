"""Scratches are found and evened out; bars, whether they stand, move or end, are not."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import pytest
import torch

from dossr_video.restoration.dust import DustState, Mended, mend
from dossr_video.temporal.flow import DisFlow

H, W, FRAMES = 96, 160, 6


def scene(speed: float = 1.5) -> np.ndarray:
    """(T, H, W, 3): a texture that slides, with grain."""
    rng = np.random.default_rng(0)
    texture = cv2.GaussianBlur(rng.random((H, W + 40, 3), np.float32), (0, 0), 4)
    texture = (texture - texture.mean()) / texture.std() * 0.12 + 0.5
    clip = [
        cv2.warpAffine(texture, np.float32([[1, 0, -speed * t], [0, 1, 0]]), (W + 40, H))[:, :W] for t in range(FRAMES)
    ]
    noisy = np.stack(clip) + rng.normal(0, 0.012, (FRAMES, H, W, 3))
    return noisy.astype(np.float32).clip(0, 1)


def flow(frame: np.ndarray, other: np.ndarray) -> np.ndarray:
    one, two = (torch.from_numpy(picture).permute(2, 0, 1)[None] for picture in (frame, other))
    return DisFlow()(one, two)[0].numpy()


def mended(clip: np.ndarray) -> list[Mended]:
    state, results = DustState(), []
    for frame, after in pairwise([*clip, None]):
        result, state = mend(frame, after, state, flow, sensitivity=0.5)
        results.append(result)
    return results


@pytest.mark.parametrize("strength", [-0.12, 0.1, 0.2])
@pytest.mark.parametrize("speed", [0, 1.5])
def test_a_scratch_is_evened_out_in_every_frame(strength: float, speed: float) -> None:
    clean = scene(speed)
    marked = clean.copy()
    columns = [80 + round(0.4 * t) for t in range(FRAMES)]
    for frame, x in zip(marked, columns, strict=True):
        frame[:, x] += strength
    for result, frame, truth, x in zip(mended(marked), marked, clean, columns, strict=True):
        assert len(result.lines) == 1
        assert abs(result.lines[0] - x) <= 1
        place = slice(x - 2, x + 3)
        after, before = (np.abs(picture - truth)[:, place].mean() for picture in (result.picture, frame))
        assert after < 0.35 * before + 0.003
        assert result.specks.any() or np.array_equal(result.picture[:, : x - 4], frame[:, : x - 4])


def bar(kind: str) -> np.ndarray:
    clip = scene()
    for t, frame in enumerate(clip):
        if kind == "window bar":
            frame[:, 60:62] = 0.1
        elif kind == "pole of the scene":
            frame[:, 120 - round(1.5 * t) : 122 - round(1.5 * t)] = 0.1
        elif kind == "post":
            frame[:, 60:68] = 0.1
        elif kind == "short":
            frame[50:, 60] += 0.15
        elif kind == "edge":
            frame[:, 60:] += 0.2
        elif kind == "one frame" and t == 3:
            frame[:, 60] += 0.15
    return clip.clip(0, 1)


@pytest.mark.parametrize("kind", ["none", "window bar", "pole of the scene", "post", "short", "edge", "one frame"])
def test_what_is_no_scratch_stays(kind: str) -> None:
    assert not any(result.lines for result in mended(bar(kind)))


def test_small_frames_have_none() -> None:
    assert not any(result.lines for result in mended(np.random.default_rng(0).random((3, 16, 16, 3), np.float32)))
