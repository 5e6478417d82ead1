"""The times of a stream's packets, held against what they should be."""

from __future__ import annotations

import hashlib
import math
from array import array
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from dossr_video.video.mux.subtitles import TICK, Event

if TYPE_CHECKING:
    from dossr_video.video.mux.packets import Clock

SLACK = 0.005  # seconds beyond a tick: mp4 counts samples, Matroska milliseconds
CONVERTED = 0.1  # seconds: encoders of sound begin earlier and end later
JUMP = 0.5  # seconds back, after which the source's times say nothing of the result's


class PacketTimes:
    """Of one stream, in seconds of the result."""

    def __init__(self) -> None:
        self._starts = array("d")  # nan: not told
        self._end = -math.inf
        self._tick = 0.0
        self._flows = False

    def add(self, packet: Any, clock: Clock, *, flows: bool) -> None:
        """The next packet; `flows`: muxers cut this codec into packets as they like."""
        unit, stamp = packet.stream.time_base, packet.dts if packet.pts is None else packet.pts
        self._flows = flows
        if unit is None or stamp is None:
            self._starts.append(math.nan)
            return
        begin = float((stamp - clock.ticks(unit)) * unit)
        self._tick = float(unit)
        self._add(begin, begin + float((packet.duration or 0) * unit))

    def add_events(self, events: Iterable[Event]) -> int:
        """The next ones of subtitles that are decoded; how many they are."""
        before, self._tick = len(self._starts), float(TICK)
        for event in events:
            self._add(float(event.start * TICK), float(event.stop * TICK))
        return len(self._starts) - before

    def _add(self, begin: float, end: float) -> None:
        self._end = max(self._end, end)
        if not self._flows or not self._starts:
            self._starts.append(begin)

    def digest(self) -> str:
        """By which the same times are known again."""
        return hashlib.blake2b(self._starts.tobytes() + array("d", [self._end]).tobytes(), digest_size=16).hexdigest()

    def difference(self, made: PacketTimes, *, every: bool) -> str | None:
        """In words, how the result's times differ; `every`: packet by packet, else where the stream begins and ends."""
        slack = SLACK + self._tick + made._tick
        if every and not self._flows:
            for index, (wanted, found) in enumerate(zip(self._starts, made._starts, strict=False)):
                if index and wanted < self._starts[index - 1] - JUMP:
                    return None
                last = made._starts[index - 1] if index else -math.inf
                pushed = wanted < last and 0 <= found - last <= 1.5 * made._tick  # timestamps must rise
                if abs(found - max(wanted, min(found, 0.0))) > slack and not pushed:
                    return f"packet {index} comes at {found:.3f} s; it belongs at {wanted:.3f} s"
            return None
        if not self._starts or not made._starts or math.isnan(self._starts[0]):
            return None
        slack = max(slack, CONVERTED)
        if abs(made._starts[0] - max(self._starts[0], min(made._starts[0], 0.0))) > slack:
            return f"it begins at {made._starts[0]:.3f} s; it should at {self._starts[0]:.3f} s"
        if self._end > self._starts[0] and abs(made._end - self._end) > slack:
            return f"it ends at {made._end:.3f} s; it should at {self._end:.3f} s"
        return None
