"""The header of a DPX picture (SMPTE ST 268-1): frame rate, timecode and texts."""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from dossr_video.errors import SourceError
from dossr_video.names import shown
from dossr_video.option_values import exact_rate

GENERIC = 1664  # bytes of the generic part
INDUSTRY = 384  # bytes of the film and television parts, which not every file has
LONGEST = 1 << 24  # bytes of a header with the user's data

TEXTS = {
    "creation_time": (136, 24),
    "creator": (160, 100),
    "project": (260, 200),
    "copyright": (460, 200),
    "source_file": (1432, 100),
    "source_time": (1532, 24),
    "input_device": (1556, 32),
    "input_serial_number": (1588, 32),
    "film_manufacturer": (1664, 2),
    "film_type": (1666, 2),
    "perforation_offset": (1668, 2),
    "key_code_prefix": (1670, 6),
    "key_code_count": (1676, 4),
    "film_format": (1680, 32),
    "frame_identification": (1732, 32),
    "slate": (1764, 100),
}
"""Offset and length of texts, by the names that they have in the standard."""

FILM_RATE, VIDEO_RATE, TIMECODE = 1724, 1940, 1920  # offsets


@dataclass(frozen=True)
class DpxHeader:
    rate: Fraction | None  # frames per second; None: not filled in
    timecode: str | None  # hh:mm:ss:ff; None: not filled in
    texts: Mapping[str, str]  # every text that is filled in, by its name: `dpx_slate`


def read_header(path: Path) -> DpxHeader:
    """The header of a DPX file; SourceError when it is none."""
    data = header_of(path)
    order = ">" if data.startswith(b"SDPX") else "<"
    data = data.ljust(GENERIC + INDUSTRY, b"\xff")
    rates = (struct.unpack_from(f"{order}f", data, offset)[0] for offset in (FILM_RATE, VIDEO_RATE))
    rate = next((exact_rate(Fraction(value)) for value in rates if math.isfinite(value) and 1 <= value <= 1000), None)
    code = struct.unpack_from(f"{order}I", data, TIMECODE)[0]
    texts = {f"dpx_{name}": _text(data[offset : offset + length]) for name, (offset, length) in TEXTS.items()}
    return DpxHeader(rate, _timecode(code), {name: text for name, text in texts.items() if text})


def header_of(path: Path) -> bytes:
    """All bytes before the picture, the user's data among them; SourceError where it is no DPX file."""
    with path.open("rb") as file:
        head = file.read(GENERIC)
        order = {b"SDPX": ">", b"XPDS": "<"}.get(head[:4])
        length = struct.unpack_from(f"{order}I", head, 4)[0] if order is not None and len(head) == GENERIC else 0
        if not GENERIC <= length <= LONGEST:
            raise SourceError(f"{path} is not a DPX file", hint="check that another program opens it")
        return head + file.read(length - GENERIC)


def _timecode(code: int) -> str | None:
    """SMPTE ST 12 in binary coded decimals, 0xHHMMSSFF; None where it is not filled in."""
    digits = f"{code:08X}"
    if not digits.isdecimal():
        return None
    hours, minutes, seconds, frames = (digits[i : i + 2] for i in range(0, 8, 2))
    return f"{hours}:{minutes}:{seconds}:{frames}"


def _text(field: bytes) -> str:
    return shown(field.split(b"\0")[0].replace(b"\xff", b"").decode("utf-8", "replace").strip())
