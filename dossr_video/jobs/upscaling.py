"""The segments of a job while they are worked on: what is done, what is told, and how long stopping takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from dossr_video.jobs.attempts import Attempt
from dossr_video.jobs.execute.executor import Callbacks, Executor, Task
from dossr_video.jobs.folder import JobFolder
from dossr_video.jobs.plan import Plan
from dossr_video.jobs.progress import OnProgress, Progress
from dossr_video.jobs.resources import require_space
from dossr_video.segments import SegmentResult


class Upscaling:
    """Runs what is left of an attempt. `recorded` are frames of finished segments, `done` those that are written."""

    def __init__(
        self,
        folder: JobFolder,
        plan: Plan,
        attempt: Attempt,
        on_progress: OnProgress,
        cancelled: Callable[[], bool],
    ) -> None:
        """The attempt's results are those that an earlier run finished; those of this run are added."""
        self._folder, self._plan, self._results, self._number = folder, plan, attempt.results, attempt.number
        self._keys = attempt.keys(plan)
        self._stage = "repairing" if attempt.number else "upscaling"
        self.frames = sum(map(len, attempt.segments(plan)))
        self._progress, self._cancelled = on_progress, cancelled
        self._tasks: Sequence[Task] = ()
        self._workers = 1
        self._stopping = 0  # how often workers have told of frames since the run was asked to stop
        sizes = [folder.file_of(index, self._number).stat().st_size for index in self._results]
        self._written = sum(sizes)  # bytes
        self.recorded = self.done = sum(result.frames for result in self._results.values())
        self._first, self._began = self.done, time.monotonic()

    def run(self, tasks: Sequence[Task], executor: Executor) -> None:
        """Run the tasks, or as many as are finished when `cancelled` says so."""
        self._tasks, self._workers = tasks, executor.workers
        executor.run(tasks, Callbacks(on_done=self._record, on_frames=self._count, stopping=self._cancelled))

    def _record(self, result: SegmentResult) -> None:
        file = self._folder.file_of(result.index, self._number)
        self._folder.ledger(self._number).record(result, file, self._keys[result.index])
        self._results[result.index] = result
        self.recorded += result.frames
        self._written += file.stat().st_size
        if result.warnings:
            self._tell(*result.warnings)
        # What is left of the segments, and then all of it once more: the joined result.
        frames = (self.frames - self.recorded) + self._plan.frames
        require_space(self._folder.path, round(self._written / self.recorded * frames), what="the rest of the job")

    def _count(self, frames: int) -> None:
        self.done += frames
        self._stopping += self._cancelled()
        if self._stopping == self._workers + 1:  # one goes on with its segment
            self._tell(self._time_to_stop())
        else:
            self._tell()

    def tell(self, notes: tuple[str, ...]) -> None:
        """Where it is, and what a person should know."""
        self._progress(Progress(self._stage, self.done, self.frames, notes=notes))

    def _tell(self, *warnings: str) -> None:
        self._progress(Progress(self._stage, self.done, self.frames, warnings=warnings))

    def _time_to_stop(self) -> str:
        running = [task for task in self._tasks if task.segment.index not in self._results][: self._workers]
        left = sum(len(task.segment) for task in running) - (self.done - self.recorded)
        seconds = left * (time.monotonic() - self._began) / max(self.done - self._first, 1)
        time_left = f"{seconds / 60:.0f} minutes" if seconds > 90 else f"{seconds:.0f} seconds"
        return f"the running segment has {left} frames left, about {time_left}; stopped at once, it is computed again"
