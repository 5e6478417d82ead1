from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from dossr_video.quality.motion import MotionTruth, warp

Clip = NDArray[np.uint8]


def test_warp_samples_where_the_flow_points() -> None:
    image = np.random.default_rng(0).uniform(0, 255, (12, 16, 3)).astype(np.float32)
    flow = np.zeros((12, 16, 2), np.float32)
    flow[..., 0], flow[..., 1] = 2, -1
    np.testing.assert_allclose(warp(image, flow)[1:, :-2], image[:-1, 2:], atol=1e-3)


def test_what_moves_with_the_truth_is_steady(truth: Clip) -> None:
    motion = MotionTruth(truth)
    # Two thousandths: what bicubic sampling and an estimated flow leave.
    assert motion.warping_error(truth, 2) < 2e-3
    stuck = truth.copy()
    stuck[2] = stuck[1]
    assert motion.warping_error(stuck, 2) > 4 * motion.warping_error(truth, 2)


def test_flicker_is_what_a_still_area_gains(truth: Clip) -> None:
    result = truth.copy()
    result[1] += 6
    # |1 - 2 * 1 + 1| at the frames around a frame that is six codes too bright.
    assert MotionTruth(truth).flicker(result, 2) == pytest.approx(12 / 255, rel=1e-3)


def test_flicker_does_not_depend_on_brightness(truth: Clip, result: Clip) -> None:
    dark = MotionTruth(truth).flicker(result, 3)
    assert MotionTruth(truth + 128).flicker(result + 128, 3) == pytest.approx(dark, rel=1e-2)


def test_nothing_flickers_before_the_third_frame_or_where_all_moves(truth: Clip) -> None:
    assert MotionTruth(truth).flicker(truth, 1) is None
    moving = truth[:, :, 64:]
    assert MotionTruth(moving).flicker(moving, 3) is None
