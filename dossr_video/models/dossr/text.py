"""Prompts as the networks see them: the text tower's last hidden states, a constant of a run."""

from __future__ import annotations

import gzip
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from dossr_video.errors import SettingsError
from dossr_video.models.base import DEFAULT_PROMPT, EMPTY_PROMPT

if TYPE_CHECKING:
    from tokenizers import Tokenizer

CONTEXT_LENGTH = 77
START, END = 49406, 49407  # token ids

# CLIP's tokens of the two prompts that nearly everybody uses, so that they need no tokenizer.
_TOKENS = {
    DEFAULT_PROMPT: (START, 3772, 267, 1400, 268, 9977, 267, 279, 330, END),
    EMPTY_PROMPT: (START, END),
}


def tokenize(prompt: str) -> Tensor:
    """CLIP's token ids (77,) of a prompt, cut to that length, padded with 0.

    Other prompts than the usual two need CLIP's vocabulary: SettingsError where it is not installed.
    """
    ids = _TOKENS.get(prompt) or (START, *_tokenizer().encode(prompt).ids[: CONTEXT_LENGTH - 2], END)
    tokens = torch.zeros(CONTEXT_LENGTH, dtype=torch.int64)
    tokens[: len(ids)] = torch.tensor(ids)
    return tokens


@cache
def _tokenizer() -> Tokenizer:
    """CLIP's byte-pair encoding (Radford et al. 2021), with the vocabulary that PyPI's open_clip_torch carries."""
    # Found, not imported: the package itself needs a torchvision that fits the torch at hand.
    spec = find_spec("open_clip")
    if spec is None or spec.origin is None or find_spec("tokenizers") is None:
        raise SettingsError(
            "prompts of your own need CLIP's tokenizer and vocabulary, which are not installed",
            hint='pip install "dossr-video[prompts]" and pip install --no-deps open_clip_torch, or leave --prompt away',
        )
    from tokenizers import Regex, Tokenizer
    from tokenizers.models import BPE
    from tokenizers.normalizers import NFC, Lowercase, Replace
    from tokenizers.normalizers import Sequence as Normalizers
    from tokenizers.pre_tokenizers import ByteLevel, Split
    from tokenizers.pre_tokenizers import Sequence as PreTokenizers

    with gzip.open(Path(spec.origin).with_name("bpe_simple_vocab_16e6.txt.gz"), "rt", encoding="utf-8") as file:
        lines = file.read().strip().split("\n")[1 : END - 2 * 256]
    merges = [(first, second) for first, second in (line.split() for line in lines)]
    # The order of the ids: the printable bytes first, the others after them in their order.
    symbols = sorted(ByteLevel.alphabet(), key=lambda symbol: (ord(symbol) >= 256, ord(symbol)))
    words = [*symbols, *(symbol + "</w>" for symbol in symbols), *(first + second for first, second in merges)]
    tokenizer = Tokenizer(
        BPE({word: i for i, word in enumerate(words)}, merges, continuing_subword_prefix="", end_of_word_suffix="</w>")
    )
    tokenizer.normalizer = Normalizers([NFC(), Replace(Regex(r"\s+"), " "), Lowercase()])
    words_of_a_kind = Regex(r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+")
    tokenizer.pre_tokenizer = PreTokenizers(
        [Split(words_of_a_kind, "removed", invert=True), ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    return tokenizer


@torch.no_grad()
def contexts(tower: nn.Module, prompts: Sequence[str]) -> Tensor:
    """(K, 77, D) contexts of K prompts from the TextTower, on the CPU."""
    found: Tensor = tower(torch.stack([tokenize(prompt) for prompt in prompts]))
    return found
