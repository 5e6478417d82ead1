"""What a person sees at a terminal."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

TERMINAL = {**os.environ, "TERM": "xterm", "COLUMNS": "120"}


def at_a_terminal(*arguments: str | Path) -> tuple[int, str]:
    """Exit code and screen of the command."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "dossr_video", *map(str, arguments)]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=TERMINAL) as process:
        os.close(theirs)
        screen = b""
        try:
            while content := os.read(ours, 1 << 16):
                screen += content
        except OSError:  # how Linux tells that the other end is closed
            pass
        os.close(ours)
    return process.returncode, screen.decode()


def test_a_bar_is_drawn_from_the_first_moment_whatever_the_name(tmp_path: Path, sample: Path) -> None:
    """While the file is looked at, the number of frames is not known."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "[restored] [b].mp4").write_bytes(sample.read_bytes())
    options = (tmp_path / "in", tmp_path / "out", "--model", "bicubic", "--duration", "0.2")
    code, screen = at_a_terminal("batch", *options)
    assert code == 0, screen
    assert "starting" in screen
    assert "0/?" in screen
    assert "5/5" in screen
    assert "1/1 [restored] [b].mp4: upscaling" in screen
    assert "1 done" in screen
