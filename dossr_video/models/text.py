"""Prompts as the networks see them: the text tower's last hidden states, a constant of a run."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import CLIPTextModel

from dossr_video.errors import SettingsError

DEFAULT_PROMPT = "clean, high-resolution, 8k"
EMPTY_PROMPT = ""
CONTEXT_LENGTH = 77

# CLIP's tokens of the two prompts that nearly everybody uses, so that they need no tokenizer.
_TOKENS = {
    DEFAULT_PROMPT: (49406, 3772, 267, 1400, 268, 9977, 267, 279, 330, 49407),
    EMPTY_PROMPT: (49406, 49407),
}


def tokenize(prompt: str) -> Tensor:
    """CLIP's token ids (77,) of a prompt, padded with 0. SettingsError when the tokenizer is needed and missing."""
    if prompt in _TOKENS:
        tokens = torch.zeros(CONTEXT_LENGTH, dtype=torch.int64)
        tokens[: len(_TOKENS[prompt])] = torch.tensor(_TOKENS[prompt])
        return tokens
    try:
        import open_clip
    except ImportError as error:
        raise SettingsError(
            f"the prompt {prompt!r} needs CLIP's tokenizer, which is not installed",
            hint="pip install 'dossr-video[prompt]', or leave --prompt away",
        ) from error
    ids: Tensor = open_clip.tokenize([prompt], context_length=CONTEXT_LENGTH)[0]
    return ids


@torch.no_grad()
def contexts(tower: CLIPTextModel, prompts: Sequence[str]) -> Tensor:
    """(K, 77, D) contexts of K prompts from the text tower."""
    return encode_tokens(tower, torch.stack([tokenize(prompt) for prompt in prompts]))


@torch.no_grad()
def encode_tokens(tower: CLIPTextModel, tokens: Tensor) -> Tensor:
    """Token ids (K, 77) -> contexts (K, 77, D): causal attention, padding not masked, closing norm."""
    table = tower.get_input_embeddings().weight
    # Small towers for tests have fewer rows than CLIP's vocabulary.
    tokens = tokens.to(table.device) % len(table)
    # The tower's own buffer of positions is not in the weights, so after a load it has no memory.
    positions = torch.arange(tokens.shape[1], device=table.device)[None]
    context: Tensor = tower(input_ids=tokens, position_ids=positions).last_hidden_state
    return context
