"""Chunks of frames with their times, the luma of frames, areas of a frame, and motion between frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

LUMA = (0.299, 0.587, 0.114)  # weights of BT.601


def luma(frames: Tensor) -> Tensor:
    """BT.601 luma (T, 1, H, W) of RGB frames (T, 3, H, W); luma is returned as it is."""
    if frames.shape[1] == 1:
        return frames
    return LUMA[0] * frames[:, :1] + LUMA[1] * frames[:, 1:2] + LUMA[2] * frames[:, 2:]


@dataclass(frozen=True, eq=False)
class Chunk:
    """Consecutive frames of one shot, processed as one batch.

    Raises ValueError when the shapes do not agree.
    """

    frames: Tensor  # (T, 3, H, W) RGB float32 in [0, 1]
    pts: tuple[int, ...]  # one per frame, in VideoInfo.time_base
    indices: tuple[int, ...]  # of each frame in the file; duplicate frames are left out

    def __post_init__(self) -> None:
        if self.frames.ndim != 4 or self.frames.shape[1] != 3:
            raise ValueError(f"frames of shape {tuple(self.frames.shape)} must be (T, 3, H, W)")
        if not len(self.pts) == len(self.indices) == len(self.frames):
            raise ValueError(
                f"{len(self.frames)} frames, {len(self.pts)} time stamps, {len(self.indices)} indices: must be as many"
            )

    def __len__(self) -> int:
        return len(self.pts)


@dataclass(frozen=True)
class Area:
    """A rectangle of a frame, in pixels, right and bottom excluded: the part that the model restores."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def width(self) -> int:
        return self.right - self.left

    @property
    def height(self) -> int:
        return self.bottom - self.top

    def of(self, pictures: Tensor) -> Tensor:
        """Crop images (..., H, W) to this area."""
        return pictures[..., self.top : self.bottom, self.left : self.right]

    def scaled(self, across: float, down: float) -> Area:
        """This area in an image that is `across` times as wide and `down` times as high."""
        sides = self.left * across, self.top * down, self.right * across, self.bottom * down
        return Area(*map(round, sides))


@dataclass(frozen=True, eq=False)
class Motion:
    """Backward optical flow: where each pixel of a frame was in the frame before it.

    Frame t at p shows what frame t-1 showed at p + flow[t, :, p]: sampling frame t-1 there aligns it with frame t.
    """

    flow: Tensor  # (T, 2, H, W) float32, (x, y) in input pixels
    confidence: Tensor  # (T, 1, H, W) float32 in [0, 1]; 0 where the flow fails and on the first frame of a shot

    def __post_init__(self) -> None:
        t, _, h, w = self.flow.shape
        if self.flow.shape[1] != 2 or self.confidence.shape != (t, 1, h, w):
            raise ValueError(
                f"flow {tuple(self.flow.shape)} and confidence {tuple(self.confidence.shape)} "
                "must be (T, 2, H, W) and (T, 1, H, W)"
            )


def concatenated(parts: Sequence[Tensor]) -> Tensor:
    """Batches (T, ...) as one; `torch.cat` copies even a single one, which for enlarged pictures is a lot of memory."""
    if len(parts) == 1:
        return parts[0]
    import torch  # takes a second: what only names these classes need not wait for it

    return torch.cat(list(parts))
