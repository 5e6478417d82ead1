"""Cropping that a container asks for: PixelCrop of Matroska and WebM, `clap` of mp4 and mov.

Players show the picture without what is cropped; PyAV does not tell of it. So the few bytes are read here.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

from dossr_video.video import pixels
from dossr_video.video.files import SourceFile
from dossr_video.video.info import Cropping
from dossr_video.video.read.graphs import graph_of

Box = tuple[bytes, int, int]  # type or id, where its content begins and ends

MOST = 1 << 16  # boxes that are passed by

# Matroska: ids with their length bits; children of which something is needed.
SEGMENT, TRACKS, TRACK, VIDEO = b"\x18\x53\x80\x67", b"\x16\x54\xae\x6b", b"\xae", b"\xe0"
KIND = b"\x83"
LEFT, TOP, RIGHT, BOTTOM = b"\x54\xcc", b"\x54\xbb", b"\x54\xdd", b"\x54\xaa"
PICTURE = 1  # value of KIND
# mp4: the way to the sample descriptions of a track.
TO_SAMPLES = (b"mdia", b"minf", b"stbl", b"stsd")
DESCRIPTION = 78  # bytes of a video sample entry before its boxes


def declared_cropping(path: Path, container: str, number: int, width: int, height: int) -> Cropping | None:
    """The cropping that a file asks for.

    Args:
        path: The file.
        container: FFmpeg's name of its format.
        number: Of the track among those of pictures, from 0.
        width: Of the coded frame, pixels.
        height: Of the coded frame, pixels.

    Returns:
        None where the whole frame is shown, or what is asked for leaves nothing of it.
    """
    if "matroska" not in container and "mp4" not in container:
        return None
    with closing(SourceFile(path)) as file:
        size = file.seek(0, 2)
        if "matroska" in container:
            found = next((crop for i, crop in enumerate(_matroska(file, size)) if i == number), None)
        else:
            apertures = (aperture for i, aperture in enumerate(_mp4(file, size)) if i == number)
            found = _around(next(apertures, None), width, height)
    if found is None or found == Cropping(0, 0, 0, 0):
        return None
    fits = found.left + found.right < width and found.top + found.bottom < height
    return found if fits and min(found.left, found.top, found.right, found.bottom) >= 0 else None


def shared_cropping(cropping: Cropping | None, pix_fmt: str) -> Cropping | None:
    """A cropping that begins with a whole chroma sample: so a column at the left, or a line at the top, may stay."""
    if cropping is None:
        return None
    across, down = pixels.chroma_shift(pix_fmt)
    return replace(cropping, left=cropping.left >> across << across, top=cropping.top >> down << down)


class CropFilter:
    """Takes away what is cropped, see `shared_cropping`."""

    def __init__(self, cropping: Cropping | None) -> None:
        self._cropping = cropping
        self._graph: Any = None
        self._made_for: tuple[int, int, str] | None = None

    def __call__(self, frame: Any) -> Any:
        if self._cropping is None:
            return frame
        kind = frame.width, frame.height, frame.format.name
        if kind != self._made_for:
            self._graph, self._made_for = self._built(frame), kind
        time, unit = frame.pts, frame.time_base
        self._graph.vpush(frame)
        cropped = self._graph.vpull()
        cropped.pts, cropped.time_base = time, unit
        return cropped

    def _built(self, frame: Any) -> Any:
        crop = self._cropping
        assert crop is not None
        width, height = max(1, frame.width - crop.left - crop.right), max(1, frame.height - crop.top - crop.bottom)
        cut = "crop", f"{width}:{height}:{crop.left}:{crop.top}:exact=1"
        return graph_of(frame, (cut,), time_base=Fraction(1, 1000))


def _matroska(file: SourceFile, size: int) -> Iterator[Cropping]:
    """Of every track of pictures."""
    for name, begin, end in _elements(file, 0, size):
        if name != SEGMENT:
            continue
        for inner, start, stop in _elements(file, begin, end):
            if inner == TRACKS:
                yield from _tracks(file, start, stop)
                return


def _tracks(file: SourceFile, begin: int, end: int) -> Iterator[Cropping]:
    for name, start, stop in _elements(file, begin, end):
        if name != TRACK:
            continue
        entries = {inner: (first, last) for inner, first, last in _elements(file, start, stop)}
        if KIND not in entries or _number(file, *entries[KIND]) != PICTURE:
            continue
        values = dict.fromkeys((LEFT, TOP, RIGHT, BOTTOM), 0)
        for inner, first, last in _elements(file, *entries.get(VIDEO, (0, 0))):
            if inner in values:
                values[inner] = _number(file, first, last)
        yield Cropping(*values.values())


def _elements(file: SourceFile, begin: int, end: int) -> Iterator[Box]:
    """The EBML elements between two places (RFC 8794)."""
    for _ in range(MOST):
        if begin + 2 > end:
            return
        file.seek(begin)
        head = file.read(12)
        name_length = _length(head[:1])
        size_length = _length(head[name_length : name_length + 1])
        if not name_length or name_length > 4 or not size_length:
            return
        first = head[name_length] & (1 << (8 - size_length)) - 1
        content = bytes([first]) + head[name_length + 1 : name_length + size_length]
        size, begin = int.from_bytes(content, "big"), begin + name_length + size_length
        if size == (1 << 7 * size_length) - 1:  # not known: to the end
            size = end - begin
        yield head[:name_length], begin, min(begin + size, end)
        begin += size


def _length(first: bytes) -> int:
    """Of an EBML number, by the leading zeros of its first byte; 0: none."""
    return 9 - first[0].bit_length() if first and first[0] else 0


def _number(file: SourceFile, begin: int, end: int) -> int:
    file.seek(begin)
    return int.from_bytes(file.read(min(end - begin, 8)), "big")


Aperture = tuple[float, float, float, float]  # width, height, and how far its middle lies from the frame's


def _mp4(file: SourceFile, size: int) -> Iterator[Aperture | None]:
    """The clean aperture of every track of pictures."""
    for name, begin, end in _boxes(file, 0, size):
        if name == b"moov":
            for inner, start, stop in _boxes(file, begin, end):
                if inner == b"trak" and _is_picture(file, start, stop):
                    yield _aperture(file, start, stop)


def _is_picture(file: SourceFile, begin: int, end: int) -> bool:
    handler = _inside(file, begin, end, (b"mdia", b"hdlr"))
    if handler is None:
        return False
    file.seek(handler[0])
    return file.read(12)[8:12] == b"vide"


def _aperture(file: SourceFile, begin: int, end: int) -> Aperture | None:
    samples = _inside(file, begin, end, TO_SAMPLES)
    if samples is None:
        return None
    entry = next(_boxes(file, samples[0] + 8, samples[1]), None)
    found = None if entry is None else _inside(file, entry[1] + DESCRIPTION, entry[2], (b"clap",))
    if found is None:
        return None
    file.seek(found[0])
    content = file.read(32)
    if len(content) < 32:
        return None
    # Width and height are positive, the offsets may be negative (ISO 14496-12 12.1.4).
    numbers = struct.unpack(">2I2IiIiI", content)
    if not all(numbers[1::2]):
        return None
    width, height, across, down = (n / d for n, d in zip(numbers[::2], numbers[1::2], strict=True))
    return width, height, across, down


def _around(aperture: Aperture | None, width: int, height: int) -> Cropping | None:
    """What lies around a clean aperture, in whole pixels."""
    if aperture is None:
        return None
    wide, tall, across, down = aperture
    left, top = round((width - wide) / 2 + across), round((height - tall) / 2 + down)
    return Cropping(left, top, width - left - round(wide), height - top - round(tall))


def _inside(file: SourceFile, begin: int, end: int, names: tuple[bytes, ...]) -> tuple[int, int] | None:
    """Content of the box at the end of a path of boxes."""
    for name in names:
        found = next(((start, stop) for kind, start, stop in _boxes(file, begin, end) if kind == name), None)
        if found is None:
            return None
        begin, end = found
    return begin, end


def _boxes(file: SourceFile, begin: int, end: int) -> Iterator[Box]:
    """The boxes between two places (ISO 14496-12 4.2)."""
    for _ in range(MOST):
        if begin + 8 > end:
            return
        file.seek(begin)
        head = file.read(16)
        if len(head) < 8:
            return
        size, start = int.from_bytes(head[:4], "big"), begin + 8
        if size == 1:  # it follows in 64 bits
            size, start = int.from_bytes(head[8:16], "big"), begin + 16
        stop = end if size == 0 else begin + size
        if stop < start:
            return
        yield head[4:8], start, min(stop, end)
        begin = stop
