"""Text subtitles converted to the target's format."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
from av.subtitles.subtitle import SubtitleSet

if TYPE_CHECKING:
    from av.packet import Packet

    from dossr_video.video.mux.packets import Clock, TimedPacket

ONE_AT_A_TIME = "mov_text"  # mp4's and mov's codec, which shows no two events at once
TICK = Fraction(1, 1000)  # seconds
_FIELDS = 8  # of an ASS event, before its text
_NEXT_LINE = rb"\N{\r}"  # which ends the styles of the line before, too


@dataclass(frozen=True)
class Event:
    """What is shown for some time, in ticks of the result, half-open."""

    start: int
    stop: int
    lines: tuple[bytes, ...]  # ASS events: fields and text


class OneAtATime:
    """Events cut where another one begins or ends. Each part has the lines of all that are shown then."""

    def __init__(self) -> None:
        self._shown: list[Event] = []
        self._since = 0  # ticks; what is shown before is done

    def add(self, event: Event) -> Iterator[Event]:
        """The next event, and the parts that are complete with it: those before its start."""
        yield from self._until(event.start)
        self._since = start = max(self._since, event.start)
        self._shown.append(Event(start, max(event.stop, start + 1), event.lines))

    def rest(self) -> Iterator[Event]:
        """The parts to the end."""
        yield from self._until(math.inf)

    def _until(self, time: float) -> Iterator[Event]:
        while self._shown and self._since < time:
            stop = min(event.stop for event in self._shown)
            if time < stop:
                stop = int(time)
            yield Event(self._since, stop, tuple(line for event in self._shown for line in event.lines))
            self._since = stop
            self._shown = [event for event in self._shown if event.stop > stop]


def read_event(packet: Packet[Any], decoder: Any, clock: Clock) -> Event | None:
    """What a packet of text subtitles shows, with times of the result; None for nothing."""
    unit = packet.time_base
    if packet.size == 0 or packet.pts is None or unit is None or not (shown := decoder.decode2(packet)):
        return None
    start = packet.pts - clock.ticks(unit)
    stop = start + (packet.duration or 0)
    return Event(round(max(start, 0) * unit / TICK), round(max(stop, 0) * unit / TICK), tuple(one.ass for one in shown))


class SubtitleTranscoder:
    """Text subtitles decoded to ASS events and encoded in the target's format."""

    def __init__(self, stream: Any, out: Any, clock: Clock) -> None:
        """`stream` is the source's, `out` the result's."""
        self.warnings: list[str] = []
        self._decoder, self._out, self._clock = stream.codec_context, out, clock
        self._decoder.open(strict=False)
        out.codec_context.subtitle_header = self._decoder.subtitle_header
        out.codec_context.time_base = out.time_base = TICK
        self._parts = OneAtATime() if out.codec_context.name == ONE_AT_A_TIME else None

    def write(self, packet: Packet[Any]) -> Iterator[TimedPacket]:
        try:
            event = read_event(packet, self._decoder, self._clock)
        except av.FFmpegError as error:
            seconds = float((packet.pts or 0) * (packet.time_base or TICK))
            self.warnings.append(f"a subtitle at {seconds:.3f} s cannot be decoded: {error.strerror}")
            return
        if event is None:
            return
        for part in (event,) if self._parts is None else self._parts.add(event):
            yield self._encoded(part)

    def flush(self) -> Iterator[TimedPacket]:
        for part in () if self._parts is None else self._parts.rest():
            yield self._encoded(part)

    def _encoded(self, event: Event) -> TimedPacket:
        shown = SubtitleSet.create(_joined(event.lines), 0, event.stop - event.start)
        packet = self._out.codec_context.encode_subtitle(shown)
        packet.pts = packet.dts = event.start
        packet.duration = event.stop - event.start
        packet.time_base = self._out.time_base
        packet.stream = self._out
        return float(event.start * TICK), packet


def _joined(lines: tuple[bytes, ...]) -> bytes:
    """ASS events as one that has their texts below each other, and equal ones once: layers of a text are such."""
    fields = [line.split(b",", _FIELDS) for line in lines]
    texts = dict.fromkeys(line[-1] for line in fields)
    return b",".join((*fields[0][:_FIELDS], _NEXT_LINE.join(texts)))
