"""What tests of training share."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from dossr_video.training.footage import Footage


@pytest.fixture(scope="session")
def footage(tmp_path_factory: pytest.TempPathFactory) -> Footage:
    """Three photographs of coloured shapes."""
    folder = tmp_path_factory.mktemp("photographs")
    rng = np.random.default_rng(0)
    for i in range(3):
        image = np.full((220, 260, 3), rng.integers(60, 200, 3), np.uint8)
        for _ in range(60):
            centre, colour = rng.integers(0, 260, 2).tolist(), rng.integers(0, 256, 3).tolist()
            cv2.circle(image, centre, int(rng.integers(3, 25)), colour, -1)
        cv2.imwrite(str(folder / f"{i}.png"), image)
    return Footage.of(folder, None)
