from __future__ import annotations

import gzip
import subprocess
import sys
from importlib.util import find_spec

import pytest
import torch
from safetensors.torch import load_file, save_file

from dossr_video.errors import SettingsError
from dossr_video.models.base import DEFAULT_PROMPT, EMPTY_PROMPT
from dossr_video.models.dossr import text
from dossr_video.models.dossr.convert import convert
from dossr_video.models.dossr.networks import ConvertedFolder
from dossr_video.models.dossr.text import END, START, tokenize

HEADS = {"head_channels": 8, "text_head_channels": 8}  # of the small checkpoint


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
    with pytest.raises(SettingsError, match="need CLIP's tokenizer and vocabulary") as caught:
        tokenize("a cat")
    assert "dossr-video[prompts]" in caught.value.hint
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


def test_the_tower_is_that_of_transformers(checkpoint, tmp_path):
    """Weights as `convert` writes them, read by the stock class, give the same contexts."""
    transformers = pytest.importorskip("transformers", reason="compares with transformers, of the extra `test`")
    convert(checkpoint, tmp_path / "tiny", dtype=torch.float32, text_tower=True, **HEADS)
    stock = transformers.CLIPTextModel.from_pretrained(tmp_path / "tiny" / "text_encoder")
    tower = ConvertedFolder(tmp_path / "tiny").network("text_encoder", device=torch.device("cpu"), dtype=torch.float32)
    tokens = torch.randint(0, stock.config.vocab_size, (2, 77), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        wanted = stock(input_ids=tokens).last_hidden_state
        assert torch.allclose(tower(tokens), wanted, atol=1e-5)


def test_weights_with_the_names_of_transformers_4_are_read(checkpoint, tmp_path):
    convert(checkpoint, tmp_path / "tiny", dtype=torch.float32, text_tower=True, **HEADS)
    file = tmp_path / "tiny" / "text_encoder" / "model.safetensors"
    weights = load_file(file)
    before = ConvertedFolder(tmp_path / "tiny").contexts([DEFAULT_PROMPT])
    save_file({f"text_model.{name}": value for name, value in weights.items()}, file)
    tower = ConvertedFolder(tmp_path / "tiny").network("text_encoder", device=torch.device("cpu"), dtype=torch.float32)
    with torch.no_grad():
        assert torch.allclose(tower(tokenize(DEFAULT_PROMPT)[None]), before, atol=1e-5)


def test_nothing_of_the_package_needs_transformers(checkpoint):
    code = (
        "import sys; sys.modules['transformers'] = None\n"
        "import pathlib, torch, dossr_video.diffusers\n"
        "from dossr_video.models.dossr.networks import ReleasedCheckpoint\n"
        "source = ReleasedCheckpoint(pathlib.Path(sys.argv[1]), head_channels=8, text_head_channels=8)\n"
        "print(source.contexts(['']).shape)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(checkpoint)], capture_output=True, text=True)
    assert done.stdout.startswith("torch.Size([1, 77,"), done.stderr
