"""kill -9 at any moment, then the same command again: the result is that of an uninterrupted run."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import dossr_video
from dossr_video.settings import Settings

HERE = Path(__file__).parent
STAGES = ("decode", "sample", "encode", "rename", "ledger", "join", "folder")
POINTS = 5  # of each stage


class Runner:
    """One warm process that runs jobs in forks of itself."""

    def __init__(self) -> None:
        command = [sys.executable, str(HERE / "killable.py")]
        # The package that is tested, which need not be the one that is installed.
        environment = {**os.environ, "PYTHONPATH": str(Path(dossr_video.__file__).parents[1])}
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def run(
        self, source: Path, target: Path, settings: Settings, stage: str | None = None, step: int = 0, largest: int = 0
    ) -> Any:
        """Its reply; `largest` (bytes) is the size above which files cannot be written, as on a full disk."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        command = {"source": str(source), "target": str(target), "settings": settings.model_dump(exclude_defaults=True)}
        print(
            json.dumps({**command, "stage": stage, "step": step, "largest": largest}),
            file=self._process.stdin,
            flush=True,
        )
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        self._process.communicate()


@pytest.fixture(scope="module")
def runner() -> Iterator[Runner]:
    runner = Runner()
    yield runner
    runner.close()


@pytest.fixture(scope="module")
def steps(runner: Runner, clip: Path, tiny: Settings, tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """How many steps each stage of an uninterrupted run has."""
    reply = runner.run(clip, tmp_path_factory.mktemp("steps") / "out.mp4", tiny)
    assert reply["error"] is None
    return dict(reply["steps"])


@pytest.mark.parametrize("point", range(POINTS))
@pytest.mark.parametrize("stage", STAGES)
def test_killed_anywhere_the_same_command_ends_with_the_same_result(
    stage: str,
    point: int,
    runner: Runner,
    steps: dict[str, int],
    clip: Path,
    tiny: Settings,
    whole: dict[str, Any],
    content: Callable[[Path], dict[str, Any]],
    tmp_path: Path,
) -> None:
    target = tmp_path / "out.mp4"
    # One point in each fifth of the stage. Threads make the count vary a little from run to run.
    step = round(steps[stage] * (point + random.Random(f"{stage}{point}").random()) / POINTS * 0.98)
    reply = runner.run(clip, target, tiny, stage, max(step, 1))
    assert reply["killed"]
    assert not target.exists() or content(target) == whole
    reply = runner.run(clip, target, tiny)
    assert reply["error"] is None or "exists" in reply["error"][1]  # killed after the last step but one
    assert content(target) == whole
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.mp4"]


@pytest.mark.parametrize("largest", [3000, 20_000, 40_000])
def test_a_file_that_cannot_grow_costs_no_finished_segment(
    largest: int,
    runner: Runner,
    clip: Path,
    tiny: Settings,
    whole: dict[str, Any],
    content: Callable[[Path], dict[str, Any]],
    tmp_path: Path,
) -> None:
    """The system refuses to write in the middle of the plan, of a segment, of the joined result."""
    target = tmp_path / "out.mp4"
    reply = runner.run(clip, target, tiny, largest=largest)
    assert reply["error"][0] == "TargetError", reply
    assert not target.exists()
    assert not list(tmp_path.rglob("*.part*"))
    assert runner.run(clip, target, tiny)["error"] is None
    assert content(target) == whole
    assert [path.name for path in tmp_path.iterdir()] == ["out.mp4"]
