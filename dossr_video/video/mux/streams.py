"""Stream mapping: whether each stream that is not upscaled is copied, converted or dropped. Decided before the work."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Literal

from dossr_video.names import shown
from dossr_video.video.info import SourceInfo, StreamInfo, TrackFile
from dossr_video.video.mux.languages import language_tag, same_language
from dossr_video.video.mux.timecode import breaks, timecode_of
from dossr_video.video.read.dpx import TEXTS
from dossr_video.video.read.probe import CHAPTER_TEXT
from dossr_video.video.sequence import sequence_around
from dossr_video.video.write.containers import CONTAINERS, TEXT_SUBTITLES, Container, muxable

# Keys that mp4 and mov store in boxes of their own; others are kept as free-form (mdta) tags only.
MP4_KEYS = frozenset(
    {
        "title", "artist", "album_artist", "composer", "album", "date", "comment", "genre", "copyright", "grouping",
        "lyrics", "description", "synopsis", "show", "episode_id", "network", "encoder", "track", "disc", "compilation",
        "major_brand", "minor_version", "compatible_brands", "creation_time", "hd_video", "media_type", "location",
        "season_number", "episode_sort", "keywords",
    }
)  # fmt: skip
# What the mov muxer stores without its flag for any keys.
MOV_KEYS = frozenset(
    {"title", "artist", "album", "date", "comment", "genre", "copyright", "creation_time", "location", "encoder"}
)
# Written anew by every muxer, the timecode by this project: not a loss.
TECHNICAL_KEYS = frozenset(
    {
        "encoder",
        "major_brand",
        "minor_version",
        "compatible_brands",
        "duration",
        "handler_name",
        "vendor_id",
        "timecode",
    }
)
# Of a stream, what is known from elsewhere: its counts (Matroska's statistics) and what is written with the picture.
_COUNTED = ("BPS", "DURATION", "NUMBER_OF_", "_STATISTICS", "ENCODER")
# FFmpeg writes the last two of a file alone.
_KNOWN = frozenset({"language", "title", "name", "alpha_mode", "stereo_mode", "creation_time", "encoding_tool"})

# Dispositions that say what a track is for.
MEANT = frozenset(
    {
        *("dub", "original", "comment", "lyrics", "karaoke", "forced", "hearing_impaired", "visual_impaired"),
        *("clean_effects", "captions", "descriptions"),
    }
)

SAME_TIME = Fraction(2, 1000)  # seconds; containers round to one

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


def losses(source: SourceInfo, container: Container, *, cut: bool) -> tuple[str, ...]:
    """What the container cannot keep of the other streams and tags, one line each."""
    planned = map_streams(source, container, cut=cut)
    lost = [str(mapping) for mapping in planned if mapping.action == "drop"]
    kept = [mapping.stream for mapping in planned if mapping.action != "drop"]
    lost += _language_losses((source.video.stream, *kept), container.others)
    lost += _flag_losses(kept, container.others)
    lost += _tag_losses(source, kept, container)
    lost += _metadata_losses(source, container)
    if (pattern := sequence_around(source.path)) is not None:
        lost.append(f"the other pictures of {pattern.name}: name {pattern.name} or the folder, not one picture")
    return tuple(lost)


def _language_losses(streams: Sequence[StreamInfo], container: Container) -> Iterator[str]:
    for stream in streams:
        if keeps_language(stream.language, container):
            continue
        written = language_tag(container.format, str(stream.language))
        others = " and ".join(e for e in (".mp4", ".mkv") if keeps_language(stream.language, CONTAINERS[e]))
        does = f"has no code for the language {stream.language}; {others} {'do' if ' ' in others else 'does'}"
        if written != "und":
            does = f"writes the language {stream.language} as {written}; {others} keeps it"
        yield f"{describe(stream)}: {container.format} {does}"


def keeps_language(language: str | None, container: Container) -> bool:
    return language in (None, "und") or same_language(language, language_tag(container.format, str(language)))


def _flag_losses(streams: Sequence[StreamInfo], container: Container) -> Iterator[str]:
    for stream in streams:
        if stream.kind not in ("audio", "subtitle"):
            continue
        if gone := set(stream.disposition) & MEANT - _held_flags(container, stream):
            others = [ending for ending in (".mkv", ".mp4") if gone <= _held_flags(CONTAINERS[ending], stream)]
            instead = f"; {' and '.join(others)} {'do' if len(others) > 1 else 'does'}" if others else ""
            yield f"{describe(stream)}: {container.format} has no flag for {', '.join(sorted(gone))}{instead}"
    subtitles = [stream for stream in streams if stream.kind == "subtitle"]
    if container.format in ("mp4", "mov") and subtitles and not any("default" in s.disposition for s in subtitles):
        yield f"{describe(subtitles[0])}: {container.format} always has a default subtitle, this one; .mkv need not"


def _tag_losses(source: SourceInfo, streams: Sequence[StreamInfo], container: Container) -> Iterator[str]:
    """What is known of single streams and chapters beside their language and title."""
    picture = source.video.stream
    for stream in (picture, *streams):
        if container.others.stream_tags and (stream is not picture or container.beside is None):
            continue
        if stream.kind in ("attachment", "data") or is_cover(stream):
            continue
        if tags := own_tags(stream).items() - source.metadata.items():
            names = ", ".join(sorted(name for name, _ in tags))
            yield f"{describe(stream)}: metadata {names}: {container.format} holds none of single streams; .mkv does"
    names = ", ".join(sorted({key for chapter in source.chapters for key in chapter.metadata} - {"title"}))
    if names and container.others.tagged and not container.others.chapter_tags:
        yield f"metadata {names} of chapters: {container.format} holds their titles alone; .mkv holds all"


def own_tags(stream: StreamInfo) -> dict[str, str]:
    """The metadata of a stream that is written nowhere else."""
    return {
        key: value
        for key, value in stream.metadata.items()
        if not is_technical(key) and not _is_counted(key) and key.lower() not in _KNOWN
    }


def written_tags(stream: StreamInfo, muxer: str) -> dict[str, str]:
    """The metadata that a stream of the result gets; the counts are left to the muxer."""
    tags = {key: value for key, value in stream.metadata.items() if not _is_counted(key)}
    if stream.title is not None:
        tags["title"] = stream.title
        tags.pop("name", None)
        if muxer in ("mp4", "mov"):  # where players take it from the handler's name
            tags["handler_name"] = stream.title
    if stream.language is not None:
        tags["language"] = language_tag(muxer, stream.language)
    return tags


def _is_counted(key: str) -> bool:
    return key.upper().startswith(_COUNTED)


def _held_flags(container: Container, stream: StreamInfo) -> frozenset[str]:
    return container.flags | (container.subtitle_flags if stream.kind == "subtitle" else frozenset())


def _metadata_losses(source: SourceInfo, container: Container) -> list[str]:
    lost, keys = [], lost_keys(source, container)
    if container.format in ("mp4", "mov"):
        apart = sum(abs(one.end - after.start) > SAME_TIME for one, after in pairwise(source.chapters))
        if apart:
            lost.append(
                f"the end of {apart} chapters: in {container.format} one ends where the next begins; .mkv keeps them"
            )
    if container.format != "dpx" and (count := breaks(source)):
        lost.append(f"timecode: {count} pictures do not go on from the one before; only .dpx keeps that")
    if container.beside is None and container.tagged:
        why = "an mp4 with cover art stores standard keys only; .mkv stores all"
        return [*lost, f"metadata {', '.join(sorted(keys))}: {why}"] if keys else lost
    name = f"{container.format} pictures hold" if container.beside else f"{container.format} holds"
    if keys:
        lost.append(f"metadata {', '.join(sorted(keys))}: {name} none; .mkv does")
    if source.chapters and not has_file_beside(source, container):
        lost.append(f"{len(source.chapters)} chapters: {name} none; .mkv does")
    of_streams = (source.video.stream, *(() if container.beside else source.of_kind("audio")))
    named = [stream for stream in of_streams if stream.title or stream.language not in (None, "und")]
    if named:
        lost.append(f"the language and title of {', '.join(map(describe, named))}: {name} none; .mkv and .mov do")
    pictures = container.beside is not None and container.format != "dpx"
    if pictures and (code := timecode_of(source)) is not None and not has_file_beside(source, container):
        lost.append(f"timecode {code}: {name} none; .dpx and .mkv do")
    return lost


def _not_in_pictures(source: SourceInfo, container: Container) -> frozenset[str]:
    """Metadata keys that neither the pictures nor a file beside them hold."""
    if has_file_beside(source, container):
        return frozenset()
    held = {f"dpx_{name}" for name in TEXTS} if container.format == "dpx" else set()
    return frozenset(key for key in source.metadata if not is_technical(key) and key.lower() not in held)


def has_file_beside(source: SourceInfo, container: Container) -> bool:
    """Whether a result of pictures has a file beside it, with sound or whatever else the source holds."""
    return container.beside is not None and any(map(is_muxed, map_streams(source, container, cut=False)))


def lost_keys(source: SourceInfo, container: Container) -> frozenset[str]:
    """Metadata keys of the source that the container cannot store."""
    covered = any(
        is_cover(mapping.stream) and mapping.action == "copy" for mapping in map_streams(source, container, cut=False)
    )
    if container.beside is not None:
        return _not_in_pictures(source, container)
    if not container.tagged:
        return frozenset(key for key in source.metadata if not is_technical(key))
    if container.format != "mp4" or not covered:
        return frozenset()
    return frozenset(key for key in source.metadata if not is_technical(key) and key.lower() not in MP4_KEYS)


def is_technical(key: str) -> bool:
    """Whether every muxer writes the entry anew. QuickTime gives entries in a language as `encoder-eng` too."""
    return re.sub("-[a-z]{3}$", "", key.lower()) in TECHNICAL_KEYS


def provenance_entry(source: SourceInfo, provenance: str | None) -> dict[str, str]:
    """The metadata entry that tells what made the picture, under a key that the source leaves free; {} for none."""
    used = {key.lower() for key in source.metadata}
    free = [key for key in ("comment", "description", "synopsis") if key not in used]
    return {free[0]: provenance} if free and provenance is not None else {}


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
