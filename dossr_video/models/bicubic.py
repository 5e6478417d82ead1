"""Bicubic enlargement as a model, to compare with: the restored picture is the result, nothing is sampled."""

from __future__ import annotations

import hashlib

import torch
import torch.nn.functional as F
from torch import Tensor

from dossr_video.frames import Motion
from dossr_video.models.base import Carry, Condition, SamplerDefaults


class Bicubic:
    """DomainShiftModel without latents; with 0 network calls, none is asked for."""

    name = "bicubic"
    digest = hashlib.sha256(b"bicubic").hexdigest()
    scale = 4
    multiple = 1
    latent_stride = 1
    defaults = SamplerDefaults(steps=0, order=1, final="x0", color_fix="none")

    def __init__(self, *, device: torch.device, dtype: torch.dtype) -> None:
        self.device = device
        self.dtype = dtype

    def restore(self, frames: Tensor, motion: Motion, carry: Carry) -> tuple[Tensor, Carry]:
        return F.interpolate(frames, scale_factor=self.scale, mode="bicubic", align_corners=False), None

    def encode(self, pictures: Tensor, posterior_noise: Tensor | None = None) -> Tensor:
        raise NotImplementedError("bicubic has no latents")

    def condition(self, pictures: Tensor, degraded_latents: Tensor) -> Condition:
        raise NotImplementedError("bicubic has no latents")

    def denoise(self, x: Tensor, t: int, condition: Condition) -> Tensor:
        raise NotImplementedError("bicubic has no latents")

    def decode(self, latents: Tensor) -> Tensor:
        raise NotImplementedError("bicubic has no latents")

    def warp(self, latents: Tensor, flow: Tensor) -> Tensor:
        raise NotImplementedError("bicubic has no latents")
