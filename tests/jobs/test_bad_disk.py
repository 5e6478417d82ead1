"""A source on a disk that cannot be read for a moment, or any more: never taken for the end of the file."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import dossr_video

HERE = Path(__file__).parent


class Reader:
    """A process in which reads of a file can fail."""

    def __init__(self, folder: Path) -> None:
        library = folder / "failing_reads.so"
        subprocess.run(["gcc", "-shared", "-fPIC", "-O1", HERE / "failing_reads.c", "-o", library], check=True)
        packages = str(Path(dossr_video.__file__).parents[1])
        self._process = subprocess.Popen(
            [sys.executable, HERE / "failing_reads.py", library],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "LD_PRELOAD": str(library), "PYTHONPATH": packages},
        )

    def run(self, source: Path, target: Path, settings: Any, *, every: int = 0, after: int = 0) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        order = {"source": str(source), "target": str(target), "settings": settings.model_dump(exclude_defaults=True)}
        print(json.dumps({**order, "every": every, "after": after}), file=self._process.stdin, flush=True)
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        self._process.communicate()


@pytest.fixture(scope="module")
def failing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    if sys.platform != "linux" or shutil.which("gcc") is None:
        pytest.skip("needs gcc on Linux: reads are made to fail by a preloaded library")
    reader = Reader(tmp_path_factory.mktemp("library"))
    yield reader
    reader.close()


def test_reads_that_fail_once_are_tried_again(failing, clip, whole, tiny, content, tmp_path):
    target = tmp_path / "result.mp4"
    reply = failing.run(clip, target, tiny, every=5)
    assert reply.get("frames") == 54, reply
    assert content(target) == whole


def test_a_disk_that_fails_for_good_stops_the_job_and_keeps_what_is_done(failing, clip, whole, tiny, content, tmp_path):
    reads = failing.run(clip, tmp_path / "other.mp4", tiny)["reads"]
    for share in (0.05, 0.4, 0.9):  # looking at the file, working, joining
        target = tmp_path / f"{share}.mp4"
        failed = failing.run(clip, target, tiny, after=int(reads * share))
        assert "cannot be read at byte" in failed["error"]
        assert "finished segments are kept" in failed["hint"]
        assert not target.exists()
        again = failing.run(clip, target, tiny)
        assert again["frames"] == 54
        assert content(target) == whole
    assert again["resumed"] == 6
