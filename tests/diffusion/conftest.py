"""Golden numbers of the reference sampler."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

GOLDEN = Path(__file__).parents[1] / "data" / "golden" / "tiny"


@pytest.fixture(scope="session")
def golden_schedule() -> dict[str, np.ndarray]:
    with np.load(GOLDEN / "schedule.npz") as file:
        return {name: file[name] for name in file.files}


@pytest.fixture(scope="session")
def golden_runs() -> dict[str, Tensor]:
    """In float64: what the reference's float32 runs were rounded from, as near as can be."""
    with np.load(GOLDEN / "sampler.npz") as file:
        return {name: torch.from_numpy(file[name]).double() for name in file.files}
