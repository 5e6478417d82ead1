"""Which shots of a job are finished: by its plan, and by the files of its segments."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

MOST_CELLS = 250  # that can be told apart in the width of a window


@dataclass(frozen=True)
class Shot:
    """A shot of the source."""

    number: int  # from 1
    start: int  # first frame
    stop: int  # one past the last
    finished: int  # frames of finished segments
    picture: Path | None  # file of its first segment, once that is finished


def shots_of(target: Path) -> list[Shot]:
    """The shots of a job that runs or was stopped; none before its file is analysed, and after the last step."""
    folder = target.with_name(target.name + ".dossr")
    try:
        plan = json.loads((folder / "plan.json").read_bytes().partition(b"\n")[2])
        files = {int(path.stem): path for path in (folder / "segments").iterdir() if path.stem.isdecimal()}
    except (OSError, ValueError):
        return []
    return list(_shots(plan["segments"], files))


def _shots(segments: list[dict[str, int]], files: dict[int, Path]) -> Iterator[Shot]:
    for shot, group in groupby(segments, key=lambda segment: segment["shot"]):
        parts = list(group)
        finished = sum(part["stop"] - part["start"] for part in parts if part["index"] in files)
        yield Shot(shot + 1, parts[0]["start"], parts[-1]["stop"], finished, files.get(parts[0]["index"]))


@dataclass(frozen=True)
class Cell:
    """A bar of the drawing of all shots: one shot, or in a long film several."""

    x: float  # of 1000
    width: float
    filled: float  # of the width
    words: str


def cells(shots: list[Shot]) -> list[Cell]:
    """The drawing: as wide as the shots are long."""
    if not shots:
        return []
    frames, step = shots[-1].stop, -(-len(shots) // MOST_CELLS)
    groups = [shots[i : i + step] for i in range(0, len(shots), step)]
    found = []
    for group in groups:
        first, last = group[0], group[-1]
        length, finished = last.stop - first.start, sum(shot.finished for shot in group)
        name = f"shot {first.number}" if len(group) == 1 else f"shots {first.number} to {last.number}"
        gap = min(2.0, 0.3 * 1000 * length / frames)
        width = 1000 * length / frames - gap
        words = f"{name}: {finished} of {length} frames finished"
        found.append(Cell(1000 * first.start / frames, width, width * finished / length, words))
    return found
