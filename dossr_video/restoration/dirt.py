"""How dirty a film is. In numpy, so that `probe` need not wait for torch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from dossr_video.restoration.dust import DustState, mend, specks_in
from dossr_video.restoration.specks import Flow, Picture

SENSITIVITY = 0.15  # of the search: what is found is dust more surely than at 0.5
DIRTY = 0.0008  # of the picture; a speck in 10,000 pixels of each frame measures from 0.0010 on, clean clips mostly 0
OFTEN = 0.5  # of the frames; a cut, or something that is not followed at one of three places, is no dust
MANY = 3  # specks in all; fewer may be a thing or two that moves
SCRATCHED = 0.3  # of the frames
RUN = 7  # consecutive frames
SMALLEST = 16  # pixels; the optical flow needs them
SIDES = (240, 320)  # height and width of the part that is looked at, at most


@dataclass(frozen=True)
class DustMeasure:
    """What was found in sample frames, on average of a frame."""

    specks: float
    area: float  # share of the frame that they cover
    lines: float  # scratches
    often: float  # share of the frames that have any
    count: int  # specks seen in all

    @property
    def dirty(self) -> bool:
        """Whether `auto` mends it."""
        specks = self.area >= DIRTY and self.often >= OFTEN and self.count >= MANY
        return specks or self.lines >= SCRATCHED


def measure_dust(runs: Iterable[Sequence[NDArray[np.uint8]]]) -> DustMeasure | None:
    """The dust in the middle of consecutive frames, luma (H, W) in codes of 255.

    Specks are counted as if all of a frame were as dirty. None where no run has three frames, and for frames that are
    tiny, or black and white alone.
    """
    found = []
    for run in runs:
        if len(run) < 3 or min(run[0].shape) < SMALLEST:
            continue
        if len(np.unique(run[0])) < 3:  # black and white alone: drawn or dithered, not filmed
            continue
        frames = [*(_middle(frame) for frame in run), None]
        state = DustState()
        for i, (frame, after) in enumerate(pairwise(frames)):
            assert frame is not None
            mended, state = mend(frame, after, state, _find, sensitivity=SENSITIVITY)
            if 0 < i < len(run) - 1:
                whole = run[i].size / mended.specks.size
                count = specks_in(mended.specks)
                found.append((whole * count, float(mended.specks.mean()), len(mended.lines), count))
    if not found:
        return None
    specks, area, lines, _ = (float(mean) for mean in np.mean(found, 0))
    counts = [count for *_, count in found]
    return DustMeasure(specks, area, lines, often=float(np.mean(np.sign(counts))), count=sum(counts))


def _middle(frame: NDArray[np.uint8]) -> Picture:
    top, left = (max(0, (side - part) // 2) for side, part in zip(frame.shape, SIDES, strict=True))
    part = frame[top : top + SIDES[0], left : left + SIDES[1], None]
    return part.astype(np.float32) / np.float32(255)


def _find(frame: Picture, other: Picture) -> Flow:
    dis: Any = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    one, two = ((255 * picture[..., 0]).round().astype(np.uint8) for picture in (frame, other))
    flow: Flow = dis.calc(one, two, None).transpose(2, 0, 1)
    return flow
