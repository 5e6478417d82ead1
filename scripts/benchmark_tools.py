"""What scripts/benchmark.py measures with: methods that take turns, whole processes, clips, tables."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from dossr_video.quality.pairs import encode

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Sizes:
    """What is measured: width and height of frames, and how often."""

    compact: tuple[int, int] = (320, 180)
    large: tuple[int, int] = (96, 64)
    larger: tuple[tuple[int, int], ...] = ((640, 360), (1280, 720), (1920, 1080))  # what memory is measured at
    frames: int = 100  # of whole runs
    rounds: int = 5
    calls: int = 50  # of the sampling from noise
    checkpoint: Path | None = None  # of DoSSR; None: the small networks of the tests


@dataclass(frozen=True)
class Section:
    """A table of the page."""

    title: str
    note: str
    columns: tuple[str, ...]
    rows: list[tuple[Any, ...]]

    def markdown(self) -> str:
        rows = [self.columns, ["---"] * len(self.columns), *(map(shown, row) for row in self.rows)]
        return "\n".join([f"## {self.title}", "", self.note, "", *(f"| {' | '.join(row)} |" for row in rows)])


def shown(value: Any) -> str:
    """A cell: numbers with three digits."""
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"
    return str(value)


Times = tuple[float, float]  # CPU and wall seconds


def turns(methods: Mapping[str, Callable[[], Any]], rounds: int) -> dict[str, Times]:
    """Medians of methods that take turns, after a round that does not count."""
    seconds: dict[str, list[Times]] = {name: [] for name in methods}
    for turn in range(rounds + 1):
        for name, method in methods.items():
            began = time.process_time(), time.perf_counter()
            method()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if turn:
                seconds[name].append((time.process_time() - began[0], time.perf_counter() - began[1]))
    return {name: (median(t[0] for t in pairs), median(t[1] for t in pairs)) for name, pairs in seconds.items()}


def clip(size: tuple[int, int], count: int) -> Tensor:
    """Frames (T, 3, H, W) in [0, 1]: blurred noise that slides."""
    width, height = size
    rng = np.random.default_rng(0)
    big = cv2.GaussianBlur(rng.random((height + count, width + 2 * count, 3), np.float32), (0, 0), 2)
    big = (big - big.min()) / (big.max() - big.min())
    frames = [big[t : t + height, 2 * t : 2 * t + width] for t in range(count)]
    return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).contiguous()


def source(folder: Path, size: tuple[int, int], count: int) -> Path:
    path = folder / f"{size[0]}x{size[1]}_{count}.mp4"
    if not path.exists():
        encode((clip(size, count) * 255).byte().permute(0, 2, 3, 1).numpy(), path, crf=18)
    return path


def dossr() -> list[str]:
    return [sys.executable, "-m", "dossr_video"]


@dataclass(frozen=True)
class Run:
    cpu: float  # seconds
    wall: float
    peak: int  # MB


# In a process of its own that is small: a new process counts the memory of the one that it was made by.
LAUNCH = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime + used.ru_stime, used.ru_maxrss)
sys.exit(code)
"""


def run(command: Sequence[str]) -> Run:
    """A process from outside; its failure ends the measurement."""
    began = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", LAUNCH, *command], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed")
    cpu, peak = done.stdout.split()
    return Run(float(cpu), time.perf_counter() - began, int(peak) // 1024)
