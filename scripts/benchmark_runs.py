"""What scripts/benchmark.py measures of whole runs: files from end to end, growth, memory, and commands that start."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path
from statistics import median
from typing import Any

import torch
from benchmark_models import restoring
from benchmark_sampling import load_networks, shifted
from benchmark_tools import Section, Sizes, clip, dossr, run, source, turns

from dossr_video import upscale
from dossr_video.models.registry import load_model
from dossr_video.temporal.flow import DisFlow, motion

STAGES = ("probing", "analysing", "upscaling", "joining", "verifying")


def whole_runs(sizes: Sizes, folder: Path) -> Section:
    """A file by compact from end to end against its networks alone, with all cores and with one of them."""
    path, frames, rows = source(folder, sizes.compact, sizes.frames), clip(sizes.compact, 2), []
    moved, kept, ratios = motion(None, frames, DisFlow()), torch.get_num_threads(), []
    for threads in sorted({1, os.cpu_count() or 1}):
        torch.set_num_threads(threads)
        model = load_model("compact", device="cpu")
        cpu, wall = turns({"": restoring(model, frames, moved)}, sizes.rounds)[""]
        began = time.process_time()
        report = upscale(path, folder / "compact.mp4", model=model, threads=threads, force=True)
        spent = (time.process_time() - began) / sizes.frames
        each = {stage: report.stages.get(stage, 0.0) / sizes.frames for stage in STAGES}
        ratios.append((threads, each["upscaling"] / wall, report.seconds / sizes.frames / wall))
        rows.append((f"networks alone, threads: {threads}", cpu, wall, 1.0))
        rows += [(f"{stage}, threads: {threads}", "", time, time / wall) for stage, time in each.items()]
        rows.append((f"everything, threads: {threads}", spent, report.seconds / sizes.frames, ratios[-1][2]))
    torch.set_num_threads(kept)
    said = ", ".join(f"{up:.2f} times that of {n} threads ({whole:.2f} with all stages)" for n, up, whole in ratios)
    note = (
        f"{sizes.frames} frames of {sizes.compact[0]}x{sizes.compact[1]}, four times as large, libx264 crf 16; seconds "
        f"for a frame, and time on the clock over that of the networks alone; {os.cpu_count()} cores. Upscaling takes "
        f"{said}. Decoding, flow, blending and encoding run on threads beside the networks: they are hidden where "
        "these leave a core idle, and are added where they do not. The analysis reads the file once before, the proof "
        "reads source and result once after."
    )
    return Section("End to end", note, ("what", "CPU s", "wall s", "of the networks"), rows)


def enlarging(sizes: Sizes, folder: Path) -> Section:
    """Bicubic enlargement against ffmpeg doing the same."""
    path, target = source(folder, sizes.compact, sizes.frames), str(folder / "bicubic.mp4")
    width, height = sizes.compact
    scale = ["-vf", f"scale={4 * width}:{4 * height}:flags=bicubic", "-c:v", "libx264", "-crf", "16"]
    commands = {
        "ffmpeg -vf scale": ["ffmpeg", "-v", "error", "-y", "-i", str(path), *scale, "-preset", "medium", target],
        "bicubic, with analysis and proof": [*dossr(), str(path), target, "--model", "bicubic", "--force", "--quiet"],
    }
    commands = {name: command for name, command in commands.items() if shutil.which(command[0])}
    runs = {name: [run(command) for _ in range(sizes.rounds)] for name, command in commands.items()}
    cost = {name: (median(r.cpu for r in found), median(r.wall for r in found)) for name, found in runs.items()}
    base = cost.get("ffmpeg -vf scale", (float("nan"),) * 2)
    rows = [(name, cpu / sizes.frames, wall / sizes.frames, cpu / base[0]) for name, (cpu, wall) in cost.items()]
    note = (
        f"{sizes.frames} frames of {width}x{height}, four times as large; whole processes, seconds for a frame. Ours "
        "reads the source three times, for the plan, the work and the proof, and the result once."
    )
    return Section("Enlarging without a network", note, ("what", "CPU s", "wall s", "CPU of ffmpeg's"), rows)


def growth(sizes: Sizes, folder: Path) -> Section:
    """How the time of a frame grows with its size, threads, chunk and network calls."""
    rows: list[tuple[Any, ...]] = []
    (width, height), kept = sizes.compact, torch.get_num_threads()
    for factor in (1, 2):
        size = (width * factor, height * factor)
        frames = clip(size, 2)
        for threads in sorted({1, os.cpu_count() or 1}):
            torch.set_num_threads(threads)
            method = restoring(load_model("compact", device="cpu"), frames, motion(None, frames, DisFlow()))
            rows.append((f"compact {size[0]}x{size[1]}, threads", threads, *turns({"": method}, sizes.rounds)[""]))
        torch.set_num_threads(kept)
    frames = clip(sizes.compact, 4)
    moved = motion(None, frames, DisFlow())
    model = load_model("compact", device="cpu")
    for chunk in (1, 4):
        part = frames[:chunk], type(moved)(moved.flow[:chunk], moved.confidence[:chunk])
        cpu, wall = turns({"": lambda part=part: model.restore(*part, None)}, sizes.rounds)[""]
        rows.append(("compact, frames at once", chunk, cpu / chunk, wall / chunk))
    tiny = load_networks(None)
    found = turns({str(steps): lambda n=steps: shifted(tiny, n) for steps in (1, 5, 10)}, sizes.rounds)
    rows += [("small DoSSR networks, network calls", steps, *times) for steps, times in found.items()]
    return Section("Growth", "Per frame.", ("what", "number", "CPU s", "wall s"), rows)


def memory(sizes: Sizes, folder: Path) -> Section:
    """The most memory of whole runs, and what longer files add."""
    rows: list[tuple[Any, ...]] = []
    wanted = [("compact", size, 2) for size in (sizes.compact, *sizes.larger)]
    wanted += [("compact", sizes.compact, sizes.frames)]
    wanted += [("bicubic", sizes.compact, count) for count in (2, sizes.frames, 6 * sizes.frames)]
    for model, size, count in wanted:
        files = [str(source(folder, size, count)), str(folder / "memory.mp4")]
        peak = run([*dossr(), *files, "--force", "--quiet", "--model", model]).peak
        rows.append((model, f"{size[0]}x{size[1]}", count, peak))
    note = (
        "Peak of the whole process, with the defaults. Two frames are what the networks and blending need; a longer "
        "file adds the frames that the encoder looks ahead at (x264: 40, and 10 at 8 million pixels and more), and no "
        "more after that: three lines of bicubic tell."
    )
    return Section("Memory", note, ("model", "frames of", "number", "MB"), rows)


def starts(sizes: Sizes, folder: Path) -> Section:
    """Commands that do next to nothing."""
    path = source(folder, (64, 48), 2)
    words = {
        "--help": ["--help"],
        "probe": ["probe", str(path)],
        "shots": ["shots", str(path)],
        "status": ["status", str(folder)],
        "presets": ["presets"],
        "two frames of 64x48 by compact": [str(path), str(folder / "start.mp4"), "--force", "--quiet"],
    }
    rows = []
    for name, arguments in words.items():
        found = [run([*dossr(), *arguments]) for _ in range(min(sizes.rounds, 3))]
        rows.append((name, median(r.cpu for r in found), median(r.wall for r in found)))
    note = "Whole processes. All but the last do without PyTorch, whose import alone takes a second or two."
    return Section("Start", note, ("command", "CPU s", "wall s"), rows)
