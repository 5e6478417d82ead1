"""Transfer functions: from coded values to light in the scene, where 1 is white, and back.

BT.709 and its like are undone by the inverse of the camera's curve, sRGB by its own. PQ and HLG have no white of their
own: it is put at 203 cd/m2, and at 75 % of the signal (ITU-R BT.2408).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import av
import numpy as np
from numpy.typing import NDArray

from dossr_video.video.tags import in_words

if TYPE_CHECKING:
    from torch import Tensor

CODINGS = {"srgb": "iec61966-2-1", "pq": "smpte2084"}
"""Transfer functions that light is coded with for the models, by their names as an option."""
WHITE = 203.0  # cd/m2 of PQ
BRIGHT = 1.0005  # above white by more than a half number rounds
_M1, _M2, _C1, _C2, _C3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128  # SMPTE ST 2084
_A, _B, _C = 0.17883277, 0.28466892, 0.55991073  # HLG, ITU-R BT.2100
_HLG_WHITE = 0.26496256  # light of 75 % HLG
FLOAT = {
    "gbrpf32le": "gbrp16le", "gbrapf32le": "gbrap16le", "grayf32le": "gray16le",
    "gbrpf16le": "gbrp16le", "gbrapf16le": "gbrap16le", "grayf16le": "gray16le",
    "rgbf32le": "gbrp16le", "rgbaf32le": "gbrap16le", "rgbf16le": "gbrp16le", "rgbaf16le": "gbrap16le",
}  # fmt: skip
"""Pixel formats of light, each with that of the same shape which frames are worked on in."""


@dataclass(frozen=True)
class Curve:
    """A line near black, and a power above it: coded = `scale` * light ** `power` + 1 - `scale`."""

    scale: float
    power: float
    slope: float  # of the line; 0: there is none
    until: float  # coded, where the line ends


_BT709 = Curve(1.0992968, 0.45, 4.5, 0.0812429)
CURVES: Mapping[str, Curve] = {
    "iec61966-2-1": Curve(1.055, 1 / 2.4, 12.92, 0.04045),
    "smpte240m": Curve(1.1115, 0.45, 4.0, 0.0912),
    "gamma22": Curve(1.0, 1 / 2.2, 0.0, 0.0),
    "gamma28": Curve(1.0, 1 / 2.8, 0.0, 0.0),
    "linear": Curve(1.0, 1.0, 0.0, 0.0),
}


def known(transfer: str | None) -> str:
    """How values coded by a transfer function are made light, in words."""
    if transfer in CURVES or transfer in ("smpte2084", "arib-std-b67"):
        return in_words(str(transfer))
    return "BT.709"


def to_light(coded: Tensor, transfer: str | None) -> Tensor:
    """Light in [0, ...) of coded values in [0, 1]; a `transfer` that is not known, or None, is BT.709's."""
    if transfer == "smpte2084":
        root = coded ** (1 / _M2)
        light = ((root - _C1).clamp(min=0) / (_C2 - _C3 * root)) ** (1 / _M1)
        return light * (10000 / WHITE)
    if transfer == "arib-std-b67":
        light = (coded * coded / 3).where(coded <= 0.5, (((coded - _C) / _A).exp() + _B) / 12)
        return light / _HLG_WHITE
    curve = CURVES.get(transfer or "", _BT709)
    light = ((coded + curve.scale - 1) / curve.scale).clamp(min=0) ** (1 / curve.power)
    return light.where(coded >= curve.until, coded / curve.slope) if curve.slope else light


def to_codes(light: NDArray[np.float32], transfer: str | None) -> NDArray[np.float32]:
    """Coded values in [0, 1] of light; below 0 and above white it is clipped."""
    light = np.nan_to_num(light, nan=0.0).clip(0, None)
    if transfer == "smpte2084":
        power = (light * np.float32(WHITE / 10000)).clip(0, 1) ** np.float32(_M1)
        coded = ((_C1 + _C2 * power) / (1 + _C3 * power)) ** np.float32(_M2)
    elif transfer == "arib-std-b67":
        light = light * np.float32(_HLG_WHITE)
        above = _A * np.log(np.maximum(12 * light - _B, 1e-6)) + _C
        coded = np.where(light <= 1 / 12, np.sqrt(3 * light), above)
    else:
        curve = CURVES.get(transfer or "", _BT709)
        coded = curve.scale * light ** np.float32(curve.power) + np.float32(1 - curve.scale)
        if curve.slope:
            coded = np.where(light <= curve.until / curve.slope, light * np.float32(curve.slope), coded)
    return np.asarray(coded, np.float32).clip(0, 1)


def is_light(pix_fmt: str) -> bool:
    """Whether samples are light in floating point, as of OpenEXR."""
    return re.search(r"f(16|32)(le|be)?$", pix_fmt) is not None


def coded_frame(frame: av.VideoFrame, transfer: str | None) -> av.VideoFrame:
    """A frame of light as one of 16 bits; opacity stays as it is."""
    made = av.VideoFrame(frame.width, frame.height, FLOAT[frame.format.name])
    for index, codes in enumerate(_lines(plane, np.uint16) for plane in made.planes):  # green, blue, red, opacity
        light = _light(frame, index)
        values = light.clip(0, 1) if index == 3 else to_codes(light, transfer)
        codes[:] = np.rint(values * np.float32(65535)).astype(np.uint16)
    made.pts, made.time_base, made.duration = frame.pts, frame.time_base, frame.duration
    made.color_primaries, made.color_range = frame.color_primaries, 2
    return made


def round_to_half(frame: av.VideoFrame) -> None:
    """Round samples of 32 bits to the nearest of 16 bits: FFmpeg's encoder cuts them off."""
    for plane in frame.planes:
        lines = _lines(plane, np.float32)
        lines[:] = lines.astype(np.float16)


def is_brighter(frame: av.VideoFrame) -> bool:
    """Whether a frame of light has some above white."""
    channels = 1 if frame.format.name.startswith("gray") else 3
    return any(bool((_light(frame, index) > BRIGHT).any()) for index in range(channels))


def _light(frame: av.VideoFrame, index: int) -> NDArray[np.float32]:
    """A channel (H, W) of a frame of light: green, blue, red, opacity, or grey."""
    name = frame.format.name
    samples = np.float32 if "f32" in name else np.float16
    if not name.startswith("rgb"):
        return np.asarray(_lines(frame.planes[index], samples), np.float32)
    plane: Any = frame.planes[0]
    channels = 4 if name.startswith("rgba") else 3
    lines: NDArray[Any] = np.frombuffer(plane, samples).reshape(frame.height, -1)[:, : frame.width * channels]
    return np.asarray(lines.reshape(frame.height, frame.width, channels)[..., (1, 2, 0, 3)[index]], np.float32)


def _lines(plane: Any, dtype: type) -> NDArray[Any]:
    lines: NDArray[Any] = np.frombuffer(plane, dtype).reshape(plane.height, -1)
    return lines[:, : plane.width]
