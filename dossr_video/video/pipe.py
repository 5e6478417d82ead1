"""Frames through pipes as YUV4MPEG2 (y4m), which FFmpeg, mpv and VapourSynth read and write."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any, BinaryIO

import av

from dossr_video.errors import SettingsError, SourceError, TargetError
from dossr_video.video import pixels
from dossr_video.video.tags import RANGES, ColorInfo, code_point

if TYPE_CHECKING:
    from torch import Tensor
    from typing_extensions import Self

FORMAT = "yuv4mpegpipe"  # FFmpeg's name
LONGEST = 4096  # bytes of a header line
_WRITABLE = re.compile(r"gray(9le|10le|12le|16le)?|yuv(420|422|444)p((9|10|12|14|16)le)?")
_LOCATIONS = {"": "center", "jpeg": "center", "mpeg2": "left", "paldv": "topleft"}  # of chroma samples in 4:2:0
_HINT = "feed it with y4m: ffmpeg -i in.mp4 -f yuv4mpegpipe - | dossr-video - - | ffmpeg -i - out.mkv"


class PipeReader:
    """The frames of a y4m stream, in order, read once. It says no matrix: that of its size is taken, as players do."""

    def __init__(self, file: BinaryIO, *, max_pixels: int) -> None:
        """Raises SourceError where the stream is not y4m, is interlaced, or its frames exceed `max_pixels`."""
        self._file = file
        words = file.readline(LONGEST).decode("ascii", "replace").split()
        tags = {word[0]: word[1:] for word in words[1:] if word[0] != "X"}
        extra = {word[1:].partition("=")[0]: word.partition("=")[2] for word in words[1:] if word[0] == "X"}
        space = re.fullmatch(r"(420|422|444|411|mono)p?(\d*)(jpeg|mpeg2|paldv|)", tags.get("C", "420jpeg"))
        try:
            if words[0] != "YUV4MPEG2" or space is None:
                raise ValueError
            self.width, self.height = int(tags["W"]), int(tags["H"])
            self.rate = Fraction(tags.get("F", "25:1").replace(":", "/"))
            self.aspect = _ratio(tags.get("A", "0:0"))
            if min(self.width, self.height) < 1 or self.rate <= 0:
                raise ValueError
        except (ValueError, LookupError, ZeroDivisionError) as error:
            raise SourceError("the input is not y4m, or of a kind that is not read", hint=_HINT) from error
        if tags.get("I", "p") not in ("p", "?"):
            raise SourceError("the input is interlaced", hint="let ffmpeg deinterlace it: -vf bwdif")
        if self.width * self.height > max_pixels:
            raise SourceError(
                f"the input has frames of {self.width}x{self.height}; at most {max_pixels} pixels are read",
                hint="raise --max-pixels if the memory suffices",
            )
        name = "gray" if space[1] == "mono" else f"yuv{space[1]}p"
        self.pix_fmt = f"{name}{space[2]}le" if space[2] else name
        span = "pc" if extra.get("COLORRANGE") == "FULL" else "tv"
        self.color = ColorInfo(range=span, chroma_location=_LOCATIONS[space[3]] if not space[2] else "left")
        self._to_rgb = pixels.ToRgb(self.color.resolved(width=self.width, height=self.height))

    def frames(self) -> Iterator[Tensor]:
        """(3, H, W) RGB float32 in [0, 1]. Raises SourceError where the stream ends within a frame."""
        try:
            decoder: Any = av.CodecContext.create("rawvideo", "r")
            decoder.width, decoder.height, decoder.pix_fmt = self.width, self.height, self.pix_fmt
        except ValueError as error:
            raise SourceError(f"y4m of the pixel format {self.pix_fmt} is not read", hint=_HINT) from error
        size = self._size()
        while line := self._file.readline(LONGEST):
            content = self._file.read(size)
            if not line.startswith(b"FRAME") or len(content) < size:
                raise SourceError(
                    "the input broke off within a frame", hint="look at what the program before the pipe said"
                )
            for frame in decoder.decode(av.Packet(content)):
                yield self._to_rgb(frame)

    def _size(self) -> int:
        """Bytes of a frame: its planes without padding."""
        sample = 1 if pixels.bit_depth(self.pix_fmt) == 8 else 2
        across, down = pixels.chroma_shift(self.pix_fmt)
        chroma = 0 if pixels.is_grey(self.pix_fmt) else 2 * -(-self.width >> across) * -(-self.height >> down)
        return sample * (self.width * self.height + chroma)


class PipeWriter:
    """Writes frames as a y4m stream."""

    def __init__(self, file: BinaryIO, source: PipeReader, *, width: int, height: int, pix_fmt: str | None) -> None:
        """`pix_fmt`: None: the source's. Raises SettingsError for one that y4m does not have."""
        self._pix_fmt: str = pix_fmt or source.pix_fmt
        if not _WRITABLE.fullmatch(self._pix_fmt):
            raise SettingsError(
                f"y4m has no pixel format {self._pix_fmt}", hint="choose --pix-fmt yuv420p, yuv444p or yuv444p16le"
            )
        if (width % 2, height % 2) > (0, 0) and any(pixels.chroma_shift(self._pix_fmt)):
            raise SettingsError(
                f"{self._pix_fmt} needs even sides; the result is {width}x{height}", hint="choose --pix-fmt yuv444p"
            )
        self._color = source.color.resolved(width=width, height=height)
        self._container: Any = av.open(file, "w", format=FORMAT, options={"strict": "-1"})
        self._stream: Any = self._container.add_stream("rawvideo", rate=source.rate)
        self._stream.width, self._stream.height, self._stream.pix_fmt = width, height, self._pix_fmt
        context = self._stream.codec_context
        context.sample_aspect_ratio = source.aspect * Fraction(source.width * height, width * source.height)
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


def _ratio(text: str) -> Fraction:
    """A pixel aspect; 0:0 is unknown, taken as square."""
    above, below = (int(part) for part in text.split(":"))
    return Fraction(above, below) if above and below else Fraction(1)
