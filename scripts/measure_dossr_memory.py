#!/usr/bin/env python3
"""How much memory the full model takes on an accelerator, by arithmetic: the tables of docs/DOSSR_MODEL.md.

    measure_dossr_memory.py [--frames 1] [--dtype float16] [--sizes 480x272 ...] [--cards 6 8 12 24]

Every network has its released size and no data: shapes alone go through its layers (PyTorch's meta device), and all
that is alive at the same time is added up, as a run does before it begins. The first table is what one frame takes by
part and by what is on the card; the second what a run does on cards of several sizes. Prints Markdown; nothing of it
was measured on an accelerator.
"""

from __future__ import annotations

import argparse
import gzip
import json
from pathlib import Path
from typing import Any

import torch

from dossr_video.models.dossr.architecture import build
from dossr_video.models.dossr.model import DoSSR
from dossr_video.models.dossr.networks import Networks
from dossr_video.models.footprint import REST, Footprint
from dossr_video.pipeline.memory import tiles_that_fit

KEYS = Path(__file__).parent.parent / "tests" / "data" / "manifest_full.json.gz"
TILE = 256  # input pixels a side
GIVEN = 0.95  # of a card's gigabytes, what its driver leaves


def released_size(dtype: torch.dtype) -> DoSSR:
    """The model at its released size, without data, with one encoder for both."""
    meta = torch.device("meta")
    keys = json.loads(gzip.decompress(KEYS.read_bytes()))["keys"]
    weights = {key: torch.empty(shape, device=meta) for key, (shape, _) in keys.items()}

    def network(name: str) -> Any:
        return build(name, weights, source="manifest", device=meta, dtype=dtype)

    networks = Networks(network("unet"), network("controlnet"), network("vae"), None, network("restorer"))
    return DoSSR(networks, torch.empty(1, 77, 1024, device=meta), name="", digest="")


def parts(found: Footprint, sizes: list[tuple[int, int]], frames: int) -> None:
    sums = ("all weights", "one part", "codec in tiles", "all in tiles")
    print("| source | result | restorer | codec | network call |", " | ".join(sums), "|")
    print("| --- | --- |", " | ".join(["---:"] * 7), "|")
    for width, height in sizes:
        pixels = frames * width * height
        cells = [part.pixel_bytes * pixels for part in (found.restorer, found.codec, found.denoiser)]
        cells += [found.needed(pixels, offload=offload) + REST for offload in (False, True)]
        cells.append(found.needed(pixels, offload=True, codec_tile=TILE**2) + REST)
        cells.append(found.needed(pixels, offload=True, tile=TILE**2) + REST)
        numbers = " | ".join(f"{cell / 1e9:.1f}" for cell in cells)
        print(f"| {width}x{height} | {4 * width}x{4 * height} | {numbers} |")


def choice(found: Footprint, width: int, height: int, card: float) -> str:
    room = round(GIVEN * card * 2**30)
    if found.needed(width * height, offload=False) + REST <= room:
        return "whole"
    tiles = tiles_that_fit(found, room, width=width, height=height, offload=True)
    if tiles is None:
        return "refused"
    if tiles.tile is not None:
        return f"parts moved, tiles {tiles.tile}"
    return "parts moved" if tiles.codec_tile is None else f"parts moved, codec in tiles of {tiles.codec_tile}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=1, help="that go through the networks at once")
    parser.add_argument("--dtype", choices=["float32", "float16", "bfloat16"], default="float16")
    parser.add_argument("--sizes", nargs="*", default=["128x128", "480x272", "720x576", "960x544"])
    parser.add_argument("--cards", type=int, nargs="*", default=[6, 8, 12, 24], help="GB")
    args = parser.parse_args()
    found = released_size(getattr(torch, args.dtype)).footprint
    sizes = [(int(width), int(height)) for width, height in (size.split("x") for size in args.sizes)]
    weights = [part.weights / 1e9 for part in (found.restorer, found.codec, found.denoiser)]
    print(f"Weights in {args.dtype}, GB: restorer {weights[0]:.2f}, codec {weights[1]:.2f}, denoiser {weights[2]:.2f},")
    print(f"kept by layers {found.kept / 1e9:.2f}. Frames at once: {args.frames}.\n")
    parts(found, sizes, args.frames)
    print("\n| source | result |", " | ".join(f"{card} GB" for card in args.cards), "|")
    print("| --- | --- |", " | ".join(["---"] * len(args.cards)), "|")
    for width, height in sizes:
        cells = " | ".join(choice(found, width, height, card) for card in args.cards)
        print(f"| {width}x{height} | {4 * width}x{4 * height} | {cells} |")


if __name__ == "__main__":
    main()
