"""Native resolution: how much of its pixel grid a soft source really uses, and bringing it to the grid that it fills.

A model that was trained on sharp small pictures leaves a soft large one soft. Brought to its own grid first, the same
picture is sharp again, and costs less.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

import torch
import torch.nn.functional as F
from kornia.filters import gaussian_blur2d
from torch import Tensor

from dossr_video.temporal.flow import luma

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


def measure_detail(frames: Iterable[Tensor]) -> float | None:
    """Share of the pixel grid, across and down, that holds detail: 0.5 for what half the grid would hold as well.

    Each frame is brought to smaller grids and back. What is lost at its edges, over what noise alone loses in flat
    places, is held against the contrast of the edges one octave coarser: grain and compression lose alike everywhere,
    so they are no detail.

    Args:
        frames: sampled frames (3, H, W) in [0, 1] of one size, from several shots.

    Returns:
        In [0.5, 1]; None where the frames have too few edges to tell.
    """
    losses = torch.cat([_losses(luma(frame[None])) for frame in frames] or [torch.zeros(0, len(RATIOS))])
    if len(losses) < ENOUGH:
        return None
    lost = losses.quantile(SHARPEST, 0).tolist()
    points = [*zip(RATIOS, lost, strict=True), (1.0, 0.0)]
    if lost[0] <= LOST:
        return RATIOS[0]
    for (low, more), (high, less) in pairwise(points):
        if less <= LOST < more:
            return low + (high - low) * (more - LOST) / (more - less)
    return 1.0


def _losses(picture: Tensor) -> Tensor:
    """Luma (1, 1, H, W) -> (N, len(RATIOS)): loss of contrast, at each of RATIOS, of its N regions with edges."""
    height, width = picture.shape[-2:]
    if min(height, width) < REGION * BLOCK:
        return torch.zeros(0, len(RATIOS))
    soft, softer = (gaussian_blur2d(picture, (size, size), (sigma, sigma)) for size, sigma in ((9, 1.4), (17, 2.8)))
    edges = _energy(soft - softer)
    level = F.avg_pool2d(picture, BLOCK)
    clipped = (level < BLACK) | (level > WHITE)  # there noise is cut off
    flat = edges <= edges[~clipped].quantile(FLAT) if not clipped.all() else clipped
    flat &= ~clipped | clipped.all()
    strong = float(edges.flatten().quantile(STRONG))  # weak edges drown in what a codec leaves around them
    clear = (edges > max(strong, CLEAR * float(edges[flat].mean()), CONTRAST**2)).float()

    def over_noise(energy: Tensor) -> Tensor:
        return energy - energy[flat].mean()

    clear = _regions(clear)
    enough = clear.sum(1) >= ENOUGH
    contrast = _regions(over_noise(edges))[enough]
    losses = []
    for ratio in RATIOS:
        back = _resized(_resized(picture, _grid(picture, ratio)), (height, width))
        lost = _regions(over_noise(_energy(picture - back)))[enough] / contrast
        # Neither one block's noise nor a speck of dust decides.
        lost = lost.where(clear[enough] > 0, torch.nan).nanmedian(1).values
        losses.append(lost.clamp(min=0).sqrt())
    return torch.stack(losses, 1)


def _regions(blocks: Tensor) -> Tensor:
    """(1, 1, h, w) -> (N, REGION^2): the blocks of each whole region."""
    height, width = (side // REGION * REGION for side in blocks.shape[-2:])
    cut = blocks[..., :height, :width]
    return F.unfold(cut, REGION, stride=REGION)[0].T


def _energy(picture: Tensor) -> Tensor:
    """(1, 1, H, W) -> (1, 1, H / BLOCK, W / BLOCK): the mean square of each block."""
    return F.avg_pool2d(picture.square(), BLOCK)


def native_ratio(detail: float | None) -> float:
    """The ratio at which a source of this measured detail is restored: 1 where it is sharp, never below 0.5."""
    return 1.0 if detail is None or detail >= SHARP else max(detail, RATIOS[0])


def to_native(frames: Tensor, ratio: float) -> Tensor:
    """Frames (T, 3, H, W) in [0, 1] on `ratio` of their grid, by a cubic filter that does not alias; 1: as they are."""
    size = _grid(frames, ratio)
    return frames if size == tuple(frames.shape[-2:]) else _resized(frames, size).clamp(0, 1)


def _grid(pictures: Tensor, ratio: float) -> tuple[int, int]:
    """Height and width of (..., H, W) on `ratio` of its grid."""
    height, width = pictures.shape[-2:]
    return max(1, round(height * ratio)), max(1, round(width * ratio))


def _resized(pictures: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(pictures, size, mode="bicubic", align_corners=False, antialias=True)
