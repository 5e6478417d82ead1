"""Damages video files: anywhere, and in the parts that say how the rest is to be read."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

Span = tuple[int, int]  # first byte, one past the last

NUMBERS = 0, 1, 2, 0x7F, 0x80, 0xFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF
BOXES = frozenset(b"moov trak mdia minf stbl edts udta dinf mvex moof traf meta ilst gmhd".split())  # of boxes
MASTERS = frozenset({0x18538067, 0x1654AE6B, 0xAE, 0xE0, 0xE1, 0x1F43B675, 0x1549A966, 0x1C53BB6B, 0xBB, 0xB7, 0xA0})
LEAST = 8  # bytes of a file that is damaged further


def mutant(content: bytes, seed: int) -> bytes:
    """The file with one to four damages; the same for the same seed."""
    chance = random.Random(seed)
    spans = list(parts(content))
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        content = chance.choice(DAMAGES)(content, spans, chance)
        if len(content) < LEAST:
            break
    return content


def parts(content: bytes) -> Iterator[Span]:
    """Boxes of mp4 and mov, elements of Matroska, packets of MPEG-TS, chunks of AVI: with their heads."""
    if content[4:8] == b"ftyp" or content[4:8] in (b"wide", b"mdat", b"moov"):
        yield from _boxes(content, 0, len(content))
    elif content[:4] == b"\x1a\x45\xdf\xa3":
        yield from _elements(content, 0, len(content))
    elif content[:4] == b"RIFF":
        yield from _chunks(content, 12, len(content))
    elif content[:1] == b"\x47" and content[188:189] == b"\x47":
        yield from ((start, start + 188) for start in range(0, len(content), 188))
    else:
        yield from ((start, start + 64) for start in range(0, len(content), 64))


def _boxes(content: bytes, start: int, stop: int) -> Iterator[Span]:
    while start + 8 <= stop:
        size = int.from_bytes(content[start : start + 4], "big") or stop - start
        if size < 8 or start + size > stop:
            return
        yield start, start + size
        if content[start + 4 : start + 8] in BOXES:
            yield from _boxes(content, start + 8, start + size)
        start += size


def _elements(content: bytes, start: int, stop: int) -> Iterator[Span]:
    while start + 2 <= stop and content[start]:
        width = 9 - content[start].bit_length()
        kind, at = int.from_bytes(content[start : start + width], "big"), start + width
        if at >= stop or not content[at]:
            return
        digits = 9 - content[at].bit_length()
        size = int.from_bytes(content[at : at + digits], "big") & (1 << 7 * digits) - 1
        end = min(stop, at + digits + size)
        yield start, end
        if kind in MASTERS:
            yield from _elements(content, at + digits, end)
        start = end


def _chunks(content: bytes, start: int, stop: int) -> Iterator[Span]:
    while start + 8 <= stop:
        size = int.from_bytes(content[start + 4 : start + 8], "little")
        end = min(stop, start + 8 + size + size % 2)
        yield start, end
        if content[start : start + 4] == b"LIST":
            yield from _chunks(content, start + 12, end)
        start = end


def _flip(content: bytes, spans: list[Span], chance: random.Random) -> bytes:
    """A bit anywhere."""
    at = chance.randrange(len(content))
    return content[:at] + bytes([content[at] ^ 1 << chance.randrange(8)]) + content[at + 1 :]


def _head(content: bytes, spans: list[Span], chance: random.Random) -> bytes:
    """A number in the first bytes of a part: its size, its kind, its first fields."""
    start, stop = chance.choice(spans)
    return _number_at(content, start + chance.randrange(min(32, stop - start)), chance)


def _field(content: bytes, spans: list[Span], chance: random.Random) -> bytes:
    """A number in a small part: tables and descriptions, not pictures."""
    start, stop = chance.choice([span for span in spans if span[1] - span[0] < 600] or spans)
    return _number_at(content, chance.randrange(start, stop), chance)


def _number_at(content: bytes, at: int, chance: random.Random) -> bytes:
    width = chance.choice((1, 2, 4, 4, 8))
    number = chance.choice((chance.choice(NUMBERS), chance.getrandbits(8 * width))) % (1 << 8 * width)
    return content[:at] + number.to_bytes(width, chance.choice(("big", "big", "little"))) + content[at + width :]


def _remove(content: bytes, spans: list[Span], chance: random.Random) -> bytes:
    start, stop = chance.choice(spans)
    return content[:start] + content[stop:]


def _double(content: bytes, spans: list[Span], chance: random.Random) -> bytes:
    start, stop = chance.choice(spans)
    return content[:stop] + content[start:stop] + content[stop:]


def _exchange(content: bytes, spans: list[Span], chance: random.Random) -> bytes:
    (a, b), (c, d) = sorted((chance.choice(spans), chance.choice(spans)))
    return content if b > c else content[:a] + content[c:d] + content[b:c] + content[a:b] + content[d:]


def _zeros(content: bytes, spans: list[Span], chance: random.Random) -> bytes:
    start, stop = chance.choice(spans)
    at = chance.randrange(start, stop) if chance.random() < 0.5 else min(start + 8, stop)
    return content[:at] + bytes(stop - at) + content[stop:]


def _cut(content: bytes, spans: list[Span], chance: random.Random) -> bytes:
    """Its end is missing, or its beginning."""
    at = chance.randrange(len(content))
    return content[:at] if chance.random() < 0.8 else content[at:]


DAMAGES: tuple[Callable[[bytes, list[Span], random.Random], bytes], ...] = (
    _flip, _head, _head, _field, _field, _field, _remove, _double, _exchange, _zeros, _cut,
)  # fmt: skip
