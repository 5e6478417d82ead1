"""A worker on a machine of its own, as far as the catalogue can tell.

`queue_worker.py SOURCES RESULTS URL HOST SKEW [STALL]`: its clock is SKEW seconds off. It prints a line for each
outcome; in the middle of the file STALL it says so and stays there.
"""

from __future__ import annotations

import socket
import sys
import time
from functools import partial
from pathlib import Path

import dossr_video.library.catalogue as catalogue
import dossr_video.library.lease as lease
from dossr_video.jobs.execute.local import LocalExecutor
from dossr_video.jobs.progress import Progress
from dossr_video.jobs.resolve import worker_spec
from dossr_video.library import batch
from dossr_video.library.files import Library
from dossr_video.settings import Settings


def main(sources: str, results: str, address: str, host: str, skew: str, stall: str = "") -> None:
    clock = time.time
    socket.gethostname = lambda: host
    time.time = lambda: clock() + float(skew)
    catalogue.LEASE, lease.BEAT, batch.POLL = 4.0, 0.5, 0.3
    say = partial(print, flush=True)

    def watch(event: Progress) -> None:
        if event.item and event.item.name == stall and event.stage == "upscaling" and event.done > 0:
            say("in the middle")
            time.sleep(600)
        if event.stage.startswith("waiting"):
            say(f"waiting {event.item.name if event.item else ''}")

    settings = Settings(model="bicubic", scale=2, speed="ultrafast", chunk=4, threads=1)
    library = Library(
        sources if "://" in sources else Path(sources),
        results if "://" in results else Path(results),
        catalogue=address or None,
    )
    say("ready")
    sys.stdin.readline()
    batch.Batch(library, settings).run(
        on_outcome=lambda outcome: say(f"{outcome.verdict} {Path(outcome.source).name}"),
        on_progress=watch,
        executor=LocalExecutor(worker_spec(settings)),
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
