"""What sampling leaves out of the stock layers: what is the same in all calls, copies, divisions by one, and
twice the same product; narrow attention heads are filled up.

The layers' weights and their results stay; where gradients are wanted the stock code runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
import torch.nn.functional as F
from diffusers.models.attention_processor import Attention
from diffusers.models.embeddings import TimestepEmbedding
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from diffusers.models.upsampling import Upsample2D
from torch import Tensor, nn

WIDE = 16  # channels of an attention head, below which torch's kernel on a CPU is slower than with zeros beside them
MOST_KEPT = 64  # timesteps; more than anybody samples in


_ENTRY: ContextVar[int | None] = ContextVar("schedule entry", default=None)


@contextmanager
def called_at(t: int | Tensor) -> Iterator[None]:
    """Within it the networks are called at the schedule entry t; a tensor has one for every sample."""
    token = _ENTRY.set(t if isinstance(t, int) else None)
    try:
        yield
    finally:
        _ENTRY.reset(token)


def make_lean(network: nn.Module) -> None:
    """Change the layers of a UNet, a control branch or a codec in place; once is enough."""
    for name, layer in network.named_modules():
        if "forward" in vars(layer):  # it has been changed
            continue
        if name.endswith(("attn2.to_k", "attn2.to_v")) and isinstance(layer, nn.Linear):
            layer.forward = _OfContext(layer)  # type: ignore[assignment]
        elif isinstance(layer, Attention) and _is_narrow(layer):
            layer.forward = _NarrowHeads(layer)
        elif isinstance(layer, TimestepEmbedding):
            layer.forward = _OfTime(layer)
        elif isinstance(layer, ResnetBlock2D) and _is_plain(layer):
            layer.forward = _Residual(layer)
        elif isinstance(layer, Upsample2D) and _is_doubling(layer):
            layer.forward = _Doubling(layer)
        elif isinstance(layer, Transformer2DModel) and layer.use_linear_projection:
            layer._get_output_for_continuous_inputs = _Leaving(layer)


def _is_plain(block: Any) -> bool:
    """Whether a residual block is one of Stable Diffusion's."""
    changes_size = block.upsample is not None or block.downsample is not None
    plain = block.time_embedding_norm in ("default", "group") and not block.skip_time_act
    return plain and not changes_size and block.output_scale_factor == 1 and isinstance(block.nonlinearity, nn.SiLU)


def _is_narrow(layer: Any) -> bool:
    """Whether an attention of a transformer block has heads of few channels."""
    others = (layer.group_norm, layer.spatial_norm, layer.norm_q, layer.norm_k, layer.norm_cross)
    plain = not any(others) and not layer.residual_connection and layer.rescale_output_factor == 1
    return plain and layer.to_q.out_features < WIDE * layer.heads


def _is_doubling(layer: Any) -> bool:
    plain = layer.use_conv and layer.name == "conv" and layer.interpolate and not layer.use_conv_transpose
    return plain and layer.norm is None and layer.conv.kernel_size == (3, 3)


class _Kept:
    """What follows from few inputs that come again, held while the weights are the same."""

    def __init__(self, layers: Sequence[nn.Linear | nn.Conv2d]) -> None:
        self._layers = layers
        self._weights: list[tuple[Tensor, int]] = []  # and their versions
        self._held: dict[int, tuple[Any, Any]] = {}

    def get(self, key: int, make: Callable[[], Any], *, owner: object = None) -> Any:
        """What `make` gave for the key; where that is the id of `owner`, it is held too, so that it stays its own."""
        weights = [(x, 0 if x.is_inference() else x._version) for x in (layer.weight for layer in self._layers)]
        same = all(x is y and i == j for (x, i), (y, j) in zip(weights, self._weights, strict=False))
        if not same or len(self._held) >= MOST_KEPT:
            self._held = {}
        self._weights = weights
        if key not in self._held:
            self._held[key] = owner, make()
        return self._held[key][1]


class _OfContext:
    """A layer that only sees the text context, which is one tensor in all calls."""

    def __init__(self, layer: nn.Linear) -> None:
        self._compute, self._kept = layer.forward, _Kept([layer])

    def __call__(self, context: Tensor) -> Tensor:
        if torch.is_grad_enabled():  # in training
            return self._compute(context)
        output: Tensor = self._kept.get(id(context), lambda: self._compute(context), owner=context)
        return output


class _NarrowHeads:
    """Attention whose heads are filled up to WIDE channels with zeros, which add nothing; 1.5 times as fast for 8."""

    def __init__(self, layer: Any) -> None:
        self._layer, self._compute = layer, layer.forward

    def __call__(self, x: Tensor, encoder_hidden_states: Tensor | None = None, **options: Any) -> Tensor:
        if torch.is_grad_enabled() or options.get("attention_mask") is not None or x.device.type != "cpu":
            result: Tensor = self._compute(x, encoder_hidden_states, **options)
            return result
        layer = self._layer
        context = x if encoder_hidden_states is None else encoder_hidden_states
        width = layer.to_q.out_features // layer.heads
        query, key, value = (
            F.pad(part.unflatten(-1, (layer.heads, width)).transpose(1, 2), (0, WIDE - width))
            for part in (layer.to_q(x), layer.to_k(context), layer.to_v(context))
        )
        found = F.scaled_dot_product_attention(query, key, value, scale=width**-0.5)[..., :width]
        output: Tensor = layer.to_out[0](found.transpose(1, 2).flatten(2))
        return output


class _OfTime:
    """The embedding of the timestep (B, C): of one schedule entry (1, C), which serves every batch."""

    def __init__(self, layer: Any) -> None:
        self._compute, self._kept = layer.forward, _Kept([layer.linear_1, layer.linear_2])

    def __call__(self, sample: Tensor, condition: Tensor | None = None) -> Tensor:
        t = _ENTRY.get()
        if t is None or condition is not None or torch.is_grad_enabled():
            return self._compute(sample, condition)
        output: Tensor = self._kept.get(t, lambda: self._compute(sample[:1]))
        return output


class _Residual:
    """A residual block; of each timestep's embedding its part is computed once."""

    def __init__(self, block: Any) -> None:
        self._block, self._compute = block, block.forward
        self._kept = None if block.time_emb_proj is None else _Kept([block.time_emb_proj])

    def __call__(self, x: Tensor, temb: Tensor | None, *rest: Any, **options: Any) -> Tensor:
        if torch.is_grad_enabled():
            return self._compute(x, temb, *rest, **options)
        block = self._block
        h: Tensor = block.conv1(F.silu(block.norm1(x), inplace=True))
        if self._kept is not None and temb is not None:
            h += self._kept.get(id(temb), lambda: block.time_emb_proj(F.silu(temb))[:, :, None, None], owner=temb)
        h = block.conv2(F.silu(block.norm2(h), inplace=True))
        h += x if block.conv_shortcut is None else block.conv_shortcut(x)
        return h


class _Doubling:
    """Every pixel as 2 x 2 of them, and a 3 x 3 convolution.

    A window of 3 x 3 of the doubled pixels sees 2 x 2 different ones, so four convolutions of 2 x 2, one for each
    place in the doubled pixel, with weights that meet in a pixel added up, give the same for 4/9 of the work.
    """

    def __init__(self, layer: Any) -> None:
        self._conv, self._compute, self._kept = layer.conv, layer.forward, _Kept([layer.conv])

    def __call__(self, x: Tensor, output_size: Any = None, *rest: Any, **options: Any) -> Tensor:
        height, width = x.shape[-2:]
        if torch.is_grad_enabled() or tuple(output_size or (2 * height, 2 * width)) != (2 * height, 2 * width):
            return self._compute(x, output_size, *rest, **options)
        size = (len(x), self._conv.out_channels, 2 * height, 2 * width)
        result = torch.empty(size, dtype=x.dtype, device=x.device, memory_format=torch.channels_last)
        x = F.pad(x, (1, 1, 1, 1))
        for (i, j), weight in self._kept.get(0, self._weights):
            window = x[..., i : i + height + 1, j : j + width + 1]
            result[..., i::2, j::2] = F.conv2d(window, weight, self._conv.bias)
        return result

    def _weights(self) -> list[tuple[tuple[int, int], Tensor]]:
        """By row and column in the doubled pixel."""
        weight = self._conv.weight.detach()
        # Above, in and below: the upper of two rows sees the pixel above once and its own twice, the lower vice versa.
        meets = torch.tensor([[[1.0, 0, 0], [0, 1, 1]], [[1, 1, 0], [0, 0, 1]]], device=weight.device)
        return [
            (
                (i, j),
                torch.einsum("yk,oikl,xl->oiyx", meets[i], weight.float(), meets[j])
                .to(weight.dtype)
                .contiguous(memory_format=torch.channels_last),
            )
            for i in (0, 1)
            for j in (0, 1)
        ]


class _Leaving:
    """From the tokens of a transformer back to channels, which stay last in memory; stock layers copy them to first."""

    def __init__(self, layer: Any) -> None:
        self._layer, self._compute = layer, layer._get_output_for_continuous_inputs

    def __call__(self, *, hidden_states: Tensor, residual: Tensor, **size: int) -> Tensor:
        if torch.is_grad_enabled():
            return self._compute(hidden_states=hidden_states, residual=residual, **size)
        x: Tensor = self._layer.proj_out(hidden_states)
        x = x.reshape(size["batch_size"], size["height"], size["width"], size["inner_dim"]).permute(0, 3, 1, 2)
        return x + residual
