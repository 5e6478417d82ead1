"""The sampling loop: from degraded latents to clean ones in a few network calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from torch import Tensor

from dossr_video.diffusion.schedule import Point
from dossr_video.diffusion.solver import Estimate, Order, diffuse, step

Denoise = Callable[[Tensor, int], Tensor]  # x (T, C, h, w) and its schedule entry -> clean latents x0
Noise = Callable[[int], Tensor]  # 0: the start draw; k: the one added after network call k -> (T, C, h, w)
Guide = Callable[[Tensor, int], Tensor]  # x0 of network call 1 ... N -> the x0 that the solver goes on with


def sample(
    denoise: Denoise,
    schedule: Sequence[Point],
    degraded_latents: Tensor,
    *,
    noise: Noise,
    order: Order,
    final: Literal["landing", "x0"],
    corrected_third_order: bool = False,
    guide: Guide | None = None,
    warm: Estimate | None = None,
) -> Tensor:
    """Clean latents (T, C, h, w) of degraded ones, in one network call per point of the schedule but the first.

    `final` chooses what is returned: "landing" the solver's point at the schedule's first entry, as published, which
    still holds noise of std 0.029; "x0" the last network call's estimate, for which nothing is drawn after that call.

    `warm` is what the call at its point, one of the schedule, is taken to have found: sampling begins after it, with
    the forward process of that estimate, and the calls and draws before are left out; the others keep their numbers.
    """
    calls, estimates = len(schedule) - 1, [] if warm is None else [warm]
    if warm is None:
        point = schedule[-1]
        # eta is 1 to 3e-6 at the last entry: the mean of the forward process there is the degraded latent.
        x = point.a * degraded_latents
        x += point.s * noise(0)
    else:
        schedule = schedule[: schedule.index(warm.point)]
        point = schedule[-1]
        # Of all draws so far the last outweighs: a whole run has at this point nearly the same noise.
        x = diffuse(warm.x0, degraded_latents, noise(calls - len(schedule) + 1), point)
    targets = list(reversed(schedule[:-1]))
    for call, target in enumerate(targets, start=calls - len(targets) + 1):
        x0 = denoise(x, point.t)
        if guide is not None:
            x0 = guide(x0, call)
        if call == calls and final == "x0":
            return x0
        estimates = [Estimate(point, x0), *estimates][:order]
        x = step(x, estimates, degraded_latents, noise(call), target, corrected_third_order=corrected_third_order)
        point = target
    return x
