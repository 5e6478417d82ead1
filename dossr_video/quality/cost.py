"""What a method costs: multiplications, and processor time measured fairly against others."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from statistics import median

import numpy as np
from torch.utils.flop_counter import FlopCounterMode

Enlarge = Callable[[np.ndarray], np.ndarray]  # uint8 (T, H, W, 3) -> (T, sH, sW, 3)


def multiplications(enlarge: Enlarge, frames: np.ndarray) -> float:
    """Multiply-accumulates of convolutions and matrix products, per input pixel."""
    with FlopCounterMode(display=False) as counter:
        enlarge(frames)
    pixels = frames.shape[0] * frames.shape[1] * frames.shape[2]
    return float(counter.get_total_flops() / 2 / pixels)


def processor_seconds(methods: Mapping[str, Enlarge], frames: np.ndarray, *, rounds: int) -> dict[str, float]:
    """Processor seconds per frame, median over rounds.

    The methods take turns, so that a machine busy with other things slows all of them alike.
    """
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    for _ in range(rounds):
        for name, enlarge in methods.items():
            began = time.process_time()
            enlarge(frames)
            seconds[name].append((time.process_time() - began) / len(frames))
    return {name: median(values) for name, values in seconds.items()}
