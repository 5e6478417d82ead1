"""Decoding a file once: packets to frames with exact timestamps, past damage, deinterlaced as planned."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import av
from av.stream import Discard

from dossr_video.video import pixels
from dossr_video.video.files import close_input
from dossr_video.video.read.changes import ColorWatch, Letterbox, OwnTags, Watch, color_of
from dossr_video.video.read.cropping import CropFilter
from dossr_video.video.read.damage import Steps, note
from dossr_video.video.read.deinterlace import FieldFilter
from dossr_video.video.read.frame import Frame
from dossr_video.video.read.opening import check_size, has_free_clock
from dossr_video.video.read.probe import hides_alpha
from dossr_video.video.read.side_data import frame_side_data, packet_side_data
from dossr_video.video.read.stand_in import NumberedPictures
from dossr_video.video.read.timeline import Rebaser
from dossr_video.video.sequence import is_pattern

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet

    from dossr_video.video.read.pyav import PyavReader

JUMP = Fraction(1, 2)  # seconds; a timestamp that goes back farther is a discontinuity
CUT_OFF = 0.5  # seconds that may be missing from the declared duration, by an edit list or a late start


def decoder_of(stream: Any) -> OwnTags:
    """What decodes a stream, alpha included."""
    decoder = stream.codec_context
    if hides_alpha(stream):
        decoder = av.CodecContext.create("libvpx-vp9" if decoder.name == "vp9" else "libvpx", "r")
    decoder.thread_type = "SLICE"
    return OwnTags(decoder)


class DecodingPass:
    """One pass of the decoder over a file, with one frame of look-ahead."""

    def __init__(self, reader: PyavReader, container: InputContainer, stream: Any, seek_to: int | None) -> None:
        self._reader = reader
        self._container = container
        self._stream = stream
        self._decoder: Any = decoder_of(stream)
        for other in container.streams:
            if other.index != stream.index:
                other.discard = Discard.all
        if seek_to is not None:
            container.seek(seek_to, stream=stream)
        if is_pattern(reader.info.path):
            self._decoder = NumberedPictures(self._decoder, reader.info.path, self._note, from_first=seek_to is None)
        # Elsewhere the container has one aspect for all frames.
        self._watches = has_free_clock(container)
        self._aspects: Watch[Fraction | None] = Watch()
        self._letterbox = Letterbox(reader.info.video.sample_aspect_ratio or Fraction(1))
        self._rebase = Rebaser(reader.parts, stream.index)
        self._crop = CropFilter(reader.info.video.cropping)
        self._frames = self._decode()
        self._ahead: Frame | None = next(self._frames, None)
        self.first_pts = self._ahead.pts if self._ahead is not None else None

    def peek(self) -> Frame | None:
        """The next frame, not consumed; None at the end."""
        return self._ahead

    def advance(self) -> None:
        self._ahead = next(self._frames, None)

    def begins_by(self, pts: int) -> bool:
        """Whether the first frame of this pass is at or before `pts`."""
        return self.first_pts is not None and self.first_pts <= pts

    def skip_to(self, pts: int, *, within: float = float("inf")) -> bool:
        """Drop frames until the one at `pts` is next; False when it is behind, farther than `within` s or absent."""
        while self._ahead is not None and self._ahead.pts < pts:
            if (pts - self._ahead.pts) * self._reader.time_base > within:
                return False
            self.advance()
        return self._ahead is not None and self._ahead.pts == pts

    def close(self) -> None:
        self._frames.close()
        close_input(self._container)

    def _decode(self) -> Any:
        ahead = list(self._reader.fields)
        filtered: FieldFilter | None = None
        for raw in self._timed():
            while ahead and (ahead[0].start is None or ahead[0].start <= raw.pts):
                yield from self._pictures(() if filtered is None else filtered(None), filtered)
                plan = ahead.pop(0).plan
                filtered = None if plan is None else FieldFilter(plan, self._reader.info.video)
            yield from self._pictures((raw,) if filtered is None else filtered(raw), filtered)
        yield from self._pictures(() if filtered is None else filtered(None), filtered)

    def _pictures(self, pictures: Iterable[Any], source: FieldFilter | None) -> Iterator[Frame]:
        """Frames of the stream or of a filter, with pts in the reader's time base."""
        reader = self._reader
        ticks = (reader.info.video.time_base if source is None else source.time_base) / reader.time_base
        for picture in pictures:
            pts, duration = int(picture.pts * ticks), round((picture.duration or 0) * ticks)
            aspect = self._other_aspect(pts * reader.time_base)
            shown = picture if aspect is None else self._letterbox(picture, aspect, reader.time_base)
            color = color_of(shown, reader.info.video.resolved_color)
            if color not in reader.converters:
                reader.converters[color] = pixels.ToRgb(color)
            yield Frame(shown, pts, duration, reader.converters[color])

    def _other_aspect(self, time: Fraction) -> Fraction | None:
        """The pixel aspect of the frame at a time, where it is not that of the stream."""
        first, aspect = self._reader.info.video.sample_aspect_ratio, self._aspects.at(time)
        return aspect if first and aspect and aspect != first else None

    def _timed(self) -> Iterator[Any]:
        """Decoded frames with strictly rising pts, in the stream's time base."""
        video = self._reader.info.video
        period = round(1 / (video.frame_rate * video.time_base))
        pix_fmt: str | None = None
        colors = ColorWatch(video.resolved_color)
        steps = Steps(period)
        last: int | None = None
        shift = 0  # sum of the discontinuities
        for raw in self._decoded():
            check_size(raw.width, raw.height, self._reader.info.path, max_pixels=self._reader.max_pixels)
            name = raw.format.name.replace("yuvj", "yuv")  # with J the range is full; the samples lie alike
            pix_fmt = pix_fmt or name
            # AVI has no pts: with B-frames only the decoding order is reliable.
            pts = raw.dts if self._reader.info.container == "avi" else raw.pts
            pts = None if pts is None else pts + shift
            if pts is None:  # raw streams and some AVI files have no timestamps: use the nominal frame rate
                pts, raw.duration = 0 if last is None else last + period, period
            elif last is not None and last - pts > JUMP / video.time_base:
                self._note(last, "timestamps jump back; continued at the frame rate")
                shift += last + period - pts
                pts = last + period
            elif last is not None and pts <= last:
                self._note(last, "a timestamp does not rise; the frame is set one tick after the one before")
                pts = last + 1
            if raw.is_corrupt:
                self._note(pts, "the decoder concealed missing data")
            elif last is not None and steps.gap(pts - last):
                self._note(last, f"frames are missing for the next {float((pts - last) * video.time_base):.2f} s")
            raw.pts = last = pts
            if change := colors.change(raw):
                self._note(pts, change)
            if (aspect := self._other_aspect(pts * video.time_base)) is not None:
                self._note(pts, f"the pixel aspect changes to {aspect}; fitted to the first with black borders")
            if (raw.width, raw.height, name) != (video.width, video.height, pix_fmt):
                shape = f"{raw.width}x{raw.height} {name}"
                self._note(pts, f"frames change to {shape}; converted to the first size and format")
                raw = raw.reformat(video.width, video.height, pix_fmt, interpolation="BICUBIC")
                raw.pts = pts
            raw.make_writable()  # a copy: the decoder may still conceal damage in a frame it has already returned
            yield raw
        if last is not None and video.duration is not None and len(self._reader.parts) < 2:
            missing = video.duration - (last + period) * video.time_base + self._reader.info.start
            if missing > CUT_OFF:
                self._note(
                    last + period, f"the file is cut off: {float(missing):.1f} s of its declared duration are missing"
                )

    def _decoded(self) -> Iterator[av.VideoFrame]:
        # The demuxer's last, empty packet flushes the decoder: frames from decode(None) would have no time base.
        last = 0
        packets = iter(self._container.demux(self._stream))
        while True:
            try:
                packet: Packet[Any] | None = next(packets, None)
            except av.FFmpegError as error:
                self._note(last, f"reading stopped: {error.strerror}")
                packet = None
            if packet is None:
                return
            if jump := self._rebase(packet):
                what = f"timestamps jump by {float(jump):+.1f} s; continued at the frame rate, in all streams"
                self._note(packet.pts or last, what)
            if packet.is_corrupt:
                self._note(packet.pts if packet.pts is not None else last, "a packet is damaged")
            try:
                frames = self._decoder.decode(packet)
            except av.FFmpegError as error:
                self._note(packet.pts if packet.pts is not None else last, f"undecodable packet: {error.strerror}")
                continue
            if packet.pts is not None and self._watches:
                time = packet.pts * self._reader.info.video.time_base
                self._aspects.note(time, self._decoder.sample_aspect_ratio)
            self._reader.side_data |= packet_side_data(packet).union(*map(frame_side_data, frames))
            for frame in frames:
                last = frame.pts if frame.pts is not None else last
                yield pixels.unpacked(self._crop(frame), self._reader.info.video.color.transfer)

    def _note(self, pts: int, what: str) -> None:
        seconds = float(pts * self._reader.info.video.time_base - self._reader.info.start)
        note(self._reader.damage, seconds, what)
