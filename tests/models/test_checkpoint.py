"""Which files are read as weights, and what is said about those that are not."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from dossr_video.errors import ModelError
from dossr_video.models.checkpoint import digest, fill, read_weights
from dossr_video.models.registry import load_model


@pytest.mark.parametrize("suffix", [".ckpt", ".pt", ".safetensors"])
@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_reads_what_trainers_write(tmp_path, suffix, prefix, dtype):
    tensors = {"a.weight": torch.randn(3, 4).to(dtype), "b": torch.zeros((), dtype=dtype)}
    named = {prefix + key: value for key, value in tensors.items()}
    path = tmp_path / f"weights{suffix}"
    if suffix == ".safetensors":
        save_file(named, path)
    else:
        torch.save({"state_dict": named, "epoch": 3} if suffix == ".ckpt" else named, path)
    read = read_weights(path)
    assert read.keys() == tensors.keys()
    assert all(torch.equal(read[key], value) and read[key].dtype == dtype for key, value in tensors.items())


def test_reads_files_of_old_torch(tmp_path):
    path = tmp_path / "old.ckpt"
    torch.save({"a": torch.ones(2)}, path, _use_new_zipfile_serialization=False)
    assert torch.equal(read_weights(path)["a"], torch.ones(2))


def test_missing_file_says_where_the_weights_are(tmp_path):
    with pytest.raises(ModelError, match="is no file with weights") as caught:
        read_weights(tmp_path / "dossr_default.ckpt")
    assert "release page" in caught.value.hint
    assert "2409.17778" in caught.value.hint
    assert "dossr_default.ckpt" in caught.value.hint


class RunsCode:
    """What a malicious pickle is made of."""

    def __reduce__(self):
        return os.system, ("touch ran",)


def test_pickles_with_code_are_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "evil.ckpt"
    torch.save({"state_dict": {"a": torch.ones(2)}, "callback": RunsCode()}, path)
    with pytest.raises(ModelError, match="code could run"):
        read_weights(path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("content", [b"", b"RIFF of some film", b"{}" * 500])
def test_other_files(tmp_path, content):
    path = tmp_path / "film.ckpt"
    path.write_bytes(content)
    with pytest.raises(ModelError, match="neither a PyTorch checkpoint") as caught:
        read_weights(path)
    assert "another super-resolution network" in caught.value.hint


@pytest.mark.parametrize("suffix", [".param", ".bin"])
def test_a_network_of_ncnn_is_told_how_it_becomes_one(tmp_path, suffix):
    (tmp_path / "net.param").write_text("7767517\n")
    (tmp_path / "net.bin").write_bytes(bytes(64))
    with pytest.raises(ModelError, match="in ncnn's format") as caught:
        read_weights(tmp_path / f"net{suffix}")
    assert f"scripts/convert_ncnn.py {tmp_path / 'net.param'} net.safetensors" in caught.value.hint


def test_an_ending_in_capitals_is_the_same(tmp_path):
    save_file({"a": torch.ones(2)}, tmp_path / "NET.SAFETENSORS")
    assert read_weights(tmp_path / "NET.SAFETENSORS")["a"].tolist() == [1, 1]


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="a file of Linux that opens and cannot be read")
def test_a_file_that_cannot_be_read():
    with pytest.raises(ModelError, match="cannot be read: Input/output error"):
        load_model("/proc/self/mem", device="cpu")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
@pytest.mark.parametrize("suffix", [".ckpt", ".safetensors"])
def test_cut_off_files(tmp_path, suffix, share):
    path = tmp_path / f"cut{suffix}"
    tensors = {"a": torch.randn(64, 64)}
    save_file(tensors, path) if suffix == ".safetensors" else torch.save(tensors, path)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises(ModelError, match="damaged") as caught:
        read_weights(path)
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("content", [[torch.ones(2)], {"epoch": 3}, torch.ones(2)])
def test_files_without_named_tensors(tmp_path, content):
    path = tmp_path / "other.ckpt"
    torch.save(content, path)
    with pytest.raises(ModelError, match=r"holds no tensors|not weights by name"):
        read_weights(path)


def test_digest_follows_content_and_names(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_bytes(b"1")
    before = digest(tmp_path / "a")
    assert before == digest(tmp_path / "a")
    (tmp_path / "a" / "x").rename(tmp_path / "a" / "y")
    renamed = digest(tmp_path / "a")
    (tmp_path / "a" / "y").write_bytes(b"2")
    assert len({before, renamed, digest(tmp_path / "a")}) == 3


def test_a_file_made_to_fill_the_memory_is_refused_unread(tmp_path):
    path = tmp_path / "bomb.pth"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(64 << 20))
    with pytest.raises(ModelError, match="unpacks to 67 MB"):
        read_weights(path)


@pytest.mark.parametrize(
    ("value", "problem"),
    [(torch.ones(2, 2, dtype=torch.int64), "not as floats"), (torch.full((2, 2), torch.nan), "finite")],
)
def test_numbers_that_are_no_weights_are_refused(value, problem):
    with torch.device("meta"):
        module = torch.nn.Linear(2, 2, bias=False)
    with pytest.raises(ModelError, match=problem):
        fill(module, {"weight": value}, source="it", device=torch.device("cpu"), dtype=torch.float32)
