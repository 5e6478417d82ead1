"""SEI messages of the source's video: captions, HDR10+ and other messages move to the frames of the result.

H.264 and HEVC hold them as NAL units with the same payload, MPEG-2 holds captions as user data (ATSC A/53). They are
read from the source's packets and inserted into the encoded packets of the result; nothing is decoded or encoded.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av

from dossr_video.video.info import SourceInfo
from dossr_video.video.read.opening import MAX_PIXELS, open_source, picture_stream
from dossr_video.video.read.side_data import ENCODER_UUIDS
from dossr_video.video.read.timeline import Rebaser, parts_of

if TYPE_CHECKING:
    from av.packet import Packet

SOURCES = ("h264", "hevc", "mpeg2video")
ENCODERS = ("libx264", "libx265")
T35, UNREGISTERED = 4, 5  # payload types that are copied: ITU-T T.35 messages and user data
NAL_TYPES = {"h264": (6,), "hevc": (39, 40)}  # of SEI
HEADERS = {"libx264": b"\x06", "libx265": b"\x4e\x01"}  # of the NAL units that are written
USER_DATA = b"\0\0\1\xb2"  # start code in MPEG-2
ATSC = (b"GA94", b"DTG1")  # identifiers of captions and active format descriptions
TOLERANCE = Fraction(1, 2000)  # seconds between a message's time and its frame's
ATSC_IN_T35 = b"\xb5\x00\x31"  # United States, ATSC

Message = tuple[int, bytes]  # payload type and payload


class SeiCopier:
    """Inserts the source's SEI messages into the packets of the result, segment by segment."""

    def __init__(self, source: SourceInfo, encoder: str) -> None:
        self._reader = SeiReader(source)
        self._encoder = encoder
        self._begun = False

    def __call__(self, packets: Sequence[Packet[Any]], times: Sequence[Fraction]) -> list[Packet[Any]]:
        """The packets of the next segment; `times`: of their frames, in seconds of the source.

        Where frames are fewer than the source's, as after inverse telecine, a message goes to the next frame.
        """
        shown = sorted(times)
        found: dict[Fraction, list[Message]] = {}
        for time, messages in self._reader.until(shown[-1]):
            if self._begun or time > shown[0] - TOLERANCE:  # else before a cut
                place = bisect_left(shown, time - TOLERANCE)
                found.setdefault(shown[min(place, len(shown) - 1)], []).extend(messages)
        self._begun = True
        return [self._with(packet, found.get(time, ())) for packet, time in zip(packets, times, strict=True)]

    def _with(self, packet: Packet[Any], messages: Sequence[Message]) -> Packet[Any]:
        if not messages:
            return packet
        made: Packet[Any] = av.Packet(with_messages(bytes(packet), self._encoder, messages))
        made.pts, made.dts, made.duration = packet.pts, packet.dts, packet.duration
        made.is_keyframe = packet.is_keyframe
        return made

    def close(self) -> None:
        self._reader.close()


class SeiReader:
    """Reads the SEI messages of a file in order, no farther than needed."""

    def __init__(self, source: SourceInfo) -> None:
        self._container = open_source(source.path)
        stream = picture_stream(self._container, source.path, source.video.stream.index, max_pixels=MAX_PIXELS)
        self._unit = stream.time_base or Fraction(1)
        self._period = 1 / source.video.frame_rate
        self._codec = source.video.codec
        self._length = _length_size(stream)
        self._rebase = Rebaser(parts_of(source), stream.index)
        self._packets: Iterator[Packet[Any]] = iter(self._container.demux(stream))
        self._pending: list[tuple[Fraction, list[Message]]] = []
        self._reached: Fraction | None = None  # decoding time of the last packet
        self._ended = False

    def all(self) -> Iterator[tuple[Fraction, list[Message]]]:
        """Messages of all frames in display order, each with its time."""
        time = Fraction(0) if self._reached is None else self._reached
        while not self._ended:
            yield from self.until(time)
            time = max(time, self._reached or time) + 10
        yield from sorted(self._pending, key=lambda entry: entry[0])
        self._pending = []

    def until(self, time: Fraction) -> list[tuple[Fraction, list[Message]]]:
        """Messages of the next frames up to one that is shown at `time`, in display order, each with its time."""
        while self._reached is None or self._reached <= time:
            packet = self._next()
            if packet is None:
                self._ended = True
                break
            self._rebase(packet)
            after = Fraction(0) if self._reached is None else self._reached + self._period
            self._reached = after if packet.dts is None else packet.dts * self._unit
            if messages := messages_of(bytes(packet), self._codec, self._length):
                shown = self._reached if packet.pts is None else packet.pts * self._unit
                self._pending.append((shown, messages))
        self._pending.sort(key=lambda entry: entry[0])
        ready = [entry for entry in self._pending if entry[0] <= time]
        self._pending = self._pending[len(ready) :]
        return ready

    def _next(self) -> Packet[Any] | None:
        try:
            packet = next(self._packets, None)
        except av.FFmpegError:  # reported when the file was read
            return None
        return None if packet is None or not packet.size else packet

    def close(self) -> None:
        self._container.close()


def messages_of(content: bytes, codec: str, length_size: int) -> list[Message]:
    """The SEI messages of a packet that are copied; `length_size`: bytes of a NAL unit's length, 0: start codes."""
    if codec == "mpeg2video":
        return [(T35, ATSC_IN_T35 + data) for data in _user_data(content) if data.startswith(ATSC)]
    header = 1 if codec == "h264" else 2
    messages = []
    for unit in _units(content, length_size):
        kind = unit[0] & 31 if codec == "h264" else unit[0] >> 1 & 63
        if kind in NAL_TYPES[codec]:
            messages += [message for message in _parsed(unit[header:]) if _is_copied(message)]
    return messages


def with_messages(content: bytes, encoder: str, messages: Iterable[Message]) -> bytes:
    """An encoded packet (NAL units with lengths of 4 bytes) with SEI messages before its first slice."""
    body = b"".join(_coded(kind) + _coded(len(payload)) + payload for kind, payload in messages) + b"\x80"
    # Emulation prevention: no start code may appear within a unit.
    unit = HEADERS[encoder] + re.sub(rb"\0\0(?=[\0-\3])", b"\0\0\3", body)
    place = 0
    while place < len(content) and not _is_slice(content[place + 4], encoder):
        place += 4 + int.from_bytes(content[place : place + 4], "big")
    return content[:place] + len(unit).to_bytes(4, "big") + unit + content[place:]


def _is_copied(message: Message) -> bool:
    kind, payload = message
    return kind == T35 or (kind == UNREGISTERED and payload[:16] not in ENCODER_UUIDS)


def _is_slice(first: int, encoder: str) -> bool:
    return 1 <= first & 31 <= 5 if encoder == "libx264" else first >> 1 & 63 < 32


def _length_size(stream: Any) -> int:
    """Bytes of a NAL unit's length, from avcC or hvcC; 0: the packets have start codes."""
    extradata = stream.codec_context.extradata or b""
    place = 4 if stream.codec_context.name == "h264" else 21
    if not extradata.startswith(b"\1") or len(extradata) <= place:
        return 0
    return int(extradata[place] & 3) + 1


def _units(content: bytes, length_size: int) -> Iterator[bytes]:
    if not length_size:
        yield from filter(None, re.split(b"\0*\0\0\1", content)[1:])
        return
    place = 0
    while place + length_size < len(content):
        size = int.from_bytes(content[place : place + length_size], "big")
        if size:
            yield content[place + length_size : place + length_size + size]
        place += length_size + size


def _user_data(content: bytes) -> Iterator[bytes]:
    for part in content.split(USER_DATA)[1:]:
        yield part.split(b"\0\0\1", 1)[0]


def _parsed(body: bytes) -> Iterator[Message]:
    """Messages of a NAL unit without its header."""
    body = body.replace(b"\0\0\3", b"\0\0")
    place = 0

    def number() -> int:
        nonlocal place
        total = 0
        while place < len(body):
            total += body[place]
            place += 1
            if body[place - 1] != 255:
                break
        return total

    while place + 1 < len(body):  # the last byte is the stop bit
        kind, size = number(), number()
        if place + size > len(body):
            return
        yield kind, body[place : place + size]
        place += size


def _coded(number: int) -> bytes:
    return b"\xff" * (number // 255) + bytes([number % 255])
