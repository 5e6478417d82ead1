"""Frames through pipes: YUV4MPEG2 (y4m), which FFmpeg, mpv and VapourSynth read and write, or plain samples (rawvideo).

y4m says size, rate and pixel format; of rawvideo they must be told.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

import av

from dossr_video.errors import SettingsError, SourceError, TargetError
from dossr_video.video import pixels
from dossr_video.video.tags import RANGES, ColorInfo, code_point

if TYPE_CHECKING:
    from torch import Tensor
    from typing_extensions import Self

Kind = Literal["y4m", "rawvideo"]
MUXERS: dict[Kind, str] = {"y4m": "yuv4mpegpipe", "rawvideo": "rawvideo"}  # FFmpeg's names
LONGEST = 4096  # bytes of a header line
_WRITABLE = re.compile(r"gray(9le|10le|12le|16le)?|yuv(420|422|444)p((9|10|12|14|16)le)?")
_LOCATIONS = {"": "center", "jpeg": "center", "mpeg2": "left", "paldv": "topleft"}  # of chroma samples in 4:2:0
_HINT = "feed it with y4m: ffmpeg -i in.mp4 -f yuv4mpegpipe - | dossr-video - - | ffmpeg -i - out.mkv"


@dataclass(frozen=True)
class Shape:
    """What the frames of a stream are."""

    width: int
    height: int
    pix_fmt: str
    rate: Fraction = Fraction(25)  # frames per second
    aspect: Fraction | None = None  # width / height of a pixel; None: unknown
    color: ColorInfo = field(default_factory=lambda: ColorInfo(range="tv", chroma_location="left"))


class PipeReader:
    """The frames of a stream, in order, read once. It says no matrix: that of its size is taken, as players do."""

    def __init__(self, file: BinaryIO, *, max_pixels: int, raw: Shape | None = None) -> None:
        """`raw`: what the frames of rawvideo are; None: the stream is y4m.

        Raises SourceError where the stream is not y4m, is interlaced, or its frames exceed `max_pixels`; and for a
        pixel format that is not read.
        """
        self._file = file
        self._y4m = raw is None
        self.shape = shape = _header(file) if raw is None else raw
        if shape.width * shape.height > max_pixels:
            raise SourceError(
                f"the input has frames of {shape.width}x{shape.height}; at most {max_pixels} pixels are read",
                hint="raise --max-pixels if the memory suffices",
            )
        self._decoder: Any = av.CodecContext.create("rawvideo", "r")
        try:
            if pixels.has_alpha(shape.pix_fmt):
                raise ValueError
            self._size = _bytes_of(shape)
            self._decoder.width, self._decoder.height, self._decoder.pix_fmt = shape.width, shape.height, shape.pix_fmt
        except (ValueError, av.FFmpegError) as error:
            kind = "y4m" if raw is None else "rawvideo"
            raise SourceError(
                f"{kind} of the pixel format {shape.pix_fmt} is not read",
                hint=_HINT if raw is None else "use one without transparency, such as yuv420p10le, rgb24 or gbrp16le",
            ) from error
        self._to_rgb = pixels.ToRgb(shape.color.resolved(width=shape.width, height=shape.height))

    def frames(self) -> Iterator[Tensor]:
        """(3, H, W) RGB float32 in [0, 1]. Raises SourceError where the stream ends within a frame."""
        while (content := self._next()) is not None:
            for frame in self._decoder.decode(av.Packet(content)):
                yield self._to_rgb(frame)

    def _next(self) -> bytes | None:
        """The bytes of a frame; None at the end."""
        line = self._file.readline(LONGEST) if self._y4m else b""
        content = self._file.read(self._size)
        if not (line or content):
            return None
        if len(content) < self._size or (self._y4m and not line.startswith(b"FRAME")):
            raise SourceError(
                "the input broke off within a frame",
                hint="look at what the program before the pipe said"
                + ("" if self._y4m else "; or --input-size or --input-pix-fmt is another than it wrote"),
            )
        return content


def _bytes_of(shape: Shape) -> int:
    """Bytes of a frame without padding, as FFmpeg counts them."""
    encoder: Any = av.CodecContext.create("rawvideo", "w")
    encoder.width, encoder.height, encoder.pix_fmt = shape.width, shape.height, shape.pix_fmt
    encoder.time_base = 1 / shape.rate
    (packet,) = encoder.encode(av.VideoFrame(shape.width, shape.height, shape.pix_fmt))
    return int(packet.size)


def _header(file: BinaryIO) -> Shape:
    """Of a y4m stream; SourceError as PipeReader."""
    words = file.readline(LONGEST).decode("ascii", "replace").split()
    tags = {word[0]: word[1:] for word in words[1:] if word[0] != "X"}
    extra = {word[1:].partition("=")[0]: word.partition("=")[2] for word in words[1:] if word[0] == "X"}
    space = re.fullmatch(r"(420|422|444|411|mono)p?(\d*)(jpeg|mpeg2|paldv|)", tags.get("C", "420jpeg"))
    try:
        if words[0] != "YUV4MPEG2" or space is None:
            raise ValueError
        width, height = int(tags["W"]), int(tags["H"])
        rate, aspect = Fraction(tags.get("F", "25:1").replace(":", "/")), _aspect(tags.get("A", "0:0"))
        if min(width, height) < 1 or rate <= 0:
            raise ValueError
    except (ValueError, LookupError, ZeroDivisionError) as error:
        raise SourceError("the input is not y4m, or of a kind that is not read", hint=_HINT) from error
    if tags.get("I", "p") not in ("p", "?"):
        raise SourceError("the input is interlaced", hint="let ffmpeg deinterlace it: -vf bwdif")
    name = "gray" if space[1] == "mono" else f"yuv{space[1]}p"
    untold = "FULL" if space[1] == "mono" else "LIMITED"  # as FFmpeg takes them
    span = "pc" if extra.get("COLORRANGE", untold) == "FULL" else "tv"
    color = ColorInfo(range=span, chroma_location=_LOCATIONS[space[3]] if not space[2] else "left")
    return Shape(width, height, f"{name}{space[2]}le" if space[2] else name, rate, aspect, color)


class PipeWriter:
    """Writes frames as a stream."""

    def __init__(
        self, file: BinaryIO, source: Shape, *, kind: Kind, width: int, height: int, pix_fmt: str | None
    ) -> None:
        """`pix_fmt`: None: the source's. Raises SettingsError for one that y4m does not have, or that is not made."""
        self._pix_fmt: str = pix_fmt or source.pix_fmt
        if not (_WRITABLE.fullmatch(self._pix_fmt) if kind == "y4m" else _is_made(self._pix_fmt)):
            raise SettingsError(
                f"{kind} of the pixel format {self._pix_fmt} is not written",
                hint="choose --pix-fmt yuv420p, yuv444p or yuv444p16le"
                + ("" if kind == "y4m" else ", rgb24 or gbrp16le; an order of bytes of its own needs another program"),
            )
        if (width % 2, height % 2) > (0, 0) and any(pixels.chroma_shift(self._pix_fmt)):
            raise SettingsError(
                f"{self._pix_fmt} needs even sides; the result is {width}x{height}", hint="choose --pix-fmt yuv444p"
            )
        self._color = source.color.resolved(width=width, height=height)
        aspect = source.aspect and source.aspect * Fraction(source.width * height, width * source.height)
        self._container: Any = av.open(
            _WithAspect(file, aspect) if kind == "y4m" else file,
            "w",
            format=MUXERS[kind],
            options={"strict": "-1"} if kind == "y4m" else {},
        )
        self._stream: Any = self._container.add_stream("rawvideo", rate=source.rate)
        self._stream.width, self._stream.height, self._stream.pix_fmt = width, height, self._pix_fmt
        context = self._stream.codec_context
        context.color_range = code_point(RANGES, source.color.range)
        context.options = {"chroma_sample_location": self._color.chroma_location or "left"}
        self._count = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if error[0] is None:
            self._passed(self._container.close)

    def write(self, picture: Tensor) -> None:
        """A frame (3, H, W) RGB in [0, 1]. Raises TargetError where nobody reads the pipe any more."""
        frame = pixels.from_rgb(picture, self._pix_fmt, self._color)
        frame.pts = self._count
        self._count += 1
        self._passed(lambda: self._container.mux(self._stream.encode(frame)))

    def _passed(self, action: Any) -> None:
        try:
            action()
        except (av.FFmpegError, OSError) as error:
            if error.errno == errno.EPIPE:
                raise TargetError(
                    f"the program that read the output ended after {self._count} frames",
                    hint="look at what it said",
                ) from error
            raise TargetError(f"the output cannot be written: {error.strerror}", hint="check the disk") from error


class _WithAspect:
    """A file for FFmpeg's muxer of y4m, which takes the pixel aspect from where PyAV cannot set it."""

    def __init__(self, file: BinaryIO, aspect: Fraction | None) -> None:
        self._file = file
        nearest = aspect and aspect.limit_denominator(1 << 15)
        self._tag = nearest and f" A{nearest.numerator}:{nearest.denominator}".encode()

    def write(self, content: bytes) -> int:
        if self._tag:  # the header comes first, at once
            content, self._tag = re.sub(rb" A\d+:\d+", self._tag, bytes(content), count=1), None
        return self._file.write(content)


def _is_made(pix_fmt: str) -> bool:
    """Whether frames are made in a pixel format."""
    try:
        return pixels.can_make(pix_fmt) and not pixels.has_alpha(pix_fmt)
    except ValueError:  # FFmpeg has no such format
        return False


def _aspect(text: str) -> Fraction | None:
    """A pixel aspect; 0:0 is unknown."""
    above, below = (int(part) for part in text.split(":"))
    return Fraction(above, below) if above and below else None
