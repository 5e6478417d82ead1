from __future__ import annotations

from pathlib import Path
from typing import get_args

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from dossr_video.errors import SourceError
from dossr_video.quality.pairs import Kind, damage, encode, ground_truth, make_pair, read_clip

Clip = NDArray[np.uint8]
GOLDEN = Path(__file__).parents[1] / "data" / "quality" / "damaged.npz"  # of an implementation of its own, seed 4


@pytest.mark.parametrize("kind", get_args(Kind))
def test_damage_is_that_of_the_reference(truth: Clip, kind: Kind) -> None:
    damaged = damage(truth, kind, seed=4)
    with np.load(GOLDEN) as golden:
        # One code: OpenCV's blurs round differently from processor to processor.
        assert np.abs(damaged.astype(int) - golden[kind]).max() <= 1
    assert damaged.shape == (5, 24, 32, 3)


@pytest.mark.parametrize("kind", ["compressed", "film"])
def test_another_seed_damages_differently(truth: Clip, kind: Kind) -> None:
    assert (damage(truth, kind, seed=4) != damage(truth, kind, seed=5)).mean() > 0.3


def test_ground_truth_is_shrunk_and_cut_but_never_enlarged(truth: Clip) -> None:
    assert ground_truth(truth, height=70).shape == (5, 64, 80, 3)
    np.testing.assert_array_equal(ground_truth(truth[:, :90], height=200), truth[:, :80])


def test_lossless_is_lossless(truth: Clip, tmp_path: Path) -> None:
    encode(truth, tmp_path / "clip.mkv", crf=None)
    np.testing.assert_array_equal(read_clip(tmp_path / "clip.mkv"), truth)


@pytest.mark.parametrize(("kind", "suffix"), [("clean", ".mkv"), ("compressed", ".mp4"), ("film", ".mp4")])
def test_a_pair_holds_the_truth_and_its_damaged_quarter(truth: Clip, tmp_path: Path, kind: Kind, suffix: str) -> None:
    truth_path, source_path = make_pair(truth, tmp_path / "new", "x", height=96, kind=kind, seed=4)
    assert (truth_path.name, source_path.name) == ("x_gt.mkv", f"x_lr{suffix}")
    np.testing.assert_array_equal(read_clip(truth_path), truth)
    source = read_clip(source_path, frames=4)
    assert source.shape == (4, 24, 32, 3)
    # Brightness alone: 4:2:0 halves the colour of waves this short.
    luma = [clip[:4] @ [0.299, 0.587, 0.114] for clip in (source, damage(truth, kind, seed=4))]
    assert np.abs(luma[0] - luma[1]).mean() < 6


def test_an_encoded_clip_is_the_same_in_every_run(tmp_path: Path) -> None:
    """Of x264's AVX-512 code half of these runs differ, as memory happens to be."""
    rng = np.random.default_rng(0)
    scene = cv2.GaussianBlur(rng.integers(0, 256, (400, 400, 3), np.uint8), (0, 0), 2)
    scene = cv2.normalize(scene, None, 0, 255, cv2.NORM_MINMAX)
    moving = np.stack([scene[i : i + 176, 2 * i : 2 * i + 320] for i in range(24)])
    clip = np.clip(moving + rng.normal(0, 3, moving.shape), 0, 255).astype(np.uint8)
    results = set()
    for i in range(12):
        held = [np.full(1000 * i + 7, i) for _ in range(i)]  # the encoder's memory lies elsewhere each time
        encode(clip, tmp_path / "clip.mp4", crf=27)
        results.add((tmp_path / "clip.mp4").read_bytes())
        del held
    assert len(results) == 1


def test_a_clip_that_is_missing_or_too_short_is_an_error(truth: Clip, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="cannot be read"):
        read_clip(tmp_path / "none.mkv")
    encode(truth, tmp_path / "clip.mkv", crf=None)
    with pytest.raises(SourceError, match="has 5 frames, 6 are needed"):
        read_clip(tmp_path / "clip.mkv", frames=6)
