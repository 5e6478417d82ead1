"""Receives a file into a folder: under a temporary name, never over another file, up to a limit."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

from starlette.concurrency import run_in_threadpool

from dossr_video.errors import SourceError, TargetError
from dossr_video.jobs import durable
from dossr_video.jobs.resources import readable
from dossr_video.names import shown
from dossr_video.ui.folders import is_video, plain_name

RESERVE = 256 * 1024 * 1024  # bytes that are left free on the disk


class TooLargeError(SourceError):
    """More bytes than may be sent."""


def check_upload(folder: Path, name: str, size: int, *, limit: int) -> Path:
    """Where the file will lie.

    Args:
        folder: Where it goes.
        name: As the browser gives it.
        size: Bytes that were announced.
        limit: Bytes that are allowed.

    Raises:
        TooLargeError: It is larger than the limit, or than what is free.
        SourceError: Its name is not that of a video, or there is no such folder.
        TargetError: Its name is no plain name, or is taken.
    """
    target = folder / plain_name(name)
    if not folder.is_dir():
        raise SourceError(f"{shown(folder)} is no folder", hint="load the page again")
    if not is_video(name):
        raise SourceError(
            f"{shown(name)} is no video by its name", hint="give it the extension of its format, such as .mp4 or .mkv"
        )
    if size > limit:
        raise TooLargeError(
            f"{shown(name)} is larger than the {readable(limit)} that may be dropped here",
            hint="copy it into the folder with the file manager, then choose it in the list",
        )
    if size > shutil.disk_usage(folder).free - RESERVE:
        raise TooLargeError(f"{shown(name)} does not fit on the disk of {shown(folder)}", hint="free some space")
    if os.path.lexists(target):
        raise TargetError(f"{shown(name)} is there already", hint="choose it in the list, or rename the new one")
    return target


async def receive(target: Path, chunks: AsyncIterator[bytes], size: int) -> None:
    """Write what comes; TargetError when it ends before `size` bytes, goes on after them, or the name is taken."""
    temporary = target.with_name(f".dossr-video.{secrets.token_hex(8)}.part")
    try:
        with temporary.open("xb") as file:
            async for chunk in chunks:
                file.write(chunk)
                if file.tell() > size:
                    break
            complete = file.tell() == size
        if not complete:
            raise TargetError(f"{shown(target.name)} did not arrive as a whole", hint="drop it again")
        await run_in_threadpool(durable.settle_new, temporary, target)  # a slow disk takes a while
    except FileExistsError as error:
        raise TargetError(f"{shown(target.name)} is there already", hint="rename the new one") from error
    except OSError as error:
        raise TargetError(
            f"{shown(target.name)} cannot be written: {error.strerror}", hint="check the disk and the permissions"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)
