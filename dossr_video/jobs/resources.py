"""Disk space: what a job needs, and whether it is there."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dossr_video.errors import TargetError
from dossr_video.jobs import durable
from dossr_video.video.write.encoders import encoder_named
from dossr_video.video.write.spec import VideoSpec

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def least_bytes(video: VideoSpec, frames: int) -> int:
    """A lower bound of the size of a result of so many frames; a job that does not fit twice need not begin."""
    return round(video.width * video.height * frames * encoder_named(video.encoding.encoder).least_bits / 8)


def require_space(folder: Path, needed: int, *, what: str) -> None:
    """TargetError when fewer than `needed` bytes are free where `folder` lies."""
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise TargetError(
            f"{what} needs about {readable(needed)} more in {folder}; {readable(free)} are free",
            hint="free some space and give the same command again; finished segments are kept",
        )


@contextmanager
def write_errors(folder: Path) -> Iterator[None]:
    """A disk that is full or fails while the block writes, or a `folder` that may not be written, is a TargetError."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            problem, hint = "the disk is full", "free some space and give the same command again"
        elif error.errno in (errno.EIO, errno.EROFS):
            problem, hint = f"the disk fails: {error.strerror}", "check the disk, then give the same command again"
        elif error.filename is None or not Path(str(error.filename)).is_relative_to(folder):
            raise
        elif error.errno in (errno.EISDIR, errno.ENOTDIR, errno.EEXIST):
            raise TargetError(
                f"{error.filename2 or error.filename} is in the way: {error.strerror}",
                hint="move it away and give the same command again; finished segments are kept",
            ) from error
        else:
            problem, hint = error.strerror or "refused", "choose a folder that you may write to"
        raise TargetError(
            f"{folder} cannot be written: {problem}", hint=f"{hint}; finished segments are kept"
        ) from error


def write_file(path: Path, content: bytes) -> None:
    """As durable.write: the whole file or none. Raises TargetError where that cannot be."""
    with write_errors(path.parent):
        durable.write(path, content)


def readable(size: int) -> str:
    """Bytes for people: 1.5 GB."""
    value = float(size)
    for unit in ("bytes", "kB", "MB", "GB", "TB"):
        if value < 1000 or unit == "TB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
