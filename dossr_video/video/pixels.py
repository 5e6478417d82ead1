"""Conversion of decoded frames to RGB tensors and back: matrix, range, chroma location, 8 to 16 bits, alpha.

Only this file knows the memory layout of a frame. R'G'B' stays non-linear: the transfer function is not applied.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import av
import cv2
import numpy as np
from av.video.reformatter import Colorspace, Interpolation, VideoReformatter
from numpy.typing import NDArray

from dossr_video.video.light import FLOAT, coded_frame, is_light, to_light
from dossr_video.video.tags import LUMA_WEIGHTS, ColorInfo

if TYPE_CHECKING:
    from torch import Tensor

# Without these four swscale takes the nearest chroma sample: mean error 5.5 of 255 where this has 0.6.
ACCURATE = (
    Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT | Interpolation.FULL_CHR_H_INP
)
_FULL_RANGE = ((np.arange(256) - 16) * (255 / 219)).round().clip(0, 255).astype(np.uint8)  # of limited, 8 bits
_SWSCALE_MATRIX = {
    "bt709": Colorspace.ITU709,
    "fcc": Colorspace.FCC,
    "bt470bg": Colorspace.ITU601,
    "smpte170m": Colorspace.ITU601,
    "smpte240m": Colorspace.SMPTE240M,
    "bt2020nc": Colorspace.BT2020,
}
STRIP = 256  # rows, even, that are converted at a time
_PACKED = {
    "bgr0": "gbrp", "bgra": "gbrap", "argb": "gbrap", "abgr": "gbrap", "rgb24": "gbrp", "rgba": "gbrap",
    "rgb48le": "gbrp16le", "rgb48be": "gbrp16le", "rgba64le": "gbrap16le", "rgba64be": "gbrap16le",
    "gbrp10be": "gbrp10le", "gbrp12be": "gbrp12le", "gray16be": "gray16le", "nv12": "yuv420p", "p010le": "yuv420p10le",
}  # fmt: skip
"""Formats that encoders of pictures, of hardware and FFV1 want, and the planar one that holds the same samples."""


def bit_depth(pix_fmt: str) -> int:
    """Bits of one component of a pixel format."""
    return max(component.bits for component in av.VideoFormat(pix_fmt, 16, 16).components)


def has_alpha(pix_fmt: str) -> bool:
    """Whether a pixel format carries transparency."""
    return any(component.is_alpha for component in av.VideoFormat(pix_fmt, 16, 16).components)


def is_rgb(pix_fmt: str) -> bool:
    return av.VideoFormat(pix_fmt, 16, 16).is_rgb


def is_grey(pix_fmt: str) -> bool:
    return not is_rgb(pix_fmt) and len(av.VideoFormat(pix_fmt, 16, 16).components) < 3


def chroma_shift(pix_fmt: str) -> tuple[int, int]:
    """log2 of luma columns and lines per chroma sample; (0, 0) for RGB, grey and 4:4:4."""
    if is_rgb(pix_fmt) or is_grey(pix_fmt):
        return 0, 0
    components = av.VideoFormat(pix_fmt, 64, 64).components
    return (64 // components[1].width).bit_length() - 1, (64 // components[1].height).bit_length() - 1


def decoded_format(frame: av.VideoFrame) -> str:
    """The pixel format that a frame is worked on in: its own, but for palettes, single bits and light."""
    name = frame.format.name
    if is_light(name):
        return FLOAT[name]
    if name == "pal8":
        transparent = np.frombuffer(memoryview(frame.planes[1]), np.uint32)[:256] < 0xFF000000
        return "bgra" if transparent.any() else "bgr0"
    return "gray" if name in ("monow", "monob") else name


def unpacked(frame: av.VideoFrame, transfer: str | None) -> av.VideoFrame:
    """A frame in its `decoded_format`; light is coded by the `transfer` function."""
    if is_light(frame.format.name):
        return coded_frame(frame, transfer)
    name = decoded_format(frame)
    return frame if name == frame.format.name else frame.reformat(format=name, threads=1)


class ToRgb:
    """Converts decoded frames of one stream; keeps swscale's state between frames, so one per thread."""

    def __init__(self, color: ColorInfo) -> None:
        """`color`: the stream's tags, resolved (no None in matrix, range, chroma location)."""
        self._color = color
        self._reformatter = VideoReformatter()

    def __call__(self, frame: av.VideoFrame) -> Tensor:
        """One frame as (3, H, W) RGB float32 in [0, 1]."""
        name = frame.format.name
        if is_grey(name) or (bit_depth(name) > 8 and not is_rgb(name)):
            return self._deep(frame)
        if is_rgb(name):
            planar = "gbrp" if bit_depth(name) == 8 else name if name.startswith("gbr") else "gbrp16le"
            frame = frame if name == planar else self._reformat(frame, planar)
        else:
            frame = self._reformat(frame, "gbrp")
        top = (1 << bit_depth(frame.format.name)) - 1
        return _tensor(np.stack([plane(frame, i) for i in (2, 0, 1)]).astype(np.float32) / np.float32(top))

    def alpha(self, frame: av.VideoFrame) -> Tensor | None:
        """Opacity (1, H, W) float32 in [0, 1]; None where the format has none."""
        name = frame.format.name
        if not has_alpha(name):
            return None
        if not name.startswith(("yuva", "gbrap")) or name.endswith("be"):
            frame = self._reformat(frame, "gbrap" if bit_depth(name) == 8 else "gbrap16le")
        top = (1 << bit_depth(frame.format.name)) - 1
        return _tensor(plane(frame, 3)[None].astype(np.float32) / np.float32(top))

    def small(self, frame: av.VideoFrame, size: tuple[int, int], *, alpha: bool = False) -> NDArray[np.uint8]:
        """A frame as (H, W, 3) RGB of `size` (W, H), or (H, W, 4) with its opacity: each value the mean of its area.

        Colours are clamped before they are averaged, as they are where a frame is shown or upscaled: thin saturated
        lines, and noise on black, would else come out several codes darker.
        """
        whole = self._shown(frame)
        planes = [plane(whole, i) for i in ((0, 0, 0) if is_grey(whole.format.name) else (2, 0, 1))]
        if alpha:
            opacity = self.alpha(frame)
            planes.append(np.full_like(planes[0], 255) if opacity is None else (opacity[0].numpy() * 255).round())
        return np.stack([_averaged(channel, size) for channel in planes], -1)

    def _shown(self, frame: av.VideoFrame) -> av.VideoFrame:
        """A frame in 8 bits of full range: planes G, B, R, or one of grey."""
        name = frame.format.name
        if not is_grey(name):
            return frame if name == "gbrp" else self._reformat(frame, "gbrp")
        grey = frame if name == "gray" else self._reformat(frame, "gray")
        if self._color.range == "pc":
            return grey
        shown = av.VideoFrame(grey.width, grey.height, "gray")
        plane(shown, 0)[:] = _FULL_RANGE[plane(grey, 0)]
        return shown

    def _deep(self, frame: av.VideoFrame) -> Tensor:
        # swscale upsamples 4:2:0 chroma well at any depth, but its high-depth RGB maps white to 0.9961 and it takes all
        # grey for full range: here it only upsamples, the matrix and the range are applied by this file.
        depth = bit_depth(frame.format.name)
        grey = "gray" if depth == 8 else "gray16le"
        wide = self._reformat(frame, grey if is_grey(frame.format.name) else "yuv444p16le")
        unit = 256 if wide.format.name == "gray" else 1
        planes = [plane(wide, i).astype(np.float32) * np.float32(unit) for i in range(len(wide.planes))]
        low, span, chroma_span = map(np.float32, _code_range(self._color.range, depth=depth))
        y = (planes[0] - low) / span
        if len(planes) == 1:
            return _tensor(np.stack([y.clip(0, 1)] * 3))
        cb, cr = ((p - np.float32(32768)) / chroma_span for p in planes[1:])
        red, blue = LUMA_WEIGHTS[self._color.matrix or "bt709"]
        r = y + 2 * (1 - red) * cr
        b = y + 2 * (1 - blue) * cb
        g = (y - red * r - blue * b) / (1 - red - blue)
        return _tensor(np.stack((r, g, b)).clip(0, 1))

    def _reformat(self, frame: av.VideoFrame, pix_fmt: str) -> av.VideoFrame:
        full = 2 if self._color.range == "pc" else 1
        return self._reformatter.reformat(
            frame,
            format=pix_fmt,
            src_colorspace=_SWSCALE_MATRIX.get(self._color.matrix or "bt709", Colorspace.ITU709),
            dst_colorspace=_SWSCALE_MATRIX.get(self._color.matrix or "bt709", Colorspace.ITU709),
            src_color_range=2 if is_rgb(frame.format.name) else full,
            dst_color_range=2 if is_rgb(pix_fmt) else full,
            interpolation=ACCURATE,
            threads=1,
        )


def _tensor(values: NDArray[np.float32]) -> Tensor:
    import torch  # takes a second: what only looks at files need not wait for it

    return torch.from_numpy(values)


def _averaged(channel: NDArray[Any], size: tuple[int, int]) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(np.ascontiguousarray(channel), size, interpolation=cv2.INTER_AREA), np.uint8)


def can_make(pix_fmt: str) -> bool:
    """Whether `from_rgb` makes this format: planar integers, little-endian; some that hold the same; light."""
    if pix_fmt in _PACKED:
        return True
    planar = re.fullmatch(r"(yuva?4\d\dp|gray|gbra?p)(f32le|\d+le)?", pix_fmt)
    return planar is not None and chroma_shift(pix_fmt)[0] < 2


def is_packed(pix_fmt: str) -> bool:
    """Whether a format holds the samples of a planar one in another order, for encoders that want that."""
    return pix_fmt in _PACKED


def from_rgb(picture: Tensor, pix_fmt: str, color: ColorInfo, *, alpha: Tensor | None = None) -> av.VideoFrame:
    """A frame of `pix_fmt` from (3, H, W) RGB in [0, 1] on any device, values outside clamped.

    `pix_fmt`: one that `can_make` allows; `color`: resolved tags, of which light needs the transfer function alone.
    `alpha` (1, H, W) in [0, 1] fills the alpha plane where the format has one; opaque without it.
    """
    if pix_fmt in _PACKED:
        return from_rgb(picture, _PACKED[pix_fmt], color, alpha=alpha).reformat(format=pix_fmt, threads=1)
    depth, light = bit_depth(pix_fmt), is_light(pix_fmt)
    top = 1 if light else (1 << depth) - 1
    frame = av.VideoFrame(picture.shape[2], picture.shape[1], pix_fmt)
    views = [plane(frame, index) for index in range(len(frame.planes))]
    # By strips, for the planes of a whole picture in float32 take more memory than the picture.
    for first in range(0, frame.height, STRIP):
        above = min(first, 2)  # rows that a chroma sample between two strips is made of as well
        rows = slice(first - above, first + STRIP)
        strip = picture[:, rows].float().clamp(0, 1)
        if light:
            strip = to_light(strip, color.transfer)
        planes = [strip[i] * top for i in (1, 2, 0)] if is_rgb(pix_fmt) else _to_ycbcr(strip, pix_fmt, color)
        if has_alpha(pix_fmt):
            opaque = strip.new_full(strip.shape[1:], top)
            planes.append(opaque if alpha is None else alpha[0, rows].to(strip).clamp(0, 1) * top)
        for view, values in zip(views, planes, strict=True):
            lines = 2 if len(view) < frame.height else 1  # of the picture for one of the plane
            values = values[above // lines :]
            codes = values if light else _rounded(values, depth)
            view[first // lines : first // lines + len(codes)] = codes.cpu().numpy()
    return frame


def _rounded(values: Tensor, depth: int) -> Tensor:
    values = values.round_().clamp_(0, (1 << depth) - 1)
    return values.int() if depth > 8 else values.byte()


def _to_ycbcr(picture: Tensor, pix_fmt: str, color: ColorInfo) -> list[Tensor]:
    red, blue = LUMA_WEIGHTS[color.matrix or "bt709"]
    r, g, b = picture
    y = (red * r).add_(g, alpha=1 - red - blue).add_(b, alpha=blue)
    if is_light(pix_fmt):
        return [y]
    depth = bit_depth(pix_fmt)
    low, span, chroma_span = (value / (1 << (16 - depth)) for value in _code_range(color.range, depth=depth))
    planes = [y * span + low]
    if is_grey(pix_fmt):
        return planes
    for channel, weight in ((b, blue), (r, red)):
        small = subsample(channel - y, chroma_shift(pix_fmt), color.chroma_location or "left")
        planes.append(small.mul_(chroma_span / (2 * (1 - weight))).add_(1 << (depth - 1)))
    return planes


def subsample(chroma: Tensor, shift: tuple[int, int], location: str) -> Tensor:
    """Chroma (H, W) to (ceil(H / 2**shift[1]), ceil(W / 2**shift[0])), with samples where `location` puts them.

    Where a chroma sample is co-sited with a luma sample the filter is 1 2 1, where it lies between two it is 1 1:
    neither shifts the image. `location`: "left" (between lines, on columns), "center" (between both), "topleft" (on
    both).
    """
    for axis, on_sample in ((1, location != "center"), (0, location == "topleft")):
        if shift[1 - axis]:
            chroma = _halve(chroma, axis, on_sample=on_sample)
    return chroma


def _halve(values: Tensor, axis: int, *, on_sample: bool) -> Tensor:
    import torch

    values = values.movedim(axis, -1)
    if values.shape[-1] % 2:
        values = torch.cat((values, values[..., -1:]), dim=-1)
    even, odd = values[..., 0::2], values[..., 1::2]
    half = even + odd
    if on_sample:
        half += even
        half[..., :1] += even[..., :1]  # before it there is none
        half[..., 1:] += odd[..., :-1]
    return half.mul_(0.25 if on_sample else 0.5).movedim(-1, axis)


def _code_range(name: str | None, *, depth: int) -> tuple[float, float, float]:
    """Black, white minus black, and chroma span of codes of `depth` bits shifted up to 16 bits."""
    unit = 1 << 8
    if name != "pc":
        return 16.0 * unit, 219.0 * unit, 224.0 * unit
    top = float(((1 << depth) - 1) << (16 - depth))
    return 0.0, top, top


def plane(frame: av.VideoFrame, index: int) -> NDArray[Any]:
    """A plane of a planar frame as a writable (H, W) view of its memory, uint8, uint16 or float32."""
    memory: Any = frame.planes[index]
    samples = {8: np.uint8, 32: np.float32}.get(bit_depth(frame.format.name), np.uint16)
    dtype = np.dtype(samples)
    lines = np.frombuffer(memory, dtype).reshape(-1, memory.line_size // dtype.itemsize)
    return lines[: memory.height, : memory.width]
