"""Writing that survives a power cut: a name appears only when its content is on the disk."""

from __future__ import annotations

import errno
import os
import secrets
import time
from pathlib import Path

from dossr_video.system import WINDOWS

PAUSES = 0.05, 0.2, 0.5  # seconds before a file is replaced again


def settle(temporary: Path, final: Path) -> None:
    """Give a finished file its name: content first, then the name, then the folder that holds it."""
    _sync(temporary)
    _replace(temporary, final)
    _sync(final.parent)


def settle_new(temporary: Path, final: Path) -> None:
    """As `settle`, but FileExistsError where the name is taken."""
    _sync(temporary)
    try:
        os.link(temporary, final)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links: nobody can look and take the name in one step
        if os.path.lexists(final):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(final)) from None
        _replace(temporary, final)
    temporary.unlink(missing_ok=True)
    _sync(final.parent)


def part_of(path: Path) -> Path:
    """The name under which a file is written before it gets its own.

    A short one: another process may write the same file at this moment, and names may be long.
    """
    return path.with_name(f"dossr-video.{secrets.token_hex(4)}.part")


def write(path: Path, content: bytes) -> None:
    """Write a whole file; a reader sees the old content or the new, never a part."""
    temporary = part_of(path)
    try:
        temporary.write_bytes(content)
        settle(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _replace(temporary: Path, final: Path) -> None:
    """Windows refuses while somebody reads the file that goes, such as `status` or a virus scanner."""
    for pause in PAUSES if WINDOWS else ():
        try:
            temporary.replace(final)
            return
        except PermissionError:
            time.sleep(pause)
    temporary.replace(final)


def _sync(path: Path) -> None:
    """Windows opens no folder, writes names with their files, and flushes only what is open for writing."""
    if WINDOWS and path.is_dir():
        return
    descriptor = os.open(path, os.O_RDWR if WINDOWS else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
