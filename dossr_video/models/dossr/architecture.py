"""Stock modules in the sizes that a released checkpoint's tensors have.

Every size is read from shapes but one: channels per attention head, 64 in the released weights, leave no trace there.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
from diffusers.models.autoencoders.vae import Encoder
from torch import Tensor, nn

from dossr_video.errors import ModelError
from dossr_video.models.checkpoint import AUTHORS, Weights, fill
from dossr_video.models.dossr.released import (
    PREFIXES,
    Names,
    flatten_attention,
    part,
    split_text_attention,
    text_names,
    unet_names,
    vae_names,
)
from dossr_video.models.dossr.tower import TextTower
from dossr_video.models.limits import built_within
from dossr_video.models.rrdbnet import RRDBNet

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
        moments: Tensor = self.quant_conv(self.encoder(pictures))
        return moments


def build(
    name: str,
    weights: Weights,
    *,
    source: str,
    device: torch.device,
    dtype: torch.dtype,
    head_channels: int = HEAD_CHANNELS,
) -> nn.Module:
    """One part of a released checkpoint (a key of PREFIXES) as a stock module with its weights.

    Raises ModelError that names the first tensors that do not fit.
    """
    tensors = part(weights, name)
    source = f"{source}: {PREFIXES[name]}*"
    try:
        with built_within(source, tensors):
            shell = _SHELLS[name](tensors, head_channels)
    except KeyError as error:
        raise ModelError(f"{source} lacks {error.args[0]}", hint=AUTHORS) from error
    except (ValueError, IndexError) as error:
        raise ModelError(f"{source} has shapes of no DoSSR model: {error}", hint=AUTHORS) from error
    return fill(shell.module, shell.prepare(tensors), source=source, device=device, dtype=dtype, names=shell.names)


@dataclass(frozen=True)
class Shell:
    """A module on the meta device and how it finds its weights."""

    module: nn.Module
    names: Names = str
    prepare: Callable[[Weights], Weights] = dict


def _unet(weights: Weights, head_channels: int) -> Shell:
    config = _branch_config(weights, head_channels)
    down = config["down_block_types"]
    config |= {
        "out_channels": weights["out.2.weight"].shape[0],
        "up_block_types": ["CrossAttnUpBlock2D" if "Attn" in kind else "UpBlock2D" for kind in reversed(down)],
    }
    return Shell(on_meta(UNet2DConditionModel, config), unet_names(config["layers_per_block"], down))


def _control(weights: Weights, head_channels: int) -> Shell:
    # The hint comes in beside x. The stock module's own way in for hints is made as small as it can be, and zero.
    config = _branch_config(weights, head_channels) | {
        "conditioning_channels": 1,
        "conditioning_embedding_out_channels": [1],
    }
    module = on_meta(ControlNetModel, config)
    shapes = {key: x.shape for key, x in module.state_dict().items() if key.startswith("controlnet_cond_embedding.")}
    like = weights["input_blocks.0.0.weight"]

    def with_zero_hint(tensors: Weights) -> Weights:
        return {**tensors, **{key: like.new_zeros(shape) for key, shape in shapes.items()}}

    names = unet_names(config["layers_per_block"], config["down_block_types"])
    return Shell(module, names, with_zero_hint)


def _branch_config(weights: Weights, head_channels: int) -> Config:
    """What the UNet and the control branch share."""
    widths, layers, attention = _levels(weights)
    block = f"input_blocks.{1 + attention.index(True) * (layers + 1)}.1."
    return {
        "in_channels": weights["input_blocks.0.0.weight"].shape[1],
        "block_out_channels": widths,
        "layers_per_block": layers,
        "down_block_types": ["CrossAttnDownBlock2D" if here else "DownBlock2D" for here in attention],
        "attention_head_dim": [_heads(width, head_channels) for width in widths],  # diffusers' name for their number
        "cross_attention_dim": weights[block + "transformer_blocks.0.attn2.to_k.weight"].shape[1],
        "use_linear_projection": weights[block + "proj_in.weight"].ndim == 2,
        "norm_num_groups": NORM_GROUPS,
    }


def _heads(width: int, head_channels: int) -> int:
    if width % head_channels:
        raise ModelError(
            f"{width} channels in the checkpoint do not divide into attention heads of {head_channels}",
            hint="tell the head channels in a config.json beside the checkpoint, which does not hold them: "
            '{"unet": {"num_head_channels": N}, "text": {"width": W, "heads": H}}',
        )
    return width // head_channels


def _levels(weights: Weights) -> tuple[list[int], int, list[bool]]:
    """Of the way down: width of every level, residual blocks per level, whether a level has attention."""
    widths: list[int] = []
    attention: list[bool] = []
    layers = 0
    while f"input_blocks.{layers + 1}.0.in_layers.2.weight" in weights:
        layers += 1
    number = 1
    while not widths or f"input_blocks.{number}.0.in_layers.2.weight" in weights:
        widths.append(weights[f"input_blocks.{number}.0.in_layers.2.weight"].shape[0])
        attention.append(f"input_blocks.{number}.1.norm.weight" in weights)
        number += layers + 1  # one more than the level's residual blocks: the block that halves the size
    return widths, layers, attention


def _vae(weights: Weights, _: int) -> Shell:
    config = _vae_config(weights)
    return Shell(on_meta(AutoencoderKL, config), vae_names(len(config["block_out_channels"])), flatten_attention)


def _cond_encoder(weights: Weights, _: int) -> Shell:
    config = _vae_config(weights)
    return Shell(on_meta(ConditionEncoder, config), vae_names(len(config["block_out_channels"])), flatten_attention)


def _vae_config(weights: Weights) -> Config:
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


def _restorer(weights: Weights, _: int) -> Shell:
    config = {
        "features": weights["conv_first.weight"].shape[0],
        "blocks": _count(weights, r"body\.(\d+)\."),
        "growth": weights["body.0.rdb1.conv1.weight"].shape[0],
    }
    return Shell(on_meta(RRDBNet, config))


def _text_encoder(weights: Weights, head_channels: int) -> Shell:
    length, width = weights["positional_embedding"].shape
    config = {
        "vocab_size": weights["token_embedding.weight"].shape[0],
        "max_position_embeddings": length,
        "hidden_size": width,
        "intermediate_size": weights["transformer.resblocks.0.mlp.c_fc.weight"].shape[0],
        "num_hidden_layers": _count(weights, r"transformer\.resblocks\.(\d+)\.") - 1,  # nothing uses the last one
        "num_attention_heads": _heads(width, head_channels),
    }
    return Shell(on_meta(TextTower, config), text_names, split_text_attention)


_SHELLS: dict[str, Callable[[Weights, int], Shell]] = {
    "unet": _unet,
    "controlnet": _control,
    "vae": _vae,
    "cond_encoder": _cond_encoder,
    "text_encoder": _text_encoder,
    "restorer": _restorer,
}


def on_meta(kind: type[nn.Module], config: Config) -> nn.Module:
    """A module without memory, for weights to be assigned to."""
    with torch.device("meta"):
        return kind(**config)


def _count(weights: Weights, pattern: str) -> int:
    """How many different numbers stand in one place of the names."""
    return len({match[1] for key in weights if (match := re.match(pattern, key))})
