from __future__ import annotations

import json
import shutil

import pytest
import torch
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel

from dossr_video.errors import ModelError, SettingsError, TargetError
from dossr_video.models.base import Condition
from dossr_video.models.dossr import convert as module
from dossr_video.models.dossr import text
from dossr_video.models.dossr.convert import convert

HEADS = {"head_channels": 8, "text_head_channels": 8}


def test_a_folder_gives_the_same_numbers(folder, tiny, load, networks):
    """The small checkpoint holds half-precision numbers, so nothing is lost in float16."""
    converted = load(folder)
    for name, network in vars(tiny.networks).items():
        ours = getattr(converted.networks, name).state_dict()
        assert all(torch.equal(ours[key], value) for key, value in network.state_dict().items())
    assert torch.equal(converted.contexts, tiny.contexts)
    x, condition = networks["unet_x"], Condition(networks["unet_hint"])
    assert torch.equal(converted.denoise(x, 250, condition), tiny.denoise(x, 250, condition))


@pytest.mark.parametrize(
    ("name", "kind"), [("unet", UNet2DConditionModel), ("controlnet", ControlNetModel), ("vae", AutoencoderKL)]
)
def test_stock_classes_read_their_folders(folder, name, kind):
    _, about = kind.from_pretrained(folder / name, local_files_only=True, output_loading_info=True)
    assert not about["missing_keys"]
    assert not about["unexpected_keys"]


def test_the_text_tower_stays_out_unless_asked_for(folder, load, checkpoint, tmp_path, monkeypatch):
    assert not (folder / "text_encoder").exists()
    assert len(load(folder, cfg_scale=2.0).contexts) == 2
    with pytest.raises(ModelError, match="converted without its text tower"):
        load(folder, prompt="a cat")
    target = tmp_path / "with-text"
    convert(checkpoint, target, text_tower=True, **HEADS)
    assert torch.equal(load(target).contexts, load(folder).contexts)
    # With the tower in place, what is still missing is CLIP's vocabulary.
    monkeypatch.setattr(text, "find_spec", lambda name: None)
    text._tokenizer.cache_clear()
    with pytest.raises(SettingsError, match="CLIP's tokenizer and vocabulary"):
        load(target, prompt="a cat")


def test_nothing_is_overwritten(folder, checkpoint):
    before = (folder / "dossr.json").read_bytes()
    with pytest.raises(TargetError, match="exists"):
        convert(checkpoint, folder, **HEADS)
    assert (folder / "dossr.json").read_bytes() == before


def test_a_failure_leaves_nothing_behind(weights, tmp_path, monkeypatch, checkpoint):
    del weights["preprocess_model.conv_hr.weight"]
    torch.save(weights, tmp_path / "broken.ckpt")
    with pytest.raises(ModelError, match=r"conv_hr\.weight"):
        convert(tmp_path / "broken.ckpt", tmp_path / "out", **HEADS)

    def full_disk(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "save_file", full_disk)
    with pytest.raises(TargetError, match="No space left"):
        convert(checkpoint, tmp_path / "out", **HEADS)
    assert [path.name for path in tmp_path.iterdir()] == ["broken.ckpt"]


def test_missing_checkpoint(tmp_path):
    with pytest.raises(ModelError, match="is no file with weights"):
        convert(tmp_path / "dossr_default.ckpt", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def spoil_index(folder):
    (folder / "dossr.json").write_text("[1, 2]")


def spoil_config(folder):
    config = folder / "unet" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"block_out_channels": [32]}))


def remove_weights(folder):
    (folder / "vae" / "diffusion_pytorch_model.safetensors").unlink()


def cut_weights(folder):
    path = folder / "restorer" / "diffusion_pytorch_model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def exchange_weights(folder):
    name = "diffusion_pytorch_model.safetensors"
    shutil.copyfile(folder / "cond_encoder" / name, folder / "controlnet" / name)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (spoil_index, "must hold an object"),
        (spoil_config, "describes no network"),
        (remove_weights, "is no file with weights"),
        (cut_weights, "damaged"),
        (exchange_weights, "lacks"),
    ],
)
def test_damaged_folders(folder, load, tmp_path, spoil, says):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    spoil(copy)
    with pytest.raises(ModelError, match=says):
        load(copy)


def test_a_folder_of_something_else(load, tmp_path):
    with pytest.raises(ModelError, match=r"a folder without dossr\.json, so `convert` did not make it"):
        load(tmp_path)
