"""Runs one job after another while reads of the source fail as asked; lines of JSON in, lines of JSON out."""

from __future__ import annotations

import ctypes
import json
import sys
from pathlib import Path

from dossr_video.errors import DossrError
from dossr_video.jobs.run import run_job
from dossr_video.settings import Settings

library = ctypes.CDLL(sys.argv[1])  # the one that is preloaded
for line in sys.stdin:
    order = json.loads(line)
    source = Path(order["source"])
    library.fail_reads(str(source).encode(), order["every"], order["after"])
    try:
        report = run_job(source, Path(order["target"]), Settings(**order["settings"]))
        reply = {"frames": report.frames, "resumed": report.resumed}
    except DossrError as error:
        reply = {"error": error.message, "hint": error.hint}
    reply["reads"] = library.fail_reads(b"", 0, 0)
    print(json.dumps(reply), flush=True)
