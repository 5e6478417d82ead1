"""Chapters with timestamps of the result, in the form each container needs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import Any

from dossr_video.video.mux.packets import Clock

Chapter = Any  # a dictionary, as av gives and takes them


def moved_chapters(chapters: Iterable[Mapping[str, Any]], clock: Clock) -> list[Chapter]:
    """Chapters with timestamps of the result, clipped; those outside are left out."""
    moved = (_moved(chapter, clock) for chapter in chapters)
    return [chapter for chapter in moved if chapter is not None]


def _moved(chapter: Mapping[str, Any], clock: Clock) -> Chapter | None:
    unit = chapter["time_base"] or Fraction(1, 1000)
    shift = clock.ticks(unit)
    start, end = chapter["start"] - shift, max(chapter["end"], chapter["start"]) - shift
    stop = None if clock.stop is None else round(clock.stop / unit) - shift
    if start < 0 >= end or (stop is not None and start >= stop):
        return None
    end = end if stop is None else min(end, stop)
    # A chapter of no length is a mark; muxers need at least one tick, of mp4 and mov a millisecond.
    return {**chapter, "start": max(start, 0), "end": max(end, start + math.ceil(Fraction(1, 1000) / unit))}


def fitted_to_mp4(chapters: list[Chapter]) -> tuple[list[Chapter], list[str]]:
    """Chapters as mp4 and mov store them, in a text track that begins at zero; and what that changed."""
    titled = [{**chapter, "metadata": {"title": "", **chapter["metadata"]}} for chapter in chapters]
    if not titled or titled[0]["start"] == 0:
        return titled, []
    before = {**titled[0], "id": 0, "start": 0, "end": titled[0]["start"], "metadata": {"title": ""}}
    return [before, *titled], ["a chapter without a title is put before the first: mp4 and mov begin at zero"]
