"""What the process of a job has said so far: its events, and its lines for a person."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any

MOST_LINES = 200  # of each kind that are kept


@dataclass
class Said:
    """Where a process is, by the events that it wrote.

    Attributes:
        stage: The last one; "" before the first event.
        done: Units that are done.
        total: Units in all; None: not known yet.
        unit: What is counted.
        fps: Units a second; None: not known yet.
        eta: Seconds left of the stage; None: not known yet.
        stages: All so far, in their order.
        notes: What a person should know of the run, one line each.
        warnings: What went wrong without ending the run, one line each.
    """

    stage: str = ""
    done: int = 0
    total: int | None = None
    unit: str = "frames"
    fps: float | None = None
    eta: float | None = None
    stages: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def take(self, event: dict[str, Any]) -> None:
        self.stage, self.unit = str(event["stage"]), str(event["unit"])
        self.done, self.total, self.fps, self.eta = event["done"], event["total"], event["fps"], event["eta"]
        if self.stage not in self.stages:
            self.stages.append(self.stage)
        self.notes = [*self.notes, *event["notes"]][-MOST_LINES:]
        self.warnings = [*self.warnings, *event["warnings"]][-MOST_LINES:]


class Listener:
    """Reads the events of one file as it grows."""

    def __init__(self, path: Path) -> None:
        self.said = Said()
        self._path = path
        self._read = 0  # bytes

    def listen(self) -> Said:
        try:
            with self._path.open("rb") as file:
                if file.seek(0, 2) < self._read:  # a new process has begun
                    self.said, self._read = Said(), 0
                file.seek(self._read)
                lines = file.read()
        except OSError:
            return self.said
        whole = lines[: lines.rfind(b"\n") + 1]
        self._read += len(whole)
        for line in _telling(whole.splitlines()):
            try:
                self.said.take(json.loads(line))
            except (ValueError, KeyError, TypeError):  # no event: a library has printed something
                continue
        return self.said


def _telling(lines: list[bytes]) -> Iterator[bytes]:
    """Without events that only count, where the next one counts on: a long film has hundreds of thousands."""
    for line, after in zip_longest(lines, lines[1:], fillvalue=b""):
        same_stage = line.partition(b",")[0] == after.partition(b",")[0]
        if not (same_stage and line.endswith(b'"warnings": [], "notes": []}')):
            yield line


def lines_of(path: Path) -> list[str]:
    """The last lines for a person that a process has written."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()[-MOST_LINES:]
    except OSError:
        return []
