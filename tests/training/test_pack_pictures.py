"""scripts/pack_pictures.py: pictures within so many bytes, cut where there is most to learn."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np

from dossr_video.training.footage import Footage

SCRIPT = Path(__file__).parents[2] / "scripts" / "pack_pictures.py"


def pack(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, SCRIPT, *map(str, arguments)], capture_output=True, text=True)


def test_pictures_within_a_size(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    flat = np.full((900, 1200, 3), 128, np.uint8)
    flat[500:800, 700:1000] = rng.integers(0, 256, (300, 300, 3))
    small = rng.integers(0, 256, (100, 120, 3), np.uint8)
    source = tmp_path / "photos"
    source.mkdir()
    for name, image in (("a.png", flat), ("b.PNG", small)):
        cv2.imwrite(str(source / name), image)
    run = pack(tmp_path / "out", source, "--megabytes", 0.09)
    assert run.returncode == 0, run.stderr
    files = sorted((tmp_path / "out").iterdir())
    assert sum(file.stat().st_size for file in files) <= 90_000
    cut, whole = (cv2.imread(str(file)) for file in files)
    assert whole.shape == small.shape
    assert 256 <= cut.shape[0] < 900
    assert cut.std() > 1.5 * flat.std()  # where the detail is
    assert len(Footage.of(tmp_path / "out", None).photographs) == 2
    again = pack(tmp_path / "out", source)
    assert again.returncode == 1
    assert "not empty" in again.stderr


def test_too_many_pictures(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.random.default_rng(0).integers(0, 256, (400, 400, 3), np.uint8))
    run = pack(tmp_path / "out", tmp_path, "--megabytes", 0.001)
    assert run.returncode == 1
    assert "pack fewer" in run.stderr
    assert not (tmp_path / "out").exists()
