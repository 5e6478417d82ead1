"""Where nobody listens, what is only told ends no work; what was asked for does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

RUN = f"{sys.executable} -m dossr_video"


@pytest.mark.parametrize(
    "shell",
    [
        "{run} {clip} {out} --model bicubic --progress json | head -1",
        "{run} {clip} {out} --model bicubic 2>&1 | head -1",
        "{run} {clip} {out} --model bicubic 2>&-",
        "{run} {clip} {out} --model bicubic --progress json >&-",
    ],
)
def test_a_run_that_nobody_listens_to_goes_on(shell: str, clip: Path, tmp_path: Path) -> None:
    out = tmp_path / "o.mp4"
    command = shell.format(run=RUN, clip=clip, out=out)
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, out.exists()) == (0, True), done.stderr


def test_frames_that_nobody_reads_end_the_run(tmp_path: Path) -> None:
    frame = b"YUV4MPEG2 W32 H32 F25:1\nFRAME\n" + bytes(32 * 32 * 3 // 2)
    done = subprocess.run(
        ["bash", "-c", f"{RUN} - - --model bicubic >&-"], input=frame, capture_output=True, check=False
    )
    assert done.returncode == 1
    assert b"error: " in done.stderr
