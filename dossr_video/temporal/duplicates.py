"""Duplicate frames: those that differ by no more than coding noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

MEAN = 0.75  # codes; a repeated frame encoded by x264 at crf 18 to 33 stays below 0.5
BLOCK = 3.0  # codes, mean of 8 x 8 pixels; small moving parts change tens of codes somewhere


def nearly_equal(kept: Sequence[NDArray[np.uint8]], planes: Sequence[NDArray[np.uint8]]) -> bool:
    """Whether a frame duplicates the last one that was kept; of both the planes, luma and chroma, in full size.

    Compare with the last kept frame, not the one before, or a slow change would never be noticed.
    """
    return all(_alike(a, b) for a, b in zip(kept, planes, strict=True))


def _alike(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> bool:
    difference: NDArray[Any] = np.abs(a.astype(np.int16) - b).astype(np.float32)
    if difference.mean() > MEAN:
        return False
    height, width = difference.shape
    blocks = (max(1, width // 8), max(1, height // 8))
    return bool(cv2.resize(difference, blocks, interpolation=cv2.INTER_AREA).max() <= BLOCK)
