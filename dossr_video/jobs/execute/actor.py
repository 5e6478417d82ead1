"""A worker on another machine: where it finds the source, and how its segments are sent back."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from socket import gethostname

from dossr_video.errors import JobError, SourceError
from dossr_video.heap import keep_one_heap
from dossr_video.jobs.execute.executor import Task
from dossr_video.jobs.execute.worker import Worker
from dossr_video.jobs.fingerprint import SourceMark
from dossr_video.jobs.scratch import Scratch
from dossr_video.jobs.urls import fetched, folder_for, shown_url
from dossr_video.runspec import WorkerInfo, WorkerSpec
from dossr_video.segments import SegmentResult

PIECE = 1 << 24  # bytes of a segment that travel at a time


MUST_AGREE = ("weights", "dtype", "engine", "version")
"""What must be equal on all machines for the result to be."""


class RemoteWorker:
    """A worker in a process of its own. While it runs a task, a second thread tells how far it is.

    It writes to a folder of its own, from where the executor takes the segment: only the process that holds the job's
    lock writes to the job's folder, and no machine but its own needs to see it.
    """

    def __init__(self, spec: WorkerSpec, device: str) -> None:
        keep_one_heap()
        self._spec = spec
        self._device = device
        self._worker: Worker | None = None  # made by the first call, where its errors come back as they are
        self._written = 0
        self._scratch: Scratch | None = Scratch()  # now: removes what a killed worker left
        self._seen: SourceMark | None = None  # of the source as this machine sees it, where dates may be others
        self._fetched: Path | None = None  # the folder of a source that was fetched here

    def info(self) -> WorkerInfo:
        return self._loaded().info

    def run(self, task: Task, mark: SourceMark, expected: WorkerInfo) -> SegmentResult:
        """Make the segment; `mark` tells the source and `expected` the worker that the job counts on.

        Raises SourceError, or JobError, when this machine has another one.
        """
        self._written = 0
        self._scratch = self._scratch or Scratch()
        here = self.info()
        pairs = [(name, getattr(here, name), getattr(expected, name)) for name in MUST_AGREE]
        others = [f"{name} {mine} in place of {wanted}" for name, mine, wanted in pairs if mine != wanted]
        if others:
            raise JobError(
                f"the machine {gethostname()} would compute something else: {', '.join(others)}",
                hint="install the same version and weights on all machines, and name --dtype and --engine",
            )
        mine = replace(task, source=replace(task.source, path=self._source_of(task, mark)), target=self._made(task))
        result = self._loaded().run(mine, on_frames=self._count)
        assert result is not None  # nothing stops it
        return result

    def piece(self, task: Task, start: int) -> bytes:
        """PIECE bytes of the segment's file from `start` on, less at its end; after the last the file goes away."""
        with self._made(task).open("rb") as file:
            file.seek(start)
            content = file.read(PIECE)
        if not content:
            self._made(task).unlink()
        return content

    def clean_up(self) -> None:
        """Remove the files of this job from the machine."""
        if self._scratch is not None:
            self._scratch.remove()
            self._scratch = None
        if self._worker is not None:
            self._worker.close()
        if self._fetched is not None:
            shutil.rmtree(self._fetched, ignore_errors=True)
            self._fetched = None

    def _made(self, task: Task) -> Path:
        assert self._scratch is not None
        return self._scratch.path / task.target.name

    def _source_of(self, task: Task, mark: SourceMark) -> Path:
        """The source where this machine sees it, else a copy of its own."""
        if self._is_there(task.source.path, mark):
            return task.source.path
        if task.url is None:
            raise SourceError(
                f"the machine {gethostname()} of the cluster sees no such file: {task.source.path}",
                hint="put it on a path that all machines share, or give its URL (s3://, sftp://, ...)",
            )
        self._fetched = folder_for(str(task.target.parent))  # of this job, for all workers of this machine
        copy = fetched(task.url, self._fetched)
        if not self._is_there(copy, mark):
            raise SourceError(
                f"{shown_url(task.url)} has changed since the job began", hint="begin anew with --restart"
            )
        return copy

    def _is_there(self, path: Path, mark: SourceMark) -> bool:
        """Whether it is that file; it is read whole once, and only where its date is another."""
        try:
            self._seen = SourceMark.of(path, self._seen if self._seen == mark else mark)
        except OSError:
            return False
        return self._seen == mark

    def written(self) -> int:
        """Frames of the running task."""
        return self._written

    def _count(self, written: int) -> None:
        self._written = written

    def _loaded(self) -> Worker:
        if self._worker is None:
            self._worker = Worker(self._spec, device=self._device)
        return self._worker
