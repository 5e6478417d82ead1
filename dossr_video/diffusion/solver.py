"""One step of the domain-shift SDE solver (arXiv 2409.17778, section 3.3), from a schedule point to the one before it.

The solver integrates x0 as a polynomial in lambda between the points, and knows nothing of networks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from dossr_video.diffusion.schedule import Point

Order = Literal[1, 2, 3]


@dataclass(frozen=True, eq=False)
class Estimate:
    """What the network took for the clean latents at one point."""

    point: Point
    x0: Tensor  # (T, C, h, w)


def diffuse(x0: Tensor, degraded_latents: Tensor, noise: Tensor, point: Point) -> Tensor:
    """The forward process q(x_t | x0, xhat0) at `point`, all (T, C, h, w)."""
    return point.a * (point.eta * degraded_latents + (1.0 - point.eta) * x0) + point.s * noise


def step(
    x: Tensor,
    estimates: Sequence[Estimate],
    degraded_latents: Tensor,
    noise: Tensor,
    target: Point,
    *,
    corrected_third_order: bool,
) -> Tensor:
    """x at estimates[0].point -> x at `target`, all (T, C, h, w).

    `estimates` are the newest first; their number, 1 to 3, is the order of the step. Order 1 keeps mean and variance
    of the forward process exactly when x0 is true. The published third order takes the slope at the newest estimate
    from one side; the corrected one is exact for x0 quadratic in lambda.
    """
    here = estimates[0].point
    r2 = (target.lam / here.lam) ** 2
    result = (
        (target.A / here.A * r2) * x
        + (target.A * (target.h - here.h * r2)) * degraded_latents
        + (target.A * (1.0 - r2)) * estimates[0].x0
        + (target.s * math.sqrt(1.0 - r2)) * noise
    )
    if len(estimates) == 1:
        return result
    slope = _slope(estimates[0], estimates[1])
    if len(estimates) == 3:
        span = here.lam - estimates[2].point.lam
        bend = (slope - _slope(estimates[1], estimates[2])) * (2.0 / span)  # second derivative in lambda
        if corrected_third_order:
            slope = slope + bend * ((here.lam - estimates[1].point.lam) / 2.0)
        ahead = (here.lam - target.lam) * (here.lam - 3.0 * target.lam) / 2.0
        result = result + (target.A * (ahead - target.lam**2 * math.log(target.lam / here.lam))) * bend
    return result - (target.A * (target.lam - here.lam) ** 2 / here.lam) * slope


def _slope(newer: Estimate, older: Estimate) -> Tensor:
    return (newer.x0 - older.x0) / (newer.point.lam - older.point.lam)
