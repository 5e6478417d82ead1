"""The captions of a source as files beside its result."""

from __future__ import annotations

from collections.abc import Sequence

from dossr_video.errors import SettingsError
from dossr_video.jobs.report import Report
from dossr_video.video.info import SourceInfo
from dossr_video.video.mux.captions import holds_captions, read_captions
from dossr_video.video.mux.remux import clock_of


def require_captions(source: SourceInfo) -> None:
    """SettingsError where there are none to be written."""
    if not holds_captions(source):
        raise SettingsError(
            f"{source.path} has no closed captions (CEA-608) in its picture or as a track",
            hint="leave --captions away; subtitles of other kinds are in the result",
        )


def caption_texts(
    source: SourceInfo, report: Report, endings: Sequence[str]
) -> tuple[tuple[bytes, ...], tuple[str, ...]]:
    """The captions of each ending, .scc or .srt, at the times of the result; and what is not in them, one line each."""
    clock, length = clock_of(source, report.joined.cut), source.video.duration
    captions = read_captions(source, clock)
    end = clock.stop if clock.stop or length is None else source.video.begins + length
    stop = None if end is None else end - clock.start
    texts = (captions.scc(source, clock) if ending == ".scc" else captions.srt(stop) for ending in endings)
    return tuple(text.encode() for text in texts), captions.left()
