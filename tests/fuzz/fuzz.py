"""Damages small films and has each looked at and upscaled, in forks of one warm process with limits on time and memory.

    python tests/fuzz/fuzz.py FOLDER --mutants 5000 --first 300

Prints a line of JSON for each finding, and keeps its file in FOLDER: a crash, a hang, a traceback, a "defect", or a
result that is shorter than its film without a word. The mutants are the same for the same numbers. With --files FILE...
these are examined in place of mutants.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import resource
import select
import signal
import sys
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import av
import torch
from mutate import mutant
from originals import ORIGINALS, make

from dossr_video.cli.commands import main

SECONDS = 20  # of CPU for one file
PATIENCE = 120  # seconds in all for one file
MEMORY = 3 << 29  # bytes beside what the warm process has
RESULT = 16 << 20  # bytes that are written for one file
OPTIONS = ["--model", "bicubic", "--scale", "2", "--speed", "ultrafast", "--chunk", "4", "--threads", "1", "--force"]


def examine(path: Path, folder: Path) -> str | None:
    """What is wrong with how the file is taken; None: nothing. The result goes into the folder."""
    target = folder / "result.mkv"
    target.unlink(missing_ok=True)
    for command in (["probe", str(path)], ["upscale", str(path), str(target), *OPTIONS]):
        code, said = called(command)
        if code not in (0, 1, 2) or "defect" in said or "Traceback" in said:
            return f"{command[0]}: exit code {code}: {said[-400:]}"
        if code and not ("error: " in said and "hint: " in said):
            return f"{command[0]}: exit code {code} without an error and a hint: {said[-400:]}"
    if code == 0 and "warning: " not in said:
        there, made = frames(path), frames(target)
        if made < there:
            return f"{made} of {there} frames, and no warning"
    return None


def called(command: list[str]) -> tuple[int, str]:
    """Exit code of the program, and what it says."""
    said = io.StringIO()
    sys.argv = ["dossr-video", *command]
    with redirect_stdout(said), redirect_stderr(said):
        try:
            main()
        except SystemExit as ended:
            return int(ended.code or 0), said.getvalue()
    return -1, said.getvalue()


def frames(path: Path) -> int:
    """As many as FFmpeg decodes of the first track of video, whatever is wrong with some."""
    count = 0
    with av.open(str(path), metadata_errors="replace") as container:
        packets = container.demux(video=0)
        while True:
            try:
                count += len(next(packets).decode())
            except StopIteration:
                return count
            except av.FFmpegError as error:
                if error.errno == 5:
                    return count


def forked(path: Path, folder: Path) -> str | None:
    """As `examine`, in a process of its own."""
    said = folder / "said.txt"
    receiver, sender = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(receiver)
        with said.open("wb") as file:
            os.dup2(file.fileno(), 2)
        size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        used = resource.getrusage(resource.RUSAGE_SELF)
        resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, size + MEMORY))
        seconds = int(used.ru_utime + used.ru_stime) + SECONDS
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 5))
        resource.setrlimit(resource.RLIMIT_FSIZE, (RESULT, RESULT))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.write(sender, (examine(path, folder) or "fine").encode()[:4000])
        os._exit(0)
    os.close(sender)
    if not select.select([receiver], [], [], PATIENCE)[0]:
        os.kill(pid, signal.SIGKILL)
    with os.fdopen(receiver, "rb") as pipe:
        reply = pipe.read().decode(errors="replace")
    _, status = os.waitpid(pid, 0)
    last = said.read_text(errors="replace")[-300:]
    if os.WIFSIGNALED(status):
        return f"ended by {signal.Signals(os.WTERMSIG(status)).name}: {last}"
    if "Traceback" in last:
        return f"a traceback in a thread: {last}"
    return (reply or f"no reply: {last}") if reply != "fine" else None


def mutants(folder: Path, first: int, count: int) -> Iterator[Path]:
    contents = [(Path(original.name), make(original, folder).read_bytes()) for original in ORIGINALS]
    for seed in range(first, first + count):
        name, content = contents[seed % len(contents)]
        path = folder / f"{seed:06d}-{name.stem}{name.suffix}"
        path.write_bytes(mutant(content, seed))
        yield path


def run() -> None:
    parser = argparse.ArgumentParser(description="Damages small films and has each looked at and upscaled.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--mutants", type=int, default=300)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--files", type=Path, nargs="+", default=[])
    options = parser.parse_args()
    torch.set_num_threads(1)
    warm = make(ORIGINALS[0], options.folder)
    if problem := examine(warm, options.folder):
        sys.exit(f"the film itself is not taken: {problem}")
    for path in options.files or mutants(options.folder, options.first, options.mutants):
        problem = forked(path, options.folder)
        if problem is not None:
            print(json.dumps({"file": path.name, "problem": problem}), flush=True)
        elif path not in options.files:
            path.unlink()


if __name__ == "__main__":
    run()
