"""What `probe` reports about a file: container, video stream, other streams, chapters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Literal

from dossr_video.settings import SourceSettings
from dossr_video.video import pixels
from dossr_video.video.light import CODINGS
from dossr_video.video.tags import ColorInfo


@dataclass(frozen=True)
class Choice:
    """Which pictures of a file are meant, where it holds several, or does not say their rate."""

    video: int | None = None  # number of the stream, as `probe` tells it; None: the first that moves
    program: int | None = None  # of a transport stream; None: the one of that stream
    fps: Fraction | None = None  # of a picture sequence; None: as it says itself
    light: str = CODINGS["srgb"]  # the transfer function that scene-linear light is coded with

    @classmethod
    def of(cls, settings: SourceSettings) -> Choice:
        return cls(settings.video, settings.program, settings.frame_rate, CODINGS[settings.light])


ANY = Choice()


@dataclass(frozen=True)
class Chapter:
    start: Fraction  # seconds
    end: Fraction  # seconds
    title: str | None
    metadata: Mapping[str, str] = field(default_factory=dict)  # the title among it


@dataclass(frozen=True)
class TrackFile:
    """A file beside the source: its sound or its subtitles become tracks of the result."""

    path: Path
    kind: Literal["audio", "subtitle"]  # of the streams that are taken
    container: str  # FFmpeg's name(s) of the format
    start: Fraction  # seconds in its own clock, laid where the source begins
    left: tuple[str, ...]  # what else it holds, one line each


@dataclass(frozen=True)
class Origin:
    """Where a track comes from that is added to those of the source."""

    file: TrackFile
    index: int  # of the stream in that file
    end: Fraction  # seconds in that file's clock: when its last packet ends


@dataclass(frozen=True)
class StreamInfo:
    """A stream that is not upscaled: audio, subtitles, attachments, data, cover art, further video."""

    index: int  # in the file; of an added track: above those of the file
    kind: str  # "audio", "subtitle", "attachment", "data" or "video"
    codec: str | None  # FFmpeg's name; None for attachments and unknown data
    language: str | None
    title: str | None
    disposition: tuple[str, ...]
    metadata: Mapping[str, str]
    sample_rate: int | None = None  # of sound
    channels: int | None = None  # of sound
    sample_bits: int | None = None  # of decoded sound
    decodable: bool = True  # whether sound may be decoded here
    layout: str | None = None  # FFmpeg's channel layout; None: unknown, or no audio
    origin: Origin | None = None  # of an added track; None: it is the source's own


@dataclass(frozen=True)
class HdrInfo:
    """Static HDR metadata (SMPTE ST 2086 and CTA-861.3); None where absent."""

    mastering: tuple[Fraction, ...] | None = None  # x, y of red, green, blue, white; lowest, highest luminance in cd/m2
    light_level: tuple[int, int] | None = None  # MaxCLL, MaxFALL in cd/m2


@dataclass(frozen=True)
class Cropping:
    """Columns and lines at each side of the coded frame that the container says are not shown."""

    left: int
    top: int
    right: int
    bottom: int

    def __str__(self) -> str:
        return f"left {self.left}, top {self.top}, right {self.right}, bottom {self.bottom}"


@dataclass(frozen=True)
class VideoInfo:
    """The video stream to upscale, as stored but for cropping: display matrix and sample aspect ratio not applied."""

    stream: StreamInfo
    codec: str
    width: int  # pixels
    height: int  # pixels
    time_base: Fraction  # seconds per tick of every pts
    frame_rate: Fraction  # frames per second, nominal
    pix_fmt: str  # of decoded frames
    color: ColorInfo
    hdr: HdrInfo
    sample_aspect_ratio: Fraction | None  # width / height of a pixel; None: unknown, shown square
    display_matrix: tuple[int, ...] | None  # 9 numbers of FFmpeg's AV_PKT_DATA_DISPLAYMATRIX; None: shown as stored
    rotation: int  # degrees counter-clockwise
    field_order: str | None  # "progressive", "tff", "bff"; None: not declared
    interlaced: bool  # whether the first frame is flagged so
    begins: Fraction  # declared start time, seconds in the file's clock
    frames: int | None  # declared
    duration: Fraction | None  # seconds, declared
    stereo: str | None = None  # how frames hold two views, of side_data.STEREO; None: they hold one
    told_rate: Fraction | None = None  # frames per second, as the file tells them; None: it does not
    cropping: Cropping | None = None  # applied to every frame that is read; None: the whole coded frame is shown

    @property
    def bit_depth(self) -> int:
        return pixels.bit_depth(self.pix_fmt)

    @property
    def alpha(self) -> bool:
        return pixels.has_alpha(self.pix_fmt) and self.codec != "mjpeg"  # FFmpeg decodes CMYK with opacity of 1

    @property
    def resolved_color(self) -> ColorInfo:
        """The colour tags, those that are missing filled in as players do."""
        return self.color.resolved(width=self.width, height=self.height)

    def describe(self) -> str:
        """One line: codec, size, pixel format and rate."""
        return f"{self.codec}, {self.width}x{self.height}, {self.pix_fmt}, {fps(self.frame_rate)}"


def fps(rate: Fraction) -> str:
    """A frame rate for people: 25 fps, 23.976 fps."""
    return f"{float(rate):.3f}".rstrip("0").rstrip(".") + " fps"


@dataclass(frozen=True)
class SourceInfo:
    """A file that can be upscaled."""

    path: Path
    container: str  # FFmpeg's name(s) of the format
    size: int  # bytes
    start: Fraction  # seconds in the file's clock that become zero in the result
    begins: Fraction  # seconds in the file's clock: start time of its earliest stream
    duration: Fraction | None  # seconds, declared
    metadata: Mapping[str, str]
    chapters: tuple[Chapter, ...]
    video: VideoInfo
    # All but the video stream; of several programs, of its own. Added tracks come last.
    streams: tuple[StreamInfo, ...] = field(default=())
    program: int | None = None  # of a transport stream; None: it has none
    programs: tuple[int, ...] = ()  # numbers of all

    @property
    def zero(self) -> Fraction:
        """Seconds in the file's clock at which the file begins: there the beginning of an added track is laid."""
        return max(self.begins, self.start)

    @property
    def own_streams(self) -> tuple[StreamInfo, ...]:
        """The streams without added tracks."""
        return tuple(stream for stream in self.streams if stream.origin is None)

    @property
    def track_files(self) -> tuple[TrackFile, ...]:
        """The files that tracks are added from, in the order of their tracks."""
        return tuple(dict.fromkeys(stream.origin.file for stream in self.streams if stream.origin is not None))

    @property
    def sample_rates(self) -> tuple[int, ...]:
        """Of all audio streams."""
        return tuple(stream.sample_rate for stream in self.streams if stream.sample_rate)

    @property
    def videos(self) -> tuple[StreamInfo, ...]:
        """The video streams that could be upscaled, in the order of the file."""
        others = (stream for stream in self.of_kind("video") if "attached_pic" not in stream.disposition)
        return tuple(sorted((self.video.stream, *others), key=lambda stream: stream.index))

    def describe_picture(self) -> str:
        """One line: what is upscaled, and of several streams or programs which."""
        which = f"program {self.program}, " if len(self.programs) > 1 else ""
        which += f"video stream {self.video.stream.index}, " if len(self.videos) > 1 else ""
        return which + self.video.describe()

    def of_kind(self, kind: str) -> tuple[StreamInfo, ...]:
        """The other streams of one kind."""
        return tuple(stream for stream in self.streams if stream.kind == kind)
