"""System calls that fail, each at every place where a job makes one: the result is equal, or a clear error and equal
after the next command."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dossr_video.jobs.run import run_job

FOR_GOOD = 1 << 40
FAULTS = {  # the call, the error, how many fail: one, or all from there on
    "read-once": ("read", errno.EIO, 1),
    "read-for-good": ("read", errno.EIO, FOR_GOOD),
    "write-once": ("write", errno.EIO, 1),
    "write-for-good": ("write", errno.EIO, FOR_GOOD),
    "disk-full": ("write", errno.ENOSPC, FOR_GOOD),
    "fsync-once": ("fsync", errno.EIO, 1),
    "rename-once": ("rename", errno.EIO, 1),
    "rename-for-good": ("rename", errno.EACCES, FOR_GOOD),
    "open-once": ("open", errno.EIO, 1),
    "open-for-good": ("open", errno.EACCES, FOR_GOOD),
    "too-many-files": ("open", errno.EMFILE, FOR_GOOD),
    "unlink-once": ("unlink", errno.EIO, 1),
    "unlink-for-good": ("unlink", errno.EACCES, FOR_GOOD),
    "mkdir-once": ("mkdir", errno.EIO, 1),
    "mkdir-for-good": ("mkdir", errno.ENOSPC, FOR_GOOD),
}
POINTS = 3  # of each fault, spread over the job; with --thorough every one

Content = Callable[[Path], dict[str, Any]]


@pytest.fixture(scope="module")
def small(make_clip: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two segments."""
    return make_clip(tmp_path_factory.mktemp("small") / "clip.mp4", [5, 4])


@pytest.fixture(scope="module")
def made(small: Path, tiny: Any, content: Content, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a job without faults makes of it."""
    target = tmp_path_factory.mktemp("made") / "out.mp4"
    run_job(small, target, tiny)
    return content(target)


@pytest.mark.parametrize("name", FAULTS)
def test_a_call_that_fails_costs_nothing_that_the_next_command_does_not_bring(
    name: str,
    failing: Any,
    small: Path,
    made: dict[str, Any],
    tiny: Any,
    content: Content,
    tmp_path: Path,
    pytestconfig: pytest.Config,
) -> None:
    call, code, times = FAULTS[name]
    calls = failing.run(_folder(tmp_path, "count", small), tmp_path / "count/out.mp4", tiny, fail=_fail(call, tmp_path))
    count, reached, problems = calls["calls"], 0, []
    points = range(1, count + 1)
    if not pytestconfig.getoption("thorough"):
        points = sorted({1 + (count - 1) * i // (POINTS - 1) for i in range(POINTS)})
    for point in points:
        source = _folder(tmp_path, str(point), small)
        target = source.with_name("out.mp4")
        reply = failing.run(source, target, tiny, fail=_fail(call, source.parent, point, times, code))
        found = [*_wrong(reply), *(["half a result"] if target.exists() and content(target) != made else [])]
        if reply["error"] is not None or not target.exists():
            again = failing.run(source, target, tiny)
            if again["error"] is not None and not (target.exists() and "exists" in again["error"][1]):
                found.append(f"then {again['error']}")
            found += _wrong(again)
        if not target.exists() or content(target) != made:
            found.append("another result")
        left = sorted(path.name for path in source.parent.iterdir() if path not in (source, target))
        if left:
            found.append(f"left: {left}")
        if found:
            problems.append(f"{call} {point} of {count}: {reply['error']}: {'; '.join(found)}")
        shutil.rmtree(source.parent)
        reached += reply.get("failed", 0)
    assert reached
    assert not problems, "\n".join(problems)


def _folder(parent: Path, name: str, source: Path) -> Path:
    """A folder with a copy of the source."""
    (parent / name).mkdir()
    return Path(shutil.copy(source, parent / name / "clip.mp4"))


def _fail(call: str, folder: Path, first: int = 1, times: int = 0, code: int = 0, each: int = 1) -> list[Any]:
    return [call, str(folder), first, each, times, code]


def _wrong(reply: Any) -> Iterator[str]:
    """What no fault may lead to."""
    if reply.get("killed") or "error" not in reply:
        yield "crashed"
        return
    if reply["error"] is not None and reply["error"][2] == "defect":
        yield "taken for a defect"
    if "Traceback" in reply["said"]:
        yield f"said {reply['said']}"


def test_reads_that_fail_once_are_tried_again(failing, clip, whole, tiny, content, tmp_path):
    target = tmp_path / "result.mp4"
    reply = failing.run(clip, target, tiny, fail=_fail("read", clip, 5, FOR_GOOD, errno.EIO, each=5))
    assert reply.get("frames") == 54, reply
    assert content(target) == whole


def test_a_disk_that_fails_for_good_stops_the_job_and_keeps_what_is_done(failing, clip, whole, tiny, content, tmp_path):
    reads = failing.run(clip, tmp_path / "other.mp4", tiny, fail=_fail("read", clip))["calls"]
    for share in (0.05, 0.4, 0.9):  # looking at the file, working, joining
        target = tmp_path / f"{share}.mp4"
        failed = failing.run(clip, target, tiny, fail=_fail("read", clip, int(reads * share) + 1, FOR_GOOD, errno.EIO))
        assert "cannot be read at byte" in failed["error"][1]
        assert "finished segments are kept" in failed["error"][2]
        assert not target.exists()
        again = failing.run(clip, target, tiny)
        assert again["frames"] == 54
        assert content(target) == whole
    assert again["resumed"] == 6
