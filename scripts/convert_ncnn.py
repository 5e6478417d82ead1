#!/usr/bin/env python3
"""Write a network in ncnn's format, as realesrgan-ncnn-vulkan has them, as a file that `--model` takes.

    convert_ncnn.py NETWORK.param OUT.safetensors

NETWORK.bin lies beside it. Networks of two kinds are known: SRVGG (realesr-animevideov3, realesr-general) and RRDB
(realesrgan-x4plus). Names become those of the published PyTorch weights.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import product
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from dossr_video.training.ncnn import NcnnNetwork

AROUND = 6  # convolutions of an RRDB network beside those of its blocks


def weights_of(stem: Path) -> dict[str, Tensor]:
    """The weights by their names in PyTorch. Raises ModelError where they are of another kind of network."""
    network = NcnnNetwork(stem)
    layers = [layer for layer in network.layers if layer.kind in ("Convolution", "PReLU")]
    plain = any(layer.kind == "PReLU" for layer in layers)
    names = (f"body.{i}" for i in range(len(layers))) if plain else _rrdb((len(layers) - AROUND) // 15)
    weights = {}
    for layer, name in zip(layers, names, strict=True):
        for role in ("weight", "bias", "slope"):
            if (key := f"{layer.name}_{role}") in network.weights:
                weights[f"{name}.{role.replace('slope', 'weight')}"] = network.weights[key].data.contiguous()
    return weights


def _rrdb(blocks: int) -> Iterator[str]:
    yield "conv_first"
    for block, dense, conv in product(range(blocks), range(1, 4), range(1, 6)):
        yield f"body.{block}.rdb{dense}.conv{conv}"
    yield from ("conv_body", "conv_up1", "conv_up2", "conv_hr", "conv_last")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    save_file(weights_of(options.network.with_suffix("")), options.out)
    print(f"dossr-video in.mp4 out.mp4 --model {options.out}")


if __name__ == "__main__":
    main()
