"""A model that works on overlapping tiles, for accelerators that cannot hold a whole frame.

Each network call is cut into tiles and put together again by itself, as in MultiDiffusion (Bar-Tal et al. 2023), so
noise, solver, blending and what is carried in time stay whole frames: no seam builds up, and the tile may shrink in the
middle of a shot.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from dossr_video.frames import Motion
from dossr_video.models.base import Carry, Condition, DomainShiftModel

OVERLAP = 32  # input pixels that neighbours share; over them one tile fades into the next

Span = tuple[int, int]


class TiledModel:
    """`model` with every network run on tiles of at most `tile` input pixels a side."""

    def __init__(self, model: DomainShiftModel, tile: int) -> None:
        self._model, self._tile = model, tile
        self.name, self.digest = model.name, model.digest
        self.scale, self.multiple, self.latent_stride = model.scale, model.multiple, model.latent_stride
        self.defaults, self.device, self.dtype = model.defaults, model.device, model.dtype

    def restore(self, frames: Tensor, motion: Motion, carry: Carry) -> tuple[Tensor, Carry]:
        def on_tile(frames: Tensor, flow: Tensor, confidence: Tensor, *carried: Tensor) -> tuple[Tensor, ...]:
            pictures, new = self._model.restore(frames, Motion(flow, confidence), carried or None)
            return pictures, *(new or ())

        pictures, *new = self._tiled(on_tile, frames, motion.flow, motion.confidence, *(carry or ()))
        return pictures, tuple(new) or None

    def encode(self, pictures: Tensor, posterior_noise: Tensor | None = None) -> Tensor:
        noise = () if posterior_noise is None else (posterior_noise,)
        (latents,) = self._tiled(lambda *tensors: (self._model.encode(*tensors),), pictures, *noise)
        return latents

    def condition(self, pictures: Tensor, degraded_latents: Tensor) -> Condition:
        context = None

        def on_tile(pictures: Tensor, latents: Tensor) -> tuple[Tensor, ...]:
            nonlocal context
            condition = self._model.condition(pictures, latents)
            context = condition.context
            return (condition.hint,)

        (hint,) = self._tiled(on_tile, pictures, degraded_latents)
        return Condition(hint, context)

    def denoise(self, x: Tensor, t: int, condition: Condition) -> Tensor:
        def on_tile(x: Tensor, hint: Tensor) -> tuple[Tensor, ...]:
            return (self._model.denoise(x, t, replace(condition, hint=hint)),)

        (x0,) = self._tiled(on_tile, x, condition.hint)
        return x0

    def decode(self, latents: Tensor) -> Tensor:
        (pictures,) = self._tiled(lambda latents: (self._model.decode(latents),), latents)
        return pictures

    def warp(self, latents: Tensor, flow: Tensor) -> Tensor:
        return self._model.warp(latents, flow)
