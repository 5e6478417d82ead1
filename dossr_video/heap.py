"""The heap of the C library: that a long job takes no more memory than a short one."""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress


def keep_one_heap() -> None:
    """Have glibc serve all threads from one heap that is kept; call it before there are many. Elsewhere a no-op.

    It gives each thread a heap of its own, and every segment has new threads: what chunks leave behind in many heaps
    is a third of a run's memory, and wanders by a hundred megabytes. A heap is never taken back, so this comes first.
    And it asks the kernel for every large block anew: to fill pictures' pages with zeros took a third of the work.
    """
    trim_threshold, most_mapped, most_arenas = -1, -4, -8  # of malloc.h
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")  # huge pages; PyTorch looks at it when it first allocates
    with suppress(AttributeError, OSError):
        libc = ctypes.CDLL(None)
        libc.mallopt(most_arenas, 1)
        libc.mallopt(most_mapped, 0)
        libc.mallopt(trim_threshold, 2**31 - 1)


def map_large_blocks() -> None:
    """Have glibc take every block of 32 MB and more from the kernel, for frames of which a copy takes 100 MB.

    In one heap the holes that they leave take more memory than they do. It costs a tenth of the time, and less where
    the kernel gives huge pages.
    """
    map_threshold, most_mapped = -3, -4  # of malloc.h
    with suppress(AttributeError, OSError):
        libc = ctypes.CDLL(None)
        libc.mallopt(map_threshold, 2**25)  # glibc takes no more
        libc.mallopt(most_mapped, 2**16)


def give_back_memory() -> None:
    """Return to the kernel what the heap holds and nobody uses."""
    with suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)
