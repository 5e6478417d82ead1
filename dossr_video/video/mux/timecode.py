"""SMPTE timecode: of a later frame, and at another frame rate."""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

from dossr_video.video.files import FileStatus, status_of
from dossr_video.video.info import SourceInfo
from dossr_video.video.read.dpx import read_header
from dossr_video.video.sequence import is_pattern, pictures_of

if TYPE_CHECKING:
    from dossr_video.video.mux.packets import Clock

_CODE = re.compile(r"(\d\d):([0-5]\d):([0-5]\d)([:;.])(\d\d+)")
DAY = 24 * 60  # minutes


def timecode_of(source: SourceInfo) -> str | None:
    """The timecode of the first frame, from the metadata of any stream of the source; None: it has none."""
    streams = (source.video.stream, *source.own_streams)
    metadata = (*(stream.metadata for stream in streams), source.metadata)
    found = (value for entries in metadata for key, value in entries.items() if key.lower() == "timecode")
    return next(found, None)


def first_timecode(source: SourceInfo, clock: Clock, rate: Fraction) -> str | None:
    """The timecode of a result's first frame at its rate; None where no stream of the source has one."""
    video, code = source.video, timecode_of(source)
    if code is None:
        return None
    skipped = max(clock.start - video.begins, Fraction(0)) if clock.cut else Fraction(0)
    return relabelled(code, skipped, rate=video.frame_rate, new_rate=rate)


def breaks(source: SourceInfo) -> int:
    """How many DPX pictures of a source have a timecode that does not follow the one before."""
    if source.path.suffix.lower() != ".dpx" or not is_pattern(source.path):
        return 0
    return _breaks(source.path, status_of(source.path), source.video.frame_rate)


@lru_cache
def _breaks(pattern: Path, status: FileStatus, rate: Fraction) -> int:
    codes = (read_header(path).timecode for path in pictures_of(pattern).values())
    return sum(
        after != (None if before is None else relabelled(before, 1 / rate, rate=rate, new_rate=rate))
        for before, after in pairwise(codes)
    )


def relabelled(code: str, skipped: Fraction, *, rate: Fraction, new_rate: Fraction) -> str:
    """The timecode `skipped` seconds after `code`, which counts `rate` frames per second, at `new_rate`.

    `;` before the frames means drop-frame: two numbers are skipped in every minute but each tenth (SMPTE 12M). Text
    that is not a timecode is returned unchanged.
    """
    parts = _CODE.fullmatch(code)
    if parts is None:
        return code
    hours, minutes, seconds, frames = (int(parts[i]) for i in (1, 2, 3, 5))
    nominal, new_nominal = round(rate), round(new_rate)
    left_out = nominal // 15 if parts[4] != ":" and nominal % 30 == 0 else 0  # a minute
    minutes += 60 * hours
    count = (60 * minutes + seconds) * nominal + frames - left_out * (minutes - minutes // 10)
    count += round(skipped * rate)
    tens, rest = divmod(count, 600 * nominal - 9 * left_out)
    if left_out:
        count += left_out * (9 * tens + max(0, rest - left_out) // (60 * nominal - left_out))
    seconds, frames = divmod(count, nominal)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes % DAY, 60)
    mark = parts[4] if left_out and new_nominal % 30 == 0 else ":"
    return f"{hours:02d}:{minutes:02d}:{seconds:02d}{mark}{frames * new_nominal // nominal:02d}"
