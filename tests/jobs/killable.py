"""Runs jobs in forks of one warm process; each may be killed at a chosen step. Commands and replies are JSON lines.

A step is a Python call or return, or a call of a C function, made by one file of the package: counting them reaches
every moment of a run, without a line in the package that knows of it.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import threading
from collections import Counter
from pathlib import Path
from types import FrameType
from typing import Any

import torch

from dossr_video.errors import DossrError
from dossr_video.jobs.run import run_job
from dossr_video.settings import Settings

STAGES = {
    "decode": "video/read/pyav.py",
    "sample": "pipeline/segment.py",
    "encode": "video/write/writer.py",
    "rename": "jobs/durable.py",
    "ledger": "jobs/ledger.py",
    "join": "video/mux/remux.py",
    "folder": "jobs/folder.py",
}
FILES = {path: stage for stage, path in STAGES.items()}
steps: Counter[str] = Counter()


def watch(stage: str | None, step: int) -> None:
    """Count the steps of every stage; SIGKILL this process at step `step` of `stage`."""

    def count(frame: FrameType, event: str, argument: Any) -> None:
        here = FILES.get(frame.f_code.co_filename.rpartition("dossr_video/")[2])
        if here is not None:
            steps[here] += 1
            if here == stage and steps[here] == step:
                os.kill(os.getpid(), signal.SIGKILL)

    threading.setprofile(count)
    sys.setprofile(count)


def run(command: dict[str, Any]) -> dict[str, Any]:
    """What the fork tells; nothing when it was killed."""
    watch(command["stage"], command["step"])
    if command["largest"]:
        resource.setrlimit(resource.RLIMIT_FSIZE, (command["largest"], resource.RLIM_INFINITY))
    try:
        run_job(Path(command["source"]), Path(command["target"]), Settings.of(command["settings"]))
        return {"error": None, "steps": steps}
    except DossrError as error:
        return {"error": [type(error).__name__, error.message, error.hint], "steps": steps}


def main() -> None:
    torch.set_num_threads(1)
    for line in sys.stdin:
        receiver, sender = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(receiver)
            reply = run(json.loads(line))
            sys.setprofile(None)
            os.write(sender, json.dumps(reply).encode())
            os._exit(0)
        os.close(sender)
        with os.fdopen(receiver, "rb") as pipe:
            reply = pipe.read()
        _, status = os.waitpid(pid, 0)
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        print(json.dumps({"killed": killed, **json.loads(reply or b"{}")}), flush=True)


if __name__ == "__main__":
    main()
