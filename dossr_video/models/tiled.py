"""A model that works on overlapping tiles, for accelerators that cannot hold a whole frame.

Each network call is cut into tiles and put together again by itself, as in MultiDiffusion (Bar-Tal et al. 2023), so
noise, solver, blending and the hidden state stay whole frames: no seam builds up, and the tile may shrink in the
middle of a shot.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from dossr_video.frames import Motion
from dossr_video.models.base import Condition, DomainShiftModel, HiddenState, PictureModel, Restored

OVERLAP = 32  # input pixels that neighbours share at least; over them one tile fades into the next

Tensors = tuple[Tensor, ...]
Span = tuple[int, int]  # half-open, in blocks of `multiple` input pixels, the unit in which every tensor can be cut


def in_tiles(model: PictureModel, tile: int | None, codec_tile: int | None = None) -> PictureModel:
    """`model` on tiles, of its own kind; None: whole frames. `codec_tile` is for pictures to latents and back alone."""
    if isinstance(model, DomainShiftModel):
        return TiledModel(model, tile, codec_tile)
    return TiledPictureModel(model, tile)


class TiledPictureModel(PictureModel):
    """`model` with every network run on tiles of at most `tile` input pixels a side; None: on whole frames."""

    def __init__(self, model: PictureModel, tile: int | None) -> None:
        self._model, self._tile = model, tile
        self.name, self.digest = model.name, model.digest
        self.scale, self.multiple = model.scale, model.multiple
        self.recurrent, self.blended = model.recurrent, model.blended
        self.device, self.dtype, self.engine = model.device, model.dtype, model.engine
        self.network_info = model.network_info

    def restore(self, frames: Tensor, motion: Motion, hidden: HiddenState) -> Restored:
        seen = False

        def on_tile(frames: Tensor, flow: Tensor, confidence: Tensor, *hidden: Tensor) -> Tensors:
            nonlocal seen
            restored = self._model.restore(frames, Motion(flow, confidence), hidden or None)
            seen = restored.seen is not None
            return restored.pictures, *(() if restored.seen is None else (restored.seen,)), *(restored.hidden or ())

        tensors = (frames, motion.flow, motion.confidence, *(hidden or ()))
        pictures, *rest = self._tiled(on_tile, *tensors, block=self.multiple, tile=self._tile)
        return Restored(pictures, hidden=tuple(rest[seen:]) or None, seen=rest[0] if seen else None)

    def _tiled(self, function: Callable[..., Tensors], *tensors: Tensor, block: int, tile: int | None) -> Tensors:
        """`function` on every tile of (..., h, w) tensors; results put together, each at its own size.

        `block` is the number of the first tensor's pixels in a block; the others' sizes are in proportion to it.
        """
        if tile is None:
            return function(*tensors)
        limit, overlap = max(tile // self.multiple, 1), -(-OVERLAP // self.multiple)
        return by_tiles(function, *tensors, block=block, most=(limit, limit), overlap=overlap)


def by_tiles(
    function: Callable[..., Tensors], *tensors: Tensor, block: int, most: tuple[int, int], overlap: int
) -> Tensors:
    """`function` on every tile of (..., h, w) tensors; results put together, each at its own size.

    Args:
        function: Called with the tensors, cut.
        tensors: The sizes of the others are in proportion to that of the first.
        block: Pixels of the first tensor a side, in which the tiles are counted.
        most: Rows and columns of a tile in blocks, which it has exactly where the tensors are larger.
        overlap: Blocks that neighbours share.
    """
    rows, columns = (side // block for side in tensors[0].shape[-2:])
    sums: list[Tensor] = []
    weights: list[Tensor] = []
    for top, bottom in _spans(rows, most[0], overlap):
        for left, right in _spans(columns, most[1], overlap):
            cuts = [_cut(tensor, (top, bottom), (left, right), (rows, columns)) for tensor in tensors]
            for i, part in enumerate(function(*cuts)):
                unit = part.shape[-1] // (right - left)  # pixels of this result in a block
                if i == len(sums):
                    sums.append(part.new_zeros(*part.shape[:-2], rows * unit, columns * unit))
                    weights.append(part.new_zeros(rows * unit, columns * unit))
                ramps = (_ramp((top, bottom), rows, overlap, unit), _ramp((left, right), columns, overlap, unit))
                weight = torch.outer(*ramps).to(part)
                _cut(sums[i], (top, bottom), (left, right), (rows, columns)).add_(part * weight)
                _cut(weights[i], (top, bottom), (left, right), (rows, columns)).add_(weight)
    return tuple(total.div_(weight) for total, weight in zip(sums, weights, strict=True))


class TiledModel(TiledPictureModel, DomainShiftModel):
    """The same for a model with latents; its codec may have tiles of its own."""

    def __init__(self, model: DomainShiftModel, tile: int | None, codec_tile: int | None = None) -> None:
        super().__init__(model, tile)
        self._codec_tile = codec_tile or tile
        self._model: DomainShiftModel = model
        self.latent_stride, self.defaults = model.latent_stride, model.defaults

    def encode(self, pictures: Tensor) -> Tensor:
        return self.posterior(pictures)[0]

    def posterior(self, pictures: Tensor) -> tuple[Tensor, Tensor | None]:
        def on_tile(cut: Tensor) -> Tensors:
            mean, deviation = self._model.posterior(cut)
            return (mean,) if deviation is None else (mean, deviation)

        mean, *deviation = self._tiled(on_tile, pictures, block=self.multiple * self.scale, tile=self._codec_tile)
        return mean, deviation[0] if deviation else None

    def condition(self, restored: Restored, degraded_latents: Tensor) -> Condition:
        def on_tile(pictures: Tensor, latents: Tensor, *seen: Tensor) -> Tensors:
            return (self._model.condition(Restored(pictures, seen=seen[0] if seen else None), latents).hint,)

        seen = () if restored.seen is None else (restored.seen,)
        tensors = (restored.pictures, degraded_latents, *seen)
        (hint,) = self._tiled(on_tile, *tensors, block=self.multiple * self.scale, tile=self._codec_tile)
        return Condition(hint)

    def denoise(self, x: Tensor, t: int, condition: Condition) -> Tensor:
        def on_tile(x: Tensor, hint: Tensor) -> Tensors:
            return (self._model.denoise(x, t, Condition(hint)),)

        (x0,) = self._tiled(on_tile, x, condition.hint, block=self._latent_block, tile=self._tile)
        return x0

    def decode(self, latents: Tensor) -> Tensor:
        (pictures,) = self._tiled(
            lambda cut: (self._model.decode(cut),), latents, block=self._latent_block, tile=self._codec_tile
        )
        return pictures

    def warp(self, latents: Tensor, flow: Tensor) -> Tensor:
        return self._model.warp(latents, flow)

    @property
    def _latent_block(self) -> int:
        return self.multiple * self.scale // self.latent_stride


def _spans(length: int, limit: int, overlap: int) -> list[Span]:
    """Spans of at most `limit` blocks that cover `length` of them, each sharing `overlap` or more with the next."""
    if limit >= length:
        return [(0, length)]
    overlap = min(overlap, limit - 1)
    count = -(-(length - overlap) // (limit - overlap))
    starts = [round(i * (length - limit) / (count - 1)) for i in range(count)]
    return [(start, start + limit) for start in starts]


def _cut(tensor: Tensor, rows: Span, columns: Span, blocks: tuple[int, int]) -> Tensor:
    tall, wide = tensor.shape[-2] // blocks[0], tensor.shape[-1] // blocks[1]
    return tensor[..., rows[0] * tall : rows[1] * tall, columns[0] * wide : columns[1] * wide]


def _ramp(span: Span, length: int, overlap: int, unit: int) -> Tensor:
    """Weights in (0, 1] of a tile along one side, falling towards the borders it shares."""
    rising = torch.arange(1, (span[1] - span[0]) * unit + 1, dtype=torch.float32) / (max(overlap, 1) * unit)
    weight = torch.ones_like(rising)
    if span[0] > 0:
        weight = torch.minimum(weight, rising)
    if span[1] < length:
        weight = torch.minimum(weight, rising.flip(0))
    return weight
