"""The queue: starts one job after another as a process of the command, pauses and stops it, and finds it again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

from dossr_video.errors import JobError, TargetError
from dossr_video.jobs.lock import Owner
from dossr_video.names import shown
from dossr_video.system import NEW_GROUP, PAUSE, ask_to_stop, end_at_once, suspend
from dossr_video.ui.said import Listener, Said, lines_of
from dossr_video.ui.store import Job, Kind, Store

State = Literal["waiting", "running", "paused", "stopping", "done", "failed", "stopped"]
ENDED: tuple[State, ...] = ("done", "failed", "stopped")
RUNS: tuple[State, ...] = ("running", "paused", "stopping")
POLL = 0.5  # seconds between two looks at the processes


@dataclass(frozen=True)
class Seen:
    """A job as it is now."""

    job: Job
    state: State
    said: Said
    lines: list[str]  # that its process wrote for a person

    @property
    def runs(self) -> bool:
        return self.state in RUNS

    @property
    def can_pause(self) -> bool:
        """Before its first event a process does not know the signal."""
        return self.state == "running" and bool(self.said.stage)


class Queue:
    """Jobs of the store. A process outlives this one; the next one finds it by its number and its start time."""

    def __init__(self, store: Store, *, allowed: Callable[[Path], bool]) -> None:
        """`allowed`: whether jobs of a file are started; those in folders that were not given now wait."""
        self._store = store
        self._allowed = allowed
        self._lock = threading.RLock()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}  # started here: they must be waited for
        self._listeners: dict[str, Listener] = {}
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="queue", daemon=True)

    def start(self) -> None:
        # What a new process inherits: before it knows the signal that pauses, and after its last event, it ignores it.
        if PAUSE is not None:
            signal.signal(PAUSE, signal.SIG_IGN)
        self._thread.start()

    def close(self) -> None:
        """Start nothing more. What runs goes on."""
        self._closed.set()
        self._thread.join()

    def owns(self, path: Path) -> bool:
        """Whether a file lies in the folder of a job, links followed."""
        return path.resolve().is_relative_to(self._store.folder.resolve())

    def seen(self) -> list[Seen]:
        """Of all jobs, in their order."""
        with self._lock:
            return [self._see(job) for job in self._store.jobs()]

    def results(self) -> set[Path]:
        """Of all jobs, those that wait too."""
        return {job.target for job in self._store.jobs() if job.kind == "upscale" and job.target is not None}

    def get(self, number: str) -> Seen:
        """Raises JobError when there is none."""
        with self._lock:
            job = self._store.get(number)
            if job is None:
                raise JobError("there is no such job any more", hint="the first page lists all jobs")
            return self._see(job)

    def add(self, kind: Kind, source: Path, target: Path | None, options: tuple[str, ...]) -> Job:
        """Put a job at the end; of probes and previews, which begin at once, those of the same file make place.

        Raises TargetError when the result is another job's, or is there.
        """
        with self._lock:
            if kind == "upscale":
                self._require_free(target)
            else:
                for seen in self.seen():
                    if (seen.job.kind, seen.job.source) == (kind, source):
                        self._end(seen.job)
            return self._store.add(kind, source, target, options)

    def pause(self, number: str) -> None:
        with self._lock:
            seen = self.get(number)
            if seen.can_pause:
                self._toggle(replace(seen.job, wanted="pause"))

    def go_on(self, number: str) -> None:
        """Let a paused job go on, or put one that was stopped or has failed into the queue again."""
        with self._lock:
            seen = self.get(number)
            if seen.state == "paused":
                self._toggle(replace(seen.job, wanted="go"))
            elif seen.state in ("failed", "stopped"):
                self._store.put(replace(seen.job, wanted="go", owner=None))

    def stop(self, number: str) -> None:
        """Finish the running segment and end; a second time: end at once. What is finished is kept."""
        with self._lock:
            seen = self.get(number)
            if seen.state not in ENDED:
                self._store.put(replace(seen.job, wanted="stop"))
                _if_there(seen.job, ask_to_stop)

    def remove(self, number: str) -> None:
        """Take a job that does not run out of the list. Its files stay."""
        with self._lock:
            seen = self.get(number)
            if seen.state in (*ENDED, "waiting"):
                self._forget(seen.job)

    def step(self) -> None:
        """Start what is to be started: probes and previews at once, one upscale at a time."""
        with self._lock:
            seen = self.seen()
            busy = any(s.job.kind == "upscale" and s.runs for s in seen)
            for job in (s.job for s in seen if s.state == "waiting" and self._allowed(s.job.source)):
                if job.kind == "upscale":
                    if busy:
                        continue
                    busy = True
                self._begin(job)

    def _run(self) -> None:
        while not self._closed.wait(POLL):
            with suppress(OSError, TargetError):  # the disk is full, say: it is tried again
                self.step()

    def _begin(self, job: Job) -> None:
        self._listeners.pop(job.id, None)
        job.report.unlink(missing_ok=True)
        command = [sys.executable, "-m", "dossr_video", *job.arguments()]
        with job.output.open("wb") as out, job.errors.open("wb") as err:
            # A session of its own: what ends this process, or the terminal, does not end it.
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=job.folder,
                start_new_session=True,
                creationflags=NEW_GROUP,
            )
        self._processes[job.id] = process
        try:
            self._store.put(replace(job, owner=Owner.of(process.pid)))
        except TargetError:  # nobody would find it again
            process.kill()
            raise

    def _see(self, job: Job) -> Seen:
        said = self._listeners.setdefault(job.id, Listener(job.output)).listen()
        lines = lines_of(job.errors) if job.owner else []
        return Seen(job, self._state(job, lines), said, lines)

    def _state(self, job: Job, lines: list[str]) -> State:
        """By the process, and by what it left: also of one that an earlier page has started."""
        if job.owner is None:
            return "stopped" if job.wanted == "stop" else "waiting"
        if self._runs(job, job.owner):
            return "stopping" if job.wanted == "stop" else "paused" if job.wanted == "pause" else "running"
        if self._is_done(job, lines):
            return "done"
        if job.wanted == "stop":
            return "stopped"
        said_why = any(line.startswith("error:") for line in lines)
        # Without a word, before this start of the machine: the power was cut.
        return "failed" if said_why or job.owner.boot == Owner.current().boot else "waiting"

    def _runs(self, job: Job, owner: Owner) -> bool:
        process = self._processes.get(job.id)
        if process is not None and process.pid == owner.pid:
            return process.poll() is None
        return not owner.is_gone(job.output)

    def _is_done(self, job: Job, lines: list[str]) -> bool:
        if any(line.startswith("error:") for line in lines):
            return False
        if job.kind == "probe":
            return job.output.exists() and job.output.stat().st_size > 0
        return (job.sheet if job.kind == "preview" else job.report).exists()

    def _toggle(self, job: Job) -> None:
        """A signal pauses, and again goes on. Windows has none: there the process stands still wherever it is."""
        self._store.put(job)
        if (number := PAUSE) is not None:
            _if_there(job, lambda pid: os.kill(pid, number))
        else:
            _if_there(job, partial(suspend, on=job.wanted == "pause"))

    def _require_free(self, target: Path | None) -> None:
        assert target is not None
        if target in self.results():
            raise TargetError(f"{shown(target.name)} is the result of another job", hint="choose another name")
        if os.path.lexists(target):
            raise TargetError(f"{shown(target.name)} is there already", hint="choose another name")

    def _end(self, job: Job) -> None:
        """Of a probe or a preview, which has nothing to keep."""
        if job.owner is not None and self._runs(job, job.owner):
            _if_there(job, end_at_once)
        self._forget(job)

    def _forget(self, job: Job) -> None:
        self._listeners.pop(job.id, None)
        self._store.remove(job)


def _if_there(job: Job, act: Callable[[int], None]) -> None:
    """Do something to a job's process, by its number, while it runs."""
    if job.owner is not None and not job.owner.is_gone(job.output):
        act(job.owner.pid)
