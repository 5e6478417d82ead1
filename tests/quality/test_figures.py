from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from dossr_video.quality.figures import colour_shift, detail, judge, psnr, ssim
from dossr_video.quality.networks import Networks

Clip = NDArray[np.uint8]

# Of an implementation of its own, on the clips and weights of conftest.py.
GOLDEN = {
    "psnr": 37.58833,
    "ssim": 0.9813367,
    "lpips": 0.009505000,
    "dists": 0.003687997,
    "lpips_a": 0.009773585,
    "tlpips": 7.113872,
    "ewarp": 0.2819452,
    "flicker": 23.05065,
    "sharp": 1.026055,
}


@pytest.fixture(scope="module")
def networks(metric_weights: Path) -> Networks:
    return Networks.load(metric_weights)


def test_figures_are_those_of_the_reference(result: Clip, truth: Clip, networks: Networks) -> None:
    assert asdict(judge({"result": result}, truth, networks)["result"]) == pytest.approx(GOLDEN, rel=1e-3)


def test_results_judged_together_get_what_each_gets_alone(result: Clip, truth: Clip, networks: Networks) -> None:
    together = judge({"result": result, "truth": truth}, truth, networks)
    alone = judge({"result": result}, truth, networks)
    assert asdict(together["result"]) == pytest.approx(asdict(alone["result"]), rel=1e-5)


def test_the_truth_is_perfect(truth: Clip, networks: Networks) -> None:
    figures = judge({"truth": truth}, truth, networks)["truth"]
    assert figures.psnr > 100
    assert figures.ssim == pytest.approx(1)
    assert figures.sharp == pytest.approx(1)
    for distance in (figures.lpips, figures.dists, figures.lpips_a, figures.tlpips, figures.flicker):
        assert distance == pytest.approx(0, abs=1e-5)


def test_one_frame_has_no_figures_over_time(result: Clip, truth: Clip, networks: Networks) -> None:
    figures = judge({"result": result[:1]}, truth[:1], networks)["result"]
    assert (figures.tlpips, figures.ewarp, figures.flicker) == (None, None, None)


def test_shapes_must_agree(result: Clip, truth: Clip, networks: Networks) -> None:
    with pytest.raises(ValueError, match=r"result of shape \(5, 95, 128, 3\) must have the ground truth's shape"):
        judge({"result": result[:, 1:]}, truth, networks)


def test_psnr_of_a_known_error() -> None:
    truth = np.full((20, 20, 3), 100, np.float32)
    assert psnr(truth + 25.5, truth) == pytest.approx(20)


def test_ssim_falls_with_noise_not_with_size() -> None:
    rng = np.random.default_rng(0)
    truth = rng.uniform(0, 255, (40, 50, 3)).astype(np.float32)
    noise = rng.normal(0, 1, truth.shape).astype(np.float32)
    assert 1 > ssim(truth + 5 * noise, truth) > ssim(truth + 30 * noise, truth) > 0


def test_a_flat_picture_has_no_detail() -> None:
    assert detail(np.full((20, 20, 3), 77, np.float32)) == pytest.approx(0, abs=1e-4)


def test_colour_shift_is_the_worst_frame_and_channel() -> None:
    source = np.full((3, 8, 8, 3), 50, np.uint8)
    result = np.full((3, 32, 32, 3), 50, np.uint8)
    result[1, ..., 2] = 53
    result[2, ..., 0] = 49
    assert colour_shift(result, source) == 3
