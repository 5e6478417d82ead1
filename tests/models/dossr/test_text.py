from __future__ import annotations

import gzip
from importlib.util import find_spec

import pytest
import torch

from dossr_video.errors import SettingsError
from dossr_video.models.base import DEFAULT_PROMPT, EMPTY_PROMPT
from dossr_video.models.dossr import text
from dossr_video.models.dossr.text import END, START, tokenize


@pytest.fixture
def no_vocabulary(monkeypatch):
    monkeypatch.setattr(text, "find_spec", lambda name: None)
    text._tokenizer.cache_clear()
    yield
    text._tokenizer.cache_clear()


@pytest.fixture
def small_vocabulary(monkeypatch, tmp_path):
    """A package of the vocabulary's name, with three merges in the vocabulary's file format."""
    package = tmp_path / "open_clip"
    package.mkdir()
    (package / "__init__.py").write_text("raise ImportError('must be found, not imported')")
    with gzip.open(package / "bpe_simple_vocab_16e6.txt.gz", "wt", encoding="utf-8") as file:
        file.write('"version: 0"\nc a\nca t</w>\nf i\n')
    monkeypatch.syspath_prepend(tmp_path)
    text._tokenizer.cache_clear()
    yield
    text._tokenizer.cache_clear()


@pytest.mark.parametrize(("prompt", "side"), [(DEFAULT_PROMPT, "pos"), (EMPTY_PROMPT, "neg")])
def test_usual_prompts_need_no_vocabulary(networks, no_vocabulary, prompt, side):
    assert torch.equal(tokenize(prompt), networks[f"tokens_{side}"][0])


def test_other_prompts_do(no_vocabulary):
    with pytest.raises(SettingsError, match="CLIP's vocabulary") as caught:
        tokenize("a cat")
    assert "pip install --no-deps open_clip_torch" in caught.value.hint


def test_byte_pairs_are_merged(small_vocabulary):
    """Ids: 256 bytes, 256 bytes that end a word, the merges; "!" is the first byte."""
    assert tokenize("CAT  cats!")[:8].tolist() == [START, 513, 512, ord("t") - 33, 256 + ord("s") - 33, 256, END, 0]


def test_long_prompts_are_cut(small_vocabulary):
    assert tokenize("cat " * 100).tolist() == [START, *[513] * 75, END]


@pytest.mark.skipif(find_spec("open_clip") is None, reason="CLIP's vocabulary (open_clip_torch) is not installed")
def test_clips_vocabulary_gives_the_known_ids(networks):
    ids = text._tokenizer().encode(DEFAULT_PROMPT).ids
    assert [START, *ids, END] == networks["tokens_pos"][0][: len(ids) + 2].tolist()
