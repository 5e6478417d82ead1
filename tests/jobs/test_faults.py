"""kill -9 at any moment, then the same command again: the result is that of an uninterrupted run."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dossr_video.settings import Settings

STAGES = ("decode", "sample", "encode", "rename", "ledger", "join", "folder")
POINTS = 5  # of each stage


@pytest.fixture(scope="module")
def steps(runner: Any, clip: Path, tiny: Settings, tmp_path_factory: pytest.TempPathFactory) -> dict[str, int]:
    """How many steps each stage of an uninterrupted run has."""
    reply = runner.run(clip, tmp_path_factory.mktemp("steps") / "out.mp4", tiny, stage=None)
    assert reply["error"] is None
    return dict(reply["steps"])


@pytest.mark.parametrize("point", range(POINTS))
@pytest.mark.parametrize("stage", STAGES)
def test_killed_anywhere_the_same_command_ends_with_the_same_result(
    stage: str,
    point: int,
    runner: Any,
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
    reply = runner.run(clip, target, tiny, stage=stage, step=max(step, 1))
    assert reply["killed"]
    assert not target.exists() or content(target) == whole
    reply = runner.run(clip, target, tiny)
    assert reply["error"] is None or "exists" in reply["error"][1]  # killed after the last step but one
    assert content(target) == whole
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.mp4"]


@pytest.mark.parametrize("largest", [3000, 20_000, 40_000])
def test_a_file_that_cannot_grow_costs_no_finished_segment(
    largest: int,
    runner: Any,
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
