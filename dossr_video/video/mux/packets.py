"""Writing the source's other streams to the result: stream copy, or transcoding of audio and text subtitles."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Protocol

import av
from av.stream import Disposition

from dossr_video.video.files import path_of
from dossr_video.video.info import SourceInfo, StreamInfo, TrackFile
from dossr_video.video.mux.pcm import PcmTrack, PcmWindow
from dossr_video.video.mux.samples import SampleCount
from dossr_video.video.mux.stored import has_adts, without_adts
from dossr_video.video.mux.streams import COVER_TYPES, StreamMapping, is_cover, is_muxed
from dossr_video.video.mux.subtitles import SubtitleTranscoder
from dossr_video.video.mux.tags import written_tags
from dossr_video.video.read.damage import Damage, note
from dossr_video.video.read.opening import open_source
from dossr_video.video.read.timeline import Rebaser, parts_of
from dossr_video.video.write.containers import Container

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.packet import Packet

JUMP = Fraction(1, 2)  # seconds; a timestamp that goes back farther is a discontinuity
OVERLAP = Fraction(1, 10)  # seconds that joined recordings may overlap without being named
LAYOUTS = (
    "mono",
    "stereo",
    "3.0",
    "quad",
    "5.0",
    "5.1",
    "6.1",
    "7.1",
)  # by number of channels, where the file has no layout

TimedPacket = tuple[float, "Packet[Any]"]  # seconds in the result, for interleaving


@dataclass(frozen=True)
class Clock:
    """Maps timestamps of the source to the result."""

    start: Fraction  # seconds in the source: zero in the result
    stop: Fraction | None  # seconds in the source; None: to its end
    cut: bool  # whether what ends before the start is left out
    whole: bool = False  # whether nothing is left out after the stop either; see PcmWindow

    def ticks(self, unit: Fraction) -> int:
        """The start in ticks of a time base."""
        return round(self.start / unit)

    def keeps(self, packet: Packet[Any], unit: Fraction, *, begun: bool) -> bool:
        """Whether a packet belongs to the result; `begun`: whether one that is shown or heard was kept before.

        Packets hidden by an edit list or ending before the cut are left out. The packet that ends where the audio
        begins is kept: decoders need it as priming for the first samples.
        """
        if packet.pts is None:
            return packet.size > 0
        if packet.is_discard and begun:
            return False
        begin = packet.pts - (self.ticks(unit) if self.cut else 0)
        end = begin + (packet.duration or 0)
        time = (begin + (self.ticks(unit) if self.cut else 0)) * unit
        if self.stop is not None and time >= self.stop and not self.whole:
            return False
        return end >= 0 if self.cut or packet.is_discard else True


class PacketSelector:
    """Selects the packets of a file that belong to the result, and makes their timestamps continuous.

    Packets are given in file order, from the beginning.
    """

    def __init__(self, source: SourceInfo, clock: Clock, *, file: TrackFile | None = None) -> None:
        """Of the source, or of a `file` whose tracks are added to it; `clock` is that of the file."""
        self._clock = clock
        self._rebase = Rebaser(parts_of(source) if file is None else (), source.video.stream.index)
        self._begun: set[int] = set()  # indices of streams

    def __call__(self, packet: Packet[Any]) -> bool:
        self._rebase(packet)
        stream: Any = packet.stream
        if packet.size == 0 or stream.time_base is None or stream.disposition & Disposition.attached_pic:
            return True
        if not self._clock.keeps(packet, stream.time_base, begun=stream.index in self._begun):
            return False
        if not packet.is_discard:
            self._begun.add(stream.index)
        return True


class PacketWriter(Protocol):
    """Turns the packets of one source stream into packets of the result."""

    @property
    def warnings(self) -> list[str]: ...

    def write(self, packet: Packet[Any]) -> Iterator[TimedPacket]: ...

    def flush(self) -> Iterator[TimedPacket]: ...


def add_output_stream(mapping: StreamMapping, stream: Any, made: OutputContainer, clock: Clock) -> PacketWriter | None:
    """Add the stream to the result; None for one that is dropped, or written to the header as attachments are."""
    if not is_muxed(mapping):
        return None
    if mapping.stream.kind == "attachment":
        _attach(made, stream, stream.name or "attachment", stream.mimetype or "", stream.data)
        return None
    if is_cover(mapping.stream) and made.format.name == "matroska":  # as a stream it would be a second video
        suffix, mimetype = COVER_TYPES[str(mapping.stream.codec)]
        name = stream.metadata.get("filename", f"cover.{suffix}")
        _attach(made, stream, name, mimetype, _first_packet(stream))
        return None
    writer: Any
    if mapping.action == "copy":
        out = made.add_stream_from_template(stream, opaque=True)
        if (mapping.stream.codec, mapping.stream.layout, made.format.name) == ("pcm_s16le", None, "mp4"):
            out.codec_context.layout = LAYOUTS[(mapping.stream.channels or 1) - 1]  # this muxer needs one for PCM
        writer = _StreamCopier(stream, _describe(made, out, mapping.stream), clock)
    elif mapping.stream.kind == "subtitle":
        out = _describe(made, made.add_stream(str(mapping.codec)), mapping.stream)
        return SubtitleTranscoder(stream, out, clock)
    else:
        writer = _AudioTranscoder(mapping, stream, made, clock)
    if made.format.name == "mxf":
        return PcmTrack(writer, writer.out, window_of(mapping, clock), told=clock.whole)
    packets: PacketWriter = writer
    return packets


def in_window(mapping: StreamMapping, container: Container) -> bool:
    """Whether a stream is copied as PCM that is as long as the pictures."""
    return container.sample_rate is not None and mapping.action == "copy" and mapping.stream.kind == "audio"


def window_of(mapping: StreamMapping, clock: Clock) -> PcmWindow:
    """What of a stream's sound MXF gets."""
    assert clock.stop is not None
    codec = str(mapping.codec or mapping.stream.codec)
    return PcmWindow(codec, mapping.stream.channels or 1, clock.stop - clock.start)


def _attach(made: OutputContainer, stream: Any, name: str, mimetype: str, content: bytes) -> None:
    attachment = made.add_attachment(name, mimetype, content)
    attachment.metadata.update(stream.metadata)


def _first_packet(stream: Any) -> bytes:
    with open_source(path_of(stream.container.name)) as container:
        return next((bytes(packet) for packet in container.demux(container.streams[stream.index]) if packet.size), b"")


def _describe(made: OutputContainer, out: Any, stream: StreamInfo) -> Any:
    out.metadata.update(written_tags(stream, made.format.name))
    out.disposition = sum(Disposition[name].value for name in stream.disposition)
    return out


class _StreamCopier:
    """Stream copy: packets unchanged but for their timestamps."""

    def __init__(self, stream: Any, out: Any, clock: Clock) -> None:
        self.warnings: list[str] = []
        self._stream = stream
        self.out = out
        self._clock = clock
        self._broken: list[Damage] = []
        self._cover = bool(stream.disposition & Disposition.attached_pic)
        self._adts = has_adts(stream)
        self._samples = SampleCount(stream)
        self._last: int | None = None  # dts in the result
        self._jumped = 0  # ticks of the result that are added after a discontinuity, as in the video
        # Matroska counts milliseconds, and packets of TrueHD are shorter: several may come at the same time there.
        self._least = 0 if out.container.format.name in ("matroska", "webm") else 1

    def write(self, packet: Packet[Any]) -> Iterator[TimedPacket]:
        unit = self._stream.time_base
        if packet.size == 0:
            return
        if self._adts and without_adts(bytes(packet)) is None:
            seconds = (packet.pts or 0) * unit - self._clock.start
            self._note(seconds, f"damaged audio packets of stream {self._stream.index} are left out")
            return
        final = self.out.time_base
        shift = 0 if self._cover else self._clock.ticks(unit)
        stamp = packet.pts if packet.pts is not None else packet.dts
        if stamp is None:
            stamp = 0 if self._last is None else round((self._last + 1) * final / unit) + shift
        time, sounds = self._samples.time(packet, stamp, final)
        pts = round((time - shift * unit) / final)
        dts = pts if packet.dts in (None, packet.pts) else round((packet.dts - shift) * unit / final)
        if self._last is not None and (self._last - (dts + self._jumped)) * final > JUMP:
            self._jumped = self._last + max(1, round((packet.duration or 0) * unit / final)) - dts
        pts, dts = pts + self._jumped, dts + self._jumped
        length = round(sounds / final)
        if self._stream.type in ("subtitle", "data") and pts < 0:  # an edit list would shift all that come after it
            length, pts, dts = max(0, length + pts), 0, 0
        if self._last is not None and dts < self._last + self._least:
            if (self._last - dts) * final > OVERLAP:
                self._note(dts * final, f"packets of stream {self._stream.index} overlap those before them")
            dts = self._last + self._least
        self._last = dts
        packet.duration = length
        packet.pts, packet.dts = max(pts, dts), dts
        packet.time_base = final
        packet.stream = self.out
        yield float(dts * final), packet

    def _note(self, seconds: Fraction, what: str) -> None:
        note(self._broken, float(seconds), what)
        self.warnings = list(map(str, self._broken))

    def flush(self) -> Iterator[TimedPacket]:
        yield from ()


class _AudioTranscoder:
    """Audio decoded and encoded again, with its timestamps."""

    def __init__(self, mapping: StreamMapping, stream: Any, made: OutputContainer, clock: Clock) -> None:
        self.warnings: list[str] = []
        self._stream = stream
        self._clock = clock
        fixed = mapping.codec == "libopus" or made.format.name == "mxf"
        rate = 48000 if fixed else stream.codec_context.sample_rate
        self.out: Any = _describe(made, made.add_stream(str(mapping.codec), rate=rate), mapping.stream)
        encoder = self.out.codec_context
        plain = LAYOUTS[(mapping.stream.channels or 1) - 1]  # Opus supports only these
        encoder.layout = plain if mapping.codec == "libopus" else mapping.stream.layout or plain
        if mapping.codec == "flac" and (mapping.stream.sample_bits or 16) > 16:
            encoder.format = "s32"  # 24 bits of it; the default is 16
        encoder.time_base = self.out.time_base = Fraction(1, rate)
        if mapping.codec == "libopus":
            encoder.bit_rate = 96000 * max(1, mapping.stream.channels or 1)
        encoder.open()
        self._resampler = av.AudioResampler(encoder.format, encoder.layout, rate, encoder.frame_size or None)
        self._next: Fraction | None = None  # seconds in the source: where the last frame ended

    def write(self, packet: Packet[Any]) -> Iterator[TimedPacket]:
        try:
            frames = self._stream.decode(packet)
        except av.FFmpegError as error:
            seconds = float((packet.pts or 0) * self._stream.time_base)
            self.warnings.append(f"audio at {seconds:.3f} s cannot be decoded: {error.strerror}")
            return
        for frame in frames:
            time = self._time_of(frame)
            self._next = time + Fraction(frame.samples, frame.sample_rate)
            frame.time_base = Fraction(1, frame.sample_rate)
            frame.pts = round((time - self._clock.start) * frame.sample_rate)
            for piece in self._resampler.resample(frame):
                yield from self._encode(piece)

    def _time_of(self, frame: Any) -> Fraction:
        """Seconds in the source, counted in samples; the timestamps count only where they show a gap."""
        if frame.pts is None:
            return self._next or Fraction(0)
        unit = Fraction(frame.time_base)
        time: Fraction = frame.pts * unit
        return time if self._next is None or abs(time - self._next) > 2 * unit else self._next

    def flush(self) -> Iterator[TimedPacket]:
        for piece in self._resampler.resample(None):
            yield from self._encode(piece)
        yield from self._encode(None)

    def _encode(self, frame: Any) -> Iterator[TimedPacket]:
        for packet in self.out.encode(frame):
            yield float((packet.dts or 0) * packet.time_base), packet
