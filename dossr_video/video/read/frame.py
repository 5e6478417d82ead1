"""One decoded frame: its timestamp, and its pixels as RGB, luma or a digest."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from dossr_video.video import pixels

if TYPE_CHECKING:
    from torch import Tensor


class Frame:
    """One decoded frame. Pixels are converted when a method asks for them."""

    def __init__(self, frame: av.VideoFrame, pts: int, duration: int, to_rgb: pixels.ToRgb) -> None:
        self.pts = pts  # in the reader's time_base
        self.duration = duration  # in ticks, as declared; 0: unknown
        self.key: bool = frame.key_frame
        self.corrupt: bool = frame.is_corrupt
        self.interlaced: bool = frame.interlaced_frame
        self._frame = frame
        self._to_rgb = to_rgb
        self._luma: NDArray[np.uint8] | None = None

    def rgb(self) -> Tensor:
        """(3, H, W) float32 in [0, 1], non-linear R'G'B'."""
        return self._to_rgb(self._frame)

    def alpha(self) -> Tensor | None:
        """Opacity (1, H, W) float32 in [0, 1]; None without an alpha channel."""
        return self._to_rgb.alpha(self._frame)

    def luma(self) -> NDArray[np.uint8]:
        """Luma (H, W), 8 bits, as coded: for analysis only."""
        if self._luma is None:
            self._luma = luma_of(self._frame)
        return self._luma

    def planes(self) -> list[NDArray[np.uint8]]:
        """Luma (H, W) and both chroma planes, of half the size, 8 bits: for analysis only."""
        whole = self._frame.reformat(format="yuv420p", threads=1)
        return [pixels.plane(whole, index).copy() for index in range(3)]

    def luma_small(self) -> NDArray[np.uint8]:
        """Luma (48, 80) by area averaging, for shot detection."""
        return np.asarray(cv2.resize(self.luma(), (80, 48), interpolation=cv2.INTER_AREA), np.uint8)

    def small(self, size: tuple[int, int], *, alpha: bool = False) -> NDArray[np.uint8]:
        """Red, green, blue and, if asked, opacity as (H, W, 3 or 4) of `size` (W, H), each the mean of its area."""
        return self._to_rgb.small(self._frame, size, alpha=alpha)

    def digest(self) -> bytes:
        """16-byte hash of all samples; padding is left out."""
        state = hashlib.blake2b(digest_size=16)
        planes: tuple[Any, ...] = self._frame.planes
        for memory in planes:
            lines = np.frombuffer(memory, np.uint8).reshape(-1, memory.line_size)
            used = _bytes_per_line(self._frame, memory)
            state.update(np.ascontiguousarray(lines[: memory.height, :used]).data)
        return state.digest()


def luma_of(frame: av.VideoFrame) -> NDArray[np.uint8]:
    """Luma of a decoded frame (H, W), 8 bits, as coded; a copy."""
    name = frame.format.name
    if not name.startswith(("yuv", "gray")) or pixels.bit_depth(name) != 8:
        frame = frame.reformat(format="gray", threads=1)
    return np.asarray(pixels.plane(frame, 0), np.uint8).copy()


def _bytes_per_line(frame: av.VideoFrame, memory: Any) -> int:
    component_bytes = 1 if pixels.bit_depth(frame.format.name) == 8 else 2
    packed = 1 if len(frame.planes) > 2 or len(frame.format.components) < 2 else None
    if packed is None:  # packed and semi-planar: FFmpeg pads lines with zeros or not at all
        return min(int(memory.line_size), frame.format.padded_bits_per_pixel * frame.width // 8 or memory.line_size)
    return int(memory.width) * component_bytes
