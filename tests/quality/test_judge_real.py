"""scripts/judge_real.py from a clip to sheets, slices and figures, beside a network in ncnn's format."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from dossr_video.quality.pairs import encode

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def command(truth: NDArray[np.uint8], tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("real")
    encode(truth, folder / "waves.mkv", crf=None)
    layers = ["Input input 0 1 data", "Interp enlarge 1 1 data output 0=1 1=4.0 2=4.0"]
    (folder / "nearest.param").write_text("\n".join(["7767517", "2 2", *layers]))
    (folder / "nearest.bin").write_bytes(b"")
    files = [str(folder / name) for name in ("out", "waves.mkv")]
    more = ["--peer", str(folder / "nearest.param"), "--model", "bicubic", "--frames", "4", "--crop", "8,4,40,32"]
    return [sys.executable, str(ROOT / "scripts" / "judge_real.py"), *files, *more]


def run(command: list[str], *more: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run([*command, *more], text=True, capture_output=True, env=environment, check=False)


def test_figures_and_pictures(command: list[str]) -> None:
    finished = run(command, "--crop", "60,40,40,32")
    assert finished.returncode == 0, finished.stderr
    out = Path(command[2])
    names = {"waves_0.png", "waves_0_slice.png", "waves_1.png", "waves_1_slice.png", "real.md"}
    assert {file.name for file in out.iterdir()} == names
    page = (out / "real.md").read_text()
    assert page == finished.stdout.rstrip("\n") + "\n"
    lines = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| nearest")]
    assert len(lines) == 3  # two crops and their mean
    bands, sharp = (float(value) for value in lines[0][1:3])
    assert 0 < bands < 2
    assert sharp > 1.2  # blocks have more fine detail than what is interpolated
    with Image.open(out / "waves_0.png") as sheet:
        shown = np.asarray(sheet)
    # Two pictures of 320x256, one above the other: the lower is nearest's, 8x8 pixels alike.
    block = shown[260 + 128 : 260 + 136, 160:168]
    assert np.ptp(shown[128:136, 160:168], axis=(0, 1)).max() > 0
    assert np.ptp(block, axis=(0, 1)).max() == 0


def test_a_crop_outside_is_refused(command: list[str]) -> None:
    finished = run(command, "--crop", "100,0,40,32")
    assert finished.returncode == 1
    assert finished.stderr.strip() == "crop 100,0,40,32 is not within the clip's 128x96"
