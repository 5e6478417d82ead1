"""How much fits into memory at once: found out where it runs out, and kept for the rest of the run."""

from __future__ import annotations

import gc

import torch

from dossr_video.errors import ModelError
from dossr_video.frames import Chunk
from dossr_video.models.base import PictureModel
from dossr_video.models.tiled import in_tiles
from dossr_video.temporal.flow import CoarseFlow, FlowEstimator

CHUNK = 8  # frames, where they are small
SMALLEST_TILE = 64  # input pixels
SMALLEST_FLOW = 64  # pixels of the longer side


class MemoryBudget:
    """The model and the optical flow, the frames and the tile that are worked on at a time; one for each worker.

    The only thing that segments share: what did not fit once is not tried again.
    """

    def __init__(self, model: PictureModel, flow: FlowEstimator, *, frames: int, tile: int | None) -> None:
        """At first at most `frames` at a time, in tiles of `tile` input pixels a side; None: whole frames."""
        self._whole, self._whole_flow = model, flow
        self._fraction = 1  # of a picture's sides, at which flow is found
        self.flow = flow
        self.frames = frames
        self.tile = tile
        self.model = model if self.tile is None else in_tiles(model, self.tile)

    def shrink(self, chunk: Chunk) -> str:
        """After memory ran out on `chunk`: half the frames at a time, then half the tile; what is done now, in a line.

        Raises ModelError when a tile of SMALLEST_TILE pixels of a single frame did not fit.
        """
        release_memory()
        frame, tiles = chunk.indices[0], ""
        if len(chunk) > 1:
            self.frames = len(chunk) // 2
        else:
            self.tile = _smaller(self.tile or max(chunk.frames.shape[-2:]))
            self.model = in_tiles(self._whole, self.tile)
        if self.tile is not None:
            tiles = f" in tiles of {self.tile} pixels; with --tile {self.tile} every frame would be done so"
        return f"memory ran out at frame {frame}: going on with {self.frames} at a time{tiles}"

    def shrink_flow(self, chunk: Chunk) -> str:
        """After memory ran out for the optical flow of `chunk`: pictures of half the size; the same in a line.

        Raises ModelError when pictures of SMALLEST_FLOW pixels did not fit.
        """
        release_memory()
        self._fraction *= 2
        if max(chunk.frames.shape[-2:]) < SMALLEST_FLOW * self._fraction:
            raise ModelError(
                f"the optical flow of not even {SMALLEST_FLOW} pixels fits into memory",
                hint="choose --flow fast, which works on the CPU, or close other programs",
            )
        self.flow = CoarseFlow(self._whole_flow, self._fraction)
        return (
            f"memory ran out for the optical flow at frame {chunk.indices[0]}: "
            f"going on with pictures of 1/{self._fraction} of the size; --flow fast works on the CPU"
        )


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether an accelerator, or the CPU, had no memory left; not every backend has an exception of its own for it."""
    return isinstance(error, torch.OutOfMemoryError) or any(
        text in str(error) for text in ("out of memory", "can't allocate memory", "not enough memory")
    )


def release_memory() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _smaller(tile: int) -> int:
    if tile // 2 < SMALLEST_TILE:
        raise ModelError(
            f"not even a tile of {SMALLEST_TILE} pixels of one frame fits into memory",
            hint="close other programs, choose --device cpu or a smaller model",
        )
    return tile // 2
