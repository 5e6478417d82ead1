#!/usr/bin/env python3
"""What the full model loses in half precision, and what its layers save: the tables of docs/DOSSR_MODEL.md.

    measure_dossr.py [--checkpoint tests/data/golden/tiny/tiny.ckpt] [--head-channels 8] [--side 32] [--rounds 3]
    measure_dossr.py --released [--side 128] [--rounds 3]

The first table holds pictures of all calls against those in float32, in codes of 255; the second the CPU seconds of
each part with diffusers' own layers and with those of models/dossr/lean.py, the best of some rounds taken in turns,
and how far their results are apart; the third those of each part in float32 and bfloat16, given the same, and the
difference of their results as PSNR, to the range of the result in float32. `--released` takes networks of the released
size with random weights in place of a checkpoint, and makes the third table alone. One thread. Prints Markdown.
"""

from __future__ import annotations

import argparse
import gzip
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from benchmark_tools import ROOT, clip
from torch import Tensor

from dossr_video import Settings, upscale_frames
from dossr_video.frames import Motion
from dossr_video.models.base import Condition
from dossr_video.models.dossr.architecture import build
from dossr_video.models.dossr.model import DoSSR, load_dossr
from dossr_video.models.dossr.networks import Networks

KEYS = ROOT / "tests" / "data" / "manifest_full.json.gz"
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


def released(dtypes: Sequence[torch.dtype]) -> Iterator[DoSSR]:
    """Networks of the released size, whose weights are drawn so that numbers keep their size through the layers."""
    generator = torch.Generator().manual_seed(0)
    keys = json.loads(gzip.decompress(KEYS.read_bytes()))["keys"]
    weights = {key: drawn(key, shape, generator) for key, (shape, _) in keys.items() if not key.startswith("cond_")}
    for dtype in dtypes:

        def network(name: str, dtype: torch.dtype = dtype) -> Any:
            made = build(name, weights, source="manifest", device=torch.device("cpu"), dtype=dtype)
            return made.to(memory_format=torch.channels_last)

        networks = Networks(network("unet"), network("controlnet"), network("vae"), None, network("restorer"))
        yield DoSSR(networks, torch.randn(1, 77, 1024, generator=generator), name="", digest="")


def drawn(key: str, shape: Sequence[int], generator: torch.Generator) -> Tensor:
    if len(shape) < 2:
        return torch.zeros(shape) if key.endswith("bias") else torch.ones(shape)
    inputs = torch.Size(shape[1:]).numel()
    return torch.randn(*shape, generator=generator) * inputs**-0.5


@torch.inference_mode()
def number_types(exact: DoSSR, half: DoSSR, frame: Tensor, rounds: int) -> None:
    side = frame.shape[-1]
    still = Motion(torch.zeros(1, 2, side, side), torch.zeros(1, 1, side, side))
    pictures = exact.restore(frame, still, None).pictures.clamp(0, 1)
    latents = exact.encode(pictures)
    condition = Condition(latents)
    parts: dict[str, Callable[[DoSSR], Tensor]] = {
        "restore": lambda model: model.restore(frame, still, None).pictures,
        "encode": lambda model: model.encode(pictures),
        "network call": lambda model: model.denoise(latents, 300, condition),
        "decode": lambda model: model.decode(latents),
    }
    print("| part | float32 | bfloat16 | times | psnr |\n| --- | ---: | ---: | ---: | ---: |")
    for name, part in parts.items():
        seconds: tuple[list[float], list[float]] = [], []
        for _ in range(rounds):
            expected, taken = timed(lambda part=part: part(exact))
            seconds[0].append(taken)
            result, taken = timed(lambda part=part: part(half))
            seconds[1].append(taken)
        psnr = 20 * torch.log10((expected.max() - expected.min()) / (result - expected).square().mean().sqrt())
        before, now = map(min, seconds)
        print(f"| {name} | {before:.3f} | {now:.3f} | {before / now:.2f} | {psnr:.1f} |", flush=True)


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
    parser.add_argument("--released", action="store_true", help="random weights of the released size")
    parser.add_argument("--side", type=int, default=32, help="of a frame, pixels")
    parser.add_argument("--rounds", type=int, default=3)
    args = parser.parse_args()
    torch.set_num_threads(1)

    def load(dtype: torch.dtype) -> DoSSR:
        heads = {"head_channels": args.head_channels, "text_head_channels": args.head_channels}
        return load_dossr(args.checkpoint, device=torch.device("cpu"), dtype=dtype, **heads)

    frame = clip((args.side, args.side), 1)
    dtypes = (torch.float32, torch.bfloat16)
    if not args.released:
        losses(load, frame)
        print()
        times(load(torch.float32), frame, args.rounds)
        print()
    exact, half = released(dtypes) if args.released else map(load, dtypes)
    number_types(exact, half, frame, args.rounds)


if __name__ == "__main__":
    main()
