"""Native resolution: a soft source is brought to the pixel grid that its detail fills.

A model that was trained on sharp small pictures leaves a soft large one soft. Brought to its own grid first, the same
picture is sharp again, and costs less.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def to_native(frames: Tensor, ratio: float) -> Tensor:
    """Frames (T, 3, H, W) in [0, 1] on `ratio` of their grid, by a cubic filter that does not alias; 1: as they are."""
    height, width = frames.shape[-2:]
    size = max(1, round(height * ratio)), max(1, round(width * ratio))
    if size == (height, width):
        return frames
    return F.interpolate(frames, size, mode="bicubic", align_corners=False, antialias=True).clamp(0, 1)
