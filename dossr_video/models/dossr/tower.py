"""CLIP's text tower, as far as DoSSR uses it: the last hidden state, after the closing norm.

Parameters have the names that transformers' CLIPTextModel gives them, so its weights are ours and ours are its.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn.functional import gelu, scaled_dot_product_attention

NAMES = (
    "vocab_size",
    "max_position_embeddings",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
)


class TextTower(nn.Module):
    """Token ids (K, 77) -> contexts (K, 77, D): causal attention, padding not masked.

    Args:
        vocab_size: Rows of the table of tokens.
        max_position_embeddings: Tokens of a prompt.
        hidden_size: D.
        intermediate_size: Width between the two layers of each MLP.
        num_hidden_layers: Transformer blocks.
        num_attention_heads: Heads of each attention.
    """

    def __init__(
        self,
        *,
        vocab_size: int,
        max_position_embeddings: int,
        hidden_size: int,
        intermediate_size: int,
        num_hidden_layers: int,
        num_attention_heads: int,
    ) -> None:
        super().__init__()
        given = (vocab_size, max_position_embeddings, hidden_size, intermediate_size)
        self.config = dict(zip(NAMES, (*given, num_hidden_layers, num_attention_heads), strict=True))
        self.embeddings = nn.ModuleDict(
            {
                "token_embedding": nn.Embedding(vocab_size, hidden_size),
                "position_embedding": nn.Embedding(max_position_embeddings, hidden_size),
            }
        )
        blocks = (_Block(hidden_size, intermediate_size, num_attention_heads) for _ in range(num_hidden_layers))
        self.encoder = nn.ModuleDict({"layers": nn.ModuleList(blocks)})
        self.final_layer_norm = nn.LayerNorm(hidden_size)

    def stock_config(self) -> dict[str, Any]:
        """What transformers needs to know of it."""
        tokens = {"bos_token_id": 0, "eos_token_id": 0}  # of the pooled output, which nobody uses
        kind = {"architectures": ["CLIPTextModel"], "model_type": "clip_text_model", "hidden_act": "gelu"}
        return {**kind, **self.config, **tokens}

    def forward(self, tokens: Tensor) -> Tensor:
        table: Any = self.embeddings["token_embedding"]
        positions: Any = self.embeddings["position_embedding"]
        # Small towers for tests have fewer rows than CLIP's vocabulary.
        x = table(tokens % table.num_embeddings) + positions.weight[: tokens.shape[1]]
        blocks: Any = self.encoder["layers"]
        for block in blocks:
            x = block(x)
        normed: Tensor = self.final_layer_norm(x)
        return normed


def settings_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """What a TextTower takes of the config.json of a CLIPTextModel; ValueError for one that computes otherwise."""
    if config.get("hidden_act", "gelu") != "gelu":
        raise ValueError(f"hidden_act must be gelu, not {config['hidden_act']}")
    return {name: config[name] for name in NAMES if name in config}


class _Block(nn.Module):
    def __init__(self, width: int, hidden: int, heads: int) -> None:
        super().__init__()
        self.layer_norm1 = nn.LayerNorm(width)
        names = ("k_proj", "v_proj", "q_proj", "out_proj")
        self.self_attn = nn.ModuleDict({name: nn.Linear(width, width) for name in names})
        self.layer_norm2 = nn.LayerNorm(width)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, hidden), "fc2": nn.Linear(hidden, width)})
        self._heads = heads

    def forward(self, x: Tensor) -> Tensor:
        normed = self.layer_norm1(x)
        q, k, v = (
            self.self_attn[name](normed).unflatten(-1, (self._heads, -1)).transpose(1, 2)
            for name in ("q_proj", "k_proj", "v_proj")
        )
        mixed = scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)
        x = x + self.self_attn["out_proj"](mixed)
        return x + self.mlp["fc2"](gelu(self.mlp["fc1"](self.layer_norm2(x))))
