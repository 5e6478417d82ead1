#!/usr/bin/env python3
"""What a million hours of SD footage cost on N GPUs: the numbers of docs/SCALING.md.

python scripts/scaling_model.py                        the tables
python scripts/scaling_model.py --gpu-price 1.2 ...    with other assumptions
python scripts/scaling_model.py --measure              what this machine encodes and records per second
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import dataclass, fields, replace
from pathlib import Path

YEAR = 8766.0  # hours
GPUS = (10, 1_000, 100_000)


@dataclass(frozen=True)
class Archive:
    """The assumptions; each can be given on the command line by its name."""

    hours: float = 1e6  # of footage
    file_hours: float = 0.5  # mean length of a file
    frame_rate: float = 25.0
    width: float = 720.0  # pixels
    height: float = 576.0
    scale: float = 4.0
    source_mbit: float = 25.0  # Mbit/s: DV and its like; lossless masters have three times that
    bits_per_pixel: float = 0.15  # of the result, x264 at crf 16
    # Work: GMAC of one 512x512 result with five network calls, encoders shared
    model_gmac: float = 4793.0
    gpu_tflops: float = 989.0  # dense 16-bit peak of an H100
    utilisation: float = 0.35  # of that peak; an assumption until measured on the card
    gpus_per_node: float = 8.0
    cores_per_node: float = 192.0
    encode_mpixel: float = 12.0  # Mpixel/s of result that one core converts and encodes; see --measure
    # Failures
    gpu_hours_per_failure: float = 50_000.0
    spot_hours: float = 6.0  # between two evictions, where spot machines are used
    restart_seconds: float = 90.0  # new container, model loaded
    segment_frames: float = 150.0
    # Money
    gpu_price: float = 2.5  # $/GPU hour, its share of the node included
    store_price: float = 0.015  # $/GB month

    @property
    def frames(self) -> float:
        return self.hours * 3600 * self.frame_rate

    @property
    def files(self) -> float:
        return self.hours / self.file_hours

    @property
    def result_pixels(self) -> float:
        return self.width * self.height * self.scale**2

    @property
    def gpu_fps(self) -> float:
        """Frames per second that one GPU samples."""
        flop = 2 * self.model_gmac * 1e9 * self.result_pixels / 512**2
        return self.gpu_tflops * 1e12 * self.utilisation / flop

    @property
    def cpu_fps(self) -> float:
        """Frames per second that a GPU's share of the cores converts and encodes."""
        return self.encode_mpixel * 1e6 * self.cores_per_node / self.gpus_per_node / self.result_pixels

    @property
    def fps(self) -> float:
        """Of one GPU with its cores, which work side by side."""
        return min(self.gpu_fps, self.cpu_fps)

    @property
    def gpu_hours(self) -> float:
        return self.frames / self.fps / 3600

    @property
    def source_bytes(self) -> float:
        return self.hours * 3600 * self.source_mbit * 1e6 / 8

    @property
    def result_bytes(self) -> float:
        return self.frames * self.result_pixels * self.bits_per_pixel / 8

    def lost_share(self, hours_per_failure: float) -> float:
        """Share of the time that goes into half a segment again and a restart at each failure."""
        return (self.segment_frames / self.fps / 2 + self.restart_seconds) / (hours_per_failure * 3600)


def tables(archive: Archive) -> str:
    a = archive
    money, rent = a.gpu_hours * a.gpu_price, a.result_bytes / 1e9 * a.store_price
    lines = [
        "| one GPU | |",
        "| --- | --- |",
        f"| frames in all | {a.frames:.2g} |",
        f"| sampled | {a.gpu_fps:.2f} frames/s |",
        f"| converted and encoded by its {a.cores_per_node / a.gpus_per_node:.0f} cores | {a.cpu_fps:.1f} frames/s |",
        f"| work | {a.gpu_hours / 1e6:.1f} million GPU hours |",
        f"| money | ${money / 1e6:.0f} million, ${money / a.hours:.0f} for an hour of footage |",
        f"| lost to failures | {a.lost_share(a.gpu_hours_per_failure):.4%} |",
        f"| lost on spot machines | {a.lost_share(a.spot_hours):.2%} |",
        "",
        "| storage | |",
        "| --- | --- |",
        f"| sources | {a.source_bytes / 1e15:.1f} PB in {a.files / 1e6:.1f} million files |",
        f"| results | {a.result_bytes / 1e15:.1f} PB, ${rent / 1e3:.0f} thousand a month |",
        f"| scratch of one GPU | {2 * a.result_bytes / a.files / 1e9:.0f} GB for a mean file, twice its result |",
        "",
        "| GPUs | time | read from the store | written to it | files finished |",
        "| --- | --- | --- | --- | --- |",
    ]
    for gpus in GPUS:
        seconds = a.gpu_hours * 3600 / gpus
        years = seconds / 3600 / YEAR
        duration = f"{years:.1f} years" if years >= 1 else f"{seconds / 86400:.1f} days"
        lines.append(
            f"| {gpus:,} | {duration} | {_rate(a.source_bytes / seconds)} | {_rate(a.result_bytes / seconds)} "
            f"| {a.files / seconds * 3600:.3g} per hour |"
        )
    return "\n".join(lines)


def _rate(bytes_per_second: float) -> str:
    bits = bytes_per_second * 8
    for unit in ("bit/s", "kbit/s", "Mbit/s", "Gbit/s"):
        if bits < 1000 or unit == "Gbit/s":
            break
        bits /= 1000
    return f"{bits:.3g} {unit}"


def measure(address: str | None) -> str:
    """What one core of this machine encodes, and how many files a worker takes and finishes, per second."""
    from fractions import Fraction

    import torch

    from dossr_video.library.catalogue import Entry
    from dossr_video.library.opening import open_catalogue
    from dossr_video.library.worker import Worker
    from dossr_video.video.info import HdrInfo
    from dossr_video.video.tags import ColorInfo
    from dossr_video.video.write.encoders import EncoderSettings
    from dossr_video.video.write.spec import VideoSpec
    from dossr_video.video.write.writer import VideoWriter

    torch.set_num_threads(1)
    count, height, width = 24, 1152, 1440
    coarse = torch.rand(1, 3, 80, 96, generator=torch.Generator().manual_seed(0))
    scene = torch.nn.functional.interpolate(coarse, (height, width + count * 4), mode="bicubic").clamp(0, 1)[0]
    encoding = EncoderSettings("libx264", "yuv420p", 16.0, "medium")
    spec = VideoSpec(width, height, Fraction(1, 25), Fraction(25), encoding, ColorInfo(), HdrInfo(), None, None)
    with tempfile.TemporaryDirectory() as folder:
        began = time.process_time()
        with VideoWriter(Path(folder) / "clip.mp4", spec) as writer:
            for i in range(count):
                writer.write(scene[:, :, 4 * i : 4 * i + width], i)
        rate = count * height * width / (time.process_time() - began) / 1e6
        catalogue, worker, rows = open_catalogue(Path(folder), address), Worker.new(), 200
        since, started = catalogue.now(), time.perf_counter()
        for i in range(rows):
            name = f"{i}.mp4"
            catalogue.claim(
                Entry(name, name, "running", 1, 1, "s" * 64, "t" * 64), worker, since=since, is_there=lambda: False
            )
            catalogue.finish(name, worker, frames=1, size=1, sha256="u" * 64)
        puts = rows / (time.perf_counter() - started)
    return f"{rate:.1f} Mpixel/s of result per core; {puts:.0f} files/s taken and finished by a worker"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--measure", action="store_true", help="measure this machine instead")
    parser.add_argument("--catalogue", metavar="URL", help="with --measure: a PostgreSQL, instead of a file")
    for field in fields(Archive):
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=float, default=None, help=f"[{field.default}]")
    options = vars(parser.parse_args())
    measured, address = options.pop("measure"), options.pop("catalogue")
    if measured:
        print(measure(address))
    else:
        print(tables(replace(Archive(), **{name: value for name, value in options.items() if value is not None})))


if __name__ == "__main__":
    main()
