#!/usr/bin/env python3
"""Write a network in ncnn's format, as realesrgan-ncnn-vulkan has them, as a file that `--model` takes.

    convert_ncnn.py NETWORK.param OUT.safetensors

NETWORK.bin lies beside it. Networks of two kinds are known: SRVGG (realesr-animevideov3-x4, realesr-general) and RRDB
(realesrgan-x4plus). Names become those of the published PyTorch weights. realesr-animevideov3-x2 and -x3 are -x4 with
its result made smaller: write that one, and use --scale 2 or 3.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import product
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from dossr_video.cli.console import failures
from dossr_video.errors import ModelError, SettingsError, TargetError
from dossr_video.training.ncnn import KINDS, NcnnNetwork
from dossr_video.video.files import require_place

AROUND = 6  # convolutions of an RRDB network beside those of its blocks


def weights_of(stem: Path) -> dict[str, Tensor]:
    """The weights by their names in PyTorch. Raises ModelError where they are of another kind of network."""
    network = NcnnNetwork(stem)
    layers = [layer for layer in network.layers if layer.kind in ("Convolution", "PReLU")]
    plain = any(layer.kind == "PReLU" for layer in layers)
    names = [f"body.{i}" for i in range(len(layers))] if plain else list(_rrdb((len(layers) - AROUND) // 15))
    if len(names) != len(layers):
        raise ModelError(f"{stem}.param has {len(layers)} convolutions: neither SRVGG nor RRDB", hint=KINDS)
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


def convert(network: Path, out: Path) -> None:
    """Raises ModelError for a network that is none of these, SettingsError and TargetError for the file OUT."""
    if out.suffix != ".safetensors":
        raise SettingsError(
            f"{out} must end in .safetensors", hint=f"for example {out.with_suffix('.safetensors').name}"
        )
    require_place(out, force=True)
    weights = weights_of(network.with_suffix(""))
    try:
        save_file(weights, out)
    except (OSError, SafetensorError) as error:
        raise TargetError(
            f"{out} cannot be written: {error}", hint="check the free space and the permissions"
        ) from error


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    with failures(debug=False):
        convert(options.network, options.out)
        print(f"dossr-video in.mp4 out.mp4 --model {options.out}")


if __name__ == "__main__":
    main()
