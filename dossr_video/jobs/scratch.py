"""A temporary folder that goes away though its process was killed: the next process on the machine sweeps it."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from pathlib import Path

PREFIX = "dossr-video-"


class Scratch:
    """The folder `path`, of this process alone. The kernel's lock on a file in it tells that its process lives."""

    def __init__(self) -> None:
        sweep()
        self.path = Path(tempfile.mkdtemp(prefix=PREFIX))
        # Locked before it has the name that is looked for: nobody finds it free.
        self._descriptor = os.open(self.path / "locking", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        (self.path / "locking").rename(self.path / "lock")

    def remove(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._descriptor)


def sweep() -> None:
    """Remove the folders of processes that are gone."""
    for lock in Path(tempfile.gettempdir()).glob(f"{PREFIX}*/lock"):
        try:
            with lock.open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(lock.parent, ignore_errors=True)
        except OSError:  # its process lives, it is another user's, or somebody else sweeps it
            continue
