"""Weights that claim more than they hold, or hold no numbers to compute with, are refused in every kind of file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from dossr_video.errors import ModelError
from dossr_video.models import limits
from dossr_video.models.checkpoint import read_weights
from dossr_video.models.limits import built_within
from dossr_video.models.raft import load_flow
from dossr_video.models.registry import load_model

pytest.importorskip("spandrel")
CPU = torch.device("cpu")
Change = Callable[[dict[str, Tensor]], object]


def _network(blocks: int = 2, width: int = 8) -> dict[str, Tensor]:
    """Of Real-ESRGAN's compact kind, x2."""
    weights = {"body.0.weight": torch.randn(width, 3, 3, 3), "body.0.bias": torch.zeros(width)}
    weights["body.1.weight"] = torch.ones(width)
    for block in range(1, blocks + 1):
        weights[f"body.{2 * block}.weight"] = torch.randn(width, width, 3, 3) / 100
        weights[f"body.{2 * block}.bias"] = torch.zeros(width)
        weights[f"body.{2 * block + 1}.weight"] = torch.ones(width)
    last = 2 * blocks + 2
    return {**weights, f"body.{last}.weight": torch.zeros(12, width, 3, 3), f"body.{last}.bias": torch.zeros(12)}


def _set(name: str, value: Tensor) -> Change:
    return lambda weights: weights.__setitem__(name, value)


CLAIMS: dict[str, tuple[Change, str]] = {
    "45,000 blocks": (
        lambda weights: weights.update(
            {"body.90000.weight": torch.zeros(12, 8, 3, 3), "body.90000.bias": torch.ones(12)}
        ),
        "far larger than what it holds",
    ),
    "200,000 channels": (_set("body.0.weight", torch.zeros(200_000, 3, 3, 3)), "far larger than what it holds"),
    "integers": (_set("body.2.weight", torch.ones(8, 8, 3, 3, dtype=torch.int8)), "as torch.int8, not as floats"),
    "nan": (_set("body.2.weight", torch.full((8, 8, 3, 3), torch.nan)), "not finite"),
    "infinite": (_set("body.2.bias", torch.full((8,), -torch.inf)), "not finite"),
    "a long name": (_set("body." * 1000 + "weight", torch.zeros(1)), "a name of 5006 characters"),
}


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("claim", CLAIMS)
def test_a_network_of_others(tmp_path: Path, suffix: str, claim: str) -> None:
    change, message = CLAIMS[claim]
    weights, path = _network(), tmp_path / f"network{suffix}"
    change(weights)
    save_file(weights, path) if suffix == ".safetensors" else torch.save(weights, path)
    with pytest.raises(ModelError, match=message) as caught:
        load_model(str(path), device="cpu")
    assert "\n" not in caught.value.message


def test_a_sound_one_is_taken(tmp_path: Path) -> None:
    torch.save(_network(), tmp_path / "network.pth")
    assert load_model(str(tmp_path / "network.pth"), device="cpu").scale == 2


def test_views_that_claim_more_than_their_file_holds(tmp_path: Path) -> None:
    path = tmp_path / "views.pth"
    torch.save({"a": torch.zeros(1).expand(100_000, 100_000)}, path)
    with pytest.raises(ModelError, match="claims 100000x100000 numbers in a, and does not hold them"):
        read_weights(path)
    shared = torch.zeros(1000, 100)
    torch.save({f"a{i}": shared for i in range(100)}, path)
    with pytest.raises(ModelError, match="claims 40 MB of numbers, more than 4 times its size"):
        read_weights(path)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_names_without_end(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MOST_TENSORS", 100)
    weights, path = {f"a{i}": torch.zeros(1) for i in range(101)}, tmp_path / f"many{suffix}"
    save_file(weights, path) if suffix == ".safetensors" else torch.save(weights, path)
    with pytest.raises(ModelError, match="holds 101 tensors; at most 100 are read"):
        read_weights(path)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_weights_of_optical_flow(tmp_path: Path, value: float) -> None:
    torch.save({"feature_encoder.convnormrelu.0.weight": torch.full((32, 3, 7, 7), value)}, tmp_path / "raft.pth")
    with pytest.raises(ModelError, match=r"--flow .* not finite"):
        load_flow(str(tmp_path / "raft.pth"), device=CPU)


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("unet", {"layers_per_block": 3000}),
        ("unet", {"block_out_channels": [32000, 64000, 64000, 64000]}),
        ("vae", {"layers_per_block": 3000}),
    ],
)
def test_a_folder_whose_config_claims_too_much(tmp_path: Path, name: str, config: dict[str, object]) -> None:
    from dossr_video.models.dossr.networks import ConvertedFolder

    (tmp_path / name).mkdir()
    (tmp_path / "dossr.json").write_text("{}")
    (tmp_path / name / "config.json").write_text(json.dumps(config))
    save_file({"conv_in.weight": torch.zeros(4, 4)}, tmp_path / name / "diffusion_pytorch_model.safetensors")
    with pytest.raises(ModelError, match="far larger than what it holds"):
        ConvertedFolder(tmp_path).network(name, device=CPU, dtype=torch.float32)


def test_a_network_may_be_a_few_times_as_large_as_its_file() -> None:
    with built_within("x", {"a": torch.zeros(1 << 20, dtype=torch.float16)}):
        torch.nn.Linear(1024, 1024)
    with pytest.raises(ModelError), built_within("x", {"a": torch.zeros(1)}):
        torch.nn.Linear(1 << 20, 1 << 20)
