"""Memory of a process and of the machine, where the system tells (Linux)."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")


def held_by(pid: int) -> int | None:
    """Bytes that a process holds in memory (its resident set); None where that is not known."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return None


def available() -> int | None:
    """Bytes that can still be taken, on the machine or in its container; None where that is not known."""
    found: list[int] = []
    with suppress(OSError, ValueError):
        told = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())
        found += [int(told[1]) << 10] if told else []
    with suppress(OSError, ValueError):  # ValueError: "max", without a limit
        limit, used = ((CGROUP / f"memory.{name}").read_text() for name in ("max", "current"))
        found.append(max(0, int(limit) - int(used)))
    return min(found, default=None)
