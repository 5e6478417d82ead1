"""Work in a process of its own: what crashes the libraries there ends that process, not this one."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO, Any

from dossr_video.errors import JobError
from dossr_video.heap import keep_one_heap
from dossr_video.jobs.memory import available
from dossr_video.jobs.progress import OnProgress, Progress, no_progress
from dossr_video.jobs.resources import readable
from dossr_video.system import NEW_GROUP, memory_of
from dossr_video.threads import wait_asleep

LOOKING = 300.0  # seconds without a sign of life while a file is looked at, after which the process is ended
FILES = frozenset({"probing", "analysing"})  # stages in which it has nothing in memory but the file
MOST = 0.75  # of the free memory, that looking at a file may take
LOOKS = FILES | {"starting"}
GRACE = 10.0  # seconds to tidy up in, before a process is killed
POLL = 0.2  # seconds


class CrashError(JobError):
    """The process that did the work is gone."""


class Here:
    """As Child, in this process."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._object = make()

    def call(
        self,
        method: str,
        *arguments: Any,
        on_progress: OnProgress = no_progress,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> Any:
        return getattr(self._object, method)(*arguments, on_progress=on_progress, cancelled=cancelled)

    def end(self) -> None:
        """Ctrl-C reaches this process by itself."""

    def close(self) -> None:
        """There is nothing to end."""


class Child:
    """An object in a process of its own, which is started with the first call, and again after a crash."""

    def __init__(self, make: Callable[[], Any]) -> None:
        """`make` is pickled, and called in the other process."""
        self._make = make
        self._running: tuple[subprocess.Popen[bytes], Connection, IO[bytes]] | None = None

    def call(
        self,
        method: str,
        *arguments: Any,
        on_progress: OnProgress = no_progress,
        cancelled: Callable[[], bool] = lambda: False,
    ) -> Any:
        """What the method of the object gives back; it gets `on_progress` and `cancelled` as keywords too.

        Raises what the method raises, and CrashError when the process ends in the middle or gives no sign of life while
        it looks at a file, or takes most of the memory for that.
        """
        stage, heard = "starting", time.monotonic()
        try:
            process, connection, _ = self._running = self._running or _start(self._make)
            watch = _MemoryWatch(process.pid)
            connection.send((method, arguments))
            while True:
                if stage in FILES and (taken := watch.beyond()) is not None:
                    raise self._greedy(stage, taken)
                if not connection.poll(POLL):
                    if stage in LOOKS and time.monotonic() - heard > LOOKING:
                        raise self._stuck(stage)
                    continue
                kind, value = connection.recv()
                if kind == "progress":
                    stage = value.stage
                    on_progress(value)
                elif kind == "cancelled":
                    connection.send(cancelled())
                elif kind == "error":
                    break
                else:
                    return value
                heard = time.monotonic()  # after a pause, too
        except (EOFError, ConnectionError) as error:
            raise self._crashed(stage) from error
        except KeyboardInterrupt:
            self.close()
            raise
        raise value

    def end(self) -> None:
        """Have the process end, while another thread waits in `call`, which raises CrashError then."""
        if (running := self._running) is None:
            return
        process = running[0]
        process.send_signal(getattr(signal, "CTRL_BREAK_EVENT", signal.SIGINT))
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)
        process.kill()

    def close(self) -> None:
        """End the process; what it was doing is given up."""
        if self._running is None:
            return
        process, connection, log = self._running
        self._running = None
        process.send_signal(getattr(signal, "CTRL_BREAK_EVENT", signal.SIGINT))
        connection.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE)
        process.kill()
        process.wait()
        log.close()

    def _stuck(self, stage: str) -> CrashError:
        self.close()
        return CrashError(
            f"no sign of life for {LOOKING / 60:.0f} minutes ({stage})",
            hint="the file may be damaged: `ffmpeg -i FILE -c copy NEW.mkv` often mends it",
        )

    def _greedy(self, stage: str, taken: int) -> CrashError:
        assert self._running is not None
        self._running[0].kill()  # at once, before it takes the rest
        self.close()
        return CrashError(
            f"it took {readable(taken)} of memory ({stage}), most of what was free",
            hint="the file may be damaged or made to fill the memory; do it alone where there is more, "
            "or lower --max-pixels",
        )

    def _crashed(self, stage: str) -> CrashError:
        assert self._running is not None
        process, _, log = self._running
        code = process.wait()
        log.seek(0)
        said = log.read().decode(errors="replace").strip().splitlines()
        self.close()
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        if how.endswith("SIGKILL"):
            how += ", often because the memory ran out"
        last = f": {said[-1]}" if said else ""
        return CrashError(
            f"the process that worked on it ended {how} ({stage}){last}",
            hint="the libraries cannot take the file as it is: `ffmpeg -i FILE -c copy NEW.mkv` often mends it",
        )


class _MemoryWatch:
    """Whether a process takes too much, from now on; where the system does not tell, nothing is too much."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._before = memory_of(pid) or 0
        free = available()
        self._most = None if free is None else round(MOST * free)

    def beyond(self) -> int | None:
        """The bytes that it took, where they are too many."""
        taken = (memory_of(self._pid) or 0) - self._before
        return taken if self._most is not None and taken > self._most else None


def _start(make: Callable[[], Any]) -> tuple[subprocess.Popen[bytes], Connection, IO[bytes]]:
    mine, other = socket.socketpair()
    log = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process
    paths = [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
    inherits = not hasattr(other, "share")  # Windows hands sockets over in another way, see `serve`
    with other:
        process = subprocess.Popen(
            [sys.executable, "-c", f"from dossr_video.jobs.child import serve; serve({other.fileno() * inherits})"],
            pass_fds=[other.fileno()] * inherits,
            stdin=subprocess.DEVNULL if inherits else subprocess.PIPE,
            stderr=log,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            start_new_session=True,  # Ctrl-C is for the process that the user sees
            creationflags=NEW_GROUP,
        )
        if process.stdin is not None:
            process.stdin.write(other.share(process.pid))  # type: ignore[attr-defined]
            process.stdin.close()
    connection = Connection(mine.detach())
    connection.send_bytes(pickle.dumps(make))
    return process, connection, log


def serve(descriptor: int) -> None:
    """The other process: makes the object and answers calls until nobody is there any more.

    Whoever goes away in the middle of a call has cancelled it: what is finished is kept, and its end is told to nobody.

    Args:
        descriptor: Of the socket on which the calls come; 0: standard input says which socket it is (Windows).
    """
    keep_one_heap()
    wait_asleep()
    if not descriptor:
        fromshare: Any = getattr(socket, "fromshare")  # noqa: B009 - mypy knows it on Windows alone
        descriptor = fromshare(sys.stdin.buffer.read()).detach()
    connection, lock = Connection(descriptor), threading.Lock()

    def on_progress(event: Progress) -> None:
        with lock, contextlib.suppress(ConnectionError):
            connection.send(("progress", event))

    def cancelled() -> bool:
        with lock:  # workers ask from threads of their own
            try:
                connection.send(("cancelled", None))
                return bool(connection.recv())
            except (EOFError, ConnectionError):
                return True

    with contextlib.suppress(EOFError, ConnectionError, KeyboardInterrupt):
        made = pickle.loads(connection.recv_bytes())()  # from the process that started this one  # nosec B301
        while True:
            method, arguments = connection.recv()
            try:
                result = getattr(made, method)(*arguments, on_progress=on_progress, cancelled=cancelled)
            except Exception as error:
                _send_error(connection, error)
            else:
                connection.send(("done", result))


def _send_error(connection: Connection, error: Exception) -> None:
    try:
        pickle.loads(pickle.dumps(error))  # made here  # nosec B301
    except Exception:  # of a library: it cannot travel as it is
        error = RuntimeError(f"{type(error).__name__}: {error}")
    connection.send(("error", error))
