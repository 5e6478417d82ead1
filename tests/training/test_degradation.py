"""Damage: seeded, each step does what it says, every codec comes back with its frames."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from dossr_video.errors import SettingsError
from dossr_video.training.compression import compress
from dossr_video.training.degradation import STEPS, Clip, band_ratio, degrade, pick, read_recipes
from dossr_video.training.footage import Footage

RECIPES = Path(__file__).parents[2] / "configs" / "degradation.yaml"


@pytest.fixture(scope="module")
def clip() -> Clip:
    """(4, 64, 96, 3) in [40, 215]: a smooth colour texture that slides by two pixels a frame."""
    rng = np.random.default_rng(1)
    texture = cv2.GaussianBlur(rng.random((64, 120, 3), np.float32), (0, 0), 2.0)
    texture = 40 + 175 * (texture - texture.min()) / (texture.max() - texture.min())
    return np.stack([texture[:, 2 * t : 2 * t + 96] for t in range(4)])


def run(name: str, clip: Clip, seed: int = 0, **parameters: object) -> Clip:
    return STEPS[name](clip, np.random.default_rng(seed), **parameters)


def fine(clip: Clip) -> float:
    return float(np.abs(np.diff(clip, axis=2)).mean() + np.abs(np.diff(clip, axis=1)).mean())


@pytest.mark.parametrize("recipe", read_recipes(RECIPES), ids=lambda recipe: recipe.name)
def test_recipes_are_seeded_and_shrink(clip: Clip, recipe: object) -> None:
    truth = clip.astype(np.uint8)
    one, light = degrade(truth, recipe, np.random.default_rng(3))  # type: ignore[arg-type]
    two, _ = degrade(truth, recipe, np.random.default_rng(3))  # type: ignore[arg-type]
    other, _ = degrade(truth, recipe, np.random.default_rng(4))  # type: ignore[arg-type]
    assert one.shape == (4, 16, 24, 3)
    assert light.shape == truth.shape
    assert one.dtype == light.dtype == np.uint8
    assert np.array_equal(one, two)
    assert not np.array_equal(one, other)


def test_recipes_are_picked_by_weight() -> None:
    recipes = read_recipes(RECIPES)
    rng = np.random.default_rng(0)
    names = [pick(recipes, rng).name for _ in range(2000)]
    for recipe in recipes:
        share = recipe.weight / sum(other.weight for other in recipes)
        assert abs(names.count(recipe.name) / 2000 - share) < 0.04


def test_clips_are_as_soft_and_as_sharp_as_real_ones(footage: Footage) -> None:
    """Scans of old film have band ratios of 0.54 to 0.62, video made in its own size up to 0.9."""
    recipes, rng = read_recipes(RECIPES), np.random.default_rng(0)
    clips = (degrade(footage.draw(rng, frames=2, side=192), pick(recipes, rng), rng)[0] for _ in range(60))
    ratios = np.array([band_ratio(clip) for clip in clips])
    assert np.percentile(ratios, 10) < 0.54
    assert np.percentile(ratios, 95) > 0.75
    assert ((ratios > 0.5) & (ratios < 0.65)).mean() > 0.3


def test_band_ratio_falls_with_every_blur(clip: Clip) -> None:
    sharp = run("noise", clip, std=20.0)
    ratios = [band_ratio(part) for part in (sharp, *(run("blur", sharp, sigma=sigma) for sigma in (0.7, 1.0, 1.5)))]
    assert ratios == sorted(ratios, reverse=True)
    assert ratios[0] > 0.85 > 0.6 > ratios[-1]


def test_light_falls_on_the_truth_too(clip: Clip) -> None:
    film = next(recipe for recipe in read_recipes(RECIPES) if recipe.name == "film")
    damaged, light = degrade(clip.astype(np.uint8), film, np.random.default_rng(8))
    brightness = light.mean((1, 2, 3)) / clip.mean((1, 2, 3))
    assert np.ptp(brightness) > 0.01
    assert np.allclose(damaged.mean((1, 2, 3)) / light.mean((1, 2, 3)), 1, atol=0.05)


def test_unknown_step_is_named(tmp_path: Path) -> None:
    file = tmp_path / "recipes.yaml"
    file.write_text("a: {weight: 1, damage: [{step: smear}]}")
    with pytest.raises(SettingsError, match="'smear' does not exist"):
        read_recipes(file)


def test_low_passes_take_detail_and_keep_brightness(clip: Clip) -> None:
    rough = run("noise", clip, std=20.0)
    for name, parameters in {
        "blur": {"sigma": 1.5, "ratio": 0.8},
        "sinc": {"cutoff": 0.5},
        "rescale": {"factor": 0.5},
    }.items():
        soft = run(name, rough, **parameters)
        assert soft.shape == clip.shape
        assert fine(soft) < 0.8 * fine(rough)
        assert abs(soft.mean() - rough.mean()) < 1


def test_halo_sharpens_along_the_lines(clip: Clip) -> None:
    sharp = run("halo", clip, amount=0.8, sigma=1.2)
    across, along = (np.abs(np.diff(sharp - clip, axis=axis)).mean() for axis in (1, 2))
    assert along > 1.5 * across


def test_weave_moves_whole_frames(clip: Clip) -> None:
    still = np.repeat(clip[:1], 4, axis=0)
    woven = run("weave", still, std=1.0)
    assert np.abs(woven[1] - woven[0]).mean() > 0.5
    assert abs(woven.mean() - still.mean()) < 1


def test_interlace_touches_odd_rows_that_move(clip: Clip) -> None:
    mixed = run("interlace", clip, strength=0.5)
    assert np.array_equal(mixed[:, ::2], clip[:, ::2])
    assert np.abs(mixed[:-1, 1::2] - clip[:-1, 1::2]).mean() > 0.5
    assert np.array_equal(mixed[-1], clip[-1])


def test_exposure_and_grey(clip: Clip) -> None:
    flickering = run("exposure", clip, std=0.05)
    ratio = flickering / clip
    assert np.allclose(ratio, ratio[:, :1, :1, :1], atol=1e-5)
    assert np.ptp(ratio) > 0.02
    assert np.ptp(run("grey", clip), axis=-1).max() < 1e-3


def test_grain_is_grey_and_new_on_every_frame(clip: Clip) -> None:
    added = run("grain", clip, std=10.0, sigma=0.6) - clip
    assert np.ptp(added, axis=-1).max() < 1e-3
    assert abs(np.corrcoef(added[0].ravel(), added[1].ravel())[0, 1]) < 0.1


@pytest.mark.parametrize(("name", "parameters"), [("noise", {"std": 6.0}), ("poisson", {"photons": 400.0})])
def test_noise_is_new_on_every_frame(clip: Clip, name: str, parameters: dict[str, float]) -> None:
    added = run(name, clip, **parameters) - clip
    assert 3 < added.std() < 12
    assert abs(added.mean()) < 0.5
    assert abs(np.corrcoef(added[0].ravel(), added[1].ravel())[0, 1]) < 0.1


def test_dust_and_scratches_are_small(clip: Clip) -> None:
    for name, parameters in {"dust": {"rate": 8.0, "radius": 2.0}, "scratch": {"strength": 50.0}}.items():
        touched = np.any(run(name, clip, seed=2, **parameters) != clip, axis=-1)
        assert 0 < touched.mean() < 0.1


def test_chroma_leaves_the_luma(clip: Clip) -> None:
    bled = run("chroma", clip, sigma=2.0, shift=1.0)
    luma = np.array([0.299, 0.587, 0.114])
    assert np.abs((bled - clip) @ luma).max() < 0.5
    assert np.abs(bled - clip).mean() > 2


def test_dots_are_where_colour_changes_from_line_to_line(clip: Clip) -> None:
    striped = np.full_like(clip, 120.0)
    striped[:, 20:40, :, 0] = 200
    marks = run("dots", striped, amount=0.3) - striped
    assert np.ptp(marks, axis=-1).max() < 1e-3  # in the luma
    assert np.abs(marks[:, 18:22]).mean() > 3 > 1e-3 > np.abs(marks[:, 26:34]).max()
    assert np.sign(marks[0, 20, 10, 0]) != np.sign(marks[0, 20, 11, 0])
    assert np.sign(marks[0, 20, 10, 0]) != np.sign(marks[1, 20, 10, 0])  # it crawls


def test_heads_lose_short_lines(clip: Clip) -> None:
    touched = np.any(run("heads", clip, rate=8.0, strength=60.0) != clip, axis=-1)
    assert 0 < touched.mean() < 0.1
    assert touched.sum(axis=2).max() > 3 * touched.sum(axis=1).max()


def test_gamma_darkens_and_keeps_white(clip: Clip) -> None:
    dark = run("gamma", np.maximum(clip, 255 * (clip > 210)), power=2.0)
    assert dark.max() == pytest.approx(255, abs=1e-3)
    assert dark.mean() < clip.mean() - 20


@pytest.mark.parametrize(("encoder", "quality"), [("libx264", 40.0), ("mpeg2video", 20.0), ("mpeg4", 20.0)])
def test_codecs_return_every_frame_in_order(clip: Clip, encoder: str, quality: float) -> None:
    sharp = clip.astype(np.uint8)
    coded = compress(sharp, encoder=encoder, quality=quality)
    assert coded.shape == sharp.shape
    errors = [[np.abs(a.astype(float) - b).mean() for b in sharp] for a in coded]
    assert np.argmin(errors, axis=1).tolist() == [0, 1, 2, 3]
    better = compress(sharp, encoder=encoder, quality=4.0)
    assert np.abs(better - clip).mean() < np.abs(coded - clip).mean()


def test_jpeg_loses_more_at_low_quality(clip: Clip) -> None:
    losses = [np.abs(run("jpeg", clip, quality=quality) - clip).mean() for quality in (95.0, 20.0)]
    assert losses[0] < losses[1]
