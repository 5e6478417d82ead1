#!/usr/bin/env python3
"""What the full model loses in half precision, and what its layers save: the tables of docs/DOSSR_MODEL.md.

    measure_dossr.py [--checkpoint tests/data/golden/tiny/tiny.ckpt] [--head-channels 8] [--side 32] [--rounds 3]

The first table holds pictures of all calls against those in float32, in codes of 255; the second the CPU seconds of
each part with diffusers' own layers and with those of models/dossr/lean.py, the best of some rounds taken in turns,
and how far their results are apart. One thread. Prints Markdown.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from benchmark_tools import ROOT, clip
from torch import Tensor

from dossr_video import Settings, upscale_frames
from dossr_video.frames import Motion
from dossr_video.models.base import Condition
from dossr_video.models.dossr.model import DoSSR, load_dossr

CHANGED = ("forward", "_get_output_for_continuous_inputs")


@contextmanager
def stock(model: DoSSR) -> Iterator[None]:
    """The layers as diffusers has them."""
    networks = (model.networks.unet, model.networks.controlnet, model.networks.vae)
    modules = [module for network in networks for module in network.modules()]
    taken = [(module, name, vars(module).pop(name)) for module in modules for name in CHANGED if name in vars(module)]
    try:
        yield
    finally:
        for module, name, value in taken:
            setattr(module, name, value)


def losses(load: Callable[[torch.dtype], DoSSR], frame: Tensor) -> None:
    settings = Settings.of({"dust": "off", "native": "off", "blend": "off"})
    exact = upscale_frames(frame, model=load(torch.float32), settings=settings)
    print("| numbers | mean | largest | psnr to float32 |\n| --- | ---: | ---: | ---: |")
    for dtype in (torch.bfloat16, torch.float16):
        gap = (upscale_frames(frame, model=load(dtype), settings=settings) - exact).abs() * 255
        psnr = 10 * torch.log10(255**2 / gap.square().mean())
        print(f"| {str(dtype).removeprefix('torch.')} | {gap.mean():.2f} | {gap.max():.1f} | {psnr:.1f} |")


@torch.inference_mode()
def times(model: DoSSR, frame: Tensor, rounds: int) -> None:
    side = frame.shape[-1]
    pictures = model.restore(frame, Motion(torch.zeros(1, 2, side, side), torch.zeros(1, 1, side, side)), None).pictures
    latents = model.encode(pictures)
    condition = Condition(latents)
    parts: dict[str, Callable[[], Tensor]] = {
        "encode": lambda: model.encode(pictures),
        "network call": lambda: model.denoise(latents, 300, condition),
        "decode": lambda: model.decode(latents),
    }
    print("| part | diffusers | ours | times | apart |\n| --- | ---: | ---: | ---: | ---: |")
    for name, part in parts.items():
        before, now = [], []
        for _ in range(rounds):
            with stock(model):
                expected, seconds = timed(part)
            before.append(seconds)
            result, seconds = timed(part)
            now.append(seconds)
        apart = (result - expected).abs().max()
        print(
            f"| {name} | {min(before):.3f} | {min(now):.3f} | {min(before) / min(now):.2f} | {apart:.1e} |", flush=True
        )


def timed(part: Callable[[], Tensor]) -> tuple[Tensor, float]:
    part()
    begin = time.process_time()
    result = part()
    return result, time.process_time() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    golden = ROOT / "tests" / "data" / "golden" / "tiny" / "tiny.ckpt"
    parser.add_argument("--checkpoint", type=Path, default=golden)
    parser.add_argument("--head-channels", type=int, default=8)
    parser.add_argument("--side", type=int, default=32, help="of a frame, pixels")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)

    def load(dtype: torch.dtype) -> DoSSR:
        heads = {"head_channels": args.head_channels, "text_head_channels": args.head_channels}
        return load_dossr(args.checkpoint, device=torch.device("cpu"), dtype=dtype, **heads)

    frame = clip((args.side, args.side), 1)
    losses(load, frame)
    print()
    times(load(torch.float32), frame, args.rounds)


if __name__ == "__main__":
    main()
