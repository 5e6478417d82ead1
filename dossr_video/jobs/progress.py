"""How far a run is: events for whoever listens, and a note in the job's folder for `status`."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

INTERVAL = 2.0  # seconds between two notes in the folder
FINISHED = "finished"  # the stage of a file of several that is over


@dataclass(frozen=True)
class Item:
    """One file of several."""

    name: str  # fit for a terminal
    number: int  # from 1
    count: int | None = None  # of files; None: not known
    slot: int = 0  # of those that are done at once, counted from 0: each has a line of its own


@dataclass(frozen=True)
class Progress:
    """Where a run is. Each stage counts from its own beginning to its own end, at its own rate.

    Attributes:
        stage: "fetching" from a URL, "probing", "analysing", "checking" of what an earlier run finished,
            "measuring" of the speed, "upscaling", "repairing" of shots with faults, "joining" or "verifying";
            "reporting", "waiting" and, of a file that is over whatever came of it, "finished" in a library.
        done: Units that are done, those that an earlier run had finished included.
        total: Units in all; None: not known yet.
        unit: What is counted: "frames", "files" or "bytes".
        item: The file that the event is about, where a run has several; None: the only one.
        warnings: What went wrong since the event before without ending the run, one line each.
        notes: What a person should know of the run, one line each.
    """

    stage: str
    done: int = 0
    total: int | None = None
    unit: str = "frames"
    item: Item | None = None
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


OnProgress = Callable[[Progress], None]


def no_progress(event: Progress) -> None:
    """Nobody listens."""


@dataclass(frozen=True)
class Note:
    """What stands in the job folder."""

    stage: str
    done: int
    total: int | None  # None: not known yet
    unit: str
    seconds: float  # that this run has spent on the stage; no time of day: clocks are set
    first: int  # what was done when the stage started


class Reporter:
    """Passes events on, and notes the last one in the job folder now and then."""

    def __init__(self, path: Path, on_progress: OnProgress, seconds: Mapping[str, float]) -> None:
        """`seconds` that the stages before took, by their names."""
        self._path = path
        self._seconds = dict(seconds)
        self._on_progress = on_progress
        self._stage: str | None = None
        self._first = 0
        self._began = self._noted = 0.0

    def __call__(self, event: Progress) -> None:
        now = time.monotonic()
        begins = event.stage != self._stage
        if begins:
            self._seconds = self.seconds()
            self._stage, self._first, self._began = event.stage, event.done, now
        if begins or now - self._noted > INTERVAL:
            self._noted = now
            note = Note(event.stage, event.done, event.total, event.unit, now - self._began, self._first)
            temporary = self._path.with_suffix(".part")
            temporary.write_text(json.dumps(asdict(note)))
            temporary.replace(self._path)
        self._on_progress(event)

    def seconds(self) -> dict[str, float]:
        """What every stage has taken so far."""
        if self._stage is None:
            return self._seconds
        running = self._seconds.get(self._stage, 0.0) + time.monotonic() - self._began
        return {**self._seconds, self._stage: running}


def last_note(path: Path) -> Note | None:
    """What a run noted last; None where there is no note that can be read."""
    try:
        return Note(**json.loads(path.read_bytes()))
    except (OSError, ValueError, TypeError):
        return None
