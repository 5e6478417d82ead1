"""How far a run is, for a person: bars in a terminal or a notebook, lines elsewhere, JSON for programs."""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Literal

from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.table import Column
from rich.text import Text

from dossr_video.jobs.progress import FINISHED, OnProgress, Progress
from dossr_video.names import shown
from dossr_video.option_values import duration_text


class _Screen(Console):
    """What is only told ends no work: where nobody reads it any more, nothing more is told."""

    def on_broken_pipe(self) -> None:
        _silence(2)


def _silence(descriptor: int) -> None:
    """From now on it leads nowhere; what is still in a buffer too."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


_SCREEN = _Screen(stderr=True)  # one for all lines and bars: rich then prints lines above the bar
LINE_INTERVAL = 10.0  # seconds between two lines where there is no terminal
STAGES = {
    "checking": "checking finished segments",
    "measuring": "measuring the speed",
    "reporting": "writing the report",
}  # as a person reads them


@contextmanager
def progress_display(*, quiet: bool, kind: Literal["auto", "json"] = "auto") -> Iterator[OnProgress]:
    """Shows events: a bar in a terminal or a notebook, a line now and then elsewhere; `quiet`: their warnings alone.

    `json`: a line of JSON on stdout for each event, in place of that.
    """
    if kind == "json":
        yield _json()
    elif quiet:
        yield _warn
    elif sys.stderr.isatty() or _in_notebook():
        yield from _bar()
    else:
        yield _lines()


def _in_notebook() -> bool:
    """Whether rich can draw there: it needs ipywidgets."""
    return _SCREEN.is_jupyter and find_spec("ipywidgets") is not None


def _warn(event: Progress) -> None:
    for warning in event.warnings:
        warn(_of_file(event, warning))


def _of_file(event: Progress, line: str) -> str:
    return f"{event.item.name}: {line}" if event.item else line


def _tell(event: Progress) -> None:
    """Its notes and warnings, above the bar."""
    for note in event.notes:
        say(note)
    _warn(event)


def _label(event: Progress) -> str:
    """`upscaling`, or of one of several files `3/12 tape.mp4: upscaling`."""
    stage = STAGES.get(event.stage, event.stage)
    if event.item is None:
        return stage
    number = f"{event.item.number}/{event.item.count} " if event.item.count else ""
    return shown(f"{number}{event.item.name}: {stage}")


def _rate(per_second: float, unit: str) -> str:
    return f"{per_second:.2f} {'fps' if unit == 'frames' else f'{unit}/s'}"


def _slot(event: Progress) -> int:
    """Which of the files that are done at once it is about."""
    return event.item.slot if event.item else 0


class _Clock:
    """The rate of the stage that runs: what an earlier run had finished says nothing of this one's speed."""

    def __init__(self) -> None:
        self.label = ""
        self._began, self._first = time.monotonic(), 0

    def __call__(self, event: Progress) -> tuple[float | None, float | None]:
        """Units a second and seconds left; None where they are not known yet."""
        now = time.monotonic()
        if (label := _label(event)) != self.label:
            self.label, self._began, self._first = label, now, event.done
        if event.done <= self._first:
            return None, None
        rate = (event.done - self._first) / max(now - self._began, 1e-6)
        return rate, None if event.total is None else (event.total - event.done) / rate


def _json() -> OnProgress:
    clocks: dict[int, _Clock] = defaultdict(_Clock)
    lines = _Lines(log)

    def show(event: Progress) -> None:
        for note in event.notes:
            log(note)
        for warning in event.warnings:
            log(f"warning: {_of_file(event, warning)}")
        lines(event)
        rate, left = clocks[_slot(event)](event)
        line = {
            "stage": event.stage,
            "done": event.done,
            "total": event.total,
            "unit": event.unit,
            "fps": None if rate is None else round(rate, 3),
            "eta": None if left is None else round(left, 1),
            "file": None if event.item is None else event.item.name,
            "warnings": event.warnings,
            "notes": event.notes,
        }
        try:
            print(json.dumps(line), flush=True)
        except BrokenPipeError:
            _silence(1)

    return show


def _bar() -> Iterator[OnProgress]:
    """One bar at a time, or one for each file that is done at once: every stage has its own, with its own rate."""
    console = _SCREEN
    label = TextColumn(
        "{task.description}",
        markup=False,  # a file may be named `[restored].mp4`
        table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1, min_width=9),
    )
    left = TextColumn("{task.fields[left]}", table_column=Column(no_wrap=True))
    rate = TextColumn("{task.fields[rate]}", table_column=Column(no_wrap=True))
    done = TextColumn("{task.fields[done]}", table_column=Column(no_wrap=True))
    # What fits: the stage and the time left matter most.
    columns: list[ProgressColumn] = [label, TaskProgressColumn(), left]
    if console.width >= 60:
        columns = [label, TaskProgressColumn(), rate, left]
    if console.width >= 90:
        columns = [label, BarColumn(20), TaskProgressColumn(), done, rate, TimeElapsedColumn(), left]
    with Bars(*columns, console=console, expand=True) as bars:
        clocks: dict[int, _Clock] = defaultdict(_Clock)
        tasks = {0: bars.add_task("starting", total=None, done="0/? frames", rate="", left="")}

        def show(event: Progress) -> None:
            _tell(event)
            slot = _slot(event)
            if event.stage == FINISHED:
                clocks.pop(slot, None)
                if slot in tasks:
                    bars.remove_task(tasks.pop(slot))
                return
            clock = clocks[slot]
            new = _label(event) != clock.label
            speed, seconds = clock(event)
            if new and slot in tasks:
                bars.remove_task(tasks[slot])
            if new:
                tasks[slot] = bars.add_task(clock.label, total=event.total, done="", rate="", left="")
            bars.update(
                tasks[slot],
                completed=event.done,
                total=event.total,
                done=f"{event.done}/{'?' if event.total is None else event.total} {event.unit}",
                rate="" if speed is None else _rate(speed, event.unit),
                left="" if seconds is None else f"ETA {duration_text(seconds)}",
                refresh=event.done == event.total,  # a stage that is soon over is seen whole before the next one
            )

        yield show


class _Lines:
    """Puts a line when a stage begins and ends, and now and then between."""

    def __init__(self, put: Callable[[str], None]) -> None:
        self._put = put
        self._clocks: dict[int, _Clock] = defaultdict(_Clock)
        self._last: dict[int, float] = defaultdict(float)  # when each of the files had a line

    def __call__(self, event: Progress) -> None:
        slot = _slot(event)
        if event.stage == FINISHED:  # the line about its outcome comes next
            return
        clock = self._clocks[slot]
        new = _label(event) != clock.label
        rate, left = clock(event)
        now = time.monotonic()
        if not new and now - self._last[slot] < LINE_INTERVAL and event.done != event.total:
            return
        self._last[slot] = now
        rest = "" if rate is None or left is None else f", {_rate(rate, event.unit)}, {duration_text(left)} left"
        count = f": {event.done}/{'?' if event.total is None else event.total} {event.unit}"
        self._put(f"{clock.label}{count if event.done or event.total else ''}{rest}")


def _lines() -> OnProgress:
    lines = _Lines(say)

    def show(event: Progress) -> None:
        _tell(event)
        lines(event)

    return show


def say(line: str) -> None:
    """One line for a person, whatever is in the names that it holds."""
    print_line(line, "")


def warn(line: str) -> None:
    """A line about what went wrong without ending the run."""
    print_line(f"warning: {line}", "yellow")


def print_line(line: str, color: str) -> None:
    """A line in a colour of rich's; plain where there is no terminal, or NO_COLOR is set."""
    log(line)
    _SCREEN.print(Text(shown(line), style=color), soft_wrap=True, highlight=False)


def log(line: str) -> None:
    """A line in the file of --log alone."""
    LOG.info(shown(line))


LOG = logging.getLogger("dossr_video")
LOG.addHandler(logging.NullHandler())
