#!/usr/bin/env python3
"""Filters, colours and geometry of kornia beside what this program uses: how exact, and how fast on one CPU thread.

compare_kornia.py [WIDTH HEIGHT]
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import torch
from torch.nn.functional import grid_sample

from dossr_video.frames import luma

ROUNDS = 5
Pair = tuple[str, Callable[[], Any], Callable[[], Any]]


def pairs(width: int, height: int) -> list[Pair]:
    """Name, ours, kornia's."""
    from kornia.color import rgb_to_grayscale
    from kornia.filters import box_blur, gaussian_blur2d, median_blur
    from kornia.geometry.transform import remap
    from kornia.morphology import dilation

    picture = torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0))
    plane = picture[:, :1]
    grey = plane[0, 0].numpy()
    y, x = torch.meshgrid(torch.arange(height) + 0.25, torch.arange(width) + 0.5, indexing="ij")
    grid = torch.stack((2 * x / (width - 1) - 1, 2 * y / (height - 1) - 1), dim=-1)[None]
    square = np.ones((9, 9), np.uint8)
    weights = torch.tensor((0.299, 0.587, 0.114))
    return [
        ("Gaussian blur, sigma 1.4", lambda: cv2.GaussianBlur(grey, (9, 9), 1.4, borderType=cv2.BORDER_REFLECT_101),
         lambda: gaussian_blur2d(plane, (9, 9), (1.4, 1.4))[0, 0]),
        ("box blur, 9x9", lambda: cv2.blur(grey, (9, 9), borderType=cv2.BORDER_REFLECT_101),
         lambda: box_blur(plane, (9, 9))[0, 0]),
        ("median, 5x5", lambda: cv2.medianBlur(grey, 5)[2:-2, 2:-2],
         lambda: median_blur(plane, (5, 5))[0, 0, 2:-2, 2:-2]),
        ("dilation, 9x9", lambda: cv2.dilate(grey, square), lambda: dilation(plane, torch.ones(9, 9))[0, 0]),
        ("luma", lambda: luma(picture)[0, 0], lambda: rgb_to_grayscale(picture, rgb_weights=weights)[0, 0]),
        ("warp along a flow", lambda: grid_sample(picture, grid, padding_mode="border", align_corners=True),
         lambda: remap(picture, x[None], y[None], padding_mode="border", align_corners=True)),
    ]  # fmt: skip


def timed(call: Callable[[], Any]) -> tuple[np.ndarray, float]:
    """What it gives, and the fastest of some rounds in milliseconds of CPU time."""
    found, best = call(), float("inf")
    for _ in range(ROUNDS):
        began = time.process_time()
        call()
        best = min(best, time.process_time() - began)
    return np.asarray(found), 1000 * best


def main() -> None:
    width, height = map(int, sys.argv[1:3]) if len(sys.argv) > 2 else (720, 576)
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    began = time.process_time()
    import kornia.filters  # noqa: F401 - timed

    print(f"import of kornia.filters, after torch: {time.process_time() - began:.2f} s of CPU time\n")
    print(f"| {width}x{height} | ours, ms | kornia, ms | largest difference |\n| --- | --- | --- | --- |")
    with torch.inference_mode():
        for name, ours, theirs in pairs(width, height):
            (wanted, before), (found, after) = timed(ours), timed(theirs)
            print(f"| {name} | {before:.1f} | {after:.1f} | {np.abs(wanted - found).max():.1e} |")


if __name__ == "__main__":
    main()
