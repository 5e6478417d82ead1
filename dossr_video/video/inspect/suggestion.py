"""Which preset suits a file, from what it declares and what its frames show."""

from __future__ import annotations

from typing import NamedTuple

from dossr_video.video.info import SourceInfo
from dossr_video.video.inspect.content import ContentAnalysis
from dossr_video.video.inspect.processing import FLICKER, GRAIN
from dossr_video.video.read.deinterlace import FieldSpan

SD = 608  # lines, with those that some captures add
FILM_GRAIN = 2.5  # codes of 255: more than video noise usually is
PHONES = ("com.android.", "com.apple.quicktime.make", "com.apple.quicktime.model")


class Suggestion(NamedTuple):
    """A preset, and what of the file speaks for it."""

    preset: str
    why: str


def suggest(source: SourceInfo, content: ContentAnalysis, fields: tuple[FieldSpan, ...]) -> Suggestion | None:
    """The preset that suits best; None where the defaults do."""
    return _video(source, content, fields) or _phone(source) or _film(source, content)


def _video(source: SourceInfo, content: ContentAnalysis, fields: tuple[FieldSpan, ...]) -> Suggestion | None:
    """Tape, disc and television: standard definition, or interlaced."""
    video = source.video
    size = f"{video.width}x{video.height}"
    interlaced = any(span.plan is not None and span.plan.mode != "film" for span in fields)
    if video.height > SD:
        return Suggestion("broadcast-hd", f"interlaced, {size}, as HD television is") if interlaced else None
    if video.codec == "dvvideo":
        return Suggestion("dv", "the codec is DV")
    if content.switching:
        return Suggestion("vhs", f"the last {content.switching} lines are head-switching noise of analogue tape")
    if video.codec == "mpeg2video":
        return Suggestion("dvd", f"MPEG-2 of {size}, as on a DVD")
    return Suggestion("vhs", f"interlaced, {size}: most likely captured from tape") if interlaced else None


def _phone(source: SourceInfo) -> Suggestion | None:
    """What phones record."""
    video = source.video
    if any(key.startswith(PHONES) for key in source.metadata):
        return Suggestion("phone", "its metadata names a phone")
    if video.rotation and video.codec in ("h264", "hevc"):
        return Suggestion("phone", f"it is rotated by {video.rotation} degrees, as phones record upright pictures")
    if video.color.hdr and video.codec == "hevc":
        return Suggestion("phone", "HDR in HEVC, as phones record it")
    return None


def _film(source: SourceInfo, content: ContentAnalysis) -> Suggestion | None:
    """Drawings and scans."""
    grain = 255 * max(content.grain.levels) if content.grain is not None else 0.0
    rate = float(source.video.frame_rate)
    if content.flicker >= FLICKER and (grain >= GRAIN or rate < 20):
        why = f"{rate:g} frames per second" if rate < 20 else f"grain of {grain:.1f} of 255"
        return Suggestion("film-8mm", f"the exposure flickers, and {why}, as amateur film has")
    if content.drawn:
        return Suggestion("animation", "most of the picture is a few even tones, as in drawn animation")
    if grain >= FILM_GRAIN and source.video.height > SD and rate < 26:
        return Suggestion("film-35mm", f"grain of {grain:.1f} of 255 in {source.video.height} lines, as scans have")
    if source.video.codec == "ffv1":
        return Suggestion("archive-master", "the source is lossless (FFV1), and so the result should be")
    return None
