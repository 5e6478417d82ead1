#!/usr/bin/env python3
"""Write docs/time-and-memory.md's table: processor time for a frame, and the most memory, by model and size (Linux).

    python scripts/measure_cost.py --into docs/time-and-memory.md

Processor time, not time on the clock: other work on the machine lengthens the one and hardly the other. Each job runs
in a process of its own with one thread; what it takes to begin is left out.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from dossr_video.jobs.estimate import duration
from dossr_video.jobs.run import run_job
from dossr_video.quality.pairs import encode
from dossr_video.settings import Settings
from dossr_video.video.read.pyav import PyavReader

SAMPLE = Path(__file__).parent.parent / "tests" / "data" / "sample.mp4"
ROWS = (("compact", 320, 240), ("large", 96, 72), ("compact", 640, 480))
FRAMES = (1, 2)
HOUR = 25 * 3600  # frames
BEGIN, END = "<!-- table by scripts/measure_cost.py -->", "<!-- end of the table -->"


def main() -> None:
    """Print the table, or put it into a page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--into", type=Path, help="a page that holds the marks of the table")
    parser.add_argument("--job", nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.job:
        _job(given.job[0], *map(int, given.job[1:]))
        return
    lines = []
    for line in _table():
        lines.append(line)
        print(line, flush=True)
    table = "\n".join(lines)
    if given.into:
        page = given.into.read_text(encoding="utf-8")
        before, rest = page.split(BEGIN)
        given.into.write_text(f"{before}{BEGIN}\n\n{table}\n\n{END}{rest.split(END)[1]}", encoding="utf-8")


def _table() -> Iterator[str]:
    yield f"One thread of {_processor()}; result four times as wide and high, H.264. Seconds of processor time."
    yield ""
    yield "| model | frames of | a frame | an hour of 720x576 at 25 fps, on 8 such cores | memory |"
    yield "| --- | --- | --- | --- | --- |"
    for model, width, height in ROWS:
        (less, _), (more, memory) = (_measured(model, width, height, frames) for frames in FRAMES)
        seconds = (more - less) / (FRAMES[1] - FRAMES[0])
        hour = seconds * HOUR / (width * height) * 720 * 576 / 8
        yield f"| {model} | {width}x{height} | {seconds:.1f} s | about {duration(hour)} | {memory / 1e6:.1f} GB |"


def _measured(model: str, width: int, height: int, frames: int) -> tuple[float, int]:
    """Processor seconds, and kB of memory, of a job."""
    command = [sys.executable, __file__, "--job", model, str(width), str(height), str(frames)]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    seconds, memory = json.loads(output)
    return seconds, memory


def _job(model: str, width: int, height: int, frames: int) -> None:
    with PyavReader(SAMPLE) as reader:
        pictures = [
            frame.rgb().permute(1, 2, 0).mul(255).byte().numpy()
            for frame, _ in zip(reader.frames(), range(3), strict=False)
        ]
    clip = np.stack([cv2.resize(p, (width, height), interpolation=cv2.INTER_CUBIC) for p in pictures[:frames]])
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "source.mp4"
        encode(clip, source, crf=18)
        before = resource.getrusage(resource.RUSAGE_SELF)
        run_job(source, Path(folder) / "result.mp4", Settings(model=model, threads=1, native="off"))
        after = resource.getrusage(resource.RUSAGE_SELF)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(json.dumps([used, after.ru_maxrss]))


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


if __name__ == "__main__":
    main()
