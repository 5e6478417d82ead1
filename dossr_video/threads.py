"""Threads of OpenMP, by which PyTorch and ncnn share out their work."""

from __future__ import annotations

import os


def wait_asleep() -> None:
    """Have a thread that waits for the others of its team give its core away; call it before PyTorch or ncnn is loaded.

    GNU's OpenMP would have it go round in circles for milliseconds, which pays where nothing else wants the core. Here
    reading, blending and encoding do: with two threads on two busy cores a frame took thirty times the processor time,
    and more than that on the clock. GOMP_SPINCOUNT that the user has set is left alone.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "0")
