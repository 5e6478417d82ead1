"""Stock modules in the sizes that a released checkpoint's tensors have.

Every size is read from shapes but one: channels per attention head, 64 in the released weights, leave no trace there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
from diffusers.models.autoencoders.vae import Encoder
from torch import Tensor, nn
from transformers import CLIPTextConfig

from dossr_video.errors import ModelError

Weights = Mapping[str, Tensor]
Config = dict[str, Any]

HEAD_CHANNELS = 64
NORM_GROUPS = 32


class ConditionEncoder(nn.Module):
    """The encoder half of AutoencoderKL: (T, 3, H, W) in [-1, 1] -> mean and log-variance (T, 2C, h, w)."""

    def __init__(self, **config: Any) -> None:
        super().__init__()
        self.config = config
        channels = config["latent_channels"]
        self.encoder = Encoder(
            in_channels=config["in_channels"],
            out_channels=channels,
            down_block_types=config["down_block_types"],
            block_out_channels=config["block_out_channels"],
            layers_per_block=config["layers_per_block"],
            norm_num_groups=config["norm_num_groups"],
        )
        self.quant_conv = nn.Conv2d(2 * channels, 2 * channels, 1)

    def forward(self, pictures: Tensor) -> Tensor:
        return self.quant_conv(self.encoder(pictures))


def unet_config(weights: Weights, head_channels: int) -> Config:
    """Arguments of UNet2DConditionModel for the part `unet`."""
    config = _branch_config(weights, head_channels)
    upwards = ["CrossAttnUpBlock2D" if "Attn" in kind else "UpBlock2D" for kind in reversed(config["down_block_types"])]
    return config | {"out_channels": weights["out.2.weight"].shape[0], "up_block_types": upwards}


def control_config(weights: Weights, head_channels: int) -> Config:
    """Arguments of ControlNetModel for the part `controlnet`.

    The hint comes in beside x, so the module's own hint network is the smallest there is and has zero weights.
    """
    return _branch_config(weights, head_channels) | {
        "conditioning_channels": 1,
        "conditioning_embedding_out_channels": [1],
    }


def _branch_config(weights: Weights, head_channels: int) -> Config:
    widths, layers, attention = [], [], []
    number = 1
    while f"input_blocks.{number}.0.out_layers.3.weight" in weights:
        widths.append(weights[f"input_blocks.{number}.0.out_layers.3.weight"].shape[0])
        attention.append(f"input_blocks.{number}.1.norm.weight" in weights)
        first = number
        while f"input_blocks.{number}.0.out_layers.3.weight" in weights:
            number += 1
        layers.append(number - first)
        number += 1  # the block that halves the size
    if any(width % head_channels for width in widths):
        raise ModelError(
            f"widths {widths} of the checkpoint do not divide by {head_channels} channels per attention head",
            hint="give head_channels of this model to load_dossr or convert; it leaves no trace in the checkpoint",
        )
    block = f"input_blocks.{1 + attention.index(True) * (layers[0] + 1)}.1."
    return {
        "in_channels": weights["input_blocks.0.0.weight"].shape[1],
        "block_out_channels": widths,
        "layers_per_block": layers[0],
        "down_block_types": ["CrossAttnDownBlock2D" if here else "DownBlock2D" for here in attention],
        # diffusers' name for the number of heads
        "attention_head_dim": [width // head_channels for width in widths],
        "cross_attention_dim": weights[block + "transformer_blocks.0.attn2.to_k.weight"].shape[1],
        "use_linear_projection": weights[block + "proj_in.weight"].ndim == 2,
        "norm_num_groups": NORM_GROUPS,
    }


def vae_config(weights: Weights) -> Config:
    """Arguments of AutoencoderKL for the part `vae`, of ConditionEncoder for `cond_encoder`."""
    levels = _count(weights, r"encoder\.down\.(\d+)\.")
    return {
        "in_channels": weights["encoder.conv_in.weight"].shape[1],
        "out_channels": weights["encoder.conv_in.weight"].shape[1],
        "latent_channels": weights["quant_conv.weight"].shape[0] // 2,
        "block_out_channels": [weights[f"encoder.down.{i}.block.0.conv1.weight"].shape[0] for i in range(levels)],
        "layers_per_block": _count(weights, r"encoder\.down\.0\.block\.(\d+)\."),
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
        "norm_num_groups": NORM_GROUPS,
    }


def restorer_config(weights: Weights) -> Config:
    """Arguments of RRDBNet for the part `restorer`."""
    return {
        "features": weights["conv_first.weight"].shape[0],
        "blocks": _count(weights, r"body\.(\d+)\."),
        "growth": weights["body.0.rdb1.conv1.weight"].shape[0],
    }


def text_config(weights: Weights, head_channels: int) -> CLIPTextConfig:
    """Configuration of CLIPTextModel for the part `text_encoder`, without the last block, which nothing uses."""
    length, width = weights["positional_embedding"].shape
    return CLIPTextConfig(
        vocab_size=weights["token_embedding.weight"].shape[0],
        hidden_size=width,
        intermediate_size=weights["transformer.resblocks.0.mlp.c_fc.weight"].shape[0],
        num_hidden_layers=_count(weights, r"transformer\.resblocks\.(\d+)\.") - 1,
        num_attention_heads=width // head_channels,
        max_position_embeddings=length,
        hidden_act="gelu",
    )


def _count(weights: Weights, pattern: str) -> int:
    """How many numbers stand in a place of the names."""
    found = {match[1] for key in weights if (match := re.match(pattern, key))}
    return len(found)


def on_meta(kind: type[nn.Module], config: Config) -> nn.Module:
    """A module without memory, for weights to be assigned to."""
    with torch.device("meta"):
        return kind(**config)


STOCK: dict[str, type[nn.Module]] = {
    "unet": UNet2DConditionModel,
    "controlnet": ControlNetModel,
    "vae": AutoencoderKL,
}
