"""Optical flow between frames, and its confidence."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import Any, Protocol

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dossr_video.frames import Motion, luma
from dossr_video.temporal.warping import resize_flow, warp

SMALLEST = 32  # pixels; DIS reads out of bounds on shorter sides
GRAIN = 8 / 255  # the largest mean difference that grain explains
BEYOND = 1.5  # times the mean difference, how far grain goes beyond the range of its neighbours
OTHER, SAME = 0.3, 0.4  # share of the detail that agrees: so little in another scene, so much in the same one
FLAT = 0.1 / 255  # detail of a place that has none
BREAK = 2.0  # pixels by which the flow may change from one pixel to its neighbours
STILL = 1.15  # zero flow is preferred up to this ratio of the mismatches

# OpenCV's presets, and the finest scale: flow at 1/2^scale of the frame's side.
PRESETS = {
    "ultrafast": (cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST, 2),
    "fast": (cv2.DISOPTICAL_FLOW_PRESET_FAST, 2),
    "medium": (cv2.DISOPTICAL_FLOW_PRESET_MEDIUM, 1),
    "fine": (cv2.DISOPTICAL_FLOW_PRESET_MEDIUM, 0),  # low-resolution video needs the finest scale
}


class FlowEstimator(Protocol):
    """Optical flow; any network with this signature can stand in for DIS."""

    def __call__(self, source: Tensor, target: Tensor) -> Tensor:
        """RGB (N, 3, H, W) or luma (N, 1, H, W) in [0, 1] -> flow (N, 2, H, W), (x, y) in pixels.

        What source shows at p, target shows at p + flow[:, :, p].
        """
        ...


@dataclass(frozen=True)
class DisFlow:
    """Dense inverse search (Kroeger et al. 2016) by OpenCV, on the CPU and on 8-bit luma."""

    preset: str = "fine"  # of PRESETS

    def __call__(self, source: Tensor, target: Tensor) -> Tensor:
        height, width = source.shape[-2:]
        preset, finest = PRESETS[self.preset]
        dis: Any = cv2.DISOpticalFlow.create(preset)
        dis.setFinestScale(finest)
        pairs = zip(_grey(source), _grey(target), strict=True)
        flows = np.stack([dis.calc(a, b, None)[:height, :width] for a, b in pairs])
        return torch.from_numpy(flows).permute(0, 3, 1, 2).to(source)


@dataclass(frozen=True)
class CoarseFlow:
    """Flow estimated at a lower resolution, where full size does not fit into memory."""

    estimator: FlowEstimator
    fraction: int  # the sides are divided by it

    def __call__(self, source: Tensor, target: Tensor) -> Tensor:
        height, width = source.shape[-2:]
        size = (-(-height // self.fraction), -(-width // self.fraction))
        small = (F.interpolate(images, size, mode="area") for images in (source, target))
        return resize_flow(self.estimator(*small), (height, width))


def _grey(frames: Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """8-bit luma, edges replicated up to SMALLEST."""
    height, width = frames.shape[-2:]
    grown = F.pad(luma(frames), (0, max(0, SMALLEST - width), 0, max(0, SMALLEST - height)), mode="replicate")
    return grown[:, 0].mul(255).round().clamp(0, 255).byte().cpu().numpy()


def motion(previous: Tensor | None, frames: Tensor, estimator: FlowEstimator | None) -> Motion:
    """Motion from each frame to the one before it, at input resolution.

    `previous` (3, H, W) is the frame before `frames` (T, 3, H, W); None at the first frame of a shot, whose flow and
    confidence are 0; without an estimator all are. Each frame's motion depends on the two frames alone, so the batch
    does not matter.
    """
    earlier = [previous, *frames[:-1]]
    # Frame by frame: batched sums may round differently, which can flip the flow in flat areas.
    parts = [_between(before, now, estimator) for before, now in zip(earlier, frames, strict=True)]
    return Motion(torch.cat([part.flow for part in parts]), torch.cat([part.confidence for part in parts]))


def _between(before: Tensor | None, now: Tensor, estimator: FlowEstimator | None) -> Motion:
    """Motion from one frame (3, H, W) to the one before it."""
    if before is None or estimator is None:
        return Motion(now.new_zeros(1, 2, *now.shape[-2:]), now.new_zeros(1, 1, *now.shape[-2:]))
    frame, earlier = now[None], before[None]
    backward, forward = estimator(frame, earlier), estimator(earlier, frame)
    aligned = warp(earlier, backward, mode="bilinear")
    moved, unmoved = mismatch(frame, aligned), mismatch(frame, earlier)
    # Flow is unreliable in flat areas and under exposure changes: zero flow is taken where it explains as well.
    still = unmoved <= STILL * moved
    agreed = torch.where(still, 1.0, consistency(backward, forward))
    mismatches, aligned = torch.where(still, unmoved, moved), torch.where(still, earlier, aligned)
    confidence = agreed * photometric(mismatches) * within(frame, aligned, _noise(mismatches))
    flow = backward * ~still
    return Motion(flow, confidence * unbroken(flow) * same_scene(frame, earlier, confidence))


def consistency(backward: Tensor, forward: Tensor) -> Tensor:
    """1 where following the flow back and forth returns to the start, 0 where it does not: (T, 1, H, W).

    The bound of Sundaram, Brox and Keutzer (2010), |b + f(b)|^2 < 0.01 (|b|^2 + |f(b)|^2) + 0.5, made soft: confidence
    falls from 1 at half the bound to 0 at the bound. Flows are (T, 2, H, W) in pixels.
    """
    returned = warp(forward, backward, mode="bilinear")
    bound = 0.01 * (backward.square() + returned.square()).sum(1, keepdim=True) + 0.5
    error = (backward + returned).square().sum(1, keepdim=True)
    return (2 - 2 * error / bound).clamp(0, 1)


def mismatch(frames: Tensor, others: Tensor) -> Tensor:
    """Mean absolute difference over 5 x 5 pixels and all channels of frames (T, C, H, W), exposure removed.

    In colour, because different objects may have the same luma.
    """
    difference = frames - others
    return box_mean((difference - _median(difference)).abs().mean(1, keepdim=True))


def photometric(mismatches: Tensor) -> Tensor:
    """1 where the warped earlier frame matches this one, 0 where it does not: (T, 1, H, W).

    The mismatch is relative to the frame's median, an estimate of its noise, so that grain does not lower confidence.
    """
    return (2 - mismatches / (1.8 * _noise(mismatches) + 3 / 255)).clamp(0, 1)


def within(frames: Tensor, others: Tensor, noise: Tensor) -> Tensor:
    """0 beside what the earlier frame, moved, has and this one does not: specks and scratches; else 1: (T, 1, H, W).

    They are too small for a mean over 5 x 5 pixels. What lies outside of the range of the 3 x 3 pixels of this frame,
    exposure taken out, is none of its edges however much these moved within a pixel, as known from the antialiasing of
    games (Karis 2014). `noise` is the mean difference that grain makes.
    """
    others = others + _median(frames - others)
    highest, lowest = _highest(frames), -_highest(-frames)
    beyond = torch.maximum(others - highest, lowest - others).amax(1, keepdim=True)
    # One pixel around as well, for an enlarged speck is wider than the speck.
    return (2 - _highest(beyond) / (BEYOND * noise + 3 / 255)).clamp(0, 1)


def unbroken(flow: Tensor) -> Tensor:
    """0 where the flow (T, 2, H, W) breaks off, else 1: (T, 1, H, W).

    An enlarged picture is moved along flow that is interpolated. Between two motions lies none of them: there it would
    show what stands between the two places.
    """
    spread = (_highest(flow) + _highest(-flow)).amax(1, keepdim=True)
    return (2 - spread / BREAK).clamp(0, 1)


def same_scene(frames: Tensor, others: Tensor, confidence: Tensor) -> Tensor:
    """1 where two frames show one scene, 0 where they do not: (T, 1, 1, 1), from the confidence (T, 1, H, W).

    Cuts are found where shots are long enough to tell them from motion; scenes of one and two frames are not. Between
    any two frames something flat happens to agree, so what counts is how much of their detail does: half of it and more
    within a scene, less than a third across a cut.
    """
    detail = torch.maximum(*(_detail(luma(images)) for images in (frames, others)))
    share = plane_sum(confidence * detail) / plane_sum(detail)
    return ((share - OTHER) / (SAME - OTHER)).clamp(0, 1)


def _detail(images: Tensor) -> Tensor:
    return (images - box_mean(images)).abs() + FLAT


def _highest(images: Tensor) -> Tensor:
    """The highest of 3 x 3 pixels; by views, for a pooling layer takes sixteen times as long on a CPU."""
    for axis in (-2, -1):
        size, found = images.shape[axis], images.clone()
        later = found.narrow(axis, 0, size - 1)
        torch.maximum(later, images.narrow(axis, 1, size - 1), out=later)
        earlier = found.narrow(axis, 1, size - 1)
        torch.maximum(earlier, images.narrow(axis, 0, size - 1), out=earlier)
        images = found
    return images


def _noise(mismatches: Tensor) -> Tensor:
    return _median(mismatches).clamp(max=GRAIN)


def plane_sum(images: Tensor) -> Tensor:
    """(T, C, H, W) -> (T, C, 1, 1), the same for any number of threads: PyTorch cuts a sum to one value among them."""
    return images.sum(3, keepdim=True).sum(2, keepdim=True)


def _median(images: Tensor) -> Tensor:
    """(T, C, H, W) -> (T, C, 1, 1), from every fourth pixel of every fourth row."""
    return images[..., ::4, ::4].flatten(2).median(2).values[..., None, None]


def box_mean(images: Tensor) -> Tensor:
    """Mean over 5 x 5 pixels, edges repeated."""
    if images.device.type == "cpu" and not images.requires_grad:
        means = torch.empty(images.shape, dtype=images.dtype)
        for plane, mean in zip(images.flatten(0, -3).numpy(), means.flatten(0, -3).numpy(), strict=True):
            cv2.blur(plane, (5, 5), dst=mean, borderType=cv2.BORDER_REPLICATE)  # three times as fast
        return means
    height, width = images.shape[-2:]
    padded = F.pad(images, (2, 2, 2, 2), mode="replicate")
    # Ten additions of views are four times faster than a pooling layer on a CPU.
    rows = reduce(torch.add, (padded[..., i : i + height, :] for i in range(5)))
    return reduce(torch.add, (rows[..., i : i + width] for i in range(5))) / 25
