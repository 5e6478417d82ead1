"""Small clips and metric networks, made from numbers so that no file and no download is needed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

Clip = NDArray[np.uint8]


def texture(rng: np.random.Generator, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Waves of many lengths, (H, W, 3), around 0."""
    waves = rng.uniform(-0.9, 0.9, (12, 2))
    phases = rng.uniform(0, 2 * np.pi, (12, 3))
    return sum(np.sin(wx * x[..., None] + wy * y[..., None] + p) for (wx, wy), p in zip(waves, phases, strict=True))


@pytest.fixture(scope="session")
def truth() -> Clip:
    """(5, 96, 128, 3): the left half stands still, the right half slides by (1.5, 0.75) pixels a frame."""
    y, x = np.mgrid[:96, :128].astype(float)
    frames = []
    for t in range(5):
        moved = t * (x >= 64)
        picture = texture(np.random.default_rng(1), x - 1.5 * moved, y - 0.75 * moved)
        frames.append((64 + 9 * picture).clip(0, 127).round().astype(np.uint8))
    return np.stack(frames)


@pytest.fixture(scope="session")
def result(truth: Clip) -> Clip:
    """The truth, softened and noisy."""
    soft = truth.astype(float)
    soft[:, :, 1:-1] = (soft[:, :, :-2] + 2 * soft[:, :, 1:-1] + soft[:, :, 2:]) / 4
    noise = np.random.default_rng(2).normal(0, 3, soft.shape)
    return (soft + noise).clip(0, 127).round().astype(np.uint8)


@pytest.fixture(scope="session")
def metric_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in the layout of fetch_metric_weights.py: the same layers, few features, random weights."""
    folder = tmp_path_factory.mktemp("metric_weights")
    rng = np.random.default_rng(3)
    alex = _network(rng, sides=(11, 5, 3, 3, 3), widths=(8,) * 5, stages=range(5))
    vgg = _network(rng, sides=(3,) * 13, widths=(4,) * 4 + (8,) * 9, stages=(1, 3, 6, 9, 12))
    features = 3 + 4 + 4 + 8 + 8 + 8
    dists = {f"dists_{name}": rng.uniform(0, 1, features).astype(np.float32) for name in ("alpha", "beta")}
    np.savez(folder / "lpips_alex.npz", **alex)
    np.savez(folder / "vgg16.npz", **vgg, **dists)
    return folder


def _network(
    rng: np.random.Generator, *, sides: tuple[int, ...], widths: tuple[int, ...], stages: range | tuple[int, ...]
) -> dict[str, NDArray[np.float32]]:
    arrays = {}
    inputs = 3
    for i, (side, width) in enumerate(zip(sides, widths, strict=True)):
        weight = rng.normal(0, (2 / (inputs * side**2)) ** 0.5, (width, inputs, side, side))
        arrays[f"conv{i}_w"], arrays[f"conv{i}_b"] = weight, rng.normal(0, 0.1, width)
        inputs = width
    for i, last in enumerate(stages):
        arrays[f"lin{i}"] = rng.uniform(0, 1, (1, widths[last], 1, 1))
    return {name: value.astype(np.float32) for name, value in arrays.items()}
