"""The domain-shift schedule: how far a latent has drifted from the clean to the degraded one, and how noisy it is.

Symbols are those of "Taming Diffusion Prior for Image Super-Resolution with Domain Shift SDEs" (arXiv 2409.17778):

    q(x_t | x0, xhat0) = Normal( a (eta xhat0 + (1 - eta) x0), s^2 I )

so x / A - h xhat0 = x0 + lambda eps, a variance-exploding diffusion in lambda.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

TRAINING_STEPS = 1000
SHIFT_STEPS = 500  # t1: from this entry on the mean is the degraded latent, so sampling starts one before it


@dataclass(frozen=True)
class Point:
    """One entry of the schedule; all float64."""

    t: int  # entry of the training table, in [0, SHIFT_STEPS)
    abar: float
    eta: float

    @property
    def a(self) -> float:
        """Scale of the mean."""
        return math.sqrt(self.abar)

    @property
    def s(self) -> float:
        """Standard deviation of the noise."""
        return math.sqrt(1.0 - self.abar)

    @property
    def A(self) -> float:
        """Weight of the clean latent."""
        return self.a * (1.0 - self.eta)

    @property
    def lam(self) -> float:
        """lambda: noise over clean latent; the time in which the solver integrates."""
        return self.s / self.A

    @property
    def h(self) -> float:
        """Degraded over clean latent."""
        return self.eta / (1.0 - self.eta)


@cache
def training_tables() -> tuple[Tensor, Tensor]:
    """abar and eta at every training step, each (1000,) float64."""
    betas = torch.linspace(math.sqrt(0.00085), math.sqrt(0.012), TRAINING_STEPS, dtype=torch.float64) ** 2
    abar = torch.cumprod(1.0 - betas, dim=0)
    u = torch.linspace(0.001, 0.999, SHIFT_STEPS, dtype=torch.float64)
    eta = torch.ones(TRAINING_STEPS, dtype=torch.float64)
    eta[:SHIFT_STEPS] = (1.0 - torch.cos(math.pi * u)) / 2.0
    return abar, eta


def make_point(t: int) -> Point:
    """The schedule at training step t."""
    abar, eta = training_tables()
    return Point(t, float(abar[t]), float(eta[t]))


def timesteps(calls: int) -> tuple[int, ...]:
    """tau_0 < ... < tau_N for N network calls, the first 0 and the last 499.

    Raises ValueError for less than 1 or more than 499 calls: there are no more entries.
    """
    if not 1 <= calls < SHIFT_STEPS:
        raise ValueError(f"{calls} network calls must be in [1, {SHIFT_STEPS - 1}]")
    # The published spacing adds up: rounding k * 499 / N instead gives other entries at N = 20, 24, 50, ...
    spacing, position, entries = (SHIFT_STEPS - 1) / calls, 0.0, [0]
    for _ in range(calls):
        position += spacing
        entries.append(round(position))
    return tuple(entries)


def make_schedule(calls: int) -> tuple[Point, ...]:
    """The N + 1 points that N network calls visit, in rising t.

    The network is called at the last N of them, from the last to the second; the first is only landed on.
    """
    return tuple(make_point(t) for t in timesteps(calls))
