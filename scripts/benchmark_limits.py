"""What scripts/benchmark.py works out by arithmetic: the least that a frame takes, what accelerators should reach."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmark_models import restoring, roofline
from benchmark_tools import Section, Sizes, clip, turns

from dossr_video.models.registry import load_model
from dossr_video.temporal.flow import DisFlow, motion

MACS = {  # multiplications for a pixel of the source; those of DoSSR: docs/SCALING.md
    "compact": 0.69e6,
    "large": 18.6e6,
    "DoSSR, 5 calls": 4793e9 / 128**2,
}
BYTES = {  # in 16 bits, read and written for a pixel of the source, where every layer goes through the memory
    "compact": 2 * (16 * (64 + 64) + (64 + 48) + (118 + 2 * 64)),
    "large": 2 * (69 * (640 + 192) + 4 * (64 + 64) + 16 * (4 * 64 + 64 + 3)),  # channels read and written by each block
}
DEVICES = {"H100": (989e12, 3.35e12), "RTX 4090": (165e12, 1.01e12)}  # operations in 16 bits, dense, and bytes a second
REACHED = 0.35  # of what the makers say: an assumption
WINOGRAD = 2.25**2  # times fewer multiplications for 6 x 6 results of a 3 x 3 convolution, as ncnn makes them
STATE = 4 * (64 + 48 + 3)  # bytes that compact remembers of a pixel of the source


def limits(sizes: Sizes, folder: Path) -> Section:
    """The least time that a frame of compact can take here, by its arithmetic and by its bytes."""
    rates = {row[0]: row[1] for row in roofline(sizes, folder).rows}
    peak, copied = rates["product of matrices, float32"] * 1e9, rates["copy of 128 MB, read and written"] * 1e9
    (width, height), frames = sizes.compact, clip(sizes.compact, 2)
    method = restoring(load_model("compact", device="cpu"), frames, motion(None, frames, DisFlow()))
    cpu, _ = turns({"": method}, sizes.rounds)[""]
    count = width * height
    work = 2 * MACS["compact"] * count
    # What is remembered is read once, and written with the frame; all between stays in the caches.
    least: dict[str, float] = {
        "arithmetic, convolutions as they are written": work / peak,
        "arithmetic, by Winograd's 6 x 6": work / WINOGRAD / peak,
        "bytes, with every layer in the caches": 2 * STATE * count / copied,
        "bytes, with every layer through the memory": 4 * 17 * 2 * 64 * count / copied,
    }
    rows = [(name, 1000 * seconds, seconds / cpu) for name, seconds in least.items()]
    rows.append(("measured", 1000 * cpu, 1.0))
    needed = work / WINOGRAD / peak / cpu
    note = (
        f"One frame of {width}x{height} by compact, {work / 1e9:.0f} GFLOP, at the rates of the roofline. Arithmetic "
        f"binds, not memory: the strips keep the layers in the caches. Winograd leaves {1 / WINOGRAD:.0%} of the "
        f"multiplications and adds transforms of its own, so {needed:.0%} of the "
        "time is what cannot be avoided with these weights in float32; the rest goes into the transforms, what "
        "is remembered and moved, and what lies between the layers."
    )
    return Section("The least that a frame takes", note, ("by", "CPU ms", "of measured"), rows)


def predicted(sizes: Sizes, folder: Path) -> Section:
    """What accelerators should reach."""
    rows: list[tuple[Any, ...]] = []
    for name, macs in MACS.items():
        for device, (operations, bandwidth) in DEVICES.items():
            by_work = REACHED * operations / (2 * macs * 720 * 576)
            by_bytes = REACHED * bandwidth / (BYTES[name] * 720 * 576) if name in BYTES else None
            rows.append(
                (name, device, by_work, "" if by_bytes is None else by_bytes, min(by_work, by_bytes or by_work))
            )
    note = (
        "A prediction by arithmetic, not a measurement: nothing here was run on these devices. Networks alone, frames "
        f"of 720x576, at {REACHED:.0%} of what the makers state for 16 bits; the second figure is where every layer "
        "reads and writes the device's memory. Encoding by x264 on the host is slower than compact on either."
    )
    columns = ("model", "device", "by operations", "by bytes", "frames a second")
    return Section("Accelerators", note, columns, rows)
