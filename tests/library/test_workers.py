"""Several workers on one library, and what becomes of it when one of them dies."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dossr_video.library.opening import existing_catalogue

PROGRAM = Path(__file__).parent / "queue_worker.py"
NAMES = ["a.mp4", "b.mp4", "c.mp4", "d.mp4"]


@pytest.fixture
def folder(clip: Path, make_clip: Callable[..., Path], tmp_path: Path) -> Path:
    """Three short clips, and one of six segments."""
    made = tmp_path / "in"
    made.mkdir()
    for seed, name in enumerate(NAMES):
        if name == "b.mp4":
            shutil.copyfile(clip, made / name)
        else:
            make_clip(made / name, [5], seed=seed)
    return made


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """Starts a worker and waits until it is about to begin; all are ended with the test."""
    running: list[subprocess.Popen[str]] = []

    def begin(*arguments: object) -> subprocess.Popen[str]:
        cache = tmp_path / f"cache{len(running)}"  # each machine has its own
        process = subprocess.Popen(
            [sys.executable, str(PROGRAM), *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={
                **os.environ,
                "PYTHONPATH": str(PROGRAM.parents[2]),
                "OMP_NUM_THREADS": "1",
                "XDG_CACHE_HOME": str(cache),
            },
        )
        running.append(process)
        return process

    yield begin
    for process in running:
        process.kill()
        process.communicate()


def told(process: subprocess.Popen[str], line: str) -> list[str]:
    """What it says until that."""
    assert process.stdout is not None
    lines: list[str] = []
    while line not in lines:
        lines.append(process.stdout.readline().strip())
        assert lines[-1], lines
    return lines


@pytest.mark.parametrize("kind", ["folder and sqlite", "folder and postgres", "bucket and postgres"])
def test_of_two_workers_one_is_killed_and_every_file_is_done_once(
    kind: str, folder: Path, start: Callable[..., Any], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    address = request.getfixturevalue("make_database")() if "postgres" in kind else None
    sources, results = folder, tmp_path / "out"
    if "bucket" in kind:
        bucket = request.getfixturevalue("s3")
        bucket.put(str(folder), "films/in", recursive=True)
        sources, results = "s3://films/in", "s3://films/out"
    first = start(sources, results, address or "", "one", -3600, "b.mp4")
    second = start(sources, results, address or "", "two", 3600)
    for process in (first, second):
        told(process, "ready")
    first.stdin.write("\n")
    first.stdin.flush()
    said = told(first, "in the middle")
    second.stdin.write("\n")
    second.stdin.flush()
    while (entry := existing_catalogue(results, address).get("d.mp4")) is None or entry.state != "done":
        time.sleep(0.1)
    held = existing_catalogue(results, address).get("b.mp4")
    assert held.state == "running"
    assert '"host": "one"' in held.worker
    first.kill()
    rest, _ = second.communicate(timeout=200)
    outcomes = Counter(line for line in [*said, *rest.splitlines()] if line.startswith("done "))
    assert outcomes == {f"done {name}": 1 for name in NAMES}
    assert "unchanged a.mp4" in rest
    entries = existing_catalogue(results, address).entries()
    assert [(entry.source, entry.state, entry.worker) for entry in entries] == [(name, "done", None) for name in NAMES]
    assert [entry.attempts for entry in entries] == [1, 2, 1, 1]
    assert "waiting b.mp4" in rest
    if "bucket" in kind:
        made = [name.rpartition("/")[2] for name in bucket.find("films/out")]
        assert bucket.call_s3("list_multipart_uploads", Bucket="films").get("Uploads", []) == []
    else:
        made = [path.name for path in results.iterdir()]
    assert sorted(name for name in made if name.endswith(".mp4")) == NAMES
