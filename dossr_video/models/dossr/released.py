"""The released checkpoint's layout: its six parts, and the names its tensors have there.

Names go from stock modules to the file, so that an error can name what the file lacks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from torch import Tensor

Names = Callable[[str], str]  # a module's own name of a tensor -> its name in the file, without the part's prefix

PREFIXES = {
    "unet": "model.diffusion_model.",
    "controlnet": "control_model.",
    "vae": "first_stage_model.",
    "cond_encoder": "cond_encoder.",
    "text_encoder": "cond_stage_model.model.",
    "restorer": "preprocess_model.",
}

_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
_UNET_TOP = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
    "mid_block.resnets.0": "middle_block.0",
    "mid_block.attentions.0": "middle_block.1",
    "mid_block.resnets.1": "middle_block.2",
    "controlnet_mid_block": "middle_block_out.0",
}


def part(weights: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """The tensors of one of the parts, without its prefix; empty when the file lacks the part."""
    prefix = PREFIXES[name]
    return {key[len(prefix) :]: value for key, value in weights.items() if key.startswith(prefix)}


def unet_names(layers: int, down_block_types: Sequence[str]) -> Names:
    """Names of UNet2DConditionModel and ControlNetModel with `layers` residual blocks per level.

    The file numbers blocks through all levels; a level's resampling is a block of its own on the way down, and the
    last module of the last block on the way up.
    """
    attention = ["Attn" in kind for kind in reversed(down_block_types)]  # of the way up

    def block(match: re.Match[str]) -> str:
        way, level, kind, index = match[1], int(match[2]), match[3], int(match[4])
        if kind == "downsamplers":
            return f"input_blocks.{(level + 1) * (layers + 1)}.0.op"
        if kind == "upsamplers":
            return f"output_blocks.{level * (layers + 1) + layers}.{2 if attention[level] else 1}.conv"
        number = level * (layers + 1) + index
        blocks = f"input_blocks.{number + 1}" if way == "down" else f"output_blocks.{number}"
        return f"{blocks}.{0 if kind == 'resnets' else 1}"

    def released(key: str) -> str:
        key = re.sub(r"^controlnet_down_blocks\.(\d+)", r"zero_convs.\1.0", key)
        if ".resnets." in key:
            key = _replace_last(key, _RESNET)
        for own, file in _UNET_TOP.items():
            key = re.sub(rf"^{re.escape(own)}\.", f"{file}.", key)
        return re.sub(r"^(down|up)_blocks\.(\d+)\.(\w+)\.(\d+)(?:\.conv(?=\.))?", block, key)

    return released


def vae_names(levels: int) -> Names:
    """Names of AutoencoderKL and of its encoder half, with `levels` sizes of picture."""
    attention = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}

    def released(key: str) -> str:
        if ".attentions." in key:
            key = _replace_last(key, attention)
        key = key.replace("conv_shortcut", "nin_shortcut").replace("conv_norm_out", "norm_out")
        key = re.sub(r"mid_block\.resnets\.(\d)", lambda m: f"mid.block_{int(m[1]) + 1}", key)
        key = key.replace("mid_block.attentions.0", "mid.attn_1")
        key = re.sub(r"down_blocks\.(\d+)\.resnets", r"down.\1.block", key)
        key = re.sub(r"down_blocks\.(\d+)\.downsamplers\.0", r"down.\1.downsample", key)
        key = re.sub(r"up_blocks\.(\d+)\.resnets", lambda m: f"up.{levels - 1 - int(m[1])}.block", key)
        return re.sub(r"up_blocks\.(\d+)\.upsamplers\.0", lambda m: f"up.{levels - 1 - int(m[1])}.upsample", key)

    return released


_TEXT = {
    "embeddings.token_embedding.weight": "token_embedding.weight",
    "embeddings.position_embedding.weight": "positional_embedding",
    "final_layer_norm": "ln_final",
    "encoder.layers": "transformer.resblocks",
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "self_attn.out_proj": "attn.out_proj",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}


def text_names(key: str) -> str:
    """Names of CLIPTextModel; q, k and v, which the file holds in one, are named `attn.in_proj_{q,k,v}.weight`."""
    key = key.removeprefix("text_model.")  # transformers 4 has it, 5 does not
    for own, file in _TEXT.items():
        key = key.replace(own, file)
    return re.sub(r"self_attn\.([qkv])_proj", r"attn.in_proj_\1", key)


def split_text_attention(tower: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The text part with each `attn.in_proj_weight` cut into `attn.in_proj_{q,k,v}.weight`; biases alike.

    The last block, the projection and the temperature, which DoSSR never uses, are left out.
    """
    last = max((int(key.split(".")[2]) for key in tower if key.startswith("transformer.resblocks.")), default=0)
    unused = (f"transformer.resblocks.{last}.", "text_projection", "logit_scale")
    result: dict[str, Tensor] = {}
    for key, value in tower.items():
        if key.startswith(unused):
            continue
        if match := re.match(r"(.*attn\.in_proj)_(weight|bias)$", key):
            result |= {f"{match[1]}_{x}.{match[2]}": part for x, part in zip("qkv", value.chunk(3), strict=True)}
        else:
            result[key] = value
    return result


def flatten_attention(vae: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The VAE part with its attention's 1x1 convolutions as the matrices that stock modules have there."""
    return {key: x.flatten(1) if ".attn_1." in key and x.ndim == 4 else x for key, x in vae.items()}


def _replace_last(key: str, names: Mapping[str, str]) -> str:
    """The name of the layer, the last before `weight` or `bias`, replaced."""
    for own, file in names.items():
        for kind in ("weight", "bias"):
            if key.endswith(f".{own}.{kind}"):
                return key.removesuffix(f"{own}.{kind}") + f"{file}.{kind}"
    return key
