from __future__ import annotations

import sys

import pytest
import torch

from dossr_video.errors import SettingsError
from dossr_video.models.text import DEFAULT_PROMPT, EMPTY_PROMPT, tokenize


@pytest.mark.parametrize(("prompt", "side"), [(DEFAULT_PROMPT, "pos"), (EMPTY_PROMPT, "neg")])
def test_usual_prompts_need_no_tokenizer(networks, prompt, side):
    assert torch.equal(tokenize(prompt), networks[f"tokens_{side}"][0])


def test_other_prompts_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "open_clip", None)
    with pytest.raises(SettingsError, match="tokenizer") as caught:
        tokenize("a cat")
    assert "dossr-video[prompt]" in caught.value.hint


def test_tokenizer_agrees_on_the_default_prompt(networks):
    open_clip = pytest.importorskip("open_clip", reason="optional extra `prompt` is not installed")
    assert torch.equal(open_clip.tokenize([DEFAULT_PROMPT])[0], networks["tokens_pos"][0])
