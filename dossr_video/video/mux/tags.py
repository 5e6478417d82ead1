"""Metadata entries: which ones are written anew, stored nowhere else, and kept by a stream of the result."""

from __future__ import annotations

import re

from dossr_video.video.info import SourceInfo, StreamInfo
from dossr_video.video.mux.languages import language_tag

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


def is_technical(key: str) -> bool:
    """Whether every muxer writes the entry anew. QuickTime gives entries in a language as `encoder-eng` too."""
    return re.sub("-[a-z]{3}$", "", key.lower()) in TECHNICAL_KEYS


def provenance_entry(source: SourceInfo, provenance: str | None) -> dict[str, str]:
    """The metadata entry that tells what made the picture, under a key that the source leaves free; {} for none."""
    used = {key.lower() for key in source.metadata}
    free = [key for key in ("comment", "description", "synopsis") if key not in used]
    return {free[0]: provenance} if free and provenance is not None else {}


def _is_counted(key: str) -> bool:
    return key.upper().startswith(_COUNTED)
