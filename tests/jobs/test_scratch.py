"""What a killed process leaves in the folder for temporary files."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from dossr_video.jobs.scratch import Scratch

CODE = "from dossr_video.jobs.scratch import Scratch; print(Scratch().path, flush=True); import time; time.sleep(60)"


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def test_the_folder_of_a_killed_process_is_swept_by_the_next_and_that_of_a_living_one_stays(temporary: Path) -> None:
    other = subprocess.Popen([sys.executable, "-c", CODE], stdout=subprocess.PIPE, text=True)
    assert other.stdout is not None
    folder = Path(other.stdout.readline().strip())
    assert folder.parent == temporary
    (folder / "000003.mp4").write_bytes(b"a segment")
    (temporary / "dossr-video-of-somebody-else").mkdir()
    mine = Scratch()
    assert sorted(temporary.iterdir()) == sorted([folder, mine.path, temporary / "dossr-video-of-somebody-else"])
    os.kill(other.pid, signal.SIGKILL)
    other.wait()
    other.stdout.close()
    second = Scratch()
    assert not folder.exists()
    assert mine.path.exists()
    mine.remove()
    second.remove()
    assert [path.name for path in temporary.iterdir()] == ["dossr-video-of-somebody-else"]
