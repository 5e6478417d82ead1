"""Runs segments on this machine: one worker per accelerator, or one on the CPU."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

import torch

from dossr_video.errors import Interrupted
from dossr_video.jobs.execute.executor import Callbacks, Task
from dossr_video.jobs.execute.worker import Worker
from dossr_video.models.base import PictureModel
from dossr_video.models.registry import resolve_device
from dossr_video.runspec import WorkerSpec


class LocalExecutor:
    """See Executor. The calling thread is the first worker, so Ctrl-C reaches it at once."""

    def __init__(self, spec: WorkerSpec, *, model: PictureModel | None = None) -> None:
        """Loads the model once for each device, or takes one that is loaded; raises ModelError."""
        if model is None:
            self._workers = [Worker(spec, device=device) for device in devices(spec.device)]
        else:
            self._workers = [Worker(spec, device=str(model.device), model=model)]
        self.info = self._workers[0].info
        self.workers = len(self._workers)

    def run(self, tasks: Iterable[Task], callbacks: Callbacks) -> None:
        lock = threading.Lock()
        failed = threading.Event()  # no task is begun any more
        abandoned = threading.Event()  # running tasks are aborted

        def work(worker: Worker) -> None:
            try:
                for task in waiting:
                    if failed.is_set() or callbacks.stopping():
                        return
                    result = worker.run(task, on_frames=counter(), stopping=callbacks.stopping)
                    if result is None:
                        return
                    with lock:
                        callbacks.on_done(result)
            except BaseException:
                failed.set()
                raise
            finally:
                worker.close()

        def counter() -> Callable[[int], None]:
            """Turns the count of one task into increments."""
            before = 0

            def count(written: int) -> None:
                nonlocal before
                if abandoned.is_set():
                    raise Interrupted("stopped at once", hint="give the same command again to go on")
                with lock:
                    callbacks.on_frames(written - before)
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
    """An iterator of tasks that several threads share."""

    def __init__(self, tasks: Iterable[Task]) -> None:
        self._tasks = iter(tasks)
        self._lock = threading.Lock()

    def __next__(self) -> Task:
        with self._lock:
            return next(self._tasks)


def is_cpu(name: str) -> bool:
    """Whether the setting `device` means the CPU here. Raises SettingsError for a device that is not there."""
    return resolve_device(name).type == "cpu"


def devices(name: str) -> list[str]:
    """The devices that the setting `device` means here: `auto` and `cuda` are every CUDA device there is."""
    if name in ("auto", "cuda") and torch.cuda.is_available():
        return [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    return [name]
