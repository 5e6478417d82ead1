"""Who works on a file of a library: a process of some machine."""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path

from dossr_video.jobs.lock import Owner


@dataclass(frozen=True)
class Worker:
    """A worker, as the catalogue notes it."""

    text: str

    @classmethod
    def new(cls) -> Worker:
        """One of this process."""
        return cls(json.dumps({**asdict(Owner.current()), "space": _space(), "token": secrets.token_hex(8)}))

    def is_gone(self) -> bool:
        """True only when certain: it was a process of this machine, and that is no more."""
        known = json.loads(self.text)
        here = known.pop("space") == _space() != ""
        known.pop("token")
        owner = Owner(**known)
        now = Owner.current()
        return here and (owner.host, owner.boot) == (now.host, now.boot) and owner.has_ended()

    def __str__(self) -> str:
        known = json.loads(self.text)
        return f"process {known['pid']} on {known['host']}"


def _space() -> str:
    """Of the numbers of processes: those of a container are others; "" where that is not known."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""
