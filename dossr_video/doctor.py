"""What this machine has for the work: versions, devices, encoders, memory, extras, and how fast it is."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from packaging.requirements import Requirement

from dossr_video.api import load_model, upscale_frames
from dossr_video.jobs.memory import available
from dossr_video.jobs.resources import readable
from dossr_video.system import memory_of_machine
from dossr_video.video.read.probe import ffmpeg_version
from dossr_video.video.write.encoders import ENCODERS
from dossr_video.video.write.formats import writable_formats

PACKAGE = "dossr-video"
FRAME = 240, 320  # lines and columns of the frames that are timed
TIMED = 2


@dataclass(frozen=True)
class Finding:
    """One line."""

    topic: str
    found: str
    remedy: str | None = None  # what to do about it; None: nothing is missing


def examine() -> list[Finding]:
    """Everything that can be told without computing a frame."""
    return [
        Finding("program", f"{PACKAGE} {importlib.metadata.version(PACKAGE)}, Python {platform.python_version()}"),
        Finding("machine", f"{platform.platform()}, {_processor()}, {os.cpu_count()} cores"),
        Finding("torch", f"{torch.__version__}, for this CPU {torch.backends.cpu.get_cpu_capability()}"),
        _accelerators(),
        Finding("ffmpeg", f"{ffmpeg_version()}, in PyAV {importlib.metadata.version('av')}"),
        _encoders(),
        *_memory(),
        *_disks(),
        *_extras(importlib.metadata.metadata(PACKAGE)),
    ]


def time_model() -> Finding:
    """Seconds that `--model auto` takes for a frame on this machine, measured on a few frames of noise."""
    model = load_model("auto")
    frames = torch.rand(TIMED, 3, *FRAME, generator=torch.Generator().manual_seed(0))
    upscale_frames(frames[:1], model=model)
    began = time.perf_counter()
    upscale_frames(frames, model=model)
    seconds = (time.perf_counter() - began) / TIMED
    where = f"{model.name} on {model.device}"
    return Finding("speed", f"about {seconds:.2g} s for a frame of {FRAME[1]}x{FRAME[0]} ({where}, without encoding)")


def _processor() -> str:
    """The name of the CPU; Python knows it on few systems."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _accelerators() -> Finding:
    if torch.cuda.is_available():
        names = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
        return Finding("devices", ", ".join(f"{it.name} with {readable(it.total_memory)}" for it in names))
    if torch.backends.mps.is_available():
        return Finding("devices", "mps (Apple)")
    if hasattr(torch, "xpu") and torch.xpu.is_available():
        return Finding("devices", "xpu (Intel)")
    return Finding(
        "devices",
        "no accelerator; --model auto takes compact",
        "if the machine has one, install the torch for it: https://pytorch.org/get-started/locally",
    )


def _encoders() -> Finding:
    missing = [name for name in ENCODERS if not _is_built_in(name)]
    have = ", ".join(name for name in ENCODERS if name not in missing)
    remedy = f"this PyAV was built without {', '.join(missing)}: install the wheel from PyPI" if missing else None
    return Finding("encoders", have, remedy)


def _is_built_in(encoder: str) -> bool:
    try:
        return bool(writable_formats(encoder))
    except ValueError:  # FFmpeg knows none of this name
        return False


def _memory() -> list[Finding]:
    machine, free = memory_of_machine(), available()
    if machine is None:
        return []
    return [Finding("memory", readable(machine[0]) + ("" if free is None else f", {readable(free)} free"))]


def _disks() -> list[Finding]:
    folders = {"this folder": Path.cwd(), "temporary files": Path(tempfile.gettempdir())}
    return [Finding("disk", f"{name}: {readable(shutil.disk_usage(at).free)} free") for name, at in folders.items()]


def _extras(about: importlib.metadata.PackageMetadata) -> list[Finding]:
    """The optional parts, as the metadata of the package declares them."""
    extras = sorted(set(about.get_all("Provides-Extra") or []) - {"test"})
    requirements = [Requirement(text) for text in about.get_all("Requires-Dist") or []]
    return [_extra(extra, [it for it in requirements if f'extra == "{extra}"' in str(it.marker)]) for extra in extras]


def _extra(name: str, requirements: Sequence[Requirement]) -> Finding:
    wanted = [it for it in requirements if it.marker is not None and it.marker.evaluate({"extra": name})]
    if not wanted:
        return Finding("extra", f"{name}: not for Python {platform.python_version()} on this system")
    missing = not all(_is_installed(it.name) for it in wanted)
    remedy = f'pip install "{PACKAGE}[{name}]"' if missing else None
    return Finding("extra", f"{name}: {'not installed' if missing else 'installed'}", remedy)


def _is_installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
