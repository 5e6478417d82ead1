"""Output containers: which encoders, audio, subtitles, attachments and tags each supports."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import av

from dossr_video.errors import SettingsError
from dossr_video.video.sequence import is_numbered

TEXT_SUBTITLES = frozenset({"subrip", "srt", "ass", "ssa", "mov_text", "webvtt", "text"})


@dataclass(frozen=True)
class Container:
    """One output format. Codec names are FFmpeg's; the first encoder is the default."""

    format: str  # FFmpeg's muxer; of pictures their kind
    encoders: tuple[str, ...]
    audio: frozenset[str] | None  # codecs that are stream-copied; None: whatever the muxer accepts
    other_audio: str  # encoder for other audio; "pcm": PCM of the same bit depth
    subtitles: frozenset[str]  # codecs that are stream-copied
    text_subtitle: str  # encoder for other text subtitles
    attachments: bool = False
    covers: bool = True  # attached pictures
    pixel_aspect: frozenset[str] = frozenset()  # encoders whose sample aspect ratio is written
    refused: frozenset[str] = frozenset()  # codecs that the muxer lists but cannot write
    beside: Container | None = None  # of the file beside numbered pictures, which holds all else; None: a film
    one_rate: bool = False  # whether frames have no times of their own, and all streams begin together
    flags: frozenset[str] = frozenset()  # dispositions of sound and subtitles that it keeps
    subtitle_flags: frozenset[str] = frozenset()  # those of subtitles alone
    tagged: bool = True  # whether it holds metadata, chapters and their titles, and languages and titles of streams
    stream_tags: bool = False  # whether it holds other metadata of streams
    chapter_tags: bool = False  # the same of chapters
    sample_rate: int | None = None  # of all sound; None: any
    options: Mapping[str, str] = field(default_factory=dict)  # of the encoder, by its own names

    @property
    def others(self) -> Container:
        """The container of the streams that are no picture."""
        return self.beside or self


_MATROSKA = Container(
    format="matroska",
    encoders=("libx264", "libx265", "libsvtav1", "libvpx-vp9", "ffv1", "prores_ks", "jpeg2000"),
    audio=None,
    other_audio="flac",
    subtitles=frozenset(
        {"subrip", "ass", "ssa", "webvtt", "hdmv_pgs_subtitle", "dvd_subtitle", "dvb_subtitle", "hdmv_text_subtitle"}
    ),
    text_subtitle="srt",
    attachments=True,
    stream_tags=True,
    chapter_tags=True,
    flags=frozenset({"default", "forced", "dub", "original", "comment", "hearing_impaired", "visual_impaired"}),
    subtitle_flags=frozenset({"descriptions"}),
    pixel_aspect=frozenset({"libx264", "libx265"}),  # these write it into the pictures themselves
)
_MP4 = Container(
    format="mp4",
    encoders=("libx264", "libx265", "libsvtav1", "libvpx-vp9"),
    audio=None,
    other_audio="flac",
    subtitles=frozenset({"mov_text", "dvd_subtitle"}),
    text_subtitle="mov_text",
    flags=frozenset(
        {"default", "forced", "dub", "comment", "hearing_impaired", "visual_impaired", "captions", "descriptions"}
    ),
    pixel_aspect=frozenset({"libx264", "libx265", "libsvtav1", "libvpx-vp9"}),
    refused=frozenset({"truehd", "mlp"}),
)
CONTAINERS: Mapping[str, Container] = {
    ".mp4": _MP4,
    ".m4v": _MP4,
    ".mov": Container(
        format="mov",
        encoders=("libx264", "libx265", "prores_ks", "dnxhd", "v210", "jpeg2000"),
        audio=None,
        other_audio="pcm",
        subtitles=frozenset({"mov_text", "eia_608"}),
        text_subtitle="mov_text",
        covers=False,
        flags=frozenset({"default"}),
        pixel_aspect=frozenset({"libx264", "libx265", "prores_ks", "dnxhd", "v210", "jpeg2000"}),
        refused=frozenset({"opus", "vorbis", "flac", "wavpack", "truehd", "mlp"}),
    ),
    ".mkv": _MATROSKA,
    ".mxf": Container(  # OP1a
        format="mxf",
        encoders=("prores_ks", "dnxhd", "jpeg2000", "mpeg2video"),
        audio=frozenset({"pcm_s16le", "pcm_s24le"}),
        other_audio="pcm",
        subtitles=frozenset(),
        text_subtitle="",
        covers=False,
        pixel_aspect=frozenset({"prores_ks", "dnxhd", "jpeg2000", "mpeg2video"}),
        one_rate=True,
        tagged=False,
        sample_rate=48000,
    ),
    ".webm": Container(
        format="webm",
        encoders=("libsvtav1", "libvpx-vp9"),
        audio=frozenset({"opus", "vorbis"}),
        other_audio="libopus",
        subtitles=frozenset({"webvtt"}),
        text_subtitle="webvtt",
        covers=False,
        stream_tags=True,
        flags=frozenset({"default", "forced"}),
        subtitle_flags=frozenset({"captions", "descriptions"}),
    ),
}


def _pictures(encoder: str, *, aspect: bool = True, options: Mapping[str, str] | None = None) -> Container:
    return Container(
        format=encoder,
        encoders=(encoder,),
        audio=frozenset(),
        other_audio="",
        subtitles=frozenset(),
        text_subtitle="",
        pixel_aspect=frozenset({encoder} if aspect else ()),
        beside=_MATROSKA,
        one_rate=True,
        options=options or {},
    )


SEQUENCES: Mapping[str, Container] = {
    ".dpx": _pictures("dpx"),
    ".exr": _pictures("exr"),
    ".j2k": _pictures("jpeg2000", aspect=False),
    ".jp2": _pictures("jpeg2000", aspect=False, options={"format": "jp2"}),
    ".png": _pictures("png"),
    ".tif": _pictures("tiff"),
    ".tiff": _pictures("tiff"),
}
"""By the extension of the pictures."""


def container_named(name: str) -> Container:
    """The container whose format is `name`."""
    return next(c for c in (*CONTAINERS.values(), *SEQUENCES.values()) if c.format == name)


def extension_of(container: Container) -> str:
    """What the name of such a file ends with, of pictures with their number: `_%06d.png`."""
    numbered = "_%06d" if container.beside is not None else ""
    return next(numbered + suffix for suffix, c in (*CONTAINERS.items(), *SEQUENCES.items()) if c is container)


def container_of(target: Path) -> Container:
    """The container for a target's extension; SettingsError for an unsupported extension."""
    suffix = target.suffix.lower()
    if is_numbered(target):
        if suffix not in SEQUENCES:
            raise SettingsError(
                f"{target.name}: pictures are written as {' '.join(SEQUENCES)}", hint="choose one of these"
            )
        return SEQUENCES[suffix]
    if suffix in SEQUENCES:
        raise SettingsError(
            f"{target.name} is one picture, and a result has many",
            hint=f"name them by their number: {target.stem}_%06d{target.suffix}",
        )
    if suffix not in CONTAINERS:
        raise SettingsError(
            f"{target} has {f'the extension {suffix!r}' if suffix else 'no extension'}; "
            f"it must be one of {' '.join(CONTAINERS)}",
            hint="rename the target, for example to .mp4, to .mkv to keep attachments too, or to out_%06d.png",
        )
    return CONTAINERS[suffix]


@lru_cache
def muxable(muxer: str) -> frozenset[str]:
    """Codecs that FFmpeg's muxer takes."""
    with av.open(io.BytesIO(), "w", format=muxer) as output:
        names = output.supported_codecs
    codecs = set()
    for name in names:
        for mode in ("r", "w"):
            try:
                codecs.add(av.Codec(name, mode).canonical_name)
            except ValueError:
                continue
    return frozenset(codecs)
