"""Frames in memory as callers hold them: numpy arrays, torch tensors or PIL pictures, of any usual type and layout."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dossr_video.errors import FramesError

Layout = Literal["HWC", "CHW"]

CHANNELS = (1, 3, 4)  # grey, RGB, RGBA
_LEVELS = {"uint8": 255, "uint16": 65535}
_FLOATS = ("float16", "bfloat16", "float32", "float64")
_MODES = {"L": 1, "RGB": 3, "RGBA": 4}
_SLACK = 0.1  # beyond [0, 1]: what sharpening and resampling leave; values in [0, 255] are far beyond


@dataclass(frozen=True)
class FrameKind:
    """How one frame is held, so that its result can be given back alike.

    Attributes:
        holder: "numpy", "torch" or "pil".
        dtype: Name of the element type, such as "uint8".
        layout: Where the channels are; None: a grey frame (H, W) without channels.
        channels: 1, 3 or 4.
        device: Of a torch tensor.
    """

    holder: Literal["numpy", "torch", "pil"]
    dtype: str
    layout: Layout | None
    channels: int
    device: torch.device | None = None

    def read(self, frame: Any) -> tuple[Tensor, Tensor | None]:
        """RGB (3, H, W) float32 in [0, 1] on the frame's device, and its opacity (1, H, W) where it has one.

        Raises:
            FramesError: The frame is of another kind, or its values are not in the range of its type.
        """
        if (other := kind_of(frame, self.layout)) != self:
            raise FramesError(
                f"a frame of {other} follows one of {self}", hint="give frames of one type, layout and device"
            )
        if self.holder == "torch":
            planes = frame.detach()
        else:
            array = np.asarray(frame)
            # A copy where torch cannot look at the memory: reversed channels, big-endian or read-only arrays.
            planes = torch.from_numpy(np.array(array, dtype=array.dtype.newbyteorder("="), copy=True))
        if self.layout is None:
            planes = planes[None]
        elif self.layout == "HWC":
            planes = planes.permute(2, 0, 1)
        planes = planes.float() if self.dtype in _FLOATS else planes.to(torch.float32) / _LEVELS[self.dtype]
        if self.dtype in _FLOATS and planes.numel():
            low, high = float(planes.min()), float(planes.max())
            if not (low >= -_SLACK and high <= 1 + _SLACK):  # NaN is neither
                raise FramesError(
                    f"float values from {low:g} to {high:g} must be in [0, 1]", hint="divide by 255, or give uint8"
                )
        planes = planes.clamp(0, 1)
        if self.channels == 1:
            return planes.expand(3, -1, -1).contiguous(), None
        return planes[:3].contiguous(), planes[3:].contiguous() if self.channels == 4 else None

    def write(self, picture: Tensor, alpha: Tensor | None) -> Any:
        """The result (3, sH, sW) in [0, 1], and its opacity (1, sH, sW), as a frame of this kind."""
        planes = picture.mean(0, keepdim=True) if self.channels == 1 else picture
        if self.channels == 4:
            planes = torch.cat([planes, alpha if alpha is not None else torch.ones_like(planes[:1])])
        if self.layout is None:
            planes = planes[0]
        elif self.layout == "HWC":
            planes = planes.permute(1, 2, 0)
        if self.dtype in _LEVELS:
            planes = (planes * _LEVELS[self.dtype]).round().to(torch.int32)
        if self.holder == "torch":
            return planes.to(self.device, getattr(torch, self.dtype)).contiguous()
        array = np.ascontiguousarray(planes.cpu().numpy().astype(self.dtype))
        return Image.fromarray(array) if self.holder == "pil" else array

    def __str__(self) -> str:
        where = "" if self.device is None else f" on {self.device}"
        return f"{self.holder} {self.dtype} {self.layout or 'HW'} with {self.channels} channels{where}"


def kind_of(frame: Any, layout: Layout | None = None) -> FrameKind:
    """The kind of one frame.

    Args:
        frame: An array or tensor (H, W), (H, W, C) or (C, H, W) with 1, 3 or 4 channels, of uint8, uint16 or floats in
            [0, 1]; or a PIL picture in mode L, RGB or RGBA.
        layout: Where the channels are, for shapes that may be read both ways; None: found from the shape.

    Raises:
        FramesError: It is none of these.
    """
    if isinstance(frame, Image.Image):
        if frame.mode not in _MODES:
            raise FramesError(
                f"a picture of mode {frame.mode} must be L, RGB or RGBA", hint='call .convert("RGB") first'
            )
        return FrameKind("pil", "uint8", None if frame.mode == "L" else "HWC", _MODES[frame.mode])
    if not isinstance(frame, (np.ndarray, Tensor)):
        raise FramesError(
            f"a frame of type {type(frame).__name__} must be a numpy array, a torch tensor or a PIL picture",
            hint="np.asarray(frame) makes an array of most things",
        )
    if 0 in frame.shape:
        raise FramesError(f"a frame of shape {tuple(frame.shape)} holds no pixels", hint="check the slicing")
    if isinstance(frame, Tensor) and (frame.is_meta or frame.layout != torch.strided):
        raise FramesError("a tensor that is sparse or on the meta device is no frame", hint="call .to_dense() first")
    dtype = frame.dtype.name if isinstance(frame, np.ndarray) else str(frame.dtype).removeprefix("torch.")
    if dtype not in (*_LEVELS, *_FLOATS):
        raise FramesError(f"a frame of {dtype} must be uint8, uint16 or floats in [0, 1]", hint="convert it first")
    device = frame.device if isinstance(frame, Tensor) else None
    holder: Literal["numpy", "torch"] = "torch" if isinstance(frame, Tensor) else "numpy"
    shape = tuple(frame.shape)
    found = _layout(shape, layout)
    channels = 1 if found is None else shape[2 if found == "HWC" else 0]
    return FrameKind(holder, dtype, found, channels, device)


def _layout(shape: tuple[int, ...], wanted: Layout | None) -> Layout | None:
    """Where the channels of one frame are; None: it has none."""
    if len(shape) == 2:
        return None
    fits: list[Layout] = []
    if len(shape) == 3:
        fits += ["HWC"] if shape[2] in CHANNELS else []
        fits += ["CHW"] if shape[0] in CHANNELS else []
    if wanted in fits:
        return wanted
    if wanted is not None or not fits:
        raise FramesError(
            f"a frame of shape {shape} must be (H, W), (H, W, C) or (C, H, W) with C of 1, 3 or 4",
            hint="check the order of the axes; layout= names it",
        )
    if len(fits) == 2:
        raise FramesError(
            f"a frame of shape {shape} may have its channels first or last", hint='say layout="CHW" or layout="HWC"'
        )
    return fits[0]


def as_frames(frames: Any, layout: Layout | None) -> tuple[Iterator[Any], Literal["one", "array", "list"]]:
    """The single frames of what a caller gave, and what it was: one frame, an array of frames, or a list of them.

    An array or tensor of four axes holds many frames. One of three is one frame where an axis can be the channels, else
    many grey ones.
    """
    if isinstance(frames, Image.Image) or (isinstance(frames, (np.ndarray, Tensor)) and frames.ndim == 2):
        return iter([frames]), "one"
    if isinstance(frames, (np.ndarray, Tensor)):
        shape = tuple(frames.shape)
        if frames.ndim == 3 and (layout is not None or shape[2] in CHANNELS or shape[0] in CHANNELS):
            return iter([frames]), "one"
        if frames.ndim not in (3, 4):
            raise FramesError(
                f"an array of shape {shape} must have 2 axes (a grey frame), 3 (a frame, or grey frames) or 4 (frames)",
                hint="frames come first: (T, H, W, C) or (T, C, H, W)",
            )
        return iter(frames), "array"
    if not isinstance(frames, Iterable):
        kind_of(frames)  # raises: it says what a frame must be
    return iter(frames), "list"


def together(results: list[Any], held: Literal["one", "array", "list"], empty: Any) -> Any:
    """Single results as the caller held the frames; `empty` is given back for an array of no frames."""
    if held == "list":
        return results
    if held == "one":
        return results[0]
    if not results:
        return empty
    return torch.stack(results) if isinstance(results[0], Tensor) else np.stack(results)


def first_kind(frames: Iterator[Any], layout: Layout | None) -> tuple[FrameKind | None, Iterator[Any]]:
    """The kind of the first frame, and all frames again; None for no frames."""
    for frame in frames:
        return kind_of(frame, layout), chain([frame], frames)
    return None, iter(())
