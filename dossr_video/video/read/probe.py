"""Probing: container, video stream, colour and all other streams of a file. Only the first frame is decoded."""

from __future__ import annotations

import ctypes
import re
import struct
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
from av.stream import Discard

from dossr_video.errors import SourceError
from dossr_video.video import pixels
from dossr_video.video.files import status_of
from dossr_video.video.info import ANY, Chapter, Choice, HdrInfo, SourceInfo, StreamInfo, VideoInfo
from dossr_video.video.light import FLOAT, is_light
from dossr_video.video.read.changes import OwnTags
from dossr_video.video.read.choice import Chosen, choose
from dossr_video.video.read.cropping import CropFilter, declared_cropping, shared_cropping
from dossr_video.video.read.opening import (
    FIRST_PACKETS,
    MAX_PIXELS,
    check_size,
    has_free_clock,
    open_source,
    picture_stream,
    rate_of,
)
from dossr_video.video.read.pictures import described
from dossr_video.video.read.side_data import frame_side_data, stereo_of
from dossr_video.video.sequence import PictureSequence, pattern_in
from dossr_video.video.tags import MATRICES, PRIMARIES, RANGES, TRANSFERS, ColorInfo

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.stream import VideoStream

CHAPTER_TEXT = "chapter text"  # a data stream: the text track of chapters in mp4 and mov
PICTURE_CODECS = frozenset({"bmp", "dpx", "exr", "jpeg2000", "png", "tiff"})  # their grey goes from black to white
FIELD_ORDERS = {1: "progressive", 2: "tff", 3: "bff", 4: "tff", 5: "bff"}  # AVFieldOrder, by what is shown first


def probe(path: str | Path, *, max_pixels: int = MAX_PIXELS, choice: Choice = ANY) -> SourceInfo:
    """Describe a file or a picture sequence; SourceError with the reason when it cannot be upscaled.

    Args:
        path: A video; the pattern of a picture sequence (`scan_%06d.dpx`); or a folder that holds one.
        max_pixels: Larger frames are refused.
        choice: Which of its pictures are meant.

    Refused: missing or empty files, files without video or without an index, frames larger than `max_pixels`.
    """
    path = Path(path)
    if path.is_dir():
        path = pattern_in(path)
    sequence = PictureSequence.of(path)
    if sequence is None and choice.fps is not None:
        raise SourceError(f"{path} is no picture sequence and has its own frame rate", hint="leave --fps away")
    source = _probe(path, max_pixels, choice)
    return source if sequence is None else described(source, sequence, choice.fps)


def _probe(path: Path, max_pixels: int, choice: Choice) -> SourceInfo:
    with open_source(path, max_pixels=max_pixels) as container:
        chosen = choose(container, path, choice)
        stream = picture_stream(container, path, chosen.video, max_pixels=max_pixels)
        frame = _first_frame(container, stream, path, max_pixels=max_pixels)
        number = [other.index for other in container.streams.video].index(stream.index)
        cropping = declared_cropping(path, container.format.name, number, frame.width, frame.height)
        cropping = shared_cropping(cropping, frame.format.name)
        frame = CropFilter(cropping)(frame)
        if is_light(frame.format.name) and frame.format.name not in FLOAT:
            raise SourceError(
                f"{path} has pictures in floating point of a kind that is not read ({frame.format.name})",
                hint="convert them to OpenEXR first, for example with ffmpeg",
            )
        clock = _start(container, chosen)
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
            video=replace(_video_info(stream, frame, choice), cropping=cropping),
            streams=tuple(stream_info(other) for other in container.streams if other.index in chosen.others),
            program=chosen.program,
            programs=chosen.programs,
        )


def probe_streams(path: Path) -> tuple[tuple[StreamInfo, ...], tuple[Chapter, ...], Mapping[str, str]]:
    """Streams, chapters and metadata of a file that need not have a picture; SourceError where it cannot be opened."""
    with open_source(path) as container:
        streams = tuple(map(stream_info, container.streams))
        return streams, tuple(map(_chapter, container.chapters())), dict(container.metadata)


def _start(container: InputContainer, chosen: Chosen) -> int:
    """When the first stream begins, in av's time base. Programs have clocks of their own."""
    if len(chosen.programs) < 2:
        return container.start_time if container.start_time is not None else 0
    mine = (container.streams[index] for index in chosen.others | {chosen.video})
    starts = ((stream.start_time, stream.time_base) for stream in mine)
    return min((round(start * unit * av.time_base) for start, unit in starts if unit and start is not None), default=0)


def _first_frame(container: InputContainer, stream: VideoStream, path: Path, *, max_pixels: int) -> av.VideoFrame:
    # Display matrix, HDR metadata and interlacing are known only from a frame. Damage at the start is skipped.
    error: Exception | None = None
    decoder = OwnTags(stream.codec_context)
    try:
        for count, packet in enumerate(container.demux(stream)):
            try:
                frames = decoder.decode(packet)
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
        hint="this FFmpeg reads no animated WebP: convert it to PNGs first"
        if container.format.name == "webp_pipe" or path.suffix.lower() == ".webp"
        else "the file is cut off or damaged: try another copy; or its frames are larger: raise --max-pixels",
    )


def _video_info(stream: VideoStream, frame: av.VideoFrame, choice: Choice) -> VideoInfo:
    context = stream.codec_context
    assert stream.time_base is not None  # every demuxer sets it
    side_data = frame_side_data(frame)
    matrix = side_data.get("DISPLAYMATRIX")
    pix_fmt = pixels.decoded_format(frame)
    if hides_alpha(stream):
        pix_fmt = "yuva420p"  # only libvpx, which the reader takes for these, decodes the alpha
    return VideoInfo(
        stream=stream_info(stream),
        codec=context.codec.canonical_name,
        width=frame.width,
        height=frame.height,
        time_base=stream.time_base,
        frame_rate=rate_of(stream),
        told_rate=stream.guessed_rate or None,
        pix_fmt=pix_fmt,
        color=_color(stream, frame, choice),
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


def _color(stream: VideoStream, frame: av.VideoFrame, choice: Choice) -> ColorInfo:
    def tag(table: Mapping[int, str], name: str) -> str | None:
        return table.get(getattr(frame, name))  # the container's, where its codec tells none

    pix_fmt = pixels.decoded_format(frame)
    transfer = tag(TRANSFERS, "color_trc")
    if stream.codec_context.name == "dpx" and transfer == "linear":  # written by FFmpeg where nothing is known
        transfer = None
    light, picture = is_light(frame.format.name), stream.codec_context.name in PICTURE_CODECS
    grey = pixels.is_grey(pix_fmt)
    full = pix_fmt.startswith("yuvj") or pixels.is_rgb(pix_fmt) or (grey and picture)
    return ColorInfo(
        primaries=tag(PRIMARIES, "color_primaries"),
        transfer=choice.light if light else transfer,
        matrix="gbr" if pixels.is_rgb(pix_fmt) else tag(MATRICES, "colorspace"),
        range="pc" if full else tag(RANGES, "color_range") or ("pc" if grey else None),  # as FFmpeg takes grey
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
    metadata = dict(raw["metadata"])
    return Chapter(raw["start"] * unit, raw["end"] * unit, metadata.get("title"), metadata)


def _data_codec(stream: Any) -> str | None:
    """FFmpeg's name of a data codec. The demuxer discards the text track that it has read the chapters from."""
    if stream.type != "data":
        return None
    return CHAPTER_TEXT if stream.discard == Discard.all else stream.name


def stream_info(stream: Any) -> StreamInfo:
    """A stream of an open file that is not upscaled."""
    context = stream.codec_context
    channels, layout = _channel_layout(context)
    custom = layout is not None and " channels (" in layout  # not `5.1(side)`
    return StreamInfo(
        index=stream.index,
        kind=stream.type,
        codec=context.codec.canonical_name if context is not None else _data_codec(stream),
        language=stream.language,
        title=stream.metadata.get("title", stream.metadata.get("name")),  # the second: of mp4 and mov
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
