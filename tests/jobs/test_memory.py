"""Host memory does not grow with the length of the file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest

WIDTH, HEIGHT = 128, 96
SHORT, LONG = 60, 600  # frames


def make_film(path: Path, frames: int) -> Path:
    """A cut every 30 frames: many segments, each of which begins with a seek or ends with one."""
    noise = np.random.default_rng(0).integers(0, 255, (2, HEIGHT, WIDTH, 3), np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"preset": "ultrafast", "crf": "40", "g": "250"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for index in range(frames):
            picture = np.roll(noise[index // 30 % 2] // (1 + index // 30 % 2), index, axis=1)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path


def peak(source: Path, target: Path) -> float:
    """The most memory that the command had, MB."""
    command = [sys.executable, "-m", "dossr_video", str(source), str(target), "--model", "bicubic", "--scale", "2"]
    process = subprocess.Popen([*command, "--speed", "ultrafast", "--chunk", "2", "--threads", "1", "--quiet"])
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0
    return usage.ru_maxrss / 1000


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss is in kilobytes on Linux alone")
def test_ten_times_as_long_a_film_takes_no_more_memory(tmp_path: Path) -> None:
    """The frames decoded, kept as they are computed with, would be 80 MB; the pictures computed 320 MB."""
    short = peak(make_film(tmp_path / "short.mp4", SHORT), tmp_path / "short_out.mp4")
    long = peak(make_film(tmp_path / "long.mp4", LONG), tmp_path / "long_out.mp4")
    assert long < short + 40
