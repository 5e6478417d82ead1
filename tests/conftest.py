"""What every test may use: the sample clip and small moving pictures."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

SAMPLE = Path(__file__).parent / "data" / "sample.mp4"


@pytest.fixture(scope="session")
def sample() -> Path:
    """The clip of `make demo`: 50 frames of 208x88 at 25 per second, a cut in the middle, AAC sound."""
    return SAMPLE


@pytest.fixture(scope="session")
def moving() -> Tensor:
    """(9, 3, 32, 40) in [0, 1]: a smooth random texture that slides by (1.5, 0.75) pixels a frame."""
    rng = np.random.default_rng(5)
    texture = cv2.GaussianBlur(rng.random((96, 96, 3), np.float32), (0, 0), 1.5)
    texture = (texture - texture.min()) / (texture.max() - texture.min())
    shifts = [np.float32([[1, 0, -1.5 * t], [0, 1, -0.75 * t]]) for t in range(9)]
    frames = [cv2.warpAffine(texture, shift, (96, 96), borderMode=cv2.BORDER_REFLECT)[:32, :40] for shift in shifts]
    return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2).contiguous()


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("gpu") and not torch.cuda.is_available():
        if os.environ.get("FAIL_WITHOUT_CUDA") == "1":
            pytest.fail("FAIL_WITHOUT_CUDA=1 and there is no CUDA device")
        pytest.skip("needs a CUDA device")
