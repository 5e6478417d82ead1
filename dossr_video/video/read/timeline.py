"""Timestamp discontinuities of MPEG-TS and MPEG-PS: where they are, and continuous timestamps for all streams.

Recordings that are joined end to end, or cut, have timestamps that jump. All streams belong to the video they were
recorded with, so one scan of the video packets finds the parts, and every stream is shifted by the same time in a part.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av

from dossr_video.video.files import FileStatus, status_of
from dossr_video.video.info import SourceInfo
from dossr_video.video.read.opening import MAX_PIXELS, has_free_clock, open_source, picture_stream, rate_of

if TYPE_CHECKING:
    from av.packet import Packet

BACK = Fraction(1, 2)  # seconds; timestamps that go back farther are a discontinuity
FORWARD = Fraction(10)  # seconds; so are those that go forward farther, while no other stream goes on (as in ffmpeg)
SLACK = Fraction(2)  # seconds that other streams may begin before the video of a part, or end after it


@dataclass(frozen=True)
class Part:
    """Packets with continuous timestamps; times in seconds of the file's own clock."""

    position: int  # of its first video packet, in bytes
    first: Fraction  # time of its first video packet
    last: Fraction  # latest time of its video packets
    shift: Fraction  # added to all timestamps of the part

    def holds(self, time: Fraction) -> bool:
        """Whether packets of other streams at a time can belong to it."""
        return self.first - SLACK <= time <= self.last + SLACK


def parts_of(source: SourceInfo) -> tuple[Part, ...]:
    """The parts of a file, found by reading all packets once; () for containers without discontinuities."""
    return _scan(source.path, status_of(source.path), source.video.stream.index)


class Rebaser:
    """Makes the timestamps of packets continuous. Packets are given in file order, from the beginning."""

    def __init__(self, parts: Sequence[Part], video_index: int) -> None:
        self._parts = parts
        self._video_index = video_index
        self._streams: dict[int, _State] = {}

    def __call__(self, packet: Packet[Any]) -> Fraction:
        """Shift a packet's timestamps in place; returns the seconds by which the file's own clock jumps before it."""
        unit = packet.stream.time_base
        if len(self._parts) < 2 or unit is None or (packet.dts is None and packet.pts is None):
            return Fraction(0)
        state = self._streams.setdefault(packet.stream.index, _State())
        before = state.part
        if packet.stream.index == self._video_index:
            state.part = max(before, bisect_right(self._parts, packet.pos or 0, key=lambda part: part.position) - 1)
        else:
            state.part = self._part(state, _decoding_time(packet), packet.pos or 0)
        state.last = _decoding_time(packet)
        ticks = round(self._parts[state.part].shift / unit)
        packet.pts = None if packet.pts is None else packet.pts + ticks
        packet.dts = None if packet.dts is None else packet.dts + ticks
        return Fraction(0) if state.part == before else self._parts[state.part].first - self._parts[before].last

    def _part(self, state: _State, time: Fraction, position: int) -> int:
        """Index of the part that a packet of another stream belongs to, never before that of its last packet.

        Streams are interleaved loosely: near a joint the place in the file decides only where the time does not.
        """
        if state.last is not None and -BACK <= time - state.last <= FORWARD:
            return state.part
        here = max(state.part, bisect_right(self._parts, position, key=lambda part: part.position) - 1)
        went_back = state.last is not None and time < state.last
        later = range(state.part + went_back, len(self._parts))
        possible = [index for index in later if self._parts[index].holds(time)]
        return min(possible, key=lambda index: abs(index - here), default=state.part if went_back else here)


@dataclass
class _State:
    part: int = 0
    last: Fraction | None = None  # time of the last packet, in the file's own clock


@lru_cache(maxsize=16)
def _scan(path: Path, status: FileStatus, index: int) -> tuple[Part, ...]:
    with open_source(path) as container:
        if not has_free_clock(container):
            return ()
        video = picture_stream(container, path, index, max_pixels=MAX_PIXELS)
        scan = _Scan(1 / rate_of(video))
        try:
            for packet in container.demux(video, *container.streams.audio):
                if packet.size and not (packet.dts is None and packet.pts is None):
                    scan.add(packet, is_video=packet.stream.index == video.index)
        except av.FFmpegError:  # reported when the file is read
            pass
        return scan.parts()


@dataclass
class _Scan:
    """Collects the packets of a file in reading order."""

    period: Fraction  # seconds per frame
    _parts: list[Part] = field(default_factory=list)  # wherever timestamps jump, without shifts
    _jumps: list[tuple[Fraction, Fraction]] = field(default_factory=list)  # before each: decoding times around the jump
    _last: Fraction | None = None  # decoding time of the last video packet
    _others: tuple[array[int], array[float]] = field(default_factory=lambda: (array("q"), array("d")))

    def add(self, packet: Packet[Any], *, is_video: bool) -> None:
        time, position = _decoding_time(packet), packet.pos
        if not is_video:
            self._others[0].append(-1 if position is None else position)
            self._others[1].append(float(time))
            return
        shown = time if packet.pts is None else Fraction(packet.pts * packet.stream.time_base)
        if self._last is None or not -BACK <= time - self._last <= FORWARD:
            self._jumps.append((time if self._last is None else self._last, time))
            last_position = self._parts[-1].position if self._parts else 0
            self._parts.append(Part(last_position if position is None else position, shown, shown, Fraction(0)))
        self._parts[-1] = replace(self._parts[-1], last=max(self._parts[-1].last, shown))
        self._last = time

    def parts(self) -> tuple[Part, ...]:
        """The parts with their shifts. A gap in which other streams go on is not a discontinuity."""
        found: list[Part] = []
        for part, jump in zip(self._parts, self._jumps, strict=True):
            if not found:
                found.append(part)
            elif jump[0] < jump[1] and self._filled(found[-1].position, part.position, jump):
                found[-1] = replace(found[-1], last=max(found[-1].last, part.last))
            else:
                shift = found[-1].last + found[-1].shift + self.period - part.first
                found.append(replace(part, shift=shift))
        return tuple(found)

    def _filled(self, begin: int, end: int, gap: tuple[Fraction, Fraction]) -> bool:
        """Whether packets of other streams between two positions have times in the middle of a gap."""
        early, late = (float(gap[0] + (gap[1] - gap[0]) * share) for share in (Fraction(1, 4), Fraction(3, 4)))
        return any(begin <= at <= end and early < time < late for at, time in zip(*self._others, strict=True))


def _decoding_time(packet: Packet[Any]) -> Fraction:
    stamp = packet.dts if packet.dts is not None else packet.pts
    return Fraction((stamp or 0) * packet.stream.time_base)
