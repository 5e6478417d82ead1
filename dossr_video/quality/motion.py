"""Figures over time: they follow the motion of the ground truth, so that only the result's own unrest counts."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import cv2
import numpy as np

STILL_FLOW = 0.1  # pixels
STILL_CHANGE = 6  # of 255, any channel
STILL_AREA = 0.02  # of the picture; less is no ground to measure on


class MotionTruth:
    """The motion of a ground-truth clip (T, H, W, 3) uint8, worked out once for all results."""

    def __init__(self, truth: np.ndarray) -> None:
        self.truth = truth
        self._grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in truth]
        self._dis: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)  # its stub forbids flow=None
        self._dis.setFinestScale(0)
        self._at = lru_cache(maxsize=1)(self._motion)

    def warping_error(self, result: np.ndarray, t: int) -> float:
        """Mean square, in [0, 1] units, of frame t - frame t-1 warped onto it, where the flow is consistent."""
        backward, consistent = self._at(t)
        warped = warp(result[t - 1].astype(np.float32), backward)
        error = ((warped - result[t].astype(np.float32)) / 255) ** 2
        return float(error.mean(-1)[consistent].mean())

    def flicker(self, result: np.ndarray, t: int) -> float | None:
        """Mean |second difference in time|, in [0, 1] units, beyond the truth's own, where the truth stands still.

        None for the first two frames and where less than STILL_AREA of the picture is still.
        """
        if t < 2:
            return None
        backward, _ = self._at(t)
        change = np.abs(self.truth[t].astype(np.float32) - self.truth[t - 1])
        still = (np.abs(backward).max(-1) < STILL_FLOW) & (change.max(-1) < STILL_CHANGE)
        if still.mean() <= STILL_AREA:
            return None
        return max(0.0, _unrest(result, t, still) - _unrest(self.truth, t, still))

    def _motion(self, t: int) -> tuple[np.ndarray, np.ndarray]:
        """Flow (H, W, 2) in pixels from frame t back to t-1, and where (H, W) the flow forwards agrees with it."""
        backward = self._dis.calc(self._grey[t], self._grey[t - 1], None)
        forward = self._dis.calc(self._grey[t - 1], self._grey[t], None)
        loop = backward + warp(forward, backward)
        length = (backward**2).sum(-1) + (forward**2).sum(-1)
        return backward, (loop**2).sum(-1) < 0.01 * length + 0.5


def warp(image: np.ndarray, flow: np.ndarray) -> np.ndarray:
    """`image` (H, W, C) float32 sampled, bicubic, at every pixel's place plus `flow` (H, W, 2) pixels."""
    height, width = flow.shape[:2]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    sampled: np.ndarray = cv2.remap(
        image, x + flow[..., 0], y + flow[..., 1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    return sampled


def _unrest(clip: np.ndarray, t: int, where: np.ndarray) -> float:
    # float32 before the doubling: twice a uint8 wraps at 256, and bright pixels would cancel instead of adding up.
    before, now, after = (clip[i].astype(np.float32) for i in (t - 2, t - 1, t))
    return float(np.abs(after - 2 * now + before).mean(-1)[where].mean() / 255)
