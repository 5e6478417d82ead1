from __future__ import annotations

import itertools
import math

import pytest
import torch

from dossr_video.diffusion.schedule import make_point, make_schedule
from dossr_video.diffusion.solver import Estimate, diffuse, step

TRUTH = torch.linspace(-2, 2, 16, dtype=torch.float64).reshape(1, 4, 2, 2)
DEGRADED = TRUTH.flip(1) + 0.3


def moments(point):
    """Mean and standard deviation of the forward process, from its definition."""
    return point.a * (point.eta * DEGRADED + (1 - point.eta) * TRUTH), point.s


@pytest.mark.parametrize(("start", "end"), [(499, 399), (499, 0), (399, 299), (299, 1), (100, 0), (1, 0)])
def test_order_1_keeps_the_forward_process(start, end):
    """Mean and variance in closed form: the step is linear in x and in the noise it adds."""
    here, target = make_point(start), make_point(end)
    known = [Estimate(here, TRUTH)]
    zero, one = torch.zeros_like(TRUTH), torch.ones_like(TRUTH)
    mean, deviation = moments(here)
    landed = step(mean, known, DEGRADED, zero, target, corrected_third_order=False)
    per_x = step(mean + 1, known, DEGRADED, zero, target, corrected_third_order=False) - landed
    per_noise = step(mean, known, DEGRADED, one, target, corrected_third_order=False) - landed
    wanted_mean, wanted_deviation = moments(target)
    torch.testing.assert_close(landed, wanted_mean, rtol=0, atol=1e-9)
    variance = (per_x * deviation) ** 2 + per_noise**2
    torch.testing.assert_close(variance, torch.full_like(variance, wanted_deviation**2), rtol=1e-9, atol=0)


def test_order_1_keeps_the_forward_process_over_a_whole_run():
    generator = torch.Generator().manual_seed(3)
    count = 40_000
    shape = (count, *TRUTH.shape[1:])
    points = make_schedule(4)[::-1]
    noise = torch.randn(shape, generator=generator, dtype=torch.float64)
    x = diffuse(TRUTH, DEGRADED, noise, points[0])
    for here, target in itertools.pairwise(points):
        noise = torch.randn(shape, generator=generator, dtype=torch.float64)
        x = step(x, [Estimate(here, TRUTH)], DEGRADED, noise, target, corrected_third_order=False)
    mean, deviation = moments(points[-1])
    torch.testing.assert_close(x.mean(0, keepdim=True), mean, rtol=0, atol=5 * deviation / math.sqrt(count))
    spread = x.std(0)
    torch.testing.assert_close(spread, torch.full_like(spread, deviation), rtol=5 / math.sqrt(2 * count), atol=0)


def exact_landing(x, here, target, integral):
    """x at `target` for x0 known as a function of lambda: variation of constants, with noise 0.

    x / A - h xhat0 = y solves  dy / dlambda = 2 (y - x0) / lambda, so
    y(target) = r^2 y(here) + 2 target^2 * integral of x0(l) / l^3 from target to here.
    """
    r2 = (target.lam / here.lam) ** 2
    y = x / here.A - here.h * DEGRADED
    return target.A * (r2 * y + target.h * DEGRADED + 2 * target.lam**2 * integral)


@pytest.mark.parametrize(("order", "corrected"), [(1, False), (2, False), (3, True)])
def test_orders_are_exact_for_polynomials_in_lambda(order, corrected):
    """Order n integrates x0 of degree n - 1 in lambda without error; the third only with its correction."""
    points = [make_point(t) for t in (320, 280, 230, 150)]
    scale = points[0].lam
    degree = order - 1

    def x0(point):
        return TRUTH * (1 + (point.lam / scale) ** degree if degree else 1)

    here, target = points[2], points[3]
    estimates = [Estimate(point, x0(point)) for point in points[2::-1]][:order]

    def antiderivative(lam, power):  # of l^(power - 3)
        return math.log(lam) if power == 2 else lam ** (power - 2) / (power - 2)

    def integral_of(power):
        return antiderivative(here.lam, power) - antiderivative(target.lam, power)

    integral = TRUTH * (integral_of(0) + (integral_of(degree) / scale**degree if degree else 0))
    x = DEGRADED * 0.7
    ours = step(x, estimates, DEGRADED, torch.zeros_like(x), target, corrected_third_order=corrected)
    torch.testing.assert_close(ours, exact_landing(x, here, target, integral), rtol=1e-10, atol=1e-10)


def test_published_third_order_is_not_exact_for_a_quadratic():
    points = [make_point(t) for t in (320, 280, 230, 150)]
    estimates = [Estimate(point, TRUTH * point.lam**2) for point in points[2::-1]]
    zero = torch.zeros_like(TRUTH)
    published, corrected = (
        step(zero, estimates, DEGRADED, zero, points[3], corrected_third_order=choice) for choice in (False, True)
    )
    assert (published - corrected).abs().max() > 1e-3
