"""Sound and subtitles of other files that are added to the source's own streams as tracks of the result."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import av

from dossr_video.errors import SourceError
from dossr_video.names import shown
from dossr_video.video.files import FileStatus, status_of
from dossr_video.video.info import Origin, SourceInfo, StreamInfo, TrackFile
from dossr_video.video.mux.languages import language_in
from dossr_video.video.mux.tags import is_technical
from dossr_video.video.read.opening import has_free_clock, open_source
from dossr_video.video.read.probe import stream_info

Kind = Literal["audio", "subtitle"]
OPTIONS: dict[Kind, str] = {"audio": "--audio", "subtitle": "--subtitles"}
NAMES: dict[Kind, str] = {"audio": "a sound file", "subtitle": "a subtitle file"}
HOLDS: dict[Kind, str] = {"audio": "sound", "subtitle": "subtitles"}
UTF8 = frozenset({"subrip", "ass", "ssa", "webvtt", "text"})  # subtitles whose packets are text alone


def with_tracks(source: SourceInfo, *, audio: Sequence[Path] = (), subtitles: Sequence[Path] = ()) -> SourceInfo:
    """The source with all tracks of some files added to its streams.

    Args:
        source: What `probe` found.
        audio: Files whose sound is added.
        subtitles: Files whose subtitles are added.

    Raises:
        SourceError: A file is not there, cannot be read to its end, or holds no such track.
    """
    streams = list(source.streams)
    taken = max((stream.index for stream in streams), default=0)
    first = max(taken, source.video.stream.index) + 1
    files: list[tuple[Kind, Path]] = [("audio", path) for path in audio]
    files += [("subtitle", path) for path in subtitles]
    given = set()
    for kind, path in files:
        if (key := (kind, path.resolve())) in given:
            raise SourceError(f"{OPTIONS[kind]} {path} is given twice", hint="give it once: all its tracks are added")
        given.add(key)
        for track in _tracks(kind, path):
            alone = kind == "audio" and not any(stream.kind == kind for stream in streams)
            flags = (("default",) if alone else ()) + tuple(f for f in track.disposition if f != "default")
            streams.append(replace(track, index=first, disposition=flags))
            first += 1
    return replace(source, streams=tuple(streams))


def _tracks(kind: Kind, path: Path) -> tuple[StreamInfo, ...]:
    try:
        path = path.absolute()
        return _read(kind, path, status_of(path))
    except FileNotFoundError as error:
        raise SourceError(f"{OPTIONS[kind]} {path} does not exist", hint="check the path") from error
    except OSError as error:
        raise SourceError(f"{OPTIONS[kind]} {path} cannot be read: {error.strerror}", hint="check the file") from error
    except SourceError as error:
        raise SourceError(f"{OPTIONS[kind]} {error.message}", hint=error.hint) from error


@lru_cache(maxsize=16)
def _read(kind: Kind, path: Path, status: FileStatus) -> tuple[StreamInfo, ...]:
    """The tracks of a file, read to its end; `status` tells a changed file from the old."""
    with open_source(path, what=NAMES[kind]) as container:
        streams = [stream for stream in container.streams if stream.type == kind and stream.codec_context is not None]
        ends = _ends(container, streams, path)
        infos = [stream_info(stream) for stream in streams if stream.index in ends]
        if not infos:
            raise SourceError(f"{path} holds no {HOLDS[kind]}", hint=f"name a file with {HOLDS[kind]}")
        start = Fraction(container.start_time or 0, av.time_base) if has_free_clock(container) else Fraction(0)
        file = TrackFile(path, kind, container.format.name, start, tuple(_left(container, kind, ends.keys())))
        title = container.metadata.get("title")
    return tuple(_named(replace(info, origin=Origin(file, info.index, ends[info.index])), title) for info in infos)


def _ends(container: Any, streams: Sequence[Any], path: Path) -> dict[int, Fraction]:
    """When the last packet of each stream ends, in seconds of the file; of those that have packets."""
    ends: dict[int, Fraction] = {}
    if not streams:
        return ends
    try:
        for packet in container.demux(streams):
            if not packet.size:
                continue
            stream = packet.stream
            if stream.codec_context.codec.canonical_name in UTF8:
                _require_utf8(bytes(packet), path)
            begin = packet.pts if packet.pts is not None else packet.dts or 0
            end = (begin + (packet.duration or 0)) * stream.time_base
            ends[stream.index] = max(end, ends.get(stream.index, end))
    except av.FFmpegError as error:
        last = float(max(ends.values(), default=Fraction(0)))
        raise SourceError(
            f"{path} cannot be read behind {last:.1f} s: {error.strerror or os.strerror(errno.EIO)}",
            hint="the file is damaged or cut off: try another copy",
        ) from error
    return ends


def _require_utf8(content: bytes, path: Path) -> None:
    try:
        content.decode()
    except UnicodeDecodeError as error:
        raise SourceError(
            f"{path} is not UTF-8: {content[error.start - 10 if error.start > 10 else 0 : error.end + 10]!r}",
            hint="convert it first, for example with: iconv -f WINDOWS-1252 -t UTF-8 old.srt > new.srt",
        ) from error


def _named(info: StreamInfo, title: str | None) -> StreamInfo:
    """With the title of the file where the track has none, and the language in the file's name: `film.de.srt`."""
    assert info.origin is not None
    metadata = dict(info.metadata)
    if title and info.title is None:
        metadata["title"] = title
    language = info.language if info.language != "und" else None
    language = language or language_in(info.origin.file.path.name)
    if language:
        metadata["language"] = language
    return replace(info, title=metadata.get("title"), language=language, metadata=metadata)


def _left(container: Any, kind: Kind, taken: Any) -> Iterator[str]:
    """What else the file holds: it stays behind."""
    name = shown(container.name.rpartition("/")[2])
    for stream in container.streams:
        if stream.index not in taken:
            yield f"{stream.type} stream {stream.index} of {name}: {OPTIONS[kind]} takes {HOLDS[kind]} alone"
    if count := len(container.chapters()):
        yield f"{count} chapters of {name}: chapters are the source's"
    keys = sorted(key for key in container.metadata if not is_technical(key) and key.lower() != "title")
    if keys:
        yield f"metadata of {name} ({shown(', '.join(keys))}): its tracks keep language and title"
