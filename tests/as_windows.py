"""Makes of this process what Windows would be: no Unix modules and calls, and nothing that is open goes away.

Imported before anything else of a program. The kernel's lock is msvcrt's, held by flock in truth.
"""

from __future__ import annotations

import errno
import fcntl
import importlib.abc
import os
import shutil
import signal
import subprocess  # it takes whatever has msvcrt for Windows
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

MODULES = frozenset({"fcntl", "resource", "pwd", "grp", "termios", "pty", "tty", "syslog"})
CALLS = ("fork", "forkpty", "mkfifo", "pread", "pwrite", "sync")
CONSTANTS = ("O_CLOEXEC", "O_DIRECTORY", "O_NOFOLLOW", "O_NONBLOCK")
SIGNALS = ("SIGHUP", "SIGUSR1", "SIGUSR2", "SIGQUIT", "SIGPIPE", "SIGCHLD")


class _Blocked(importlib.abc.MetaPathFinder):
    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name in MODULES:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def _locking(descriptor: int, mode: int, count: int) -> None:
    assert (mode, count) == (2, 1)
    assert os.lseek(descriptor, 0, os.SEEK_CUR) == dossr_video.system.FAR
    try:
        _flock(descriptor, _EXCLUSIVE)
    except OSError as error:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES)) from error


def _refusing(call: Callable[..., Any], *, paths: int) -> Callable[..., Any]:
    """A call that PermissionError ends where this process has one of its files open."""

    def refusing(*arguments: Any, **options: Any) -> Any:
        names = {os.path.realpath(argument) for argument in arguments[:paths]}
        numbers = [*Path("/proc/self/fd").iterdir()]
        if opened := names & {os.path.realpath(number) for number in numbers}:
            raise PermissionError(errno.EACCES, f"open, as on Windows: {opened}")
        return call(*arguments, **options)

    return refusing


def _open(path: Any, flags: int, mode: int = 0o777, **options: Any) -> int:
    if not isinstance(path, int) and Path(os.fsdecode(path)).is_dir():
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
    return _plain_open(path, flags, mode, **options)


_flock, _EXCLUSIVE, _plain_open = fcntl.flock, fcntl.LOCK_EX | fcntl.LOCK_NB, os.open
sys.modules["msvcrt"] = types.ModuleType("msvcrt")
sys.modules["msvcrt"].__dict__.update(locking=_locking, LK_NBLCK=2)
for _name in MODULES:
    sys.modules.pop(_name, None)
sys.meta_path.insert(0, _Blocked())
for _owner, _names in ((os, CALLS), (os, CONSTANTS), (signal, SIGNALS)):
    for _name in _names:
        if hasattr(_owner, _name):
            delattr(_owner, _name)
for _name, _paths in (("unlink", 1), ("remove", 1), ("rmdir", 1), ("rename", 2), ("replace", 2)):
    setattr(os, _name, _refusing(getattr(os, _name), paths=_paths))
os.open = _open
shutil._use_fd_functions = False  # type: ignore[attr-defined]
import dossr_video.system  # noqa: E402 - only now

dossr_video.system.WINDOWS = True
assert dossr_video.system.fcntl is None
assert dossr_video.system.PAUSE is None
assert subprocess.Popen
