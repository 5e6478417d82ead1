from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from dossr_video.errors import ModelError
from dossr_video.quality.networks import Networks, SoftPool


@pytest.fixture(scope="module")
def networks(metric_weights: Path) -> Networks:
    return Networks.load(metric_weights)


@pytest.mark.parametrize("name", ["lpips", "dists", "lpips_a"])
def test_distance_is_zero_for_equals_and_grows(networks: Networks, name: str) -> None:
    generator = torch.Generator().manual_seed(0)
    truth = torch.rand(1, 3, 64, 80, generator=generator)
    noise = torch.randn(1, 3, 64, 80, generator=generator)
    equal, near, far = getattr(networks, name)(torch.cat([truth, truth + 0.05 * noise, truth + 0.3 * noise]), truth)
    assert equal == pytest.approx(0, abs=1e-5)
    assert 0 < near < far


def test_soft_pool_keeps_a_constant_and_halves() -> None:
    pooled = SoftPool()(torch.full((1, 2, 8, 10), 3.0))
    assert pooled.shape == (1, 2, 4, 5)
    torch.testing.assert_close(pooled[..., 1:, 1:], torch.full((1, 2, 3, 4), 3.0))


def test_a_missing_folder_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(ModelError) as error:
        Networks.load(tmp_path / "nowhere")
    assert "fetch_metric_weights.py" in error.value.hint


@pytest.mark.parametrize("damage", ["no zip", "array missing"])
def test_damaged_weights_are_refused(metric_weights: Path, tmp_path: Path, damage: str) -> None:
    for file in metric_weights.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    if damage == "no zip":
        (tmp_path / "vgg16.npz").write_bytes(b"PK\x03\x04 not really")
    else:
        with np.load(tmp_path / "vgg16.npz") as arrays:
            np.savez(tmp_path / "vgg16.npz", **{k: v for k, v in arrays.items() if k != "dists_beta"})
    with pytest.raises(ModelError, match="the metric weights in"):
        Networks.load(tmp_path)
