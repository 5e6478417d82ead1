"""Dust taken out of the chunks of a shot, and what was mended, added up."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import chain, pairwise

import numpy as np
import torch
from torch import Tensor

from dossr_video.pipeline.chunks import Read
from dossr_video.restoration.dust import DustState, Mended, mend, specks_in
from dossr_video.restoration.specks import Flow, Picture
from dossr_video.segments import CELLS, Dirt
from dossr_video.temporal.flow import FlowEstimator


def without_dust(
    chunks: Iterable[Read],
    flow: FlowEstimator,
    sensitivity: float,
    state: DustState,
    *,
    stop: int = sys.maxsize,
) -> Iterator[tuple[Read, DustState, Dirt]]:
    """The chunks of one shot without their dust, what each leaves to the next, and what was mended in written frames.

    They come one chunk late: the last frame of one needs the one after it. Frames from index `stop` on are looked at
    alone.
    """

    def find(frame: Picture, other: Picture) -> Flow:
        return flow(_tensor(frame)[None], _tensor(other)[None])[0].cpu().numpy()

    held: Read | None = None
    for item in chain(chunks, [None]):
        if held is not None and held[0].indices[0] < stop:
            chunk, display_times, alpha, uncropped = held
            clean, dirt = [], Dirt()
            frames = [*map(_picture, chunk.frames), None if item is None else _picture(item[0].frames[0])]
            for i, (frame, after) in enumerate(pairwise(frames)):
                assert frame is not None
                mended, state = mend(frame, after, state, find, sensitivity=sensitivity)
                clean.append(_tensor(mended.picture))
                if display_times[i]:
                    dirt += dirt_of(mended)
            yield (replace(chunk, frames=torch.stack(clean)), display_times, alpha, uncropped), state, dirt
        held = item


def _picture(frame: Tensor) -> Picture:
    return frame.permute(1, 2, 0).contiguous().numpy()


def _tensor(picture: Picture) -> Tensor:
    return torch.from_numpy(picture).permute(2, 0, 1).contiguous()


def dirt_of(mended: Mended) -> Dirt:
    """What was mended in one frame."""
    height, width = mended.specks.shape
    cells = np.zeros(CELLS, bool)
    rows, columns = np.nonzero(mended.specks)
    cells[rows * CELLS[0] // height, columns * CELLS[1] // width] = True
    for x in mended.lines:
        cells[:, x * CELLS[1] // width] = True
    marks = tuple(cells.astype(int).ravel().tolist()) if cells.any() else ()
    area = round(float(mended.specks.mean()), 6)
    return Dirt(1, specks_in(mended.specks), len(mended.lines), area, marks)
