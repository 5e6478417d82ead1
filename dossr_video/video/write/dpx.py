"""The header of a DPX picture that is written: what the encoder says of the pixels, and all else from the source.

Of a picture that was made of a DPX picture the film and television parts and the user's data are copied, and the texts;
of others the timecode, the rate and what metadata hold of such texts are filled in.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

from dossr_video.video.read.dpx import FILM_RATE, GENERIC, INDUSTRY, TEXTS, TIMECODE, VIDEO_RATE

_BIG = b"SDPX"  # how a big-endian file begins
_DATA, _SIZE, _LENGTHS, _NAME, _ELEMENT_DATA = 4, 16, 24, 36, 808  # offsets
_CREATOR = TEXTS["creator"]
_COPIED = (
    (8, 8),  # version
    (136, 524),  # creation time to copyright
    (801, 2),  # transfer function and colorimetry
    (820, 32),  # description of the picture element
    (1432, 196),  # source file to borders
)  # offset and length: of the generic part, what does not tell of the pixels
_DEPTH, _REFERENCES = 803, (784, 16)  # bits; codes and densities of black and white, which count for this depth
_HALVES = tuple(range(1620, 1628, 2))  # numbers of two bytes
_WORDS = (*range(784, 800, 4), *range(1712, 1732, 4), 1920, 1924, *range(1932, 1972, 4))  # of four
_NUMBERS = ((1712, 20), (1920, 8), (1928, 4), (1932, 40))  # all ones where they are not filled in


@dataclass(frozen=True)
class DpxFields:
    """What is written into a header."""

    name: str  # of the file
    rate: Fraction  # frames per second
    timecode: str | None  # hh:mm:ss:ff; None: as in `source`
    creator: str | None  # where the source does not say one
    texts: Mapping[str, str] = field(default_factory=dict)  # by their names in metadata: `dpx_slate`
    source: bytes = b""  # the header of the picture that it was made of, with the user's data; empty: another format


def with_header(picture: bytes, about: DpxFields) -> bytes:
    """A DPX file of FFmpeg's encoder with a whole header."""
    order = ">" if picture.startswith(_BIG) else "<"
    begin = struct.unpack_from(f"{order}I", picture, _DATA)[0]
    header = bytearray(picture[:GENERIC].ljust(GENERIC, b"\0")) + bytearray(INDUSTRY)
    source = _ordered(about.source, like=picture) if about.source else b""
    if source:
        _copy(header, source)
    else:
        for offset, length in _NUMBERS:
            header[offset : offset + length] = b"\xff" * length
        for name, text in about.texts.items():
            if (place := TEXTS.get(name.removeprefix("dpx_"))) is not None:
                _put(header, place, text)
    if about.creator and not _said(header, _CREATOR):
        _put(header, _CREATOR, about.creator)
    _put(header, (_NAME, 100), about.name)
    for offset in (FILM_RATE, VIDEO_RATE):
        struct.pack_into(f"{order}f", header, offset, about.rate)
    if about.timecode is not None:
        struct.pack_into(f"{order}I", header, TIMECODE, int("".join(filter(str.isdigit, about.timecode))[:8], 16))
    user = source[len(header) :]
    length = len(header) + len(user)
    struct.pack_into(f"{order}I", header, _DATA, length)
    struct.pack_into(f"{order}I", header, _ELEMENT_DATA, length)
    struct.pack_into(f"{order}I", header, _SIZE, len(picture) - begin + length)
    struct.pack_into(f"{order}III", header, _LENGTHS, GENERIC, INDUSTRY, len(user))
    return bytes(header) + user + picture[begin:]


def _copy(header: bytearray, source: bytes) -> None:
    for offset, length in _COPIED:
        header[offset : offset + length] = source[offset : offset + length]
    if source[_DEPTH] == header[_DEPTH]:
        offset, length = _REFERENCES
        header[offset : offset + length] = source[offset : offset + length]
    header[GENERIC:] = source[GENERIC : GENERIC + INDUSTRY].ljust(INDUSTRY, b"\0")


def _put(header: bytearray, place: tuple[int, int], text: str) -> None:
    """Cut to its place, at a whole character."""
    offset, length = place
    content = text.encode()[:length].decode("utf-8", "ignore").encode()
    header[offset : offset + length] = content.ljust(length, b"\0")


def _said(header: bytearray, place: tuple[int, int]) -> bool:
    """Whether a text is filled in."""
    offset, length = place
    return bool(header[offset : offset + length].strip(b"\0\xff "))


def _ordered(header: bytes, *, like: bytes) -> bytes:
    """A header with its numbers in the order of bytes of another; those that tell of pixels are not used."""
    if header.startswith(_BIG) == like.startswith(_BIG):
        return header
    swapped = bytearray(header)
    for offsets, length in ((_HALVES, 2), (_WORDS, 4)):
        for offset in offsets:
            swapped[offset : offset + length] = swapped[offset : offset + length][::-1]
    return bytes(swapped)
