"""Opening a file for decoding: within limits, and the stream that is upscaled."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
from av.codec.context import Flags

from dossr_video.errors import SourceError
from dossr_video.heap import give_back_memory
from dossr_video.video.files import close_input, open_input
from dossr_video.video.sequence import is_pattern
from dossr_video.video.tags import UNSPECIFIED

if TYPE_CHECKING:
    from av.codec.hwaccel import HWAccel
    from av.container import InputContainer
    from av.video.stream import VideoStream

MAX_PIXELS = 8192 * 8192  # of one frame
MAX_STREAMS = 256
SLOWEST, FASTEST = Fraction(1, 3600), 100_000  # frames per second: slides, high-speed cameras
FAR = {"probesize": "50000000", "analyzeduration": "30000000"}  # bytes; microseconds
FIRST_PACKETS = 2000  # packets searched for the first decodable frame
# Containers with an arbitrary start time: timestamps are rebased to zero, as players do.
FREE_CLOCKS = frozenset({"mpegts", "mpeg", "dv", "h264", "hevc", "mpegvideo"})


def open_source(
    path: Path, *, max_pixels: int = MAX_PIXELS, what: str = "a video", hwaccel: HWAccel | None = None
) -> InputContainer:
    """Open a file for reading; SourceError when that fails.

    Frames above `max_pixels` are not decoded. `what` it should be is said in messages. `hwaccel` decodes where it can.
    """
    if not is_pattern(path):  # opening a sequence looks at its pictures
        if not path.exists():
            raise SourceError(f"{path} does not exist", hint="check the path")
        if path.is_dir():
            raise SourceError(f"{path} is a folder; {what} is needed", hint="name a file in it")
        if path.stat().st_size == 0:
            raise SourceError(f"{path} is empty", hint="copy or download the file again")
    try:
        container = _open(path, _decoder_limit(max_pixels), hwaccel)
    except PermissionError as error:
        raise SourceError(f"{path} may not be read: {error.strerror}", hint="change its permissions") from error
    except MemoryError as error:
        raise SourceError(
            f"{path} asks for more streams, or for larger tables, than any video has",
            hint="the file is damaged or made to do harm; if neither, copy the streams you need into a new one",
        ) from error
    except av.ArgumentError as error:
        raise SourceError(
            f"{path} is not {what}, or it is a list of other files: {error.strerror}",
            hint="name the file itself; lists (ffconcat, HLS, DASH) are not followed",
        ) from error
    except (av.FFmpegError, ValueError) as error:
        raise SourceError(
            f"{path} is not {what}, or is cut before its index: {getattr(error, 'strerror', None) or error}",
            hint="check that a player opens it; an interrupted recording can sometimes be repaired with untrunc",
        ) from error
    except OSError as error:  # of the system, before FFmpeg has seen it
        raise SourceError(
            f"{path} cannot be opened: {error.strerror}",
            hint="check the disk or the network, then give the same command again; finished segments are kept",
        ) from error
    give_back_memory()  # the index of a two-hour mp4 takes 20 MB while it is open, and 35 MB while it is built
    return container


def _open(path: Path, options: dict[str, str], hwaccel: HWAccel | None) -> InputContainer:
    """Open a file; where audio begins late, search farther for its parameters."""
    container = open_input(path, options, hwaccel)
    if all(stream.codec_context is None or stream.codec_context.sample_rate for stream in container.streams.audio):
        return container
    close_input(container)
    return open_input(path, {**options, **FAR}, hwaccel)


def picture_stream(container: InputContainer, path: Path, index: int, *, max_pixels: int) -> VideoStream:
    """The video stream to upscale, `index` among all streams. SourceError for too large frames."""
    stream: Any = container.streams[index]
    if stream.codec_context is None:
        raise SourceError(f"{path}: nothing here decodes its video codec", hint="convert it with another tool first")
    check_size(stream.codec_context.width, stream.codec_context.height, path, max_pixels=max_pixels)
    stream.codec_context.options = _decoder_limit(max_pixels)
    stream.codec_context.flags |= Flags.unaligned  # else columns that are cropped at the left are partly shown
    if has_free_clock(container):  # tags are in the frames, and opening may have taken them from later ones
        context: Any = stream.codec_context
        context.color_range, context.colorspace = 0, UNSPECIFIED
        context.color_primaries = context.color_trc = UNSPECIFIED
    return stream


def rate_of(stream: Any) -> Fraction:
    """Frames per second, nominal: what the stream tells, or looks like where it tells what no film has."""
    rates = (rate for rate in (stream.guessed_rate, stream.average_rate) if rate and SLOWEST <= rate <= FASTEST)
    return next(rates, Fraction(25))


def has_free_clock(container: InputContainer) -> bool:
    """Whether the timestamps of a file start anywhere: MPEG-TS, MPEG-PS, DV and raw streams."""
    return not FREE_CLOCKS.isdisjoint(container.format.name.split(","))


def _decoder_limit(max_pixels: int) -> dict[str, str]:
    """Limits the decoder; looser than `check_size`, because decoders count padding."""
    return {"max_pixels": str(max_pixels * 5 // 4 + (1 << 21))}


def check_size(width: int, height: int, path: Path, *, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise SourceError(
            f"{path} has frames of {width}x{height}; at most {max_pixels} pixels are read",
            hint="raise --max-pixels if the file is to be trusted and the memory suffices",
        )
