from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from dossr_video.diffusion.schedule import make_schedule, timesteps, training_tables


def test_training_tables_are_the_published_ones(golden_schedule):
    abar, eta = training_tables()
    np.testing.assert_allclose(abar, golden_schedule["base_alphas_cumprod"], rtol=1e-12)
    np.testing.assert_allclose(eta, golden_schedule["base_etas"], rtol=1e-12)


@pytest.mark.parametrize("calls", [1, 2, 3, 5, 10, 20])
def test_schedule_is_the_published_one(golden_schedule, calls):
    points = make_schedule(calls)
    assert [point.t for point in points] == golden_schedule[f"s{calls}_timesteps"].tolist()
    for ours, theirs in (
        ("abar", "alphas_cumprod"),
        ("eta", "etas"),
        ("s", "sigmas"),
        ("A", "alphas_multi_one_minus_etas"),
        ("lam", "lambdas"),
    ):
        np.testing.assert_allclose(
            [getattr(point, ours) for point in points], golden_schedule[f"s{calls}_{theirs}"], rtol=1e-12
        )


def test_spacing_adds_up_instead_of_multiplying():
    """The tenth of 20 lies at 249.5 when multiplied out; the sum has drifted below the tie by then."""
    multiplied = tuple(round(k * 499 / 20) for k in range(21))
    assert (multiplied[10], timesteps(20)[10]) == (250, 249)


@pytest.mark.parametrize("calls", [1, 2, 7, 50, 498, 499])
def test_entries_rise_from_0_to_499(calls):
    entries = timesteps(calls)
    assert (entries[0], entries[-1], len(entries)) == (0, 499, calls + 1)
    assert all(before < after for before, after in itertools.pairwise(entries))


@pytest.mark.parametrize("calls", [-1, 0, 500])
def test_impossible_numbers_of_calls(calls):
    with pytest.raises(ValueError, match=r"must be in \[1, 499\]"):
        timesteps(calls)


def test_noise_and_shift_vanish_towards_the_first_entry():
    first, *_, last = make_schedule(5)
    assert first.s < 0.03
    assert first.eta < 1e-5
    assert last.lam > 6e5
    assert all(math.isclose(point.A * point.lam, point.s) for point in (first, last))
