"""Blending each frame's predicted clean latents with the frame before it, moved along the motion."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from dossr_video.frames import Motion
from dossr_video.temporal.flow import warp

Warp = Callable[[Tensor, Tensor], Tensor]  # images (1, C, h, w), flow (1, 2, H, W) in input pixels -> moved images

Mode = Literal["latent", "pixel", "off"]

TOLERANCE = 0.03  # of the local high-frequency energy that blending may take away


class Codec(Protocol):
    """The part of a model that blending needs; see models.base."""

    def encode(self, pictures: Tensor) -> Tensor: ...
    def decode(self, latents: Tensor) -> Tensor: ...
    def warp(self, latents: Tensor, flow: Tensor) -> Tensor: ...


@dataclass(frozen=True, eq=False)
class BlendState:
    """What a chunk leaves to the next of its shot; the default begins a shot."""

    blended: Mapping[int, Tensor] = field(default_factory=dict)  # the last frame's (1, C, h, w) by network call


def make_guide(state: BlendState, motion: Motion, *, mode: Mode, strength: float, calls: int, codec: Codec) -> Guide:
    """The guide of one chunk for `sample`, out of `calls` network calls."""
    return Guide(state, motion, codec, blend_weights(strength, calls) if mode != "off" else {}, pixels=mode == "pixel")


def blend_weights(strength: float, calls: int) -> dict[int, float]:
    """Blending strength by network call; 0 where absent."""
    return {calls: strength} if calls and strength else {}


class Guide:
    """Blends the clean latents of some network calls with the frame before; remembers what the next chunk needs."""

    def __init__(
        self, state: BlendState, motion: Motion, codec: Codec, weights: Mapping[int, float], *, pixels: bool
    ) -> None:
        self._before, self._motion, self._codec, self._weights, self._pixels = state, motion, codec, weights, pixels
        self._blended: dict[int, Tensor] = {}

    def __call__(self, x0: Tensor, call: int) -> Tensor:
        """Clean latents (T, C, h, w) of network call 1 ... N -> the ones to go on with."""
        strength = self._weights.get(call)
        if strength is None:
            return x0
        fields, move = (self._codec.decode(x0), warp) if self._pixels else (x0, self._codec.warp)
        blended = blend(fields, self._before.blended.get(call), self._motion, strength=strength, move=move)
        self._blended[call] = blended[-1:]
        if not self._pixels:
            return blended
        # The change alone passes through the encoder, so that a lossy one costs nothing where nothing is blended.
        return x0 + self._codec.encode(blended) - self._codec.encode(fields)

    def state(self) -> BlendState:
        """For the next chunk of the shot, once all calls are made."""
        return BlendState(self._blended)


def blend(x0: Tensor, previous: Tensor | None, motion: Motion, *, strength: float, move: Warp) -> Tensor:
    """Frames x0 (T, C, h, w) drawn towards the blended frame before each: y[i] = x0[i] + m b (move(y[i-1]) - x0[i]).

    `previous` (1, C, h, w) is y of the frame before x0[0]; None at a shot's start. m is the motion's confidence, b
    the strength in [0, 1]. Only frames before are looked at, so a chunk's length does not change the result. Latents
    and pictures are blended alike: `move` knows how they move.
    """
    if strength == 0:
        return x0
    blended: list[Tensor] = []
    for i in range(len(x0)):
        frame = x0[i : i + 1]
        if previous is not None:
            weight = strength * _shrink(motion.confidence[i : i + 1].to(frame), frame.shape[-2:])
            frame = _towards(frame, move(previous, motion.flow[i : i + 1].to(frame)), weight)
        blended.append(frame)
        previous = frame
    return torch.cat(blended)


def _shrink(confidence: Tensor, size: torch.Size) -> Tensor:
    """Confidence at another size; a smaller cell is as sure as its least sure pixel, or occlusions would ghost."""
    if size[0] < confidence.shape[-2]:
        return -F.adaptive_max_pool2d(-confidence, tuple(size))
    return F.interpolate(confidence, size=tuple(size), mode="bilinear", align_corners=False)


def _towards(frame: Tensor, moved: Tensor, weight: Tensor) -> Tensor:
    """frame + weight (moved - frame), the weight lowered where it would cost high-frequency energy.

    Per channel (a wavelet codec's channels are bands) the energy of the blend is quadratic in the weight,
    a + 2 c w + e w^2 of local means; the weight stops at the smaller root of a loss of TOLERANCE a.
    """
    change = moved - frame
    high, high_change = _high_pass(frame), _high_pass(change)
    a, c, e = (_mean(x) for x in (high.square(), high * high_change, high_change.square()))
    root = (c.square() - e * TOLERANCE * a).clamp(min=0).sqrt()
    least = TOLERANCE * a / (root - c).clamp(min=1e-12)
    safe = (2 * c * weight + e * weight.square()) >= -TOLERANCE * a
    return frame + torch.where(safe, weight, torch.minimum(weight, least)) * change


def _high_pass(images: Tensor) -> Tensor:
    return images - _mean(images)


def _mean(images: Tensor) -> Tensor:
    """Mean over 3 x 3 cells."""
    return F.avg_pool2d(F.pad(images, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
