"""Running segments on a Ray cluster: actors that hold the model, on as many machines as there are."""

from __future__ import annotations

import os
import socket
import time
from collections import Counter, deque
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from dossr_video.errors import JobError
from dossr_video.jobs import durable
from dossr_video.jobs.execute.actor import RemoteWorker
from dossr_video.jobs.execute.executor import Callbacks, Task
from dossr_video.jobs.fingerprint import SourceMark
from dossr_video.runspec import WorkerInfo, WorkerSpec

try:
    import ray
    from ray._private import ray_constants, services
    from ray.exceptions import RayActorError, RayTaskError
except ImportError as missing:
    raise JobError("--ray needs Ray, which is not installed", hint='pip install "dossr-video[ray]"') from missing

DEATHS = 3  # of workers on one segment, after which the job fails
CLEANING = 10.0  # seconds that the workers have to clean up after a job
KNOCK = 10.0  # seconds that an address has to answer
HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""How gRPC begins: the preface of HTTP/2 and empty settings, a frame of type 4; a server answers with such a frame."""
POLL = 0.5  # seconds between two polls of the workers


@dataclass(eq=False)
class _Member:
    """An actor and its current task."""

    actor: Any
    task: Task | None = None
    call: Any = None  # pending result of the task, or, after a death, of a ping
    count: Any = None  # pending result of a frame count
    counted: int = 0  # frames of the task that were reported


class RayExecutor:
    """See Executor. All machines see the source, or can fetch it from its URL; segments come back through Ray.

    Ray places the actors, notices their death and starts them again; a task whose actor died goes to whichever is free
    first.
    """

    def __init__(self, spec: WorkerSpec, *, address: str) -> None:
        """Joins the cluster at `address`; `local` starts one on this machine. Raises JobError, ModelError.

        Each GPU gets an actor; in a cluster without any, every `threads` CPUs of a machine do (default: all of them).
        """
        _connect(address)
        self._members = [_Member(actor) for actor in _start_actors(spec)]
        self.workers = len(self._members)
        try:
            self.info: WorkerInfo = ray.get(self._members[0].actor.info.remote())
        except RayTaskError as error:
            for member in self._members:
                ray.kill(member.actor)
            raise error.cause from error

    def run(self, tasks: Iterable[Task], callbacks: Callbacks) -> None:
        run = _Run(self._members, deque(tasks), self.info, callbacks)
        try:
            while run.goes_on(callbacks.stopping()):
                run.step()
        except BaseException:
            for member in self._members:  # stopped at once: running tasks are not waited for
                ray.kill(member.actor, no_restart=False)
                member.task, member.call, member.count = None, member.actor.written.remote(), None
            raise
        cleaned = [member.actor.clean_up.remote() for member in self._members]
        ray.wait(cleaned, num_returns=len(cleaned), timeout=CLEANING)
        if run.failure is not None:
            raise run.failure


class _Run:
    """One call of RayExecutor.run."""

    def __init__(
        self,
        members: list[_Member],
        waiting: deque[Task],
        info: WorkerInfo,
        callbacks: Callbacks,
    ) -> None:
        self.failure: BaseException | None = None
        self._members = members
        self._waiting = waiting
        self._callbacks = callbacks
        self._info = info
        self._mark = lru_cache(SourceMark.of)
        self._deaths: Counter[int] = Counter()

    def goes_on(self, stopping: bool) -> bool:
        """Whether tasks wait or run."""
        if stopping or self.failure is not None:
            self._waiting.clear()
        return bool(self._waiting) or any(member.task for member in self._members)

    def step(self) -> None:
        """Start tasks on idle actors, wait a moment, and collect results."""
        for member in self._members:
            if member.call is None and self._waiting:
                member.task, member.counted = self._waiting.popleft(), 0
                member.call = member.actor.run.remote(member.task, self._mark(member.task.source.path), self._info)
        calls = [member.call for member in self._members if member.call is not None]
        ready, _ = ray.wait(calls, num_returns=len(calls), timeout=POLL)
        for member in self._members:
            if member.call in ready:
                self._take(member)
            elif member.task is not None:
                self._poll(member)

    def _take(self, member: _Member) -> None:
        call, task = member.call, member.task
        member.call = member.task = member.count = None
        try:
            answer = ray.get(call)
            if task is not None:
                _save_segment(member.actor, task)
        except RayTaskError as error:
            self.failure = self.failure or error.cause
        except RayActorError as error:
            if task is not None:
                self._callbacks.on_frames(-member.counted)
                self._retry(task, error)
            else:
                time.sleep(POLL)  # not restarted yet
            member.call = member.actor.written.remote()  # answered when Ray has started the actor again
        else:
            if task is not None:
                self._callbacks.on_frames(answer.frames - member.counted)
                self._callbacks.on_done(answer)

    def _retry(self, task: Task, error: RayActorError) -> None:
        self._deaths[task.segment.index] += 1
        if self._deaths[task.segment.index] < DEATHS:
            self._waiting.appendleft(task)
        else:
            self.failure = self.failure or JobError(
                f"{DEATHS} workers died on segment {task.segment.index}: {str(error).splitlines()[0]}",
                hint="see Ray's logs for the reason, often too little memory; finished segments are kept",
            )

    def _poll(self, member: _Member) -> None:
        """Report the frames that the running task has written, once its actor has answered."""
        if member.count is None:
            member.count = member.actor.written.remote()
        elif ray.wait([member.count], timeout=0)[0]:
            with suppress(RayActorError):
                written = ray.get(member.count)
                self._callbacks.on_frames(written - member.counted)
                member.counted = written
            member.count = None


def _save_segment(actor: Any, task: Task) -> None:
    """Copy a finished segment from its worker; it gets its name only when it is complete and on the disk."""
    temporary = task.target.with_name(f"{task.target.stem}.part{task.target.suffix}")
    try:
        with temporary.open("wb") as file:
            while content := ray.get(actor.piece.remote(task, file.tell())):
                file.write(content)
        durable.settle(temporary, task.target)
    finally:
        temporary.unlink(missing_ok=True)


def _connect(address: str) -> None:
    if ray.is_initialized():
        return
    options = {"log_to_driver": False, "include_dashboard": False}
    try:
        if address == "local":
            # Else Ray listens on the address of a network card, for whoever is in that network.
            ray_constants.ENABLE_RAY_CLUSTER = False
            os.environ[ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR] = "0"
            ray.init(address="local", _node_ip_address="127.0.0.1", **options)  # whatever RAY_ADDRESS says
        else:
            _knock(address)
            ray.init(address=address, **options)
    except Exception as error:  # a node that does not start in time has no class of its own
        said = next(iter(str(error).splitlines()), type(error).__name__)
        if address == "local":
            raise JobError(
                f"Ray does not start on this machine: {said}",
                hint="a busy machine may need longer: RAY_raylet_start_wait_time_s=300; or leave --ray away",
            ) from error
        raise JobError(
            f"no Ray cluster answers at {address}: {said}",
            hint="check the address, or use --ray local",
        ) from error


def _knock(address: str) -> None:
    """Raises OSError where no Ray listens at host:port, ValueError for no port. Ray itself would try for minutes."""
    if address == "auto":
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        raise ValueError("an address is host:port")
    if host in ("localhost", "127.0.0.1") and not address.startswith("ray://"):
        host = services.resolve_ip_for_localhost(host)  # as Ray does
    with socket.create_connection((host.strip("[]"), int(port)), timeout=KNOCK) as knocking:
        if os.environ.get("RAY_USE_TLS", "0") != "0":
            return
        knocking.sendall(HELLO)
        if knocking.recv(4)[3:4] != b"\x04":
            raise ConnectionError("what answers there is not Ray")


def _start_actors(spec: WorkerSpec) -> list[Any]:
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    gpus = int(sum(machine.get("GPU", 0) for machine in machines))
    if gpus and spec.device in ("auto", "cuda"):
        needs, count, device = {"num_gpus": 1, "num_cpus": 1}, gpus, "cuda"
    else:
        cores = [int(machine.get("CPU", 0)) for machine in machines]
        threads = spec.threads or max(1, min(filter(None, cores), default=1))
        needs, count, device = {"num_cpus": threads}, sum(core // threads for core in cores), spec.device
    if count == 0:
        raise JobError(
            f"the cluster has no room for a worker that needs {needs}", hint="lower --threads, or add machines"
        )
    remote = ray.remote(max_restarts=-1, max_concurrency=2, scheduling_strategy="SPREAD", **needs)(RemoteWorker)
    return [remote.remote(spec, device) for _ in range(count)]
