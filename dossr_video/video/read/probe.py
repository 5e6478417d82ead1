"""Probing: container, video stream, colour and all other streams of a file. Only the first frame is decoded."""

from __future__ import annotations

import ctypes
import re
import struct
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
from av.stream import Discard

from dossr_video.errors import SourceError
from dossr_video.heap import give_back_memory
from dossr_video.video import pixels
from dossr_video.video.files import FileStatus, close_input, open_input, status_of
from dossr_video.video.info import Chapter, HdrInfo, SourceInfo, StreamInfo, VideoInfo
from dossr_video.video.read.cropping import CropFilter, declared_cropping
from dossr_video.video.read.pictures import described
from dossr_video.video.read.side_data import frame_side_data, stereo_of
from dossr_video.video.sequence import PictureSequence, is_pattern, pattern_in
from dossr_video.video.tags import MATRICES, PRIMARIES, RANGES, TRANSFERS, UNSPECIFIED, ColorInfo

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

MAX_PIXELS = 8192 * 8192  # of one frame
MAX_STREAMS = 256
FAR = {"probesize": "50000000", "analyzeduration": "30000000"}  # bytes; microseconds
FIRST_PACKETS = 2000  # packets searched for the first decodable frame
CHAPTER_TEXT = "chapter text"  # a data stream: the text track of chapters in mp4 and mov
FIELD_ORDERS = {1: "progressive", 2: "tff", 3: "bff", 4: "tff", 5: "bff"}  # AVFieldOrder, by what is shown first
# Containers with an arbitrary start time: timestamps are rebased to zero, as players do.
FREE_CLOCKS = frozenset({"mpegts", "mpeg", "dv", "h264", "hevc", "mpegvideo"})


def probe(path: str | Path, *, max_pixels: int = MAX_PIXELS, fps: Fraction | None = None) -> SourceInfo:
    """Describe a file or a picture sequence; SourceError with the reason when it cannot be upscaled.

    Args:
        path: A video; the pattern of a picture sequence (`scan_%06d.dpx`); or a folder that holds one.
        max_pixels: Larger frames are refused.
        fps: Frames per second of a picture sequence; None: as its DPX headers say.

    Refused: missing or empty files, files without video or without an index, frames larger than `max_pixels`.
    """
    path = Path(path)
    if path.is_dir():
        path = pattern_in(path)
    sequence = PictureSequence.of(path)
    if sequence is None and fps is not None:
        raise SourceError(f"{path} is no picture sequence and has its own frame rate", hint="leave --fps away")
    source = _probe(path, max_pixels)
    return source if sequence is None else described(source, sequence, fps)


def _probe(path: Path, max_pixels: int) -> SourceInfo:
    with open_source(path, max_pixels=max_pixels) as container:
        stream = picture_stream(container, path, max_pixels=max_pixels)
        frame = _first_frame(container, stream, path, max_pixels=max_pixels)
        number = [other.index for other in container.streams.video].index(stream.index)
        cropping = declared_cropping(path, container.format.name, number, frame.width, frame.height)
        frame = CropFilter(cropping)(frame)
        if re.search(r"f(16|32)(le|be)?$", frame.format.name):
            raise SourceError(
                f"{path} has pictures in floating point ({frame.format.name}), which are not read",
                hint="convert them to 16-bit integers with a transfer function first, for example with ffmpeg",
            )
        clock = container.start_time if container.start_time is not None else 0
        unit = stream.time_base or Fraction(1, 90000)
        return SourceInfo(
            path=path,
            container=container.format.name,
            size=status_of(path).size,
            # In whole ticks of the video, so that subtracting it is exact.
            start=round(Fraction(clock, av.time_base) / unit) * unit if has_free_clock(container) else Fraction(0),
            begins=Fraction(clock, av.time_base),
            duration=None if container.duration is None else Fraction(container.duration, av.time_base),
            metadata=dict(container.metadata),
            chapters=tuple(_chapter(raw) for raw in container.chapters()),
            video=replace(_video_info(stream, frame), cropping=cropping),
            streams=tuple(_stream_info(other) for other in container.streams if other.index != stream.index),
        )


def open_source(path: Path, *, max_pixels: int = MAX_PIXELS) -> InputContainer:
    """Open a file for reading; SourceError when that fails. Frames above `max_pixels` are not decoded."""
    if not path.exists() and not is_pattern(path):
        raise SourceError(f"{path} does not exist", hint="check the path")
    if path.is_dir():
        raise SourceError(f"{path} is a folder; one video file is needed", hint="name a file in it")
    if status_of(path).size == 0:
        raise SourceError(f"{path} is empty", hint="copy or download the file again")
    try:
        container = _open(path, _decoder_limit(max_pixels))
    except PermissionError as error:
        raise SourceError(f"{path} may not be read: {error.strerror}", hint="change its permissions") from error
    except MemoryError as error:
        raise SourceError(
            f"{path} asks for more streams, or for larger tables, than any video has",
            hint="the file is damaged or made to do harm; if neither, copy the streams you need into a new one",
        ) from error
    except av.ArgumentError as error:
        raise SourceError(
            f"{path} is not a video, or it is a list of other files: {error.strerror}",
            hint="name the video file itself; lists (ffconcat, HLS, DASH) are not followed",
        ) from error
    except (av.FFmpegError, ValueError) as error:
        raise SourceError(
            f"{path} is not a video, or is cut before its index: {getattr(error, 'strerror', None) or error}",
            hint="check that a player opens it; an interrupted recording can sometimes be repaired with untrunc",
        ) from error
    except OSError as error:  # of the system, before FFmpeg has seen it
        raise SourceError(
            f"{path} cannot be opened: {error.strerror}",
            hint="check the disk or the network, then give the same command again; finished segments are kept",
        ) from error
    give_back_memory()  # the index of a two-hour mp4 takes 20 MB while it is open, and 35 MB while it is built
    return container


def _open(path: Path, options: dict[str, str]) -> InputContainer:
    """Open a file; where audio begins late, search farther for its parameters."""
    container = open_input(path, options)
    if all(stream.codec_context is None or stream.codec_context.sample_rate for stream in container.streams.audio):
        return container
    close_input(container)
    return open_input(path, {**options, **FAR})


def picture_stream(container: InputContainer, path: Path, *, max_pixels: int) -> VideoStream:
    """The video stream to upscale: the first that is no cover art and no still, else the first.

    SourceError for none, or for too large frames.
    """
    if len(container.streams) > MAX_STREAMS:
        raise SourceError(
            f"{path} has {len(container.streams)} streams; at most {MAX_STREAMS} are read",
            hint="copy the streams you need into a new file",
        )
    streams = [s for s in container.streams.video if not s.disposition & s.disposition.attached_pic]
    if len(streams) > 1:  # some files begin with a still
        moving = _moving(path, status_of(path))
        streams.sort(key=lambda s: s.index not in moving)
    stream = streams[0] if streams else None
    if stream is None:
        raise SourceError(f"{path} has no video stream", hint="only files with moving pictures can be upscaled")
    if stream.codec_context is None:
        raise SourceError(f"{path}: nothing here decodes its video codec", hint="convert it with another tool first")
    check_size(stream.codec_context.width, stream.codec_context.height, path, max_pixels=max_pixels)
    stream.codec_context.options = _decoder_limit(max_pixels)
    if has_free_clock(container):  # tags are in the frames, and opening may have taken them from later ones
        context: Any = stream.codec_context
        context.color_range, context.colorspace = 0, UNSPECIFIED
        context.color_primaries = context.color_trc = UNSPECIFIED
    return stream


@lru_cache(maxsize=64)
def _moving(path: Path, status: FileStatus) -> frozenset[int]:
    """Video streams with more than one picture; `status` tells a changed file from the old."""
    counts: Counter[int] = Counter()
    with open_source(path) as container, suppress(av.FFmpegError):
        for packet in islice(container.demux(container.streams.video), FIRST_PACKETS):
            counts[packet.stream.index] += packet.size > 0
            if all(counts[stream.index] > 1 for stream in container.streams.video):
                break
    return frozenset(index for index, count in counts.items() if count > 1)


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


def _first_frame(container: InputContainer, stream: VideoStream, path: Path, *, max_pixels: int) -> av.VideoFrame:
    # Display matrix, HDR metadata and interlacing are known only from a frame. Damage at the start is skipped.
    error: Exception | None = None
    try:
        for count, packet in enumerate(container.demux(stream)):
            try:
                frames = packet.decode()
            except av.FFmpegError as damage:
                error = damage
                continue
            if frames:
                check_size(frames[0].width, frames[0].height, path, max_pixels=max_pixels)
                return frames[0]
            if count >= FIRST_PACKETS:
                break
    except av.FFmpegError as damage:
        error = damage
    raise SourceError(
        f"{path} holds no decodable frame of at most {max_pixels} pixels" + (f": {error}" if error else ""),
        hint="the file is cut off or damaged: try another copy; or its frames are larger: raise --max-pixels",
    )


def _video_info(stream: VideoStream, frame: av.VideoFrame) -> VideoInfo:
    context = stream.codec_context
    assert stream.time_base is not None  # every demuxer sets it
    side_data = frame_side_data(frame)
    matrix = side_data.get("DISPLAYMATRIX")
    pix_fmt = pixels.decoded_format(frame)
    if hides_alpha(stream):
        pix_fmt = "yuva420p"  # only libvpx, which the reader takes for these, decodes the alpha
    return VideoInfo(
        stream=_stream_info(stream),
        codec=context.codec.canonical_name,
        width=frame.width,
        height=frame.height,
        time_base=stream.time_base,
        frame_rate=stream.guessed_rate or stream.average_rate or Fraction(25),
        pix_fmt=pix_fmt,
        color=_color(stream, frame),
        hdr=_hdr(side_data),
        stereo=stereo_of(side_data),
        sample_aspect_ratio=stream.sample_aspect_ratio or None,
        display_matrix=None if matrix is None else struct.unpack("9i", matrix),
        rotation=frame.rotation % 360,
        field_order=FIELD_ORDERS.get(context.field_order),
        interlaced=frame.interlaced_frame,
        begins=(stream.start_time or 0) * stream.time_base,
        frames=stream.frames or None,
        duration=_declared_duration(stream),
    )


def _declared_duration(stream: Any) -> Fraction | None:
    if stream.container.format.name == "avi" and stream.frames:  # its length shrinks with the file
        return Fraction(stream.frames * stream.time_base)
    if stream.duration is not None:
        return Fraction(stream.duration * stream.time_base)
    # Matroska has the duration of a stream in a tag only: 00:01:02.345000000.
    tag = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", stream.metadata.get("DURATION", ""))
    return None if tag is None else int(tag[1]) * 3600 + int(tag[2]) * 60 + Fraction(tag[3])


def hides_alpha(stream: Any) -> bool:
    """Whether a VP8 or VP9 stream has an alpha channel that FFmpeg's own decoders ignore."""
    tags = {key.lower(): value for key, value in stream.metadata.items()}
    return stream.codec_context.name in ("vp8", "vp9") and tags.get("alpha_mode") == "1"


def _color(stream: VideoStream, frame: av.VideoFrame) -> ColorInfo:
    def tag(table: Mapping[int, str], name: str) -> str | None:
        return table.get(getattr(frame, name)) or table.get(getattr(stream.codec_context, name))

    pix_fmt = pixels.decoded_format(frame)
    full = pix_fmt.startswith("yuvj") or pixels.is_rgb(pix_fmt)
    return ColorInfo(
        primaries=tag(PRIMARIES, "color_primaries"),
        transfer=tag(TRANSFERS, "color_trc"),
        matrix="gbr" if pixels.is_rgb(pix_fmt) else tag(MATRICES, "colorspace"),
        range="pc" if full else tag(RANGES, "color_range"),
        chroma_location=_chroma_location(stream.codec_context.name) if any(pixels.chroma_shift(pix_fmt)) else None,
    )


def _chroma_location(codec: str) -> str:
    return "center" if codec in ("mjpeg", "mpeg1video", "vp8") else "left"


def _hdr(side_data: Mapping[str, bytes]) -> HdrInfo:
    mastering = light = None
    if (content := side_data.get("MASTERING_DISPLAY_METADATA")) is not None:
        numbers = struct.unpack("20i2i", content)
        if numbers[20] and numbers[21]:  # both the primaries and the luminance are present
            mastering = tuple(Fraction(n, d or 1) for n, d in zip(numbers[0:20:2], numbers[1:20:2], strict=True))
    if (content := side_data.get("CONTENT_LIGHT_LEVEL")) is not None:
        light = struct.unpack("2I", content[:8])
    return HdrInfo(mastering=mastering, light_level=light)


def _chapter(raw: Mapping[str, Any]) -> Chapter:
    unit = raw["time_base"] or Fraction(1, 1000)
    return Chapter(start=raw["start"] * unit, end=raw["end"] * unit, title=raw["metadata"].get("title"))


def _data_codec(stream: Any) -> str | None:
    """FFmpeg's name of a data codec. The demuxer discards the text track that it has read the chapters from."""
    if stream.type != "data":
        return None
    return CHAPTER_TEXT if stream.discard == Discard.all else stream.name


def _stream_info(stream: Any) -> StreamInfo:
    context = stream.codec_context
    channels, layout = _channel_layout(context)
    custom = layout is not None and " channels (" in layout  # not `5.1(side)`
    return StreamInfo(
        index=stream.index,
        kind=stream.type,
        codec=context.codec.canonical_name if context is not None else _data_codec(stream),
        language=stream.language,
        title=stream.metadata.get("title"),
        disposition=tuple(flag.name for flag in stream.disposition if flag.name),
        metadata=dict(stream.metadata),
        sample_rate=getattr(context, "sample_rate", None) or None,
        channels=channels,
        sample_bits=context.format.bits if stream.type == "audio" and context is not None and context.format else None,
        layout=None if layout is None or custom or layout.endswith("channels") else layout,
        decodable=not custom,
    )


def _channel_layout(context: Any) -> tuple[int | None, str | None]:
    """How many channels, and FFmpeg's name of their places; None where there is no sound.

    PyAV 18.1 frees a layout of custom order twice, which corrupts the heap: so the object is kept for ever, and sound
    of such a layout is never decoded.
    """
    layout = getattr(context, "layout", None)
    if layout is None:
        return None, None
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(layout))
    return layout.nb_channels or None, layout.name


def container_name(names: str) -> str:
    """A container in words, from FFmpeg's name or names of its format: `Matroska / WebM (matroska)`."""
    name = names.split(",")[0]
    long_name = "MP4 / QuickTime" if name == "mov" else av.ContainerFormat(name, "r").long_name.split(" (")[0]
    return f"{long_name} ({name})"


def ffmpeg_version() -> str:
    """Of the FFmpeg that decodes and encodes."""
    return str(av.ffmpeg_version_info)
