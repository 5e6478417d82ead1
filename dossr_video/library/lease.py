"""A file that a worker has: its lease is renewed while the work goes on."""

from __future__ import annotations

import threading
import time
from types import TracebackType

from dossr_video.errors import TargetError
from dossr_video.library.catalogue import LEASE, Catalogue
from dossr_video.library.worker import Worker

BEAT = LEASE / 6  # seconds between two renewals


class Lease:
    """Renews the lease of a file while the block runs. `lost` says whether another worker may have the file."""

    def __init__(self, catalogue: Catalogue, source: str, worker: Worker) -> None:
        self.lost = False
        self._catalogue, self._source, self._worker = catalogue, source, worker
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)

    def __enter__(self) -> Lease:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._done.set()
        self._thread.join()

    def _renew(self) -> None:
        heard = time.monotonic()
        while not self.lost and not self._done.wait(BEAT):
            asked = time.monotonic()
            try:
                self.lost = not self._catalogue.renew(self._source, self._worker)
                heard = asked
            except TargetError:  # it may come back before the lease has run out
                self.lost = time.monotonic() - heard > LEASE
