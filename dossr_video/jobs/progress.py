"""How far a run is: for the person who started it, and in its folder for `status`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

OnProgress = Callable[[str, int, int], None]  # stage, frames done, frames in all (0: not known yet)
INTERVAL = 2.0  # seconds between two notes in the folder


@dataclass(frozen=True)
class Position:
    """A note in the job folder."""

    stage: str
    done: int  # frames
    total: int  # frames; 0: not known yet
    seconds: float  # that this run has spent on the stage; no time of day: clocks are set
    first: int  # frames that were done when the stage started


class Progress:
    """Passes on where a run is, and notes it now and then."""

    def __init__(self, path: Path, on_progress: OnProgress) -> None:
        self._path = path
        self._on_progress = on_progress
        self._position: Position | None = None
        self._began = self._noted = 0.0

    def show(self, stage: str, done: int, total: int) -> None:
        now, before = time.monotonic(), self._position
        begun = before is None or before.stage != stage
        if begun:
            self._began = now
        first = done if begun or before is None else before.first
        self._position = Position(stage, done, total, now - self._began, first)
        if begun or now - self._noted > INTERVAL:
            self._noted = now
            temporary = self._path.with_suffix(".part")
            temporary.write_text(json.dumps(asdict(self._position)))
            temporary.replace(self._path)
        self._on_progress(stage, done, total)


def position(path: Path) -> Position | None:
    """What a run noted last; None where there is no note."""
    try:
        return Position(**json.loads(path.read_bytes()))
    except (FileNotFoundError, ValueError, TypeError):
        return None
