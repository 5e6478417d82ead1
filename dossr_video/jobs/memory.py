"""The memory that can still be taken, on the machine or in its container."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from dossr_video.system import memory_of_machine

CGROUP = Path("/sys/fs/cgroup")


def available() -> int | None:
    """Bytes; None where that is not known."""
    found: list[int] = []
    if (machine := memory_of_machine()) is not None:
        found.append(machine[1])
    with suppress(OSError, ValueError):  # ValueError: "max", without a limit
        limit, used = ((CGROUP / f"memory.{name}").read_text() for name in ("max", "current"))
        found.append(max(0, int(limit) - int(used)))
    return min(found, default=None)
