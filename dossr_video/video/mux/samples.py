"""Times of sound to the sample, where the source counts in milliseconds and the result in samples."""

from __future__ import annotations

import struct
from fractions import Fraction
from typing import Any

# Milliseconds of a frame of Opus, by the first five bits of its packet (RFC 6716 3.1).
OPUS_FRAMES = (*(10, 20, 40, 60) * 3, *(10, 20) * 2, *(2.5, 5, 10, 20) * 4)


class SampleCount:
    """Counts the samples of a stream's packets, so that the rounding of their times is undone."""

    def __init__(self, stream: Any) -> None:
        context = stream.codec_context
        self._unit = Fraction(stream.time_base)
        self._rate = 0 if stream.type != "audio" or context is None else context.sample_rate
        self._opus = bool(self._rate) and context.name in ("opus", "libopus")
        self._frame = Fraction(context.frame_size or 0, self._rate) if self._rate else Fraction(0)
        self._next: Fraction | None = None

    def time(self, packet: Any, stamp: int, final: Fraction) -> tuple[Fraction, Fraction]:
        """When a packet of that timestamp begins and how long it sounds, seconds of the source.

        As told where the result's clock, with ticks of `final` seconds, is no finer, or what was counted is more than
        a tick away.
        """
        told, length = stamp * self._unit, (packet.duration or 0) * self._unit
        if not self._rate or final >= self._unit:
            return told, length
        first, last = _skipped(packet)
        if self._next is None:
            self._next = Fraction(-first, self._rate)
        begin = self._next if abs(self._next - told) <= self._unit else told
        exact = Fraction(_samples_of_opus(bytes(packet)), 48000) if self._opus else self._frame
        if exact and (self._opus or abs(exact - length) <= self._unit):
            length = exact
        self._next = begin + length
        return begin, max(length - Fraction(last, self._rate), Fraction(1, self._rate))  # none of 0 is read back


def _skipped(packet: Any) -> tuple[int, int]:
    """Samples that are not heard at the beginning and at the end of a packet."""
    if not packet.has_sidedata("skip_samples"):
        return 0, 0
    first, last = struct.unpack("<2I", bytes(packet.get_sidedata("skip_samples"))[:8])
    return first, last


def _samples_of_opus(content: bytes) -> int:
    """Of 48 kHz; 0 where the packet is none."""
    if len(content) < 2:
        return 0
    frames = {0: 1, 1: 2, 2: 2, 3: content[1] & 63}[content[0] & 3]
    return round(OPUS_FRAMES[content[0] >> 3] * 48) * frames
