"""The programs of an MPEG transport stream, by its tables (ISO 13818-1 2.4.4): PyAV does not tell of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

from dossr_video.video.files import SourceFile

SEARCHED = 8 << 20  # bytes from the beginning: the tables come again every half second
PACKET = 188  # bytes
DISTANCES = (188, 192, 204)  # bytes between packets: plain, with times (.m2ts), with error correction
SYNC = 0x47
STUFFING = 0xFF  # where a table begins and none does


def programs_of(path: Path) -> Mapping[int, frozenset[int]]:
    """The ids of the streams of every program, by its number. FFmpeg gives streams the same ids."""
    with closing(SourceFile(path)) as file:
        content = b"".join(iter(lambda: file.read(1 << 20) if file.tell() < SEARCHED else b"", b""))
    programs: dict[int, int] = {}  # number of a program by the id of its table
    found: dict[int, frozenset[int]] = {}
    tables: dict[int, bytes] = {}  # as far as they were read
    for stream, begins, payload in _packets(content):
        if stream != 0 and stream not in programs:
            continue
        if begins and payload:
            tables[stream] = payload[1 + payload[0] :]
        elif stream in tables:
            tables[stream] += payload
        table = _whole(tables.get(stream, b""))
        if table and stream == 0:
            programs.update(_entries(table))
        elif table:
            found[programs[stream]] = frozenset(_streams(table))
        if programs and len(found) == len(set(programs.values())):
            break
    return dict(sorted(found.items()))


def _packets(content: bytes) -> Iterator[tuple[int, bool, bytes]]:
    """Of each packet the id of its stream, whether a table begins in it, and what it carries."""
    places = ((distance, first) for distance in DISTANCES for first in range(distance))
    fits = (
        (distance, first)
        for distance, first in places
        if all(content[at] == SYNC for at in range(first, min(len(content), first + 8 * distance), distance))
    )
    distance, first = next(fits, (PACKET, 0))
    for at in range(first, len(content) - PACKET + 1, distance):
        packet = content[at : at + PACKET]
        if packet[0] != SYNC or not packet[3] & 0x10:  # nothing is carried
            continue
        begin = 5 + packet[4] if packet[3] & 0x20 else 4  # after the adaptation field
        yield (packet[1] & 0x1F) << 8 | packet[2], bool(packet[1] & 0x40), packet[begin:]


def _whole(table: bytes) -> bytes | None:
    """A table without what follows it; None where it is not complete yet."""
    if len(table) < 3 or table[0] == STUFFING:
        return None
    end = 3 + ((table[1] & 0x0F) << 8 | table[2])
    return table[:end] if len(table) >= end else None


def _entries(table: bytes) -> Iterator[tuple[int, int]]:
    """Of the program association table: the id of each program's table, and its number; 0 is none."""
    if table[0] != 0:
        return
    for at in range(8, len(table) - 7, 4):
        if number := table[at] << 8 | table[at + 1]:
            yield (table[at + 2] & 0x1F) << 8 | table[at + 3], number


def _streams(table: bytes) -> Iterator[int]:
    """Of a program map table: the ids of its streams."""
    if table[0] != 2 or len(table) < 16:
        return
    at = 12 + ((table[10] & 0x0F) << 8 | table[11])
    while at + 5 <= len(table) - 4:
        yield (table[at + 1] & 0x1F) << 8 | table[at + 2]
        at += 5 + ((table[at + 3] & 0x0F) << 8 | table[at + 4])
