"""Runs jobs in forks of one warm process; each may be killed at a chosen step, and system calls may fail in it.

Commands and replies are JSON lines.

A step is a Python call or return, or a call of a C function, made by one file of the package: counting them reaches
every moment of a run, without a line in the package that knows of it.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
import tempfile
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
library: Any = ctypes.CDLL(sys.argv[1]) if sys.argv[1:] else None  # the one that is preloaded


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
    """What the fork tells; nothing when it was killed.

    Orders beside the job: `stage` and `step`, see `watch`; `largest`, the bytes above which a file cannot be written;
    `fail`, the arguments of fail_calls in failing_calls.c.
    """
    if "stage" in command:
        watch(command["stage"], command.get("step", 0))
    if "largest" in command:
        resource.setrlimit(resource.RLIMIT_FSIZE, (command["largest"], resource.RLIM_INFINITY))
    if "fail" in command:
        name, folder, *numbers = command["fail"]
        library.fail_calls(name.encode(), folder.encode(), *map(ctypes.c_long, numbers))
    reply: dict[str, Any] = {"error": None}
    try:
        report = run_job(Path(command["source"]), Path(command["target"]), Settings.of(command["settings"]))
        reply |= {"frames": report.frames, "resumed": report.resumed}
    except DossrError as error:
        reply["error"] = [type(error).__name__, error.message, error.hint]
    except Exception as error:
        reply["error"] = [type(error).__name__, str(error), "defect"]
    if "fail" in command:
        reply |= {"failed": library.failed_calls(), "calls": library.fail_calls(b"", b"", 0, 0, 0, 0)}
    return {**reply, "steps": steps}


def main() -> None:
    torch.set_num_threads(1)
    for line in sys.stdin:
        receiver, sender = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(receiver)
            with tempfile.TemporaryFile() as said:
                os.dup2(said.fileno(), 2)
                reply = run(json.loads(line))
                sys.setprofile(None)
                said.seek(0)
                reply["said"] = said.read().decode(errors="replace")
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
