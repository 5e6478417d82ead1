"""Closed captions (CEA-608) of a source, out of its picture or a track of their own, as the texts of .scc and .srt.

A pair of bytes comes with every frame of 29.97 a second. Scenarist's .scc holds the pairs as they are, with timecode;
.srt holds what FFmpeg's decoder reads of them.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from itertools import groupby
from typing import Any

import av

from dossr_video.video.info import SourceInfo
from dossr_video.video.mux.packets import Clock
from dossr_video.video.mux.sei import ATSC_IN_T35, SOURCES, T35, SeiReader
from dossr_video.video.mux.timecode import first_timecode, relabelled
from dossr_video.video.read.opening import open_source

NTSC = Fraction(30000, 1001)
EMPTY = b"\x80\x80"  # a pair that says nothing, with its parity
ERASE = b"\x94\x2c"  # Erase Displayed Memory, with its parity
PARITY = 0x7F  # what is left without it
TRACK = "eia_608"  # FFmpeg's codec of a track of captions

Pair = tuple[Fraction, bytes]  # seconds of the result, two bytes


@dataclass(frozen=True)
class Captions:
    """The captions of a source, or of the part that was upscaled."""

    pairs: tuple[Pair, ...]  # of field 1, in the order of time
    second_field: int  # pairs of field 2, which are not written
    digital: bool  # whether there are CEA-708 packets beside

    def left(self) -> tuple[str, ...]:
        """What is in neither text, one line each."""
        lines = []
        if self.second_field:
            lines.append(f"{self.second_field} pairs of field 2 (CC3, CC4, or data of the programme)")
        if self.digital:
            lines.append("CEA-708 packets: the CEA-608 captions beside them are written")
        return tuple(lines)

    def scc(self, source: SourceInfo, clock: Clock) -> str:
        """Scenarist's text; timecode from that of the source, or from zero, drop-frame where the rate is NTSC's."""
        ntsc = source.video.frame_rate.denominator == 1001
        rate = NTSC if ntsc else Fraction(30)
        zero = first_timecode(source, clock, rate) or ("00:00:00;00" if ntsc else "00:00:00:00")
        lines = ["Scenarist_SCC V1.0"]
        for frame, words in _lines(self.pairs, rate):
            code = relabelled(zero, frame / rate, rate=rate, new_rate=rate)
            lines.append(f"{code}\t{' '.join(words)}")
        return "\n\n".join(lines) + "\n"

    def srt(self, stop: Fraction | None) -> str:
        """SubRip's text with times of the result; what is still shown at `stop`, where the picture ends, ends there."""
        blocks: list[str] = []
        for begin, end, text in _decoded(self.pairs):
            shown = max(begin, Fraction(0)), end if stop is None else min(end, stop)
            if text and shown[0] < shown[1]:
                blocks.append(f"{len(blocks) + 1}\n{_srt_time(shown[0])} --> {_srt_time(shown[1])}\n{text}\n")
        return "\n".join(blocks)


def holds_captions(source: SourceInfo) -> bool:
    """Whether there is a pair that says something; reads no farther than that."""
    return any(pair[1] for _, pair in _fields(source, Clock(Fraction(0), None, cut=False)))


def read_captions(source: SourceInfo, clock: Clock) -> Captions:
    """All captions of a source, or of its part between the start and the stop of `clock`."""
    pairs: list[Pair] = []
    second, digital = 0, False
    for seconds, (field, pair) in _fields(source, clock):
        if field == 0:
            pairs.append((seconds, pair))
        second += field == 1
        digital |= field > 1
    return Captions(tuple(pairs), second, digital)


def _fields(source: SourceInfo, clock: Clock) -> Iterator[tuple[Fraction, tuple[int, bytes]]]:
    """Field and bytes of every pair that says something, with the seconds of the result at which it comes."""
    stop = None if clock.stop is None else clock.stop - clock.start
    for seconds, triplets in _triplets(source):
        field_one = 0
        for place in range(0, len(triplets) - 2, 3):
            marker, pair = triplets[place], triplets[place + 1 : place + 3]
            field, valid = marker & 3, marker & 4
            time = seconds - clock.start + (field_one / NTSC if field < 2 else 0)
            field_one += field == 0
            says = field > 1 or bytes(byte & PARITY for byte in pair) != b"\0\0"
            if valid and says and (not clock.cut or time >= 0) and (stop is None or time < stop):
                yield time, (field, pair)


def _triplets(source: SourceInfo) -> Iterator[tuple[Fraction, bytes]]:
    """The bytes of CEA-708's cc_data, three for each pair, with the seconds of the source at which they are shown."""
    if source.video.codec in SOURCES:
        found = False
        with closing(SeiReader(source)) as reader:
            for seconds, messages in reader.all():
                for kind, payload in messages:
                    if kind == T35 and payload.startswith(ATSC_IN_T35 + b"GA94\x03") and len(payload) > 10:
                        found = True
                        yield seconds, payload[10 : 10 + 3 * (payload[8] & 31)]
        if found:
            return
    track = next((s for s in source.own_streams if s.codec == TRACK), None)
    if track is None:
        return
    with open_source(source.path) as container:
        stream = container.streams[track.index]
        assert stream.time_base is not None
        for packet in container.demux(stream):
            if packet.size and packet.pts is not None:
                yield packet.pts * stream.time_base, bytes(packet)


def _lines(pairs: Sequence[Pair], rate: Fraction) -> Iterator[tuple[int, list[str]]]:
    """Runs of pairs that follow each other frame by frame: the frame of the first, and their words."""
    begin, words = 0, list[str]()
    for seconds, pair in pairs:
        frame = int(seconds * rate + Fraction(1, 4))
        if words and frame > begin + len(words):
            yield begin, words
            words = []
        begin = begin if words else frame
        words.append(pair.hex())
    if words:
        yield begin, words


def _decoded(pairs: Sequence[Pair]) -> Iterator[tuple[Fraction, Fraction, str]]:
    """What is shown, from when to when in seconds, by FFmpeg's decoder.

    It takes the time of packets from a demuxer alone: so it gets a .scc, each pair at its frame of 30 a second.
    """
    if not pairs:
        return
    begin = min(Fraction(0), pairs[0][0])
    last = (pairs[-1][0] + 10, ERASE)  # what nobody takes away
    lines = ["Scenarist_SCC V1.0"]
    frames = groupby([*pairs, last], key=lambda pair: int((pair[0] - begin) * 30))
    for frame, group in frames:
        words = " ".join(pair.hex() for _, pair in group)
        lines.append(
            f"{relabelled('00:00:00:00', Fraction(frame, 30), rate=Fraction(30), new_rate=Fraction(30))}\t{words}"
        )
    with av.open(io.BytesIO("\n\n".join(lines).encode() + b"\n\n"), format="scc") as opened:
        container: Any = opened
        stream = container.streams.subtitles[0]
        for packet in container.demux(stream):
            events = stream.codec_context.decode2(packet) if packet.size else None
            if events is not None and len(events):
                start = Fraction(events.pts, av.time_base) + begin
                text = "\n".join(_plain(rect.ass.decode()) for rect in events.rects)
                yield start, start + Fraction(events.end_display_time, 1000), text


def _plain(event: str) -> str:
    """The text of an ASS event; of its styles italics alone."""
    text = event.split(",", 8)[8].replace(r"\N", "\n").replace(r"{\i1}", "<i>").replace(r"{\i0}", "</i>")
    text = re.sub(r"\{[^}]*\}", "", text).replace(r"\h", " ")
    text += "</i>" * (text.count("<i>") - text.count("</i>"))
    return "\n".join(line.strip() for line in text.split("\n") if line.strip())


def _srt_time(seconds: Fraction) -> str:
    whole, thousandths = divmod(round(seconds * 1000), 1000)
    return f"{whole // 3600:02d}:{whole // 60 % 60:02d}:{whole % 60:02d},{thousandths:03d}"
