"""Gaussian noise that any worker draws alike: a pure function of seed, shot, draw and frame.

Draws of a frame are numbered as the sampler asks for them: POSTERIOR for the first-stage encoder, 0 for the start, k
for the one after network call k. Everything is drawn in float32 on the CPU generator; the caller moves it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from dossr_video.frames import Motion

POSTERIOR = -1

Size = tuple[int, int, int]  # (C, h, w) of a latent
Kind = Literal["shared", "warped", "independent"]


@dataclass(frozen=True, eq=False)
class NoiseState:
    """What warped noise leaves to the next chunk of a shot; the default begins a shot."""

    fields: Mapping[int, Tensor] = field(default_factory=dict)  # the last frame's noise (C, h, w) by draw
    offsets: Tensor | None = None  # (2, h, w), see `cell_origins`


def make_noise(
    state: NoiseState, motion: Motion, frames: Sequence[int], size: Size, *, kind: Kind, seed: int, shot: int
) -> ChunkNoise:
    """Noise for the frames of a chunk (indices in the file), which `sample` takes."""
    if kind == "shared":
        return ChunkNoise(SharedNoise(seed, shot), frames, size, None)
    if kind == "independent":
        return ChunkNoise(IndependentNoise(seed, shot), frames, size, None)
    origins, offsets = cell_origins(motion, state.offsets, size[1:])
    return ChunkNoise(WarpedNoise(seed, shot, origins, state.fields), frames, size, offsets)


class ChunkNoise:
    """A noise source held to one chunk; remembers what the next chunk needs."""

    def __init__(self, source: NoiseSource, frames: Sequence[int], size: Size, offsets: Tensor | None) -> None:
        self._source, self._frames, self._size, self._offsets = source, frames, size, offsets
        self._fields: dict[int, Tensor] = {}

    def __call__(self, draw: int) -> Tensor:
        """Noise (T, C, h, w), float32 on the CPU."""
        noise = self._source(draw, self._frames, self._size)
        if self._offsets is not None:
            self._fields[draw] = noise[-1].clone()  # not a view that keeps the whole chunk
        return noise

    def state(self) -> NoiseState:
        """For the next chunk of the shot, once everything has been drawn."""
        return NoiseState(self._fields, self._offsets)


class NoiseSource(Protocol):
    def __call__(self, draw: int, frames: Sequence[int], size: Size) -> Tensor:
        """Standard normal noise (T, C, h, w) of the frames with these indices in the file."""
        ...


@dataclass(frozen=True)
class SharedNoise:
    """One field per shot and draw, the same for all its frames."""

    seed: int
    shot: int

    def __call__(self, draw: int, frames: Sequence[int], size: Size) -> Tensor:
        return _field(size, self.seed, self.shot, draw).expand(len(frames), *size)


@dataclass(frozen=True)
class IndependentNoise:
    """A field of its own for every frame."""

    seed: int
    shot: int

    def __call__(self, draw: int, frames: Sequence[int], size: Size) -> Tensor:
        return torch.stack([_field(size, self.seed, self.shot, draw, frame) for frame in frames])


@dataclass(frozen=True, eq=False)
class WarpedNoise:
    """Fields moved along the motion, a cell's noise staying whole.

    Each latent cell takes the noise of at most one cell of the frame before, and no two take the same, so every field
    stays white and of variance 1; cells that appear are filled with fresh noise. `fields` holds the noise of the frame
    before the first, by draw: the last this source gave for the chunk before; nothing at a shot's start.
    """

    seed: int
    shot: int
    origins: tuple[Tensor, ...]  # (h w,) int64 per frame, from `cell_origins`
    fields: Mapping[int, Tensor]  # (C, h, w) by draw

    def __call__(self, draw: int, frames: Sequence[int], size: Size) -> Tensor:
        noise, before = [], self.fields.get(draw)
        for frame, origin in zip(frames, self.origins, strict=True):
            now = _field(size, self.seed, self.shot, draw, frame)
            if before is not None:
                kept = origin >= 0
                now.flatten(1)[:, kept] = before.flatten(1)[:, origin[kept]]
            noise.append(now)
            before = now
        return torch.stack(noise)


def cell_origins(motion: Motion, offsets: Tensor | None, size: tuple[int, int]) -> tuple[tuple[Tensor, ...], Tensor]:
    """Which cell of the frame before each latent cell takes its noise from, frame by frame.

    Gives per frame (h w,) int64: the flat index of the cell, or -1 where noise appears; and the offsets of the last
    frame for the next chunk. Offsets (2, h, w) say how far from its cell's centre, in cells, each noise really is:
    motion slower than a cell per frame adds up in them. None at a shot's start.
    """
    h, w = size
    flow = _per_cell(motion, size)
    rows, columns = np.mgrid[:h, :w].astype(np.float32)
    offset = np.zeros((2, h, w), np.float32) if offsets is None else offsets.numpy()
    origins = []
    for frame in flow:
        # Backward flow says where a cell comes from; over a cell's length its negative is where that one goes.
        x, y = columns + offset[0] - frame[0], rows + offset[1] - frame[1]
        # Not rint: it rounds halves to even, so cells that move alike would collide.
        to_x, to_y = np.floor(x + 0.5).astype(np.int64), np.floor(y + 0.5).astype(np.int64)
        inside = ((to_x >= 0) & (to_x < w) & (to_y >= 0) & (to_y < h) & (frame[2] > 0)).ravel()
        miss = np.square(x - to_x) + np.square(y - to_y)
        # Of two that arrive in one cell the nearer stays: it is written last.
        order = np.flatnonzero(inside)[np.argsort(-miss.ravel()[inside], kind="stable")]
        origin = np.full(h * w, -1, np.int64)
        origin[(to_y * w + to_x).ravel()[order]] = order
        origins.append(torch.from_numpy(origin))
        moved = np.stack([x - to_x, y - to_y]).reshape(2, -1)
        offset = np.where(origin >= 0, moved[:, origin], np.float32(0)).reshape(2, h, w)
    return tuple(origins), torch.from_numpy(offset)


def _per_cell(motion: Motion, size: tuple[int, int]) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """(T, 3, h, w): flow in cells and confidence, averaged over each latent cell."""
    height, width = motion.flow.shape[-2:]
    flow = motion.flow * motion.flow.new_tensor([size[1] / width, size[0] / height]).view(1, 2, 1, 1)
    cells = torch.nn.functional.interpolate(torch.cat([flow, motion.confidence], 1), size=size, mode="area")
    return cells.float().cpu().numpy()


def _field(size: Size, *key: int) -> Tensor:
    """Noise (C, h, w) that belongs to a key: never Python's hash, which differs between processes."""
    digest = blake2b(repr(key).encode(), digest_size=8).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest, "little") >> 1)
    return torch.randn(size, generator=generator)
