"""Which of a file's streams are meant: the picture to upscale, and in a transport stream its program."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av

from dossr_video.errors import SourceError
from dossr_video.video.files import FileStatus, status_of
from dossr_video.video.info import Choice
from dossr_video.video.read.opening import FIRST_PACKETS, MAX_STREAMS, open_source
from dossr_video.video.read.programs import programs_of

if TYPE_CHECKING:
    from av.container import InputContainer


@dataclass(frozen=True)
class Chosen:
    """What was taken."""

    video: int  # index of the stream to upscale
    others: frozenset[int]  # indices of the streams beside it
    program: int | None  # None: there are none
    programs: tuple[int, ...]  # numbers of all


def choose(container: InputContainer, path: Path, choice: Choice) -> Chosen:
    """The first picture that moves, or the one that is named; of several programs, the one that holds it.

    SourceError where there is no such stream or program.
    """
    if len(container.streams) > MAX_STREAMS:
        raise SourceError(
            f"{path} has {len(container.streams)} streams; at most {MAX_STREAMS} are read",
            hint="copy the streams you need into a new file",
        )
    programs = programs_of(path) if container.format.name == "mpegts" else {}
    if choice.program is not None and choice.program not in programs:
        there = f"its programs are {', '.join(map(str, programs))}" if programs else "it has none"
        raise SourceError(f"{path} has no program {choice.program}; {there}", hint="name another, or leave --program")
    streams: list[Any] = [s for s in container.streams.video if not s.disposition & s.disposition.attached_pic]
    if not streams:
        raise SourceError(f"{path} has no video stream", hint="only files with moving pictures can be upscaled")
    known = frozenset[int]().union(*programs.values())
    possible = [s for s in streams if choice.program is None or s.id in programs[choice.program]]
    if choice.video is not None:
        possible = [s for s in possible if s.index == choice.video]
    if not possible:
        there = ", ".join(_describe(s, programs) for s in streams)
        wanted = " in ".join(
            f"{kind} {number}" for kind, number in (("video stream", choice.video), ("program", choice.program))
            if number is not None
        )  # fmt: skip
        raise SourceError(
            f"{path} has no {'video stream in ' if choice.video is None else ''}{wanted}; it has {there}",
            hint="name one of these with --video, or leave it away",
        )
    if len(possible) > 1:  # some files begin with a still
        moving = _moving(path, status_of(path))
        possible.sort(key=lambda s: s.index not in moving)
    video = possible[0]
    program = choice.program or next((number for number, ids in programs.items() if video.id in ids), None)
    ids = programs.get(program, known) if program is not None else known
    others = (s.index for s in container.streams if s.index != video.index and (s.id in ids or s.id not in known))
    return Chosen(video.index, frozenset(others), program, tuple(programs))


def _describe(stream: Any, programs: Any) -> str:
    """`1 (h264, 1920x1080, program 2)`"""
    context = stream.codec_context
    about = ["no decoder"] if context is None else [context.name, f"{context.width}x{context.height}"]
    about += [f"program {number}" for number, ids in programs.items() if stream.id in ids]
    return f"{stream.index} ({', '.join(about)})"


@lru_cache(maxsize=64)
def _moving(path: Path, status: FileStatus) -> frozenset[int]:
    """Video streams with more than one picture; `status` tells a changed file from the old."""
    counts: Counter[int] = Counter()
    with open_source(path) as container, suppress(av.FFmpegError):
        for packet in islice(container.demux(container.streams.video), FIRST_PACKETS):
            counts[packet.stream.index] += packet.size > 0
            if all(counts[stream.index] > 1 for stream in container.streams.video):
                break
    return frozenset(index for index, count in counts.items() if count > 1)
