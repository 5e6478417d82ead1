"""The grain of a source, measured. In numpy, so that `probe` need not wait for torch.

Grain is taken as Gaussian noise on the luma whose deviation depends on the brightness and whose neighbours are
correlated as if it had been blurred a little, across and down apart.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from typing import Any

import cv2
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from dossr_video.restoration.detail import Plane, grey

Blocks = NDArray[np.float32]  # (N, BLOCK, BLOCK)

AFTER = 3  # frames
BLOCK = 16  # pixels a side
BINS = 8  # of brightness
FLATTEST = 0.15  # of the blocks of a brightness; what is left in them is grain
AGREE = 1.2  # factor by which the levels of the flattest blocks may differ; those of texture differ by more
ENOUGH = 4  # flattest blocks that a brightness must have
OTHER = 0.5  # of the largest difference, from which a frame after is no repeated one
LOWEST = 0.02  # quantile of all blocks: grain is everywhere
RANGE = 2.0  # at most, of a brightness's level over that: more is texture
BLACK, WHITE = 16 / 255, 239 / 255  # there grain is cut off


@dataclass(frozen=True)
class GrainProfile:
    """Statistics of a source's grain."""

    levels: tuple[float, ...]  # deviation in each of BINS ranges of luma, in [0, 1]
    across: float  # deviation of the blur that its neighbours' correlation stands for, pixels of the source
    down: float


def measure_grain(frames: Iterable[Any], following: Iterable[Sequence[Any]] = ()) -> GrainProfile | None:
    """The grain of sampled frames in [0, 1], arrays or tensors, luma (1, H, W) or RGB (3, H, W).

    `following` are the AFTER frames after each of them, as far as there are any: grain is another on every frame, while
    texture that stands still (a lawn, a coat) is the same. None where nothing is flat enough to tell.
    """
    groups = zip(map(grey, frames), chain(following, repeat(())), strict=False)
    parts = [_residuals(frame, [grey(after) for after in later]) for frame, later in groups]
    if not parts or not sum(len(levels) for levels, _ in parts):
        return None
    brightness, blocks = (np.concatenate(columns) for columns in zip(*parts, strict=True))
    variance = np.square(blocks).mean((1, 2))
    bins = np.minimum((brightness * BINS).astype(int), BINS - 1)
    found: dict[int, float] = {}
    flat: dict[int, Blocks] = {}
    even = 0  # blocks of brightnesses whose flattest ones agree, less those of the others
    for i in range(BINS):
        inside = np.flatnonzero(bins == i)
        least = inside[variance[inside].argsort(kind="stable")[: int(FLATTEST * len(inside))]]
        if len(least) >= ENOUGH:
            found[i] = math.sqrt(_median(variance[least]))
            agree = variance[least[-1]] <= AGREE**2 * variance[least[len(least) // 4]]
            even += len(inside) if agree else -len(inside)
            if agree:
                flat[i] = blocks[least]
    most = RANGE * math.sqrt(np.quantile(variance, LOWEST)) if len(variance) else 0.0
    found = {i: level for i, level in found.items() if i in flat and level <= most}
    if not found or even <= 0:
        return None
    levels = tuple(round(found[min(found, key=lambda known: abs(known - i))], 5) for i in range(BINS))
    grain = np.concatenate([flat[i] for i in found])
    return GrainProfile(levels, across=_blur(grain, 2), down=_blur(grain, 1))


def _residuals(picture: Plane, later: Sequence[Plane]) -> tuple[NDArray[np.float32], Blocks]:
    """Mean luma (N,) and what is left of each block without its slope; clipped blocks left out.

    Where a frame after it tells more, that is how the two differ, over the root of 2, where they stand or along the
    motion: the first that is no repeated one, which has the same grain. Grain is in all three: the least is nearest to
    it.
    """
    if min(picture.shape) < BLOCK:
        return np.zeros(0, np.float32), np.zeros((0, BLOCK, BLOCK), np.float32)
    blocks = _blocks(picture)
    mean = blocks.mean((1, 2))
    inside = (mean > BLACK) & (mean < WHITE)
    blocks, mean = blocks[inside], mean[inside]
    flat = _without_slope(blocks)
    later = [after for after in later if after.shape == picture.shape]
    apart = [float(np.abs(after - picture).mean()) for after in later]
    if apart and max(apart) > 0:
        after = later[next(i for i, far in enumerate(apart) if far >= OTHER * max(apart))]
        for other in (after, _moved(picture, after)):
            between = (flat - _without_slope(_blocks(other)[inside])) / np.float32(math.sqrt(2))
            nearer = np.square(between).mean((1, 2)) < np.square(flat).mean((1, 2))
            flat = np.where(nearer[:, None, None], between, flat)
    return mean, flat


def _moved(picture: Plane, other: Plane) -> Plane:
    """`other` moved onto `picture`."""
    dis: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    flow = dis.calc(*((255 * plane).round().astype(np.uint8) for plane in (picture, other)), None)
    rows, columns = np.mgrid[: picture.shape[0], : picture.shape[1]].astype(np.float32)
    return cv2.remap(other, columns + flow[..., 0], rows + flow[..., 1], cv2.INTER_LANCZOS4)


def _blocks(picture: Plane) -> Blocks:
    step = BLOCK // 2
    return sliding_window_view(picture, (BLOCK, BLOCK))[::step, ::step].reshape(-1, BLOCK, BLOCK)


def _without_slope(blocks: Blocks) -> Blocks:
    ramp = np.linspace(-1, 1, BLOCK, dtype=np.float32)
    ramp /= math.sqrt(float(np.square(ramp).sum()) * BLOCK)
    flat: Blocks = blocks - blocks.mean((1, 2), keepdims=True)
    for plane in (ramp[None, None, :], ramp[None, :, None]):
        flat -= (flat * plane).sum((1, 2), keepdims=True) * plane
    return flat


def _correlation(blocks: Blocks, axis: int) -> NDArray[np.float32]:
    """(N,): of neighbours along `axis`, in each block."""
    first, second = (blocks[:, :, :-1], blocks[:, :, 1:]) if axis == 2 else (blocks[:, :-1], blocks[:, 1:])
    shared, energy = (first * second).mean((1, 2)), np.square(blocks).mean((1, 2))
    return np.divide(shared, energy, out=np.zeros_like(shared), where=energy > 0)


def _blur(grain: Blocks, axis: int) -> float:
    """Deviation of the Gaussian blur that would correlate white noise as much: exp(-1 / (4 s^2)) for neighbours."""
    correlation = min(_median(_correlation(grain, axis)), 0.95)
    return round(0.5 / math.sqrt(-math.log(correlation)), 3) if correlation > 0.02 else 0.0


def _median(values: NDArray[np.float32]) -> float:
    """The lower one of two."""
    return float(np.quantile(values, 0.5, method="lower"))
