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

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from dossr_video.restoration.detail import Plane, grey

Blocks = NDArray[np.float32]  # (N, BLOCK, BLOCK)

AFTER = 3  # frames
BLOCK = 16  # pixels a side
BINS = 8  # of brightness
FLATTEST = 0.2  # of the blocks of a brightness; what is left in them is grain
ENOUGH = 4  # blocks that a brightness must have
TEXTURE = 0.88  # correlation of neighbours that no grain has
RANGE = 2.2  # at most, of levels between brightnesses: more is texture
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
    grainy = np.maximum(_correlation(blocks, 2), _correlation(blocks, 1)) < TEXTURE
    brightness, blocks = brightness[grainy], blocks[grainy]
    variance = np.square(blocks).mean((1, 2))
    bins = np.minimum((brightness * BINS).astype(int), BINS - 1)
    found: dict[int, float] = {}
    flat: list[Blocks] = []
    for i in range(BINS):
        inside = np.flatnonzero(bins == i)
        if len(inside) >= ENOUGH:
            least = inside[variance[inside].argsort(kind="stable")[: max(ENOUGH, int(FLATTEST * len(inside)))]]
            found[i] = math.sqrt(_median(variance[least]))
            flat.append(blocks[least])
    if not found:
        return None
    found = {i: level for i, level in found.items() if level <= RANGE * min(found.values())}
    levels = tuple(round(found[min(found, key=lambda known: abs(known - i))], 5) for i in range(BINS))
    grain = np.concatenate(flat)
    return GrainProfile(levels, across=_blur(grain, 2), down=_blur(grain, 1))


def _residuals(picture: Plane, later: Sequence[Plane]) -> tuple[NDArray[np.float32], Blocks]:
    """Mean luma (N,) and what is left of each block without its slope; clipped blocks left out.

    Where a frame after it tells more, that is how the two differ, over the root of 2: of several the one that differs
    most, for films run at another speed repeat frames, and a repeated one has the same grain.
    """
    if min(picture.shape) < BLOCK:
        return np.zeros(0, np.float32), np.zeros((0, BLOCK, BLOCK), np.float32)
    blocks = _blocks(picture)
    mean = blocks.mean((1, 2))
    inside = (mean > BLACK) & (mean < WHITE)
    blocks, mean = blocks[inside], mean[inside]
    flat = _without_slope(blocks)
    later = [after for after in later if after.shape == picture.shape]
    after = max(later, key=lambda plane: float(np.abs(plane - picture).mean()), default=picture)
    if not np.array_equal(after, picture):
        apart = (flat - _without_slope(_blocks(after)[inside])) / np.float32(math.sqrt(2))
        still = np.square(apart).mean((1, 2)) < np.square(flat).mean((1, 2))
        flat = np.where(still[:, None, None], apart, flat)
    return mean, flat


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
