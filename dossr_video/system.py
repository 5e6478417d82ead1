"""What operating systems have under other names, or not at all: signals, locks, and what they tell of processes."""

from __future__ import annotations

import errno
import importlib
import os
import signal
from typing import Any

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

try:
    import psutil
except ImportError:  # a system that it does not know
    psutil = None  # type: ignore[assignment]

WINDOWS = os.name == "nt"

STOPS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name))
"""Signals that end a run; the last two are those of a terminal that is closed, here or on Windows."""

HANGUP: signal.Signals | None = getattr(signal, "SIGHUP", None)
PAUSE: signal.Signals | None = getattr(signal, "SIGUSR1", None)
"""It pauses a run, and again goes on. Windows has none."""

NEW_GROUP = 0x200 if hasattr(signal, "CTRL_BREAK_EVENT") else 0
"""CREATE_NEW_PROCESS_GROUP of Windows: Ctrl-C is for the process that the user sees."""

FAR = 1 << 30  # byte of the file that is locked on Windows, where nobody can read what is locked


def lock_now(descriptor: int) -> bool:
    """Take the kernel's lock on an open file, which falls with the process; False while another has it."""
    try:
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            msvcrt: Any = importlib.import_module("msvcrt")
            os.lseek(descriptor, FAR, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return False
        raise
    return True


def ask_to_stop(pid: int) -> None:
    """Have a process of the command finish or keep what it does, and end. OSError where there is none."""
    os.kill(pid, getattr(signal, "CTRL_BREAK_EVENT", signal.SIGTERM))


def end_at_once(pid: int) -> None:
    """OSError where there is none."""
    os.kill(pid, getattr(signal, "SIGKILL", signal.SIGTERM))  # of Windows: TerminateProcess


def suspend(pid: int, *, on: bool) -> None:
    """Have a process stand still wherever it is, or go on; for systems without PAUSE."""
    process = psutil.Process(pid)
    if on:
        process.suspend()
    else:
        process.resume()


def started_at(pid: int) -> float | None:
    """When a process began, in seconds since 1970; 0 where the system does not say, None for one that is gone.

    A process that has ended, and that nobody has waited for, is gone.
    """
    if psutil is None:
        return 0.0
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else float(process.create_time())
    except psutil.NoSuchProcess:
        return None
    except (psutil.Error, OSError):
        return 0.0


def memory_of(pid: int) -> int | None:
    """Bytes that a process holds in memory (its resident set); None where that is not known."""
    if psutil is None:
        return None
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except (psutil.Error, OSError):
        return None


def memory_of_machine() -> tuple[int, int] | None:
    """Bytes in all, and those that can still be taken; None where that is not known."""
    if psutil is None:
        return None
    try:
        memory = psutil.virtual_memory()
    except (OSError, RuntimeError):
        return None
    return int(memory.total), int(memory.available)
