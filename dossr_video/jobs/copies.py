"""What a job with URLs keeps on this machine: the copy of its source, and the work on its result."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from dossr_video.errors import DossrError, Interrupted
from dossr_video.jobs.folder import JobFolder
from dossr_video.jobs.lock import locked
from dossr_video.jobs.resources import write_errors
from dossr_video.jobs.urls import copy_of, folder_for, shown_url
from dossr_video.names import shown
from dossr_video.system import WINDOWS


@contextmanager
def held_copies(target: Path, source_url: str | None, target_url: str | None) -> Iterator[Path]:
    """The folder of the cache for a result, for this process alone: other results have others, also of this source.

    It goes away with the job, and also where that fails and there is nothing to go on with. Raises HeldError while
    another process has it.
    """
    folder = folder_for(target_url or str(target.resolve()))
    copy = copy_of(source_url, folder) if source_url else None
    said = shown_url(target_url) if target_url else shown(target)
    names = {str(path): shown_url(url) for url, path in ((source_url, copy), (target_url, target)) if url}
    with _told_as({**names, str(folder): said}), ExitStack() as stack:
        stays = True
        stack.callback(lambda: None if stays else _remove_rest(folder))
        with write_errors(folder.parent):
            folder.parent.mkdir(parents=True, exist_ok=True)
            stack.enter_context(locked(folder / "lock"))
        try:
            yield folder
            stays = False
        except DossrError as error:  # the next run goes on with what is left of the job, or with the copy
            fetched = isinstance(error, Interrupted) and copy is not None and copy.exists()
            stays = fetched or os.path.lexists(JobFolder.beside(target, suffix="").path)
            raise
        finally:
            if not stays:
                _remove(folder)


def _remove(folder: Path) -> None:
    """The lock goes last, so that nobody else begins in a folder that is going."""
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
    if not WINDOWS:  # it removes nothing that is open
        (folder / "lock").unlink()
        _remove_rest(folder)


def _remove_rest(folder: Path) -> None:
    """What is left once the lock is free; nothing where somebody else has begun again here."""
    with suppress(OSError):
        if WINDOWS:  # it refuses while somebody else holds it
            (folder / "lock").unlink()
        folder.rmdir()


@contextmanager
def _told_as(names: dict[str, str]) -> Iterator[None]:
    """Errors tell the names that the user knows."""
    try:
        yield
    except DossrError as error:
        for path, name in names.items():
            error.message = error.message.replace(path, name)
        error.args = (error.message,)
        raise
