"""What a person sees on stderr while a run goes on, and how a failure is worded."""

from __future__ import annotations

import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import click
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars

from dossr_video.errors import DossrError
from dossr_video.jobs.progress import OnProgress, Progress
from dossr_video.names import shown

LINE_INTERVAL = 10.0  # seconds between two lines where there is no terminal


@contextmanager
def progress_display(*, quiet: bool) -> Iterator[OnProgress]:
    """Shows events: a bar on a terminal, a line now and then elsewhere; `quiet`: their warnings alone."""
    if quiet:
        yield _warn
    elif sys.stderr.isatty():
        yield from _bar()
    else:
        yield _lines()


def _warn(event: Progress) -> None:
    for warning in event.warnings:
        say(f"warning: {warning}")


def _label(event: Progress) -> str:
    """`upscaling`, or of one of several files `3/12 tape.mp4: upscaling`."""
    if event.item is None:
        return event.stage
    number = f"{event.item.number}/{event.item.count} " if event.item.count else ""
    return shown(f"{number}{event.item.name}: {event.stage}")


def _rate(per_second: float, unit: str) -> str:
    return f"{per_second:.2f} {'fps' if unit == 'frames' else f'{unit}/s'}"


def _bar() -> Iterator[OnProgress]:
    """One bar at a time: every stage has its own, so that its rate is that of nothing else."""
    columns = (
        TextColumn("{task.description:>9}", markup=False),  # a file may be named `[restored].mp4`
        BarColumn(),
        TaskProgressColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}"),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TextColumn("ETA"),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    with Bars(*columns, console=Console(stderr=True)) as bars:
        label = "starting"
        task = bars.add_task(label, total=None, unit="frames", rate="")

        def show(event: Progress) -> None:
            nonlocal label, task
            _warn(event)
            if _label(event) != label:
                label = _label(event)
                bars.remove_task(task)
                task = bars.add_task(label, total=event.total, completed=event.done, unit=event.unit, rate="")
            speed = next(bar.speed for bar in bars.tasks if bar.id == task)
            rate = _rate(speed, event.unit) if speed else ""
            bars.update(task, completed=event.done, total=event.total, rate=rate)

        yield show


def _lines() -> OnProgress:
    last_label, last_time = "", 0.0
    # What a run before had finished says nothing of this run's speed.
    began, first = time.monotonic(), 0

    def show(event: Progress) -> None:
        nonlocal last_label, last_time, began, first
        _warn(event)
        now, label, done, total = time.monotonic(), _label(event), event.done, event.total
        if label != last_label:
            began, first = now, done
        elif now - last_time < LINE_INTERVAL and done != total:
            return
        last_label, last_time = label, now
        rate = (done - first) / max(now - began, 1e-6)
        rest = ""
        if total is not None and done > first:
            rest = f", {_rate(rate, event.unit)}, {duration_text((total - done) / rate)} left"
        say(f"{label}: {done}/{'?' if total is None else total} {event.unit}{rest}" if done or total else label)

    return show


def duration_text(seconds: float) -> str:
    """h:mm:ss"""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"


def say(line: str) -> None:
    """One line for a person, whatever is in the names that it holds."""
    print(shown(line), file=sys.stderr, flush=True)


def put(line: str) -> None:
    """One line of what was asked for, whatever is in the names and tags that it holds."""
    click.echo(shown(line))


@contextmanager
def failures(*, debug: bool) -> Iterator[None]:
    """Turns every exception into an `error:` and a `hint:` line and the exit code; with `debug`, the traceback too."""
    try:
        yield
    except DossrError as error:
        if debug:
            traceback.print_exc()
        say(f"error: {error.message}")
        say(f"hint: {error.hint}")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        say("error: stopped at once")
        say("hint: give the same command again to go on from the last finished segment")
        sys.exit(130)
    except Exception as error:  # a defect of ours: still one line, and how to report it
        if debug:
            raise
        say(f"error: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}")
        say("hint: this is a defect of dossr-video; please report it with the output of the same command and --debug")
        sys.exit(1)


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Whether the user has asked to stop: the first Ctrl-C lets the running segment finish, the second ends at once."""
    asked = False

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        say("stopping after the running segment; press Ctrl-C again to stop at once")

    previous = signal.signal(signal.SIGINT, ask)
    try:
        yield lambda: asked
    finally:
        # Once stopping, a further Ctrl-C must not break into the last words.
        signal.signal(signal.SIGINT, signal.SIG_IGN if asked else previous)
