"""One process at a time on a job folder."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from dossr_video.errors import JobError
from dossr_video.system import lock_now, started_at

BEAT = 20.0  # seconds between two updates of the lock file
LEASE = 120.0  # seconds without an update after which a holder counts as gone, where nobody can say more
SLACK = 2.0  # seconds that the start time of one process is told apart, as the system's clock is set
FLAGS = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
FREE = b"the lock of a job of dossr-video; nobody holds it\n"  # in the file between two holders


class HeldError(JobError):
    """Another process works on the job."""


@dataclass(frozen=True)
class Owner:
    """A process. Its start time distinguishes it from a later one with the same pid."""

    host: str
    boot: str  # the kernel's id of this start of the machine; "" where there is none
    pid: int
    started: float  # seconds since 1970; 0: not known

    @classmethod
    def current(cls) -> Owner:
        return cls.of(os.getpid())

    @classmethod
    def of(cls, pid: int) -> Owner:
        """A process of this machine."""
        return cls(socket.gethostname(), _boot_id(), pid, started_at(pid) or 0.0)

    @property
    def is_here(self) -> bool:
        """Whether it ran on this machine, before or after a reboot. Containers share the boot id, not the host name."""
        return self.host == socket.gethostname() or (self.boot != "" and self.boot == _boot_id())

    def is_gone(self, path: Path) -> bool:
        """True only when certain: the machine was rebooted, the pid is another process, or the lease ran out."""
        if not self.is_here:
            return _age(path) > LEASE
        return self.boot != _boot_id() or self.has_ended() or (not self.started and _age(path) > LEASE)

    def has_ended(self) -> bool:
        """Whether a process of this machine, since it was started, is no more; False where that is not known."""
        started = started_at(self.pid)
        if started is None:
            return True
        return bool(started and self.started) and abs(started - self.started) > SLACK


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock file while the block runs; HeldError names the process that has it.

    The kernel's lock decides among the processes of one machine and falls with its holder. The owner written into the
    file, and its age, decide among machines that share the folder, where such locks may not reach. The folder of the
    file is made where there is none.
    """
    descriptor = _take(path)
    done = threading.Event()
    owner = json.dumps(asdict(Owner.current())).encode()
    beat = threading.Thread(target=_beat, args=(descriptor, owner, done), name="lease", daemon=True)
    try:
        _put(descriptor, owner)
        os.fsync(descriptor)
        beat.start()
        yield
    finally:
        done.set()
        if beat.ident is not None:
            beat.join()
        _put(descriptor, FREE)
        os.close(descriptor)


def is_lock(path: Path) -> bool:
    """Whether the file was left by `locked`."""
    try:
        content = path.read_bytes()
    except OSError:
        return False
    return content == FREE or content.startswith(b'{"host": ')


def holder(path: Path) -> Owner | None:
    """The running process that holds the lock; None when it is free or stale."""
    try:
        owner = Owner(**json.loads(path.read_bytes()))
        return None if owner.is_gone(path) else owner
    except (FileNotFoundError, ValueError, TypeError):
        return None


def _take(path: Path) -> int:
    while True:
        path.parent.mkdir(exist_ok=True)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | FLAGS, 0o644)
        except FileNotFoundError:  # its last holder removed the folder since the line above
            continue
        try:
            taken = lock_now(descriptor)
        except OSError:
            os.close(descriptor)
            raise
        if not taken:
            os.close(descriptor)
            raise _refusal(path, holder(path))
        if not _is_still(descriptor, path):  # removed since it was opened
            os.close(descriptor)
            continue
        owner = holder(path)
        if owner is not None and not owner.is_here:
            os.close(descriptor)
            raise _refusal(path, owner)
        return descriptor


def _put(descriptor: int, content: bytes) -> None:
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.write(descriptor, content)
    os.ftruncate(descriptor, len(content))


def _beat(descriptor: int, owner: bytes, done: threading.Event) -> None:
    """Write the same again: the date of the file is the sign of life."""
    while not done.wait(BEAT):
        _put(descriptor, owner)


def _age(path: Path) -> float:
    """Seconds since the last update, by the clock of the file system: the clocks of machines disagree."""
    probe = path.with_name(f"{path.name}.{os.getpid()}")
    probe.touch()
    try:
        return probe.stat().st_mtime - path.stat().st_mtime
    finally:
        probe.unlink()


def _is_still(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _refusal(path: Path, owner: Owner | None) -> HeldError:
    who = f"process {owner.pid} on {owner.host}" if owner else "another process"
    return HeldError(
        f"{path.parent} is being worked on by {who}; a job runs once at a time",
        hint="wait for it or stop it; the lock is released with its process, or two minutes after its machine is gone",
    )


def _boot_id() -> str:
    """Containers on one machine share it. Linux alone has it; elsewhere start times are enough."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""
