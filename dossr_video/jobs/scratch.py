"""A temporary folder that goes away though its process was killed: the next process on the machine sweeps it."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from dossr_video.system import lock_now

PREFIX = "dossr-video-"
LOCKED = b"the lock of a process of dossr-video\n"


class Scratch:
    """The folder `path`, of this process alone. The kernel's lock on a file in it tells that its process lives."""

    def __init__(self) -> None:
        sweep()
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX))
        self._descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        lock_now(self._descriptor)
        os.write(self._descriptor, LOCKED)  # until now nobody takes it for one that is left

    def remove(self) -> None:
        os.close(self._descriptor)  # Windows removes no file that is open
        shutil.rmtree(self.path, ignore_errors=True)


def sweep() -> None:
    """Remove the folders of processes that are gone."""
    for lock in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/lock"):
        try:
            with lock.open("r+b") as file:
                left = file.read(1) and lock_now(file.fileno())
        except OSError:  # it is another user's, or somebody else sweeps it
            continue
        if left:
            shutil.rmtree(lock.parent, ignore_errors=True)
