"""What is there of a result, in a folder or in a bucket."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from dossr_video.errors import DossrError
from dossr_video.jobs.fingerprint import sha256
from dossr_video.jobs.folder import JobFolder
from dossr_video.jobs.naming import completed
from dossr_video.jobs.upload import digest_of, is_behind
from dossr_video.jobs.urls import cached
from dossr_video.library.files import Place
from dossr_video.video.sequence import exists


def folder_of(target: Place) -> JobFolder:
    """Of the job that makes a result, whether it is there or not."""
    return JobFolder.beside(cached(target) if isinstance(target, str) else target, suffix="")


def is_begun(target: Place) -> bool:
    """Whether an earlier run has left its folder."""
    return os.path.lexists(folder_of(target).path)


def is_there(target: Place) -> bool:
    return is_behind(target) if isinstance(target, str) else exists(target)


def sha256_of(target: Place) -> str | None:
    """Of the whole result; None: there is none."""
    if isinstance(target, str):
        return digest_of(target)
    return sha256(target) if exists(target) else None


def remove_leftover(target: Path) -> None:
    """Remove the folder of a complete job that was killed before it had done so."""
    if not is_begun(target):
        return
    folder = folder_of(target)
    with contextlib.suppress(OSError, DossrError), folder.held():  # else it is in use, or not of a job
        if completed(folder, target) is not None:
            folder.clear()
