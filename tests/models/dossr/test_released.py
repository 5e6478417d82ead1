"""The released layout: full size on paper, small size with weights, and everything that does not fit."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
import torch

from dossr_video.errors import ModelError
from dossr_video.models.base import Restored
from dossr_video.models.dossr.architecture import build
from dossr_video.models.dossr.networks import ReleasedCheckpoint
from dossr_video.models.dossr.released import PREFIXES

MANIFEST = Path(__file__).parents[2] / "data" / "manifest_full.json.gz"
META = torch.device("meta")


@pytest.fixture(scope="module")
def manifest():
    return json.loads(gzip.decompress(MANIFEST.read_bytes()))


@pytest.mark.parametrize("name", PREFIXES)
def test_full_size_fits_the_released_checkpoint(manifest, name):
    """`build` raises unless every key and shape of the part has its place; the counts are the published ones."""
    weights = {key: torch.empty(shape, device=META) for key, (shape, _) in manifest["keys"].items()}
    network = build(name, weights, source="manifest", device=META, dtype=torch.float32)
    parameters = sum(value.numel() for value in network.parameters())
    counts = manifest["counts"]
    expected = {
        "unet": counts["unet"]["parameters"],
        # Its own way in for hints, which is not in the file, has 3210 zeros.
        "controlnet": counts["control"]["parameters"] + 3210,
        "vae": counts["vae"]["parameters"],
        "cond_encoder": counts["cond_encoder"]["parameters"],
        "restorer": counts["preprocess"]["parameters"],
        "text_encoder": counts["text"]["parameters"] - counts["text"]["never_used_at_inference"],
    }
    assert parameters == expected[name]


def test_full_size_has_heads_of_64_channels(manifest):
    weights = {key: torch.empty(shape, device=META) for key, (shape, _) in manifest["keys"].items()}
    for name in ("unet", "controlnet"):
        network = build(name, weights, source="manifest", device=META, dtype=torch.float32)
        assert network.config.attention_head_dim == [5, 10, 20, 20]
        assert network.down_blocks[0].attentions[0].transformer_blocks[0].attn1.heads == 5


def save(weights, path):
    torch.save({"state_dict": weights}, path)
    return path


def broken(load, weights, tmp_path):
    with pytest.raises(ModelError) as caught:
        load(save(weights, tmp_path / "broken.ckpt"))
    assert "\n" not in caught.value.message + caught.value.hint
    return caught.value.message


def test_a_missing_part_is_named(load, weights, tmp_path):
    kept = {key: value for key, value in weights.items() if not key.startswith(("control_model.", "cond_encoder."))}
    message = broken(load, kept, tmp_path)
    assert "lacks control_model.*, cond_encoder.*" in message


@pytest.mark.parametrize(
    "key",
    [
        "model.diffusion_model.input_blocks.0.0.weight",
        "model.diffusion_model.output_blocks.3.0.in_layers.2.bias",
        "control_model.zero_convs.1.0.weight",
        "control_model.middle_block.1.transformer_blocks.0.attn2.to_k.weight",
        "first_stage_model.decoder.up.1.block.0.norm1.weight",
        "cond_encoder.quant_conv.weight",
        "cond_stage_model.model.transformer.resblocks.0.attn.in_proj_bias",
        "preprocess_model.conv_hr.weight",
    ],
)
def test_missing_and_misshapen_tensors_are_named(weights, key):
    name, prefix = next((name, prefix) for name, prefix in PREFIXES.items() if key.startswith(prefix))
    own = key.removeprefix(prefix).replace("in_proj_bias", "in_proj_q.bias")
    value = weights.pop(key)

    def message():
        with pytest.raises(ModelError) as caught:
            build(name, weights, source="file", device=META, dtype=torch.float32, head_channels=8)
        return caught.value.message

    assert f"{prefix}* lacks" in message()
    assert own in message()
    weights[key] = torch.cat([value, value])
    assert f"{prefix}* has" in message()


def test_tensors_without_a_place_are_named(load, weights, tmp_path):
    weights["control_model.input_blocks.1.2.weight"] = torch.zeros(1)
    assert "has no place for input_blocks.1.2.weight" in broken(load, weights, tmp_path)


def test_other_models_are_not_taken_for_dossr(load, tmp_path):
    message = broken(load, {"conv_first.weight": torch.zeros(64, 3, 3, 3)}, tmp_path)
    assert "is no DoSSR checkpoint" in message
    assert "and 3 more" in message


def test_heads_are_asked_for_beside_the_checkpoint(checkpoint, tmp_path):
    copy = tmp_path / "copy.ckpt"
    copy.symlink_to(checkpoint)
    beside = tmp_path / "config.json"

    def told():
        source = ReleasedCheckpoint(copy)
        return source.head_channels, source.text_head_channels

    assert told() == (64, 64)
    beside.write_text('{"unet": {"num_head_channels": 8}, "text": {"width": 32, "heads": 2}}')
    assert told() == (8, 16)
    for other in ("not JSON", '{"unet": "of another program"}', '{"unet": {"num_head_channels": 8}}'):
        beside.write_text(other)
        assert told() == (64, 64)


@pytest.mark.parametrize("part", ["head_channels", "text_head_channels"])
def test_heads_that_do_not_divide_ask_for_their_size(load, checkpoint, part):
    with pytest.raises(ModelError, match="attention heads of 64") as caught:
        load(checkpoint, **{part: 64})
    assert "head channels" in caught.value.hint


def test_equal_encoders_are_shared(load, weights, tmp_path, networks):
    own = {key: value for key, value in weights.items() if not key.startswith("cond_encoder.")}
    copied = {
        key.replace("first_stage_model.", "cond_encoder."): value
        for key, value in weights.items()
        if key.startswith(("first_stage_model.encoder.", "first_stage_model.quant_conv."))
    }
    path = save(own | copied, tmp_path / "shared.ckpt")
    assert ReleasedCheckpoint(path).shared_encoder
    model = load(path)
    pictures = networks["rrdb_out"].clamp(0, 1)
    latents = model.encode(pictures)
    assert model.networks.cond_encoder is None
    assert model.condition(Restored(pictures), latents).hint is latents

    first = next(iter(copied))
    copied[first] = copied[first] + 1e-3
    assert not ReleasedCheckpoint(save(own | copied, tmp_path / "own.ckpt")).shared_encoder
