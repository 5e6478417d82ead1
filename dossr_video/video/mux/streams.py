"""Stream mapping: whether each stream that is not upscaled is copied, converted or dropped. Decided before the work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from dossr_video.names import shown
from dossr_video.video.info import SourceInfo, StreamInfo, TrackFile
from dossr_video.video.read.probe import CHAPTER_TEXT
from dossr_video.video.write.containers import TEXT_SUBTITLES, Container, muxable

COVER_TYPES = {"mjpeg": ("jpg", "image/jpeg"), "png": ("png", "image/png"), "gif": ("gif", "image/gif")}
GPMD = "bin_data"  # GoPro's metadata: the only data that FFmpeg names so in mp4 and mov
MOST_CHANNELS = 8  # of FLAC and Opus


@dataclass(frozen=True)
class StreamMapping:
    """How one stream of the source is mapped to the result."""

    stream: StreamInfo
    action: Literal["copy", "convert", "drop"]
    codec: str | None = None  # FFmpeg's encoder, when converted
    reason: str = ""  # when converted or dropped

    @property
    def file(self) -> TrackFile | None:
        """The file beside the source that the stream is added from; None: the source itself."""
        return None if self.stream.origin is None else self.stream.origin.file

    def __str__(self) -> str:
        return f"{describe(self.stream)}: {self.reason}" if self.reason else describe(self.stream)


def map_streams(source: SourceInfo, container: Container, *, cut: bool) -> tuple[StreamMapping, ...]:
    """The mapping of every stream but the upscaled one, in file order. `cut`: a part of the source is upscaled."""
    return tuple(_map_stream(stream, source, container, cut=cut) for stream in source.streams)


def has_file_beside(source: SourceInfo, container: Container) -> bool:
    """Whether a result of pictures has a file beside it, with sound or whatever else the source holds."""
    return container.beside is not None and any(map(is_muxed, map_streams(source, container, cut=False)))


def is_cover(stream: StreamInfo) -> bool:
    """Whether a video stream is cover art (an attached picture)."""
    return "attached_pic" in stream.disposition


def describe(stream: StreamInfo) -> str:
    """A short description of a stream: `audio stream 2 (ac3, fra)`, `audio stream 0 of sound.wav (pcm_s24le)`."""
    details = ", ".join(part for part in (stream.codec, stream.language, stream.metadata.get("filename")) if part)
    if (origin := stream.origin) is not None:
        of_file = f"{stream.kind} stream {origin.index} of {origin.file.path.name}"
        return shown(of_file + (f" ({details})" if details else ""))
    return shown(f"{stream.kind} stream {stream.index}" + (f" ({details})" if details else ""))


def _map_stream(stream: StreamInfo, source: SourceInfo, container: Container, *, cut: bool) -> StreamMapping:
    if container.beside is not None:
        if stream.kind == "video" and not is_cover(stream):
            return StreamMapping(stream, "drop", reason="pictures are of one video stream; .mkv holds several")
        container = container.beside
    match stream.kind:
        case "audio":
            return _audio(stream, container)
        case "subtitle":
            return _subtitle(stream, container)
        case "attachment":
            if container.attachments:
                return StreamMapping(stream, "copy")
            return StreamMapping(stream, "drop", reason=f"{container.format} does not support attachments; .mkv does")
        case "video":
            return _further_video(stream, container, cut=cut)
        case _:
            return _data(stream, source, container)


def _audio(stream: StreamInfo, container: Container) -> StreamMapping:
    if stream.codec is None:
        return StreamMapping(stream, "drop", reason="its codec is not known")
    if not stream.sample_rate or not stream.channels:
        return StreamMapping(stream, "drop", reason="it is declared, but empty: no packets were found")
    if _holds(container, stream) and not (container.format == "mp4" and _misread_in_mp4(stream)):
        return StreamMapping(stream, "copy")
    if not stream.decodable:
        reason = f"{container.format} does not support {stream.codec} with unused channels, and it cannot be decoded"
        return StreamMapping(stream, "drop", reason=f"{reason}; .mov and .mkv do")
    if (stream.channels or 0) > MOST_CHANNELS:
        reason = (
            f"{container.format} does not support {stream.codec}, and {stream.channels} channels cannot be converted"
        )
        return StreamMapping(stream, "drop", reason=reason)
    encoder = container.other_audio
    if encoder == "libopus":
        return StreamMapping(
            stream, "convert", codec=encoder, reason="WebM supports Opus and Vorbis only: converted to Opus"
        )
    bits = 16 if (stream.sample_bits or 16) <= 16 else 24
    why = f"{container.format} does not support {stream.codec} audio"
    if container.format == "mp4" and stream.codec == "pcm_s16le":
        why += f" of {stream.channels} channels without a channel layout"
    if container.sample_rate not in (None, stream.sample_rate):
        why = f"{container.format} holds sound of {container.sample_rate} Hz, not of {stream.sample_rate}"
    reason = f"{why}: converted to {bits}-bit {encoder.upper()}"
    if container.format == "mxf":
        reason += "; .mov and .mkv keep it"
    return StreamMapping(stream, "convert", codec=f"pcm_s{bits}le" if encoder == "pcm" else encoder, reason=reason)


def _misread_in_mp4(stream: StreamInfo) -> bool:
    """Many mp4 readers take PCM for 16 bits whatever it says, and the muxer needs a channel layout.

    One or two channels without a layout, as in AVI and Matroska, are mono and stereo.
    """
    pcm = (stream.codec or "").startswith("pcm_")
    return pcm and (stream.codec != "pcm_s16le" or (stream.layout is None and (stream.channels or 0) > 2))


def _subtitle(stream: StreamInfo, container: Container) -> StreamMapping:
    if stream.codec in container.subtitles:
        return StreamMapping(stream, "copy")
    if stream.codec in TEXT_SUBTITLES:
        styled = " (styles are simplified)" if stream.codec in ("ass", "ssa") else ""
        return StreamMapping(
            stream,
            "convert",
            codec=container.text_subtitle,
            reason=f"{container.format} needs {container.text_subtitle} subtitles: converted{styled}",
        )
    return StreamMapping(
        stream,
        "drop",
        reason=f"{container.format} does not support {stream.codec} subtitles; "
        f"{'.mov' if stream.codec == 'eia_608' else '.mkv'} does",
    )


def _further_video(stream: StreamInfo, container: Container, *, cut: bool) -> StreamMapping:
    cover = is_cover(stream)
    if cover and container.attachments:
        if stream.codec in COVER_TYPES:
            return StreamMapping(stream, "copy")
        return StreamMapping(stream, "drop", reason=f"{container.format} does not support {stream.codec} cover art")
    if stream.codec is not None and _holds(container, stream) and (container.covers or not cover):
        if cut and not cover:
            return StreamMapping(stream, "drop", reason="a second video stream is not cut: that would need encoding")
        return StreamMapping(stream, "copy", reason="" if cover else "a second video stream is copied, not upscaled")
    kind = "cover art" if cover else f"{stream.codec} video"
    return StreamMapping(stream, "drop", reason=f"{container.format} does not support {kind}")


def _data(stream: StreamInfo, source: SourceInfo, container: Container) -> StreamMapping:
    if stream.codec == CHAPTER_TEXT:
        return StreamMapping(stream, "copy", reason="the text track of the chapters, written from the chapters")
    if "timecode" in stream.metadata and container.format in ("mp4", "mov", "matroska"):
        return StreamMapping(stream, "copy", reason="the timecode track is written from its first value")
    if stream.codec == GPMD and "mov" in source.container and container.format in ("mp4", "mov"):
        return StreamMapping(stream, "copy")
    return StreamMapping(stream, "drop", reason=f"{container.format} does not support this data")


def is_muxed(mapping: StreamMapping) -> bool:
    """Whether packets of a stream are written; the tracks of chapters and timecode are made by the muxer."""
    return mapping.action != "drop" and (mapping.stream.kind != "data" or mapping.stream.codec == GPMD)


def _holds(container: Container, stream: StreamInfo) -> bool:
    """Whether a stream can be copied."""
    codec = str(stream.codec)
    if container.sample_rate is not None and stream.kind == "audio" and stream.sample_rate != container.sample_rate:
        return False
    if container.audio is not None and codec not in ("av1", "vp9", "vp8"):
        return codec in container.audio
    return codec in muxable(container.format) - container.refused
