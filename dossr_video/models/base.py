"""What the sampler and the upscaler need of a model; `compact`, full DoSSR and `bicubic` are all this."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from dossr_video.frames import Motion

Carry = tuple[Tensor, ...] | None
"""What a restorer carries from frame to frame; None before the first frame of a shot."""


@dataclass(frozen=True, eq=False)
class Condition:
    """What every network call sees beside x; computed once per batch of frames."""

    hint: Tensor  # (T, C, h, w)
    context: Tensor | None = (
        None  # (K, 77, D) text context, shared by all frames; K = 2 (positive, negative) when guided
    )


@dataclass(frozen=True)
class SamplerDefaults:
    """How a model is best sampled; settings left at None take these."""

    steps: int  # network calls; 0: the restored picture is the result, nothing is sampled
    order: Literal[1, 2, 3]
    final: Literal["landing", "x0"]  # what the sampler returns: the point at entry 0, or x0 of the last call
    color_fix: Literal["none", "adain", "wavelet"]


class DomainShiftModel(Protocol):
    """A restorer, a codec between pictures and latents, and a denoiser that predicts clean latents.

    Frames and pictures are RGB in [0, 1]; every tensor is on `device`. Nothing here draws random numbers or keeps
    state between calls.
    """

    name: str  # what the user called it
    digest: str  # sha256 (hex) of the weights, for the plan's fingerprint
    scale: int  # output side / input side
    multiple: int  # input sides are padded to a multiple of this, pixels
    latent_stride: int  # output pixels per latent cell side
    defaults: SamplerDefaults
    device: torch.device
    dtype: torch.dtype

    def restore(self, frames: Tensor, motion: Motion, carry: Carry) -> tuple[Tensor, Carry]:
        """(T, 3, H, W) -> (T, 3, scale H, scale W), not clamped. One frame after another gives what one batch gives."""
        ...

    def encode(self, pictures: Tensor, posterior_noise: Tensor | None = None) -> Tensor:
        """(T, 3, sH, sW) -> degraded latents xhat0 (T, C, h, w): the posterior's mean, or a sample with noise given."""
        ...

    def condition(self, pictures: Tensor, degraded_latents: Tensor) -> Condition:
        """Of restored pictures (T, 3, sH, sW) and of the posterior's mean that `encode` gave for them."""
        ...

    def denoise(self, x: Tensor, t: int, condition: Condition) -> Tensor:
        """x at schedule entry t -> the clean latents x0 (T, C, h, w)."""
        ...

    def decode(self, latents: Tensor) -> Tensor:
        """(T, C, h, w) -> (T, 3, sH, sW), not clamped."""
        ...

    def warp(self, latents: Tensor, flow: Tensor) -> Tensor:
        """Latents moved by flow (T, 2, H, W) in input pixels; each codec knows how its latents may be moved."""
        ...
