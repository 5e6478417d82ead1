"""Signals: how a run is stopped and paused."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from dossr_video.cli.console import say
from dossr_video.system import HANGUP, PAUSE, STOPS


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Whether the user has asked to stop. While a run is paused, the answer is not given.

    Ctrl-C, SIGTERM and SIGHUP (a terminal that is closed) are alike: the first lets what runs be finished or kept, the
    second ends at once. SIGUSR1 pauses, and again goes on. On Windows they are Ctrl-C and Ctrl-Break.
    """
    asked = paused = False

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if number == HANGUP:
            _leave_terminal()
        if asked:
            raise KeyboardInterrupt
        asked = True
        say("stopping; press Ctrl-C again to stop at once")

    def pause(number: int, frame: FrameType | None) -> None:
        nonlocal paused
        paused = not paused
        say(f"paused; `kill -USR1 {os.getpid()}` goes on" if paused else "going on")

    def stopping() -> bool:
        while paused and not asked:
            time.sleep(0.1)
        return asked

    # Under nohup SIGHUP is ignored, and stays so.
    stops = [number for number in STOPS if number != HANGUP or signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, ask) for number in stops}
    if PAUSE is not None:
        before[PAUSE] = signal.signal(PAUSE, pause)
    try:
        yield stopping
    finally:
        # Once stopping, a further Ctrl-C must not break into the last words.
        for number, previous in before.items():
            signal.signal(number, signal.SIG_IGN if asked else previous)


def _leave_terminal() -> None:
    """Write nowhere from now on: what is written to a terminal that is gone is an error."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        if os.isatty(descriptor) or not _can_write(descriptor):
            os.dup2(nowhere, descriptor)
    os.close(nowhere)


def _can_write(descriptor: int) -> bool:
    try:
        os.write(descriptor, b"")
    except OSError:
        return False
    return True
