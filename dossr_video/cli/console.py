"""What the command says beside its progress: what was asked for, the log, and how a failure is worded."""

from __future__ import annotations

import logging
import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from dossr_video.errors import DossrError, TargetError
from dossr_video.names import shown
from dossr_video.option_values import duration_text
from dossr_video.progress_bar import LOG, print_line, progress_display, say, warn

__all__ = ["duration_text", "failures", "log_to", "progress_display", "put", "say", "warn"]


def log_to(path: Path) -> None:
    """Append every line that is said, with the time, to a file.

    Raises TargetError when it cannot be written, or is there and no log.
    """
    try:
        if path.is_file() and not re.match(rb"\d{4}-\d\d-\d\d |$", _beginning(path)):
            raise TargetError(f"--log {path} exists, and is no log", hint="give another file")
        handler = logging.FileHandler(path, encoding="utf-8")
    except OSError as error:
        raise TargetError(f"--log {path} cannot be written: {error.strerror}", hint="give another file") from error
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    LOG.addHandler(handler)
    LOG.setLevel(logging.INFO)
    LOG.propagate = False


def _beginning(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(16)


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
        print_line(f"error: {error.message}", "bold red")
        say(f"hint: {error.hint}")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print_line("error: stopped at once", "bold red")
        say("hint: give the same command again to go on from what was kept last")
        sys.exit(130)
    except Exception as error:  # a defect of ours: still one line, and how to report it
        if debug:
            raise
        reason = str(error).splitlines()[0] if str(error) else "no message"
        print_line(f"error: {type(error).__name__}: {reason}", "bold red")
        say("hint: this is a defect of dossr-video; please report it with the output of the same command and --debug")
        sys.exit(1)
