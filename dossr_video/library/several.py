"""Several files of a library at once, on a machine that one does not fill."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager

from dossr_video.jobs.execute.local import is_cpu
from dossr_video.jobs.memory import available
from dossr_video.settings import Settings

SMALL = frozenset({"auto", "compact", "bicubic"})  # models that do not fill many cores, and take little memory
THREADS = 2  # of a file: more help the networks of a small picture little, and nothing of what is around them
BASE, PIXEL = 600_000_000, 12_000  # bytes that a file takes, and more for each pixel: compact with x264, 320x180
SHARE = 0.75  # of the free memory, that files share


def files_at_once(settings: Settings) -> int:
    """How many files are done at a time where nobody says so: on a CPU one for every two threads."""
    if settings.model not in SMALL or not is_cpu(settings.device):
        return 1
    return max(1, cores() // (settings.threads or THREADS))


def sharing(settings: Settings, count: int) -> Settings:
    """The settings of each of so many files: those that name no threads get their part of the cores."""
    if count == 1 or settings.threads is not None:
        return settings
    return settings.model_copy(update={"threads": max(1, cores() // count)})


def cores() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def need(pixels: int) -> int:
    """Bytes of memory that a file takes, about, by the pixels of a frame."""
    return BASE + PIXEL * pixels


class Room:
    """The memory that the files share which are done at once."""

    def __init__(self) -> None:
        """Counts what is free now; where the system does not tell, everything fits."""
        free = available()
        self._free = None if free is None else round(SHARE * free)
        self._taken = 0
        self._changed = threading.Condition()

    @contextmanager
    def held(self, size: int, stopping: Callable[[], bool]) -> Iterator[None]:
        """So many bytes, once they are there, or nobody else has any, or `stopping` says so."""
        with self._changed:
            while not self._fits(size) and not stopping():
                self._changed.wait(0.2)
            self._taken += size
        try:
            yield
        finally:
            with self._changed:
                self._taken -= size
                self._changed.notify_all()

    def _fits(self, size: int) -> bool:
        return self._free is None or self._taken == 0 or self._taken + size <= self._free


def together(tasks: Sequence[Callable[[], None]], ends: Sequence[Callable[[], None]]) -> None:
    """Run the tasks at once, the first on the calling thread, which Ctrl-C reaches; the first error is raised.

    `ends` are called when the user stops everything at once: they make the other tasks end.
    """
    pool = ThreadPoolExecutor(max(len(tasks) - 1, 1), thread_name_prefix="file")
    others = [pool.submit(task) for task in tasks[1:]]
    failure: BaseException | None = None
    try:
        try:
            tasks[0]()
        except Exception as error:
            failure = error
        wait(others)
    except KeyboardInterrupt:
        for end in ends:
            end()
        raise
    finally:
        pool.shutdown()
    for raised in (failure, *(other.exception() for other in others)):
        if raised is not None:
            raise raised
