"""What runs the segments of a job, and what it gets for each."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from dossr_video.runspec import RunSpec, WorkerInfo
from dossr_video.segments import Segment, SegmentResult
from dossr_video.video.info import SourceInfo


@dataclass(frozen=True)
class Task:
    """A segment, the file it is cut from, the file it becomes, and how."""

    segment: Segment
    source: SourceInfo
    target: Path
    spec: RunSpec
    url: str | None = None  # where a machine that does not see the source may fetch it
    only_area: bool = False  # the segment's area alone becomes the file, to measure the speed


@dataclass(frozen=True)
class Callbacks:
    """What a run of tasks reports and asks; `on_done` and `on_frames` are called from one thread at a time."""

    on_done: Callable[[SegmentResult], None]  # a segment's file is whole
    on_frames: Callable[[int], None]  # so many frames more were written; fewer where a worker died
    stopping: Callable[[], bool]  # whether no further task is to begin


class Executor(Protocol):
    """Runs tasks somewhere. Which worker does which, and in what order, does not change the result."""

    info: WorkerInfo  # of the first worker; the others have the same weights, dtype, engine and version
    workers: int  # tasks that run at the same time

    def run(self, tasks: Iterable[Task], callbacks: Callbacks) -> None:
        """Run every task.

        After `stopping` says so, no task is begun and those that run are finished. The first error of a task ends the
        run in the same way and is raised.
        """
        ...
