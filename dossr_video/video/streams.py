"""What becomes of every stream that is not upscaled: copied, converted or lost, decided before any work begins."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import av

from dossr_video.video.containers import TEXT_SUBTITLES, Container
from dossr_video.video.probe import SourceInfo, StreamInfo

# Keys that mp4 and mov write in their own boxes; others survive only as free-form (mdta) tags.
MP4_KEYS = frozenset(
    {
        "title", "artist", "album_artist", "composer", "album", "date", "comment", "genre", "copyright", "grouping",
        "lyrics", "description", "synopsis", "show", "episode_id", "network", "encoder", "track", "disc", "compilation",
        "major_brand", "minor_version", "compatible_brands", "creation_time", "hd_video", "media_type", "location",
        "season_number", "episode_sort", "keywords",
    }
)  # fmt: skip
# Written anew by every muxer: no one loses anything with them.
TECHNICAL_KEYS = frozenset(
    {"encoder", "major_brand", "minor_version", "compatible_brands", "duration", "handler_name", "vendor_id"}
)


@dataclass(frozen=True)
class Fate:
    """What happens to one stream of the source."""

    stream: StreamInfo
    action: Literal["copy", "convert", "lose"]
    codec: str | None = None  # FFmpeg's encoder, when converted
    reason: str = ""  # in plain words, when converted or lost

    def __str__(self) -> str:
        return f"{describe(self.stream)}: {self.reason}" if self.reason else describe(self.stream)


def fates(source: SourceInfo, container: Container) -> tuple[Fate, ...]:
    """One per stream of the source but the picture, in the file's order."""
    return tuple(_fate(stream, source, container) for stream in source.streams)


def losses(source: SourceInfo, container: Container) -> tuple[str, ...]:
    """What the container cannot keep of the source, one line each; empty when everything is kept or converted."""
    lost = [str(fate) for fate in fates(source, container) if fate.action == "lose"]
    if container.format == "mov":
        forced = [stream for stream in source.of_kind("subtitle") if "forced" in stream.disposition]
        lost += [f"{describe(stream)}: mov has no mark for forced subtitles; .mp4 and .mkv do" for stream in forced]
    return tuple(lost)


def describe(stream: StreamInfo) -> str:
    """A stream in a few words: `audio stream 2 (ac3, fra)`."""
    details = ", ".join(part for part in (stream.codec, stream.language, stream.metadata.get("filename")) if part)
    return f"{stream.kind} stream {stream.index}" + (f" ({details})" if details else "")


def _fate(stream: StreamInfo, source: SourceInfo, container: Container) -> Fate:
    match stream.kind:
        case "audio":
            return _audio(stream, container)
        case "subtitle":
            return _subtitle(stream, container)
        case "attachment":
            if container.attachments:
                return Fate(stream, "copy")
            return Fate(stream, "lose", reason=f"{container.format} holds no attachments; .mkv does")
        case "video":
            return _further_video(stream, container)
        case _:
            return _data(stream, source, container)


def _audio(stream: StreamInfo, container: Container) -> Fate:
    if stream.codec is None:
        return Fate(stream, "lose", reason="its codec is not known")
    # Many readers of mp4 take its PCM for 16 bits whatever it says.
    misread = container.format == "mp4" and stream.codec.startswith("pcm_") and stream.codec != "pcm_s16le"
    if _holds(container, stream.codec) and not misread:
        return Fate(stream, "copy")
    if container.format == "webm":
        return Fate(stream, "convert", codec="libopus", reason="WebM holds Opus and Vorbis only: encoded anew as Opus")
    return Fate(stream, "convert", codec="flac", reason=f"{stream.codec} is no sound for {container.format}: now FLAC")


def _subtitle(stream: StreamInfo, container: Container) -> Fate:
    if stream.codec in container.subtitles:
        return Fate(stream, "copy")
    if stream.codec in TEXT_SUBTITLES:
        styled = " (styles are simplified)" if stream.codec in ("ass", "ssa") else ""
        return Fate(
            stream,
            "convert",
            codec=container.text_subtitle,
            reason=f"{container.format} wants {container.text_subtitle} subtitles: converted{styled}",
        )
    return Fate(stream, "lose", reason=f"{container.format} does not hold {stream.codec} subtitles; .mkv does")


def _further_video(stream: StreamInfo, container: Container) -> Fate:
    cover = "attached_pic" in stream.disposition
    if stream.codec is not None and _holds(container, stream.codec) and (container.covers or not cover):
        return Fate(stream, "copy", reason="" if cover else "a second picture stream is copied, not upscaled")
    kind = "cover pictures" if cover else f"{stream.codec} video"
    return Fate(stream, "lose", reason=f"{container.format} does not hold {kind}")


def _data(stream: StreamInfo, source: SourceInfo, container: Container) -> Fate:
    if source.chapters and stream.codec == "bin_data":
        return Fate(stream, "copy", reason="the chapters' own text track, written anew from the chapters")
    if "timecode" in stream.metadata and container.format in ("mp4", "mov", "matroska"):
        return Fate(stream, "copy", reason="the time code is written anew from its first value")
    return Fate(stream, "lose", reason=f"{container.format} does not hold this data")


def _holds(container: Container, codec: str) -> bool:
    if container.audio is not None and codec not in ("av1", "vp9", "vp8"):
        return codec in container.audio
    return codec in _muxable(container.format)


@lru_cache
def _muxable(muxer: str) -> frozenset[str]:
    with av.open("/dev/null", "w", format=muxer) as output:
        names = output.supported_codecs
    codecs = set()
    for name in names:
        for mode in ("r", "w"):
            try:
                codecs.add(av.Codec(name, mode).canonical_name)
            except ValueError:
                continue
    return frozenset(codecs)
