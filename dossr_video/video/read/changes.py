"""Properties of a stream that change on the way: pixel aspect, range, matrix. One result has one of each."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import av

from dossr_video.video import pixels
from dossr_video.video.read.graphs import graph_of
from dossr_video.video.tags import LUMA_WEIGHTS, MATRICES, PRIMARIES, RANGES, TRANSFERS, ColorInfo

if TYPE_CHECKING:
    from av.packet import Packet

T = TypeVar("T")
TAGS = ("color_range", "colorspace", "color_primaries", "color_trc")


def color_of(frame: av.VideoFrame, default: ColorInfo) -> ColorInfo:
    """What a frame is converted with: its own matrix and range, `default` (resolved) where it has no tags."""
    name = frame.format.name
    if pixels.is_rgb(name):
        return default
    matrix = MATRICES.get(frame.colorspace)
    full = name.startswith("yuvj")
    return replace(
        default,
        matrix=matrix if matrix in LUMA_WEIGHTS else default.matrix,
        range="pc" if full else RANGES.get(frame.color_range) or default.range,
    )


class OwnTags:
    """A decoder whose frames have the colour tags that their own packets tell.

    FFmpeg's decoders read the tags with a packet, and give those of the moment to a frame that has none when they
    return it, which is packets later where frames are reordered.
    """

    def __init__(self, decoder: Any) -> None:
        self._decoder = decoder
        self._knows = not decoder.name.startswith("lib")  # libraries tell the tags with the frame, not with the packet
        decoder.copy_opaque = True

    @property
    def sample_aspect_ratio(self) -> Fraction | None:
        aspect: Fraction | None = self._decoder.sample_aspect_ratio
        return aspect

    def decode(self, packet: Packet[Any]) -> list[av.VideoFrame]:
        """The frames that the decoder returns for a packet. Raises FFmpegError as it does."""
        own: dict[str, int] = {}
        packet.opaque = own
        frames: list[av.VideoFrame] = self._decoder.decode(packet)
        own.update({name: getattr(self._decoder, name) for name in TAGS})
        for frame in frames:
            if self._knows and isinstance(frame.opaque, dict) and frame.opaque is not own:
                for name, value in frame.opaque.items():
                    setattr(frame, name, value)
        return frames


class ColorWatch:
    """Finds frames whose colour tags differ from those of the frame before."""

    def __init__(self, default: ColorInfo) -> None:
        self._default = default
        self._before: ColorInfo | None = None

    def change(self, frame: av.VideoFrame) -> str | None:
        """What changes with a frame and what is done; None: nothing."""
        own = color_of(frame, self._default)
        now = replace(own, primaries=PRIMARIES.get(frame.color_primaries), transfer=TRANSFERS.get(frame.color_trc))
        before, self._before = self._before, now
        if before is None or before == now:
            return None
        if (before.matrix, before.range) != (now.matrix, now.range):
            return f"colours change to {now.matrix}, {now.range} range; every frame is converted with its own"
        if None in (before.transfer, now.transfer, before.primaries, now.primaries):
            return None
        return f"colours change to {now.primaries} primaries, {now.transfer} transfer; not converted"


class Watch(Generic[T]):
    """A property of the decoder, by the time of the packet that it was noted at: frames are returned later."""

    def __init__(self) -> None:
        self._changes: list[tuple[Fraction, T]] = []  # time in seconds, value from there on

    def note(self, time: Fraction, value: T) -> None:
        """The value after the packet of a time was decoded."""
        if not self._changes or value != self._changes[-1][1]:
            self._changes.append((time, value))

    def at(self, time: Fraction) -> T | None:
        """The value for the frame of a time; None before the first."""
        return next((value for start, value in reversed(self._changes) if start <= time), None)


class Letterbox:
    """Scales frames of another pixel aspect to that of the stream; black fills what is left of the frame."""

    def __init__(self, first: Fraction) -> None:
        self._first = first
        self._graphs: dict[tuple[object, ...], Any] = {}

    def __call__(self, frame: Any, aspect: Fraction, time_base: Fraction) -> av.VideoFrame:
        """The frame in the stream's pixels, of the same size; its pts are kept."""
        key = (frame.width, frame.height, frame.format.name, aspect, time_base, frame.color_range, frame.colorspace)
        if key not in self._graphs:
            self._graphs[key] = self._graph(frame, aspect, time_base)
        pts, duration = frame.pts, frame.duration
        self._graphs[key].vpush(frame)
        made: av.VideoFrame = self._graphs[key].vpull()
        made.pts, made.duration = pts, duration
        return made

    def _graph(self, frame: av.VideoFrame, aspect: Fraction, time_base: Fraction) -> Any:
        width, height = frame.width, frame.height
        wide, tall = width, height
        if aspect > self._first:
            tall = max(2, round(height * self._first / aspect / 2) * 2)
        else:
            wide = max(2, round(width * aspect / self._first / 2) * 2)
        scale = "scale", f"{wide}:{tall}:flags=bicubic+accurate_rnd"
        pad = "pad", f"{width}:{height}:(ow-iw)/2:(oh-ih)/2:black"
        return graph_of(frame, (scale, pad), time_base=time_base)
