"""What a person sees on stderr while a run goes on, and how a failure is worded."""

from __future__ import annotations

import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from dossr_video.errors import DossrError
from dossr_video.jobs.names import shown
from dossr_video.jobs.progress import OnProgress

LINE_INTERVAL = 10.0  # seconds between two lines where there is no terminal


@contextmanager
def progress_display(*, quiet: bool) -> Iterator[OnProgress]:
    """A callback that draws a bar on a terminal, and prints a line now and then elsewhere."""
    if quiet:
        yield lambda stage, done, total: None
    elif sys.stderr.isatty():
        yield from _bar()
    else:
        yield _lines()


def _bar() -> Iterator[OnProgress]:
    columns = (
        TextColumn("{task.description:>9}", markup=False),  # a file may be named `[restored].mp4`
        BarColumn(),
        TaskProgressColumn(),
        MofNCompleteColumn(),
        TextColumn("frames"),
        TextColumn("{task.fields[fps]}"),
        TimeElapsedColumn(),
        TextColumn("ETA"),
        TimeRemainingColumn(elapsed_when_finished=True),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("starting", total=None, fps="")

        def show(stage: str, done: int, total: int) -> None:
            speed = progress.tasks[task].speed
            fps = f"{speed:.2f} fps" if speed else ""
            progress.update(task, description=stage, completed=done, total=total or None, fps=fps)

        yield show


def _lines() -> OnProgress:
    last_stage, last_time = "", 0.0
    # Frames that a run before had finished say nothing of this run's speed.
    began, first = time.monotonic(), 0

    def show(stage: str, done: int, total: int) -> None:
        nonlocal last_stage, last_time, began, first
        now = time.monotonic()
        if stage != last_stage:
            began, first = now, done
        elif now - last_time < LINE_INTERVAL and done != total:
            return
        last_stage, last_time = stage, now
        rate = (done - first) / max(now - began, 1e-6)
        rest = f", {rate:.2f} fps, {duration_text((total - done) / rate)} left" if done > first and total else ""
        say(f"{stage}: {done}/{total or '?'} frames{rest}" if done or total else stage)

    return show


def duration_text(seconds: float) -> str:
    """h:mm:ss"""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}"


def say(line: str) -> None:
    """One line for a person, whatever is in the names that it holds."""
    print(shown(line), file=sys.stderr, flush=True)


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
