from __future__ import annotations

import math
import re

import pytest
import torch

from dossr_video.diffusion.sampler import sample
from dossr_video.diffusion.schedule import make_point, make_schedule
from dossr_video.diffusion.solver import Estimate

RUNS = ["o1_s1", "o1_s5", "o2_s5", "o3_s5", "o3_s3_cfg", "o2_s5_b2"]
DEGRADED = torch.linspace(-2, 2, 32, dtype=torch.float64).reshape(2, 4, 2, 2)


@pytest.mark.parametrize("run", RUNS)
def test_recorded_noise_predictions_give_the_recorded_latents(golden_runs, run):
    order, calls = (int(number) for number in re.match(r"o(\d)_s(\d+)", run).groups())
    noise = golden_runs["noise_b2" if run.endswith("b2") else "noise"][1:]
    recorded = iter(golden_runs[f"{run}_eps"])
    trace = []

    def denoise(x, t):
        trace.append(x)
        point = make_point(t)
        return (x - point.s * next(recorded)) / point.a

    start = make_schedule(calls)[-1]
    degraded = (golden_runs[f"{run}_x"][0] - start.s * noise[0]) / start.a
    latents = sample(denoise, make_schedule(calls), degraded, noise=noise.__getitem__, order=order, final="landing")
    torch.testing.assert_close(torch.stack([*trace, latents]), golden_runs[f"{run}_x"], rtol=0, atol=4e-6)


def run_on_curve(calls, **options):
    """Sampling without noise where the clean latents depend on t as cos(lambda / 3) does."""

    def denoise(x, t):
        return DEGRADED * torch.cos(torch.tensor(make_point(t).lam / 3, dtype=torch.float64)) + 0.1 * x

    options = {"final": "landing", "noise": lambda _: torch.zeros_like(DEGRADED)} | options
    return sample(denoise, make_schedule(calls), DEGRADED, **options)


@pytest.mark.parametrize(("order", "calls", "same"), [(2, 2, True), (3, 3, True), (2, 3, False), (3, 4, False)])
def test_higher_orders_begin_where_lambda_becomes_small(order, calls, same):
    """lambda is 6.5e5 at the first call, so differences over it vanish."""
    gap = (run_on_curve(calls, order=order) - run_on_curve(calls, order=order - 1)).abs().max()
    assert (gap < 1e-5) == same


@pytest.mark.parametrize(("order", "corrected", "rate"), [(1, False, 1), (2, False, 2), (3, False, 2), (3, True, 3)])
def test_convergence_rates(order, corrected, rate):
    """With twice the calls the error falls by 2^rate; the published third order only reaches rate 2."""

    def clean(lam):
        return DEGRADED / (1 + torch.as_tensor(lam, dtype=torch.float64))

    def error(stride):
        points = [make_point(t) for t in range(40, 489, stride)]
        landed = sample(
            lambda x, t: clean(make_point(t).lam),
            points,
            DEGRADED,
            noise=lambda _: torch.zeros_like(DEGRADED),
            order=order,
            final="landing",
            corrected_third_order=corrected,
        )
        return (landed - exact_landing(points[-1], points[0], clean)).abs().max()

    measured = torch.log2(error(16) / error(8)).item()
    assert measured == pytest.approx(rate, abs=0.15)


def exact_landing(here, target, clean):
    """What `sample` must land on without noise, by fine quadrature over log lambda.

    y = x / A - h xhat0 obeys  dy / dlambda = 2 (y - x0) / lambda.
    """
    logs = torch.linspace(math.log(target.lam), math.log(here.lam), 200_001, dtype=torch.float64)
    lam = logs.exp()[:, None, None, None, None]
    integral = torch.trapezoid(clean(lam) / lam**2, logs, dim=0)
    y = DEGRADED * (here.a / here.A - here.h)
    return target.A * ((target.lam / here.lam) ** 2 * y + target.h * DEGRADED + 2 * target.lam**2 * integral)


def test_x0_is_the_last_estimate_and_draws_nothing_after_it():
    estimates, draws = [], []

    def denoise(x, t):
        estimates.append(0.5 * x + t)
        return estimates[-1]

    def noise(call):
        draws.append(call)
        return torch.ones_like(DEGRADED)

    result = sample(denoise, make_schedule(3), DEGRADED, noise=noise, order=2, final="x0")
    assert result is estimates[-1]
    assert draws == [0, 1, 2]
    draws.clear()
    sample(denoise, make_schedule(3), DEGRADED, noise=noise, order=2, final="landing")
    assert draws == [0, 1, 2, 3]


def test_the_solver_goes_on_with_what_the_guide_returns():
    calls = []

    def guide(x0, call):
        calls.append(call)
        return torch.full_like(x0, float(call))

    def landing(denoise, guide=None):
        zero = torch.zeros_like(DEGRADED)
        return sample(denoise, make_schedule(3), DEGRADED, noise=lambda _: zero, order=3, final="landing", guide=guide)

    guided = landing(lambda x, t: x, guide)
    assert calls == [1, 2, 3]
    counted = iter([1.0, 2.0, 3.0])
    torch.testing.assert_close(guided, landing(lambda x, t: torch.full_like(x, next(counted))))


def test_a_warm_start_keeps_the_spread_that_fewer_calls_lose():
    """Clean latents of known mean and deviation, and the best estimate of them for a network."""
    mean, variance, size = 0.3, 0.4, (1, 1, 128, 128)
    degraded = torch.full(size, 0.1, dtype=torch.float64)

    def denoise(x, t):
        point = make_point(t)
        seen = x / point.A - point.h * degraded
        return (mean / variance + seen / point.lam**2) / (1 / variance + 1 / point.lam**2)

    def spread(calls, **options):
        generator = torch.Generator().manual_seed(0)
        draws = [torch.randn(size, generator=generator, dtype=torch.float64) for _ in range(calls + 1)]
        result = sample(
            denoise, make_schedule(calls), degraded, noise=draws.__getitem__, order=3, final="landing", **options
        )
        return result.var().item() / variance

    schedule = make_schedule(5)
    whole = spread(5)
    assert 0.7 < whole < 1
    for left in (2, 3):
        warm = Estimate(schedule[left + 1], torch.full(size, mean, dtype=torch.float64))
        assert spread(5, warm=warm) == pytest.approx(whole, rel=0.1)
        assert spread(left) < 0.6 * whole
