"""The most memory that jobs take, by stage: that of a two-hour file should be that of a one-minute file (Linux).

    python scripts/measure_memory.py minute.mp4 two_hours.mp4 -- --model bicubic --scale 2

makes the table of docs/SCALING.md. The clips there, by ffmpeg:

    ffmpeg -f lavfi -i testsrc2=size=64x48:rate=25:duration=60 -f lavfi -i sine=330:d=60 -g 250 -b:a 24k minute.mp4
    ffmpeg -stream_loop 119 -i minute.mp4 -c copy two_hours.mp4
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from dossr_video.jobs.folder import JobFolder
from dossr_video.jobs.progress import last_note

INTERVAL = 0.2  # seconds between two looks


def main() -> None:
    """Print a row for each file: the peak of every stage, and of the whole job."""
    own, options = sys.argv[1:], []
    if "--" in own:
        own, options = own[: own.index("--")], own[own.index("--") + 1 :]
    parser = argparse.ArgumentParser(usage="%(prog)s FILE ... [-- OPTIONS OF dossr-video]")
    parser.add_argument("files", nargs="+", type=Path)
    with tempfile.TemporaryDirectory() as folder:
        for file in parser.parse_args(own).files:
            began = time.monotonic()
            peaks = measured(file, Path(folder) / "result.mp4", options)
            stages = ", ".join(f"{stage} {size / 1000:.1f}" for stage, size in peaks.items())
            print(f"{file.name}: {stages} MB; {time.monotonic() - began:.0f} s", flush=True)


def measured(source: Path, target: Path, options: list[str]) -> dict[str, int]:
    """Peak of resident memory in kB of a job and its processes, by stage and, as `all`, as the kernel counts it."""
    command = [sys.executable, "-m", "dossr_video", str(source), str(target), "--quiet", "--force", *options]
    note = JobFolder.beside(target, suffix="").progress
    peaks: dict[str, int] = defaultdict(int)
    stage = "starting"
    with subprocess.Popen(command) as job:
        while job.poll() is None:
            stage = told.stage if (told := last_note(note)) else stage
            peaks[stage] = max(peaks[stage], sum(memory(pid, "VmRSS") for pid in family(job.pid)))
            peaks["all"] = max(peaks["all"], sum(memory(pid, "VmHWM") for pid in family(job.pid)))
            time.sleep(INTERVAL)
    if job.returncode:
        sys.exit(job.returncode)
    return peaks


def family(pid: int) -> Iterator[int]:
    """A process and its descendants."""
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            for child in children.read_text().split():
                yield from family(int(child))
        except OSError:  # the thread has ended
            continue


def memory(pid: int, entry: str) -> int:
    """kB; 0 where the process has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(entry)), 0)


if __name__ == "__main__":
    main()
