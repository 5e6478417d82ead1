"""What a container cannot keep of streams, of their tags and of the metadata of the file. Told before the work."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import pairwise

from dossr_video.video.info import SourceInfo, StreamInfo
from dossr_video.video.mux.languages import language_tag, same_language
from dossr_video.video.mux.streams import describe, has_file_beside, is_cover, map_streams
from dossr_video.video.mux.tags import MP4_KEYS, is_technical, own_tags
from dossr_video.video.mux.timecode import breaks, timecode_of
from dossr_video.video.read.dpx import TEXTS
from dossr_video.video.sequence import sequence_around
from dossr_video.video.write.containers import CONTAINERS, Container

# Dispositions that say what a track is for.
MEANT = frozenset(
    {
        *("dub", "original", "comment", "lyrics", "karaoke", "forced", "hearing_impaired", "visual_impaired"),
        *("clean_effects", "captions", "descriptions"),
    }
)

SAME_TIME = Fraction(2, 1000)  # seconds; containers round to one


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


def keeps_language(language: str | None, container: Container) -> bool:
    return language in (None, "und") or same_language(language, language_tag(container.format, str(language)))


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


def _held_flags(container: Container, stream: StreamInfo) -> frozenset[str]:
    return container.flags | (container.subtitle_flags if stream.kind == "subtitle" else frozenset())


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
