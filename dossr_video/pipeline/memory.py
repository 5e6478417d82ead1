"""How much fits into memory at once: by arithmetic beforehand, else found out where it runs out, and kept."""

from __future__ import annotations

import gc
from dataclasses import dataclass

import torch

from dossr_video.errors import ModelError
from dossr_video.frames import Chunk
from dossr_video.models.base import PictureModel
from dossr_video.models.footprint import REST, Footprint
from dossr_video.models.tiled import in_tiles
from dossr_video.temporal.flow import CoarseFlow, FlowEstimator

CHUNK = 8  # frames, where they are small
SMALLEST_TILE = 64  # input pixels
SMALLEST_FLOW = 64  # pixels of the longer side
OFFLOADED = "the parts of the model do not fit beside the frames: those that do not work wait in main memory"


@dataclass(frozen=True)
class Tiles:
    """Input pixels a side of what goes through the networks at once; None: whole frames."""

    tile: int | None = None
    codec_tile: int | None = None  # of the codec alone, where others take more

    def __str__(self) -> str:
        if self.tile is not None:
            return f"in tiles of {self.tile} pixels"
        return f"pictures to latents and back in tiles of {self.codec_tile} pixels"


def tiles_that_fit(footprint: Footprint, room: int, *, width: int, height: int, offload: bool) -> Tiles | None:
    """The least that is cut, so that frames of that size fit into `room` bytes; None where no tiles do.

    Only the codec is cut where that is enough: its tiles fade into each other unseen, those of the denoiser may
    invent different detail.
    """
    frame = width * height

    def fits(tiles: Tiles) -> bool:
        cuts = {name: side and side**2 for name, side in vars(tiles).items()}
        return footprint.needed(frame, offload=offload, **cuts) + REST <= room

    sides = range(max(width, height) // SMALLEST_TILE * SMALLEST_TILE, SMALLEST_TILE - 1, -SMALLEST_TILE)
    ways = [Tiles(), *(Tiles(codec_tile=side) for side in sides), *(Tiles(tile=side) for side in sides)]
    return next(filter(fits, ways), None)


class MemoryBudget:
    """The model and the optical flow, the frames and the tile that are worked on at a time; one for each worker.

    The only thing that segments share: what did not fit once is not tried again.
    """

    def __init__(self, model: PictureModel, flow: FlowEstimator, *, frames: int, tiles: Tiles = Tiles()) -> None:
        """At first at most `frames` at a time, in those tiles."""
        self._whole, self._whole_flow = model, flow
        self._fraction = 1  # of a picture's sides, at which flow is found
        self._asked = tiles
        self._known: set[tuple[int, int]] = set()  # sizes of frames that were looked at beforehand
        self.flow = flow
        self.frames = frames
        self._cut(tiles)

    def begin(self, tiles: Tiles) -> None:
        """Work in those tiles; where they are those of the work before, what was found out meanwhile stays."""
        if tiles != self._asked:
            self._asked = tiles
            self._cut(tiles)

    def _cut(self, tiles: Tiles) -> None:
        self.tiles = tiles
        self.model = self._whole if tiles == Tiles() else in_tiles(self._whole, tiles.tile, tiles.codec_tile)

    def prepare(self, chunk: Chunk) -> str | None:
        """Before frames of a size are first worked on: as many at a time as fit, if need be without the whole model.

        What memory is free is no part of the settings, so nothing is done that would change a picture. What is done
        from now on, in a line; None: nothing is known, or all fits.
        """
        height, width = (side + -side % self._whole.multiple for side in chunk.frames.shape[-2:])
        room = self._whole.free_bytes()
        if room is None or self._whole.footprint is None or (height, width) in self._known:
            return None
        self._known.add((height, width))
        for offload in (False, True):
            for frames in range(self.frames, 0, -1):
                cuts = {name: side and frames * side**2 for name, side in vars(self.tiles).items()}
                needed = self._whole.footprint.needed(frames * height * width, offload=offload, **cuts)
                if needed + REST <= room:
                    self.frames = frames
                    return OFFLOADED if offload and self._whole.offload() else None
        return OFFLOADED if self._whole.offload() else None

    def shrink(self, chunk: Chunk) -> str:
        """After memory ran out on `chunk`: half the frames at a time, then a part of the model, then half the tile.

        What is done now, in a line. Raises ModelError when a tile of SMALLEST_TILE pixels of a single frame did not
        fit.
        """
        release_memory()
        ran_out = f"memory ran out at frame {chunk.indices[0]}"
        if len(chunk) > 1:
            self.frames = len(chunk) // 2
            return f"{ran_out}: going on with {self.frames} at a time"
        if self._whole.offload():
            return f"{ran_out}: {OFFLOADED}"
        self._cut(self._smaller(max(chunk.frames.shape[-2:])))
        same = f"; with --tile {self.tiles.tile} every frame would be done so" if self.tiles.tile else ""
        return f"{ran_out}: going on with {self.frames} at a time {self.tiles}{same}"

    def _smaller(self, side: int) -> Tiles:
        """Half the tiles, of the codec alone where it is known to take most; whole frames have that side."""
        tile, codec_tile = self.tiles.tile, (self.tiles.codec_tile or side) // 2
        if tile is None and self._whole.footprint is not None and codec_tile >= SMALLEST_TILE:
            return Tiles(codec_tile=codec_tile)
        if (half := (tile or side) // 2) >= SMALLEST_TILE:
            return Tiles(half)
        raise ModelError(
            f"not even a tile of {SMALLEST_TILE} pixels of one frame fits into memory",
            hint="close other programs, choose --device cpu or a smaller model",
        )

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
        text in str(error) for text in ("out of memory", "can't allocate memory", "not enough memory", "ALLOC_FAILED")
    )


def release_memory() -> None:
    gc.collect()
    for backend in (torch.cuda, torch.xpu, torch.mps):
        if backend is torch.mps and not torch.backends.mps.is_available():
            continue
        backend.empty_cache()
