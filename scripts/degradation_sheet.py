#!/usr/bin/env python3
"""Look at the damage: one row of pictures for each recipe of configs/degradation.yaml.

    degradation_sheet.py SHEET.png --photos DIR [--clips DIR] [--seed 0] [--examples 2]

A row shows, for each example, the truth's last frame and the damaged first and last frames, enlarged without smoothing.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import cv2
import numpy as np

from dossr_video.training.batches import SCALE
from dossr_video.training.degradation import Recipe, degrade, read_recipes
from dossr_video.training.footage import Footage

CONFIGS = Path(__file__).parent.parent / "configs"
FRAMES, SIDE = 6, 320  # of a clip; pixels of the truth
CAPTION = 24  # pixels


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


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sheet", type=Path)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--clips", type=Path)
    parser.add_argument("--recipes", type=Path, default=CONFIGS / "degradation.yaml")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--examples", type=int, default=2)
    options = parser.parse_args()
    footage = Footage.of(options.photos, options.clips)
    rng = np.random.default_rng(options.seed)
    rows = [
        row(recipe, [example(footage, recipe, rng) for _ in range(options.examples)])
        for recipe in read_recipes(options.recipes)
    ]
    cv2.imwrite(str(options.sheet), np.concatenate(rows)[..., ::-1])
    return 0


if __name__ == "__main__":
    sys.exit(main())
