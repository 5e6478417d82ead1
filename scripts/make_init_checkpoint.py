#!/usr/bin/env python3
"""Make the checkpoint that training of the full model starts from.

    make_init_checkpoint.py SD RESTORER OUT

SD        a Stable Diffusion 2.1-base checkpoint in one file (the 512-pixel variant, which predicts noise)
RESTORER  an RRDBNet checkpoint of scale 4, as Real-ESRGAN publishes them
OUT       the checkpoint to write: .safetensors, or .ckpt; it loads with --model

The control branch starts as the UNet's way down: its four new input channels, those of the hint, and its outputs are
zero, so that the first step finds the pretrained UNet. The condition encoder starts as the VAE's encoder.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from dossr_video.errors import DossrError, TargetError
from dossr_video.models.checkpoint import read_weights
from dossr_video.models.dossr.architecture import HEAD_CHANNELS, build
from dossr_video.models.dossr.released import PREFIXES, part

Weights = dict[str, Tensor]


def initial_weights(diffusion: Weights, restorer: Weights) -> Weights:
    """All six parts in the released layout. Names that no part uses (averages, losses) are left out."""
    unet, vae = part(diffusion, "unet"), part(diffusion, "vae")
    codec = r"(encoder|decoder|quant_conv|post_quant_conv)\."
    parts = {
        "unet": unet,
        "controlnet": control_branch(unet),
        "vae": {key: value for key, value in vae.items() if re.match(codec, key)},
        "cond_encoder": {key: value.clone() for key, value in vae.items() if re.match(r"(encoder|quant_conv)\.", key)},
        "text_encoder": {key: value for key, value in part(diffusion, "text_encoder").items() if key != "attn_mask"},
        "restorer": restorer,
    }
    return {PREFIXES[name] + key: value for name, tensors in parts.items() for key, value in tensors.items()}


def control_branch(unet: Weights) -> Weights:
    """A copy of the UNet's way down, with four more input channels and an output after every block, all zero."""
    branch = {
        key: value.clone()
        for key, value in unet.items()
        if key.startswith(("time_embed.", "input_blocks.", "middle_block."))
    }
    entry = branch["input_blocks.0.0.weight"]
    branch["input_blocks.0.0.weight"] = torch.cat([entry, torch.zeros_like(entry)], dim=1)
    number = 0
    while any(key.startswith(f"input_blocks.{number}.") for key in branch):
        branch |= zero_convolution(f"zero_convs.{number}.0", width_after(branch, f"input_blocks.{number}.0"), entry)
        number += 1
    return branch | zero_convolution("middle_block_out.0", width_after(branch, "middle_block.0"), entry)


def width_after(branch: Weights, block: str) -> int:
    """Channels that leave a block: a convolution, a residual block or one that halves the size."""
    layers = ("bias", "out_layers.3.bias", "op.bias")
    return next(len(branch[f"{block}.{layer}"]) for layer in layers if f"{block}.{layer}" in branch)


def zero_convolution(name: str, width: int, like: Tensor) -> Weights:
    return {f"{name}.weight": like.new_zeros(width, width, 1, 1), f"{name}.bias": like.new_zeros(width)}


def write(weights: Weights, target: Path) -> None:
    """The whole file or nothing."""
    if target.exists():
        raise TargetError(f"{target} exists and is not overwritten", hint="give a new name, or remove the file")
    beside = target.with_name(target.name + ".part")
    if target.suffix == ".safetensors":
        save_file({key: value.contiguous() for key, value in weights.items()}, beside)
    else:
        torch.save({"state_dict": weights}, beside)
    beside.rename(target)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("sd", "restorer", "out"):
        parser.add_argument(name, type=Path, metavar=name.upper())
    parser.add_argument("--head-channels", type=int, default=HEAD_CHANNELS, help="of the UNet's attention")
    options = parser.parse_args()
    try:
        weights = initial_weights(read_weights(options.sd), read_weights(options.restorer))
        for name in PREFIXES:  # raises where a part does not fit
            build(
                name,
                weights,
                source=f"{options.sd} with {options.restorer}",
                device=torch.device("meta"),
                dtype=torch.float32,
                head_channels=options.head_channels,
            )
        write(weights, options.out)
    except DossrError as error:
        print(f"error: {error.message}\nhint: {error.hint}", file=sys.stderr)
        return 1
    print(f"result: {options.out}, {len(weights)} tensors")
    return 0


if __name__ == "__main__":
    sys.exit(main())
