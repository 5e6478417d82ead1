"""A second process that says in one line what this one no longer can: that it was ended in the middle."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

LINES = (
    "error: dossr-video was ended in the middle: from outside, by a crash inside a library, or for want of memory\n"
    "hint: give the same command again to go on; if it ends there again, `ffmpeg -i FILE -c copy NEW.mkv` may mend it\n"
)


STOPPED = "error: stopped at once\nhint: give the same command again\n"


def watched(run: Callable[[], None]) -> None:
    """Call `run`. When this process crashes in it, or is killed, another one writes LINES.

    SIGTERM and SIGHUP end it at once with exit code 130, wherever `run` has no other way for them.
    """
    if not hasattr(os, "fork"):
        run()
        return
    reader, writer = os.pipe()

    def end(number: int, frame: FrameType | None) -> None:
        os.write(writer, b".")
        with suppress(OSError):  # of a terminal that is gone
            os.write(2, STOPPED.encode())
        os._exit(130)

    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # as SIGHUP is under nohup
            signal.signal(number, end)
    if os.fork() == 0:
        os.close(writer)
        _watch(reader)
    os.close(reader)
    try:
        run()
    finally:
        os.write(writer, b".")
        os.close(writer)


def _watch(reader: int) -> None:
    """The other process: waits until the first is gone."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)
    try:
        if not os.read(reader, 1):
            os.write(2, LINES.encode())
    finally:
        os._exit(0)
