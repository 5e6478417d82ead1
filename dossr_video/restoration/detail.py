"""How much of its pixel grid a source really uses. In numpy, so that `probe` need not wait for torch."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dossr_video.frames import LUMA

Plane = NDArray[np.float32]  # (H, W)

RATIOS = (0.5, 0.6, 0.7, 0.8, 0.9)  # of the grid that are tried, rising
LOST = 0.15  # of the contrast of an edge may be lost on the way to a smaller grid and back
SHARP = 0.88  # of the grid and more: the source is left as it is
BLOCK = 8  # pixels a side
SHARPEST = 0.8  # quantile of the regions with edges: what is out of focus says nothing of the source
FLAT = 0.3  # of a frame's blocks; what is left in the flattest ones is noise
BLACK, WHITE = 20 / 255, 235 / 255
CLEAR = 8.0  # times the noise's energy that an edge must have
CONTRAST = 3 / 255  # and its deviation at least
STRONG = 0.9  # quantile of a frame's blocks whose edges are looked at
REGION = 8  # blocks a side
ENOUGH = 6  # blocks with edges in a region, and regions in all, or nothing is known


def measure_detail(frames: Iterable[Any]) -> float | None:
    """Share of the pixel grid, across and down, that holds detail: 0.5 for what half the grid would hold as well.

    Each frame is brought to smaller grids and back. What is lost at its edges, over what noise alone loses in flat
    places, is held against the contrast of the edges one octave coarser: grain and compression lose alike everywhere,
    so they are no detail.

    Args:
        frames: sampled frames in [0, 1] of one size, from several shots: arrays or tensors, RGB (3, H, W) or luma
            (1, H, W).

    Returns:
        In [0.5, 1]; None where the frames have too few edges to tell.
    """
    losses = np.concatenate([np.zeros((0, len(RATIOS)), np.float32), *(_losses(grey(frame)) for frame in frames)])
    if len(losses) < ENOUGH:
        return None
    lost = np.quantile(losses, SHARPEST, axis=0).tolist()
    points = [*zip(RATIOS, lost, strict=True), (1.0, 0.0)]
    if lost[0] <= LOST:
        return RATIOS[0]
    for (low, more), (high, less) in pairwise(points):
        if less <= LOST < more:
            return float(low + (high - low) * (more - LOST) / (more - less))
    return 1.0


def grey(frame: Any) -> Plane:
    """Luma (H, W) of a frame in [0, 1], (3, H, W) or (1, H, W)."""
    planes = np.asarray(frame, np.float32)
    return planes[0] if len(planes) == 1 else np.tensordot(np.asarray(LUMA, np.float32), planes, 1)


def _losses(picture: Plane) -> Plane:
    """(N, len(RATIOS)): loss of contrast, at each of RATIOS, of a picture's N regions with edges."""
    height, width = picture.shape
    if min(height, width) < REGION * BLOCK:
        return np.zeros((0, len(RATIOS)), np.float32)
    soft, softer = (cv2.GaussianBlur(picture, (size, size), sigma) for size, sigma in ((9, 1.4), (17, 2.8)))
    edges = _energy(np.asarray(soft - softer))
    level = _means(picture)
    clipped = (level < BLACK) | (level > WHITE)  # there noise is cut off
    whole = bool(clipped.all())
    flat = clipped if whole else (edges <= np.quantile(edges[~clipped], FLAT)) & ~clipped
    strong = float(np.quantile(edges, STRONG))  # weak edges drown in what a codec leaves around them
    clear = _regions((edges > max(strong, CLEAR * float(edges[flat].mean()), CONTRAST**2)).astype(np.float32))

    def over_noise(energy: Plane) -> Plane:
        return energy - energy[flat].mean()

    enough = clear.sum(1) >= ENOUGH
    contrast = _regions(over_noise(edges))[enough]
    losses = []
    for ratio in RATIOS:
        small = _resized(picture, (max(1, round(height * ratio)), max(1, round(width * ratio))))
        lost = _regions(over_noise(_energy(picture - _resized(small, (height, width)))))[enough]
        # Neither one block's noise nor a speck of dust decides.
        middle = [
            np.quantile(gone[here] / there[here], 0.5, method="lower")
            for gone, there, here in zip(lost, contrast, clear[enough] > 0, strict=True)
        ]
        losses.append(np.sqrt(np.maximum(np.asarray(middle, np.float32), 0)))
    return np.stack(losses, 1)


def _regions(blocks: Plane) -> Plane:
    """(h, w) -> (N, REGION^2): the blocks of each whole region."""
    rows, columns = (side // REGION for side in blocks.shape)
    cut = blocks[: rows * REGION, : columns * REGION].reshape(rows, REGION, columns, REGION)
    return cut.swapaxes(1, 2).reshape(rows * columns, REGION**2)


def _energy(picture: Plane) -> Plane:
    """(H, W) -> (H / BLOCK, W / BLOCK): the mean square of each block."""
    return _means(np.square(picture))


def _means(picture: Plane) -> Plane:
    rows, columns = (side // BLOCK for side in picture.shape)
    blocks = picture[: rows * BLOCK, : columns * BLOCK].reshape(rows, BLOCK, columns, BLOCK)
    return np.asarray(blocks.mean((1, 3)), np.float32)


def native_ratio(detail: float | None) -> float:
    """The ratio at which a source of this measured detail is restored: 1 where it is sharp, never below 0.5."""
    return 1.0 if detail is None or detail >= SHARP else max(detail, RATIOS[0])


def _resized(picture: Plane, size: tuple[int, int]) -> Plane:
    """By a cubic filter that does not alias, as `to_native` has it."""
    image = Image.fromarray(np.ascontiguousarray(picture))
    return np.asarray(image.resize(size[::-1], Image.Resampling.BICUBIC))
