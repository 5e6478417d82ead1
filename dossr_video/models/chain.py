"""Several models one after the other as one: a network that cleans, then one that enlarges."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from math import lcm, prod

from torch import Tensor

from dossr_video.errors import ModelError
from dossr_video.frames import Motion
from dossr_video.models.base import DomainShiftModel, HiddenState, PictureModel, Restored
from dossr_video.models.known import JOINED
from dossr_video.models.limits import require_scale


class Chain(PictureModel):
    """Every model gets the pictures of the one before it. Only the last may be recurrent."""

    def __init__(self, models: Sequence[PictureModel]) -> None:
        """Raises ModelError for models that cannot follow each other."""
        for model in models:
            if isinstance(model, DomainShiftModel):
                raise ModelError(
                    f"{model.name} samples latents and cannot be one of several models",
                    hint="join networks of others, and at the end compact",
                )
        *before, last = models
        for model in before:
            if model.recurrent:
                raise ModelError(f"{model.name} follows the motion and must be the last", hint="change the order")
        self.scale = prod(model.scale for model in models)
        self.name = JOINED.join(model.name for model in models)
        require_scale(self.name, self.scale, hint="give one of them")
        self.digest = hashlib.sha256(" ".join(model.digest for model in models).encode()).hexdigest()
        self.multiple = lcm(*(model.multiple for model in models))
        self.recurrent = last.recurrent
        self.blended = any(model.blended for model in models)
        self.device, self.dtype, self.engine = last.device, last.dtype, last.engine
        self.network_info = tuple(info for model in models for info in model.network_info)
        self.pixel_bytes = _pixel_bytes(models)
        self._before, self._last = before, last

    def restore(self, frames: Tensor, motion: Motion, hidden: HiddenState) -> Restored:
        for model in self._before:
            frames = model.restore(frames, motion, None).pictures.clamp_(0, 1)
        if self.recurrent and (factor := frames.shape[-1] // motion.flow.shape[-1]) > 1:
            motion = _enlarged(motion, factor)
        return self._last.restore(frames, motion, hidden)


def _pixel_bytes(models: Sequence[PictureModel]) -> float | None:
    """Of the one that takes most; they run one after the other."""
    known = []
    scale = 1
    for model in models:
        if model.pixel_bytes is not None:
            known.append(model.pixel_bytes * scale**2)
        scale *= model.scale
    return max(known, default=None)


def _enlarged(motion: Motion, factor: int) -> Motion:
    """For pictures of `factor` times the size."""

    def larger(tensor: Tensor) -> Tensor:
        return tensor.repeat_interleave(factor, -1).repeat_interleave(factor, -2)

    return Motion(larger(motion.flow) * factor, larger(motion.confidence))
