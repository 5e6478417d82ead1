"""The picture of a result: its stream with all tags, and the packets of the finished segments at their times."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av

from dossr_video.errors import JobError
from dossr_video.heap import give_back_memory
from dossr_video.video.files import open_input
from dossr_video.video.info import SourceInfo
from dossr_video.video.mux.inventory import copies_sei
from dossr_video.video.mux.packets import Clock, TimedPacket
from dossr_video.video.mux.sei import SeiCopier
from dossr_video.video.mux.tags import written_tags
from dossr_video.video.mux.timecode import first_timecode
from dossr_video.video.pixels import has_alpha
from dossr_video.video.read.side_data import RIGHT_FIRST
from dossr_video.video.tags import MATRICES, PRIMARIES, RANGES, TRANSFERS, code_point
from dossr_video.video.write.containers import Container
from dossr_video.video.write.encoders import encoder_named
from dossr_video.video.write.spec import VideoSpec
from dossr_video.video.write.writer import UNORDERED

if TYPE_CHECKING:
    from av.container import InputContainer, OutputContainer

# FFmpeg's names of Matroska's StereoMode, by what `probe` finds.
STEREO_MODES: Mapping[str | None, str] = {
    "side by side": "left_right",
    "top and bottom": "top_bottom",
    "checkerboard": "checkerboard_lr",
    "lines": "row_interleaved_lr",
    "columns": "col_interleaved_lr",
    f"side by side{RIGHT_FIRST}": "right_left",
    f"top and bottom{RIGHT_FIRST}": "bottom_top",
}


@dataclass(frozen=True)
class SegmentFile:
    """The encoded file of one segment; its timestamps start at zero."""

    path: Path
    first_pts: int  # added to its timestamps; in VideoSpec.time_base, in the source's clock
    last: int | None = (
        None  # duration of its last frame, likewise; None: what the file says, whose times are of decoding
    )


class Picture:
    """The picture of one result."""

    def __init__(
        self, segments: Sequence[SegmentFile], source: SourceInfo, spec: VideoSpec, container: Container, clock: Clock
    ) -> None:
        self._segments = segments
        self._source = source
        self._spec = spec
        self._container = container
        self._clock = clock

    def add_to(self, made: OutputContainer, first: InputContainer) -> Any:
        """Add the stream to the result, as it is in the `first` segment, with the tags of the spec."""
        spec = self._spec
        stream: Any = made.add_stream_from_template(first.streams.video[0], opaque=True)
        stream.time_base = spec.time_base
        context = stream.codec_context
        context.framerate = spec.frame_rate
        context.sample_aspect_ratio = spec.sample_aspect_ratio or Fraction(0, 1)
        # NUT stores no colour tags, and muxers take them from here, not from the bitstream.
        context.color_primaries = code_point(PRIMARIES, spec.color.primaries)
        context.color_trc = code_point(TRANSFERS, spec.color.transfer)
        context.colorspace = code_point(MATRICES, spec.color.matrix)
        context.color_range = code_point(RANGES, spec.color.range) if spec.color.range else 0
        fourcc = encoder_named(spec.encoding.encoder).fourcc
        if self._container.format in ("mp4", "mov"):
            own = first.streams.video[0].codec_context.codec_tag  # tells the flavours of ProRes apart
            tag = fourcc or (own if self._segments[0].path.suffix == ".mov" else None)
            if tag is not None:
                context.codec_tag = tag
        if spec.display_matrix is not None:
            stream.set_display_matrix(spec.display_matrix)
        about = self._source.video.stream
        stream.metadata.update(written_tags(about, self._container.format))
        stream.disposition = sum(av.stream.Disposition[name].value for name in about.disposition)
        if has_alpha(spec.encoding.pix_fmt):
            stream.metadata["alpha_mode"] = "1"
        if self._container.format in ("matroska", "webm") and spec.stereo in STEREO_MODES:
            stream.metadata["stereo_mode"] = STEREO_MODES[spec.stereo]
        timecode = first_timecode(self._source, self._clock, self._spec.frame_rate)
        if timecode is not None:
            stream.metadata["timecode"] = timecode
            reels = [other.metadata["reel_name"] for other in self._source.streams if "reel_name" in other.metadata]
            if reels:  # of mov's track of timecodes
                stream.metadata["reel_name"] = reels[0]
        return stream

    def packets(self, out: Any) -> Iterator[TimedPacket]:
        """Packets of all segments with timestamps of the result, in decoding order, for its stream `out`.

        Raises JobError for segments that do not belong together.
        """
        copies = copies_sei(self._source.video.codec, self._spec.encoding)
        sei = SeiCopier(self._source, self._spec.encoding.encoder) if copies else None
        header: bytes | None = None
        last: Any = None
        end, early, delay = 0, 0, self._delay()
        for number, segment in enumerate(self._segments):
            with open_input(segment.path, {}) as part:
                stream = part.streams.video[0]
                header = stream.codec_context.extradata if number == 0 else header
                if stream.codec_context.extradata != header:
                    raise JobError(
                        f"{segment.path} has other codec parameters than the first segment",
                        hint="begin anew with --restart",
                    )
                for packet in self._timed(part, segment, out, sei, delay):
                    if last is not None:
                        # With variable frame rate the first dts of a segment may lie before the last.
                        packet.dts = max(packet.dts, last.dts + 1)
                        yield _at(last)
                    early = packet.pts - packet.dts if last is None else early
                    last, end = packet, max(end, packet.pts + packet.duration)
            give_back_memory()  # the muxer's index grows by doubling and fragments the heap
        if last is not None:
            if self._container.format in ("mp4", "mov") and last.dts + early + last.duration < end:
                # There a track ends with the packet decoded last; at a variable rate the one shown last may be longer.
                last.dts, last.duration = last.pts, end - last.pts
            yield _at(last)
        if sei is not None:
            sei.close()

    def _delay(self) -> Fraction:
        """Seconds that frames are decoded before they are shown, where segments are long enough to tell; else 0."""
        for segment in self._segments:
            with open_input(segment.path, {}) as part:
                stream = part.streams.video[0]
                if stream.frames == 0 or stream.frames > UNORDERED:
                    packet = next(packet for packet in part.demux(stream) if packet.pts is not None)
                    dts = packet.pts if packet.dts is None else packet.dts
                    return ((packet.pts or 0) - (dts or 0)) * self._scale(stream)
        return Fraction(0)

    def _scale(self, stream: Any) -> Fraction:
        """Seconds per tick of a segment's stream."""
        unit = self._spec.time_base
        ticks = encoder_named(self._spec.encoding.encoder).segment_unit(unit, self._spec.frame_rate)
        return Fraction(stream.time_base * (unit / ticks))

    def _timed(
        self, part: InputContainer, segment: SegmentFile, out: Any, sei: SeiCopier | None, delay: Fraction
    ) -> Iterator[Any]:
        """Packets of one segment with the timestamps that they would have alone.

        Those of a segment too short to be reordered have no `delay` of their own, and get that of the others: without
        it the frames of all that follow would be decoded later, and the track would end too early.
        """
        unit, stream = self._spec.time_base, part.streams.video[0]
        begin = segment.first_pts * unit
        shift = begin - self._clock.ticks(unit) * unit
        scale = self._scale(stream)
        packets = [packet for packet in part.demux(stream) if packet.pts is not None]
        if sei is not None:
            packets = sei(packets, [(packet.pts or 0) * scale + begin for packet in packets])
        early = delay if len(packets) <= UNORDERED else Fraction(0)
        final = max((packet.pts or 0) for packet in packets)
        for packet in packets:
            lasts = (packet.duration or 0) * scale
            if segment.last is not None and packet.pts == final:
                lasts = segment.last * unit
            shown, decoded = packet.pts or 0, (packet.pts or 0) if packet.dts is None else packet.dts
            packet.pts = round((shown * scale + shift) / out.time_base)
            packet.dts = round((decoded * scale + shift - early) / out.time_base)
            packet.duration = max(1, round(lasts / out.time_base))
            packet.time_base = out.time_base
            packet.stream = out
            yield packet


def _at(packet: Any) -> TimedPacket:
    """A packet with its time of decoding in seconds, which is never after that of showing."""
    decoded = packet.dts
    packet.dts = min(decoded, packet.pts)
    return float(decoded * packet.time_base), packet
