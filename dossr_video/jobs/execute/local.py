"""Running segments on this machine: one worker for each accelerator, or one on the CPU."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

import torch

from dossr_video.errors import Interrupted
from dossr_video.jobs.execute.worker import Task, Worker
from dossr_video.segments import SegmentResult
from dossr_video.settings import Settings


class Executor(Protocol):
    """Runs tasks somewhere. Which worker does which, and in what order, does not change the result."""

    weights: str  # sha256 of the weights
    dtype: str  # what `auto` became: a run on another machine must go on with the same
    workers: int  # tasks that run at the same time

    def run(
        self,
        tasks: Iterable[Task],
        *,
        on_done: Callable[[SegmentResult], None],
        on_frames: Callable[[int], None],
        stopping: Callable[[], bool],
    ) -> None:
        """Run every task; `on_done` and `on_frames` are called from one thread at a time.

        After `stopping` says so, no task is begun and those that run are finished. The first error of a task ends the
        run in the same way and is raised.
        """
        ...


class LocalExecutor:
    """See Executor. The calling thread is the first worker, so Ctrl-C reaches it at once."""

    def __init__(self, settings: Settings) -> None:
        """Loads the model once for each device; raises ModelError."""
        self._workers = [Worker(settings, device=device) for device in devices(settings.device)]
        model = self._workers[0].model
        self.weights = self._workers[0].weights
        self.dtype = str(model.dtype).removeprefix("torch.")
        self.workers = len(self._workers)

    def run(
        self,
        tasks: Iterable[Task],
        *,
        on_done: Callable[[SegmentResult], None],
        on_frames: Callable[[int], None],
        stopping: Callable[[], bool],
    ) -> None:
        lock = threading.Lock()
        failed = threading.Event()  # no task is begun any more
        abandoned = threading.Event()  # running tasks are given up

        def work(worker: Worker) -> None:
            try:
                for task in waiting:
                    if failed.is_set() or stopping():
                        return
                    result = worker.run(task, on_frames=counter())
                    with lock:
                        on_done(result)
            except BaseException:
                failed.set()
                raise
            finally:
                worker.close()

        def counter() -> Callable[[int], None]:
            """Turns a task's own count into steps."""
            before = 0

            def count(written: int) -> None:
                nonlocal before
                if abandoned.is_set():
                    raise Interrupted("stopped at once", hint="give the same command again to go on")
                with lock:
                    on_frames(written - before)
                before = written

            return count

        waiting = _Shared(tasks)
        helpers = self._workers[1:]
        with ThreadPoolExecutor(max(len(helpers), 1), thread_name_prefix="worker") as pool:
            futures = [pool.submit(work, worker) for worker in helpers]
            try:
                work(self._workers[0])
            except KeyboardInterrupt:
                abandoned.set()
                raise
        for future in futures:
            future.result()


class _Shared(Iterator[Task]):
    """Tasks that several threads take from."""

    def __init__(self, tasks: Iterable[Task]) -> None:
        self._tasks = iter(tasks)
        self._lock = threading.Lock()

    def __next__(self) -> Task:
        with self._lock:
            return next(self._tasks)


def devices(name: str) -> list[str]:
    """The devices that the setting `device` means here: `auto` and `cuda` are every CUDA device there is."""
    if name in ("auto", "cuda") and torch.cuda.is_available():
        return [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    return [name]
