"""Sound of MXF: PCM that begins with the first picture and ends with the last, to the sample.

FFmpeg's muxer puts all streams at the beginning whatever their times are, and ends the file where the shortest ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av

BITS = {"pcm_s16le": 16, "pcm_s24le": 24}
RATE = 48000  # samples per second
JITTER = RATE // 100  # samples that times may be off where nothing is missing: Matroska counts milliseconds


class PcmWindow:
    """Takes sound piece by piece and gives that between zero and the end; silence where there is none."""

    def __init__(self, codec: str, channels: int, seconds: Fraction) -> None:
        """`seconds`: how long the pictures are."""
        self.block = channels * BITS[codec] // 8  # bytes of a sample of all channels
        self._samples = round(seconds * RATE)
        self._next: int | None = None  # where the sound before ended; None: none came
        self.written = 0  # samples
        self.dropped = 0  # samples before zero and after the end

    def take(self, seconds: Fraction, content: bytes) -> bytes:
        """What to write of a piece that begins at a time."""
        start, count = round(seconds * RATE), len(content) // self.block
        if self._next is not None and abs(start - self._next) <= JITTER:
            start = self._next
        self._next = start + count
        first = max(self.written, start)
        stop = min(self._next, self._samples)
        self.dropped += count - max(0, stop - first)
        if stop <= first:
            return b""
        silence = bytes((first - self.written) * self.block)
        self.written = stop
        return silence + content[(first - start) * self.block : (stop - start) * self.block]

    def rest(self) -> bytes:
        """Silence up to the end."""
        silence = bytes((self._samples - self.written) * self.block)
        self.written = self._samples
        return silence


class PcmTrack:
    """A packet writer whose sound is that of a window."""

    def __init__(self, writer: Any, out: Any, window: PcmWindow, *, told: bool) -> None:
        """`writer` makes packets of PCM for the stream `out`; `told`: what is left out is a warning."""
        self._writer, self._out, self._window, self._told = writer, out, window, told

    @property
    def warnings(self) -> list[str]:
        seconds = self._window.dropped / RATE
        if not (seconds and self._told):
            return list(self._writer.warnings)
        left_out = f"{seconds:.3f} s of sound before the first picture or after the last are left out"
        return [*self._writer.warnings, left_out]

    def write(self, packet: Any) -> Iterator[tuple[float, Any]]:
        for _, made in self._writer.write(packet):
            yield from self._framed(made)

    def flush(self) -> Iterator[tuple[float, Any]]:
        for _, made in self._writer.flush():
            yield from self._framed(made)
        yield from self._packet(self._window.rest())

    def _framed(self, made: Any) -> Iterator[tuple[float, Any]]:
        yield from self._packet(self._window.take(made.pts * made.time_base, bytes(made)))

    def _packet(self, content: bytes) -> Iterator[tuple[float, Any]]:
        """The packet that ends where the window does now."""
        if not content:
            return
        packet, count = av.Packet(content), len(content) // self._window.block
        packet.pts = packet.dts = self._window.written - count
        packet.duration, packet.time_base, packet.stream = count, Fraction(1, RATE), self._out
        yield packet.pts / RATE, packet
