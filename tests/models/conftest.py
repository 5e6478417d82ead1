"""A small DoSSR checkpoint in the released layout, its golden numbers, and what `convert` makes of it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from dossr_video.frames import Motion
from dossr_video.models.dossr.convert import convert
from dossr_video.models.dossr.model import DoSSR, load_dossr

GOLDEN = Path(__file__).parents[1] / "data" / "golden" / "tiny"
HEADS = {"head_channels": 8, "text_head_channels": 8}  # of the small checkpoint; the released one has 64
CPU = torch.device("cpu")


@pytest.fixture(scope="session")
def checkpoint() -> Path:
    return GOLDEN / "tiny.ckpt"


@pytest.fixture
def weights(checkpoint: Path) -> dict[str, Tensor]:
    """The checkpoint's tensors, for a test to spoil."""
    return torch.load(checkpoint, weights_only=True)["state_dict"]


@pytest.fixture(scope="session")
def load() -> Callable[..., DoSSR]:
    """load_dossr on the CPU in float32, for small networks."""

    def load(path: Path, **options: object) -> DoSSR:
        return load_dossr(path, device=CPU, **({"dtype": torch.float32} | HEADS | options))

    return load


@pytest.fixture(scope="session")
def tiny(load: Callable[..., DoSSR], checkpoint: Path) -> DoSSR:
    return load(checkpoint)


@pytest.fixture(scope="session")
def folder(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint, converted without its text tower."""
    target = tmp_path_factory.mktemp("converted") / "tiny"
    convert(checkpoint, target, **HEADS)
    return target


@pytest.fixture(scope="session")
def networks() -> dict[str, Tensor]:
    """One golden forward pass of each network."""
    with np.load(GOLDEN / "networks.npz") as file:
        return {name: torch.from_numpy(file[name]) for name in file.files}


@pytest.fixture(scope="session")
def still() -> Motion:
    """No motion for two frames of the golden pictures."""
    return Motion(torch.zeros(2, 2, 32, 32), torch.zeros(2, 1, 32, 32))
