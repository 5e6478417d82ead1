#!/usr/bin/env python3
"""Look at the damage: one row of pictures for each recipe of configs/degradation.yaml, and how soft its clips are.

    degradation_sheet.py SHEET.png --photos DIR [--clips DIR] [--seed 0] [--examples 2]

A row shows, for each example, the truth's last frame and the damaged first and last frames, enlarged without smoothing.
Printed is, of 40 clips of each recipe and of all by weight, the ratio of the finest band to the next (`band_ratio`; old
film 0.54 to 0.62): the 5th, 50th and 95th percentile. --measure VIDEO ... prints that of real videos beside them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import av
import cv2
import numpy as np

from dossr_video.training.batches import SCALE
from dossr_video.training.degradation import Recipe, band_ratio, degrade, pick, read_recipes
from dossr_video.training.footage import Footage

CONFIGS = Path(__file__).parent.parent / "configs"
FRAMES, SIDE = 6, 320  # of a clip; pixels of the truth
CAPTION = 24  # pixels
MEASURED = 40  # clips of each recipe


def example(footage: Footage, recipe: Recipe, rng: np.random.Generator) -> np.ndarray:
    """Truth, first and last damaged frame beside each other, (320, 960, 3) RGB."""
    damaged, truth = degrade(footage.draw(rng, frames=FRAMES, side=SIDE), recipe, rng)
    shown = [np.kron(damaged[i], np.ones((SCALE, SCALE, 1), np.uint8)) for i in (0, -1)]
    return np.concatenate([truth[-1], *shown], axis=1)


def row(recipe: Recipe, pictures: list[np.ndarray]) -> np.ndarray:
    body = np.concatenate(pictures, axis=1)
    caption = np.full((CAPTION, body.shape[1], 3), 255, np.uint8)
    steps = ", ".join(str(line["step"]) for line in (*recipe.light, *recipe.damage))
    cv2.putText(caption, f"{recipe.name}: {steps}", (6, 17), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (0, 0, 0), 1, cv2.LINE_AA)
    return np.concatenate([caption, body])


def percentiles(name: str, recipes: Sequence[Recipe], footage: Footage) -> str:
    """How soft clips of these recipes are, as a line."""
    rng = np.random.default_rng(1)
    drawn = (degrade(footage.draw(rng, frames=2, side=384), pick(recipes, rng), rng)[0] for _ in range(MEASURED))
    values = np.percentile([band_ratio(damaged) for damaged in drawn], [5, 50, 95])
    return f"{name:12}{'  '.join(f'{value:.2f}' for value in values)}"


def measured(video: Path) -> str:
    """The ratio of every tenth of a video's first hundred frames, as a line."""
    with av.open(str(video)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in islice(container.decode(video=0), 0, 100, 10)]
    return f"{band_ratio(np.stack(frames)):.2f}  {video.name}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sheet", type=Path)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--clips", type=Path)
    parser.add_argument("--recipes", type=Path, default=CONFIGS / "degradation.yaml")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--examples", type=int, default=2)
    parser.add_argument("--measure", type=Path, nargs="+", default=[], metavar="VIDEO")
    options = parser.parse_args()
    footage = Footage.of(options.photos, options.clips)
    rng = np.random.default_rng(options.seed)
    recipes = read_recipes(options.recipes)
    rows = [row(recipe, [example(footage, recipe, rng) for _ in range(options.examples)]) for recipe in recipes]
    cv2.imwrite(str(options.sheet), np.concatenate(rows)[..., ::-1])
    for recipe in recipes:
        print(percentiles(recipe.name, [recipe], footage))
    print(percentiles("all", recipes, footage))
    for video in options.measure:
        print(measured(video))
    return 0


if __name__ == "__main__":
    sys.exit(main())
