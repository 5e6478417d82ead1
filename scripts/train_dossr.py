#!/usr/bin/env python3
"""Train the full model.

    train_dossr.py RUN --init CHECKPOINT --photos DIR [--clips DIR] [--steps 50000] [--batch 8] [--device auto]

RUN is a folder: state.pt (taken up again when it exists; Ctrl-C and SIGTERM write it first, so nothing is lost),
log.csv, and model_STEP, folders that load with --model.

--init    a checkpoint made by scripts/make_init_checkpoint.py, or any DoSSR checkpoint or converted folder
--photos  folder of sharp photographs; damage is described in configs/degradation.yaml
--clips   folder of real clips, optional

Networks are kept in float32 and run in the device's half precision where it has one.
"""

from __future__ import annotations

import argparse
import csv
import signal
import sys
from pathlib import Path

import torch

from dossr_video.errors import DossrError
from dossr_video.models.checkpoint import digest
from dossr_video.models.dossr.convert import write_folder
from dossr_video.models.dossr.model import DoSSR
from dossr_video.models.dossr.networks import STORED_PROMPTS, load_networks, open_source
from dossr_video.models.registry import resolve_device
from dossr_video.training.batches import Batches
from dossr_video.training.degradation import read_recipes
from dossr_video.training.dossr import DossrTrainer
from dossr_video.training.footage import Footage

CONFIGS = Path(__file__).parent.parent / "configs"


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, metavar="RUN")
    parser.add_argument("--init", type=Path, required=True)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--clips", type=Path)
    parser.add_argument("--recipes", type=Path, default=CONFIGS / "degradation.yaml")
    parser.add_argument("--steps", type=int, default=50_000)
    parser.add_argument("--batch", type=int, default=8, help="pictures a step")
    parser.add_argument("--side", type=int, default=128, help="input pixels of a crop, a multiple of 16")
    parser.add_argument("--window", type=int, default=64, help="clips that crops are cut from; they move on one a step")
    parser.add_argument("--rate", type=float, default=5e-5, help="learning rate of AdamW")
    parser.add_argument("--save-every", type=int, default=5000, help="steps")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--head-channels", type=int, help="of the attention, in a checkpoint of another size than 2.1's"
    )
    return parser.parse_args()


def train(options: argparse.Namespace) -> None:
    device = resolve_device(options.device)
    source = open_source(options.init, head_channels=options.head_channels, text_head_channels=options.head_channels)
    contexts = source.contexts(STORED_PROMPTS)
    networks = load_networks(source, device=device, dtype=torch.float32)
    model = DoSSR(networks, contexts[:1], name=str(options.init), digest=digest(options.init))
    footage = Footage.of(options.photos, options.clips)
    recipes = read_recipes(options.recipes)
    batches = Batches(footage, recipes, seed=options.seed, frames=1, side=options.side, window=options.window)
    trainer = DossrTrainer(model, batches, seed=options.seed, rate=options.rate)

    options.run.mkdir(parents=True, exist_ok=True)
    state = options.run / "state.pt"
    if state.exists():
        trainer.load(torch.load(state, map_location=device, weights_only=True))
    stopped: list[int] = []
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda number, frame: stopped.append(number))
    precision = torch.bfloat16 if device.type == "cuda" else torch.float32
    with (options.run / "log.csv").open("a", newline="") as log:
        while trainer.step < options.steps and not stopped:
            loss = trainer.advance(size=options.batch, side=options.side, precision=precision)
            csv.writer(log).writerow([trainer.step, f"{loss:.5f}"])
            log.flush()
            if trainer.step % options.save_every == 0 or trainer.step == options.steps:
                trainer.save(state)
                write_model(model, contexts, options.run / f"model_{trainer.step:06}")
    trainer.save(state)


def write_model(model: DoSSR, contexts: torch.Tensor, target: Path) -> None:
    present = {name: network for name, network in vars(model.networks).items() if network is not None}
    if not target.exists():  # a resumed run comes by where it has been
        write_folder(target, present.items(), contexts, shared_encoder="cond_encoder" not in present)
    print(f"{target} loads with --model", flush=True)


def main() -> int:
    try:
        train(arguments())
    except DossrError as error:
        print(f"error: {error.message}\nhint: {error.hint}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
