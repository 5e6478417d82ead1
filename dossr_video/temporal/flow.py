"""Motion between frames: optical flow, how far to trust it, and moving images along it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Protocol

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from dossr_video.frames import Motion

LUMA = (0.299, 0.587, 0.114)
SMALLEST = 12  # pixels; DIS refuses frames with a shorter side

PRESETS = {
    "ultrafast": cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST,
    "fast": cv2.DISOPTICAL_FLOW_PRESET_FAST,
    "medium": cv2.DISOPTICAL_FLOW_PRESET_MEDIUM,
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

    preset: Literal["ultrafast", "fast", "medium"] = "fast"

    def __call__(self, source: Tensor, target: Tensor) -> Tensor:
        if min(source.shape[-2:]) < SMALLEST:
            return source.new_zeros(len(source), 2, *source.shape[-2:])
        dis: Any = cv2.DISOpticalFlow.create(PRESETS[self.preset])
        pairs = zip(_grey(source), _grey(target), strict=True)
        flows = np.stack([dis.calc(a, b, None) for a, b in pairs])
        return torch.from_numpy(flows).permute(0, 3, 1, 2).to(source)


def luma(frames: Tensor) -> Tensor:
    """BT.601 luma (T, 1, H, W) of RGB frames (T, 3, H, W); luma is returned as it is."""
    if frames.shape[1] == 1:
        return frames
    grey: Tensor = torch.tensordot(frames, frames.new_tensor(LUMA), ([1], [0]))
    return grey[:, None]


def _grey(frames: Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return luma(frames)[:, 0].mul(255).round().clamp(0, 255).byte().cpu().numpy()


def warp(images: Tensor, flow: Tensor, *, mode: Literal["bilinear", "bicubic"] = "bicubic") -> Tensor:
    """Sample images (T, C, h, w) at p + flow; flow (T, 2, H, W) in its own pixels is scaled to h x w.

    Beyond the border the nearest pixel is repeated.
    """
    h, w = images.shape[-2:]
    flow = _resize_flow(flow.to(images.dtype), (h, w))
    y = torch.arange(h, device=images.device, dtype=images.dtype).view(1, h, 1)
    x = torch.arange(w, device=images.device, dtype=images.dtype).view(1, 1, w)
    # grid_sample's coordinates run from -1 at the first pixel's outer edge to 1 at the last one's.
    grid = torch.stack([(2 * (x + flow[:, 0]) + 1) / w - 1, (2 * (y + flow[:, 1]) + 1) / h - 1], -1)
    return F.grid_sample(images, grid, mode=mode, padding_mode="border", align_corners=False)


def _resize_flow(flow: Tensor, size: tuple[int, int]) -> Tensor:
    """Flow (T, 2, H, W) in pixels of H x W -> (T, 2, *size) in pixels of the new size."""
    h, w = flow.shape[-2:]
    if (h, w) == size:
        return flow
    ratio = flow.new_tensor([size[1] / w, size[0] / h]).view(1, 2, 1, 1)
    return F.interpolate(flow, size=size, mode="bilinear", align_corners=False) * ratio


def motion(previous: Tensor | None, frames: Tensor, estimator: FlowEstimator) -> Motion:
    """Motion from each frame to the one before it, at input resolution.

    `previous` (3, H, W) is the frame before `frames` (T, 3, H, W); None at the first frame of a shot, whose flow and
    confidence are 0. Each frame's motion depends on the two frames alone, so the batch does not matter.
    """
    greys = luma(frames)
    if previous is None:
        still = Motion(frames.new_zeros(1, 2, *frames.shape[-2:]), frames.new_zeros(1, 1, *frames.shape[-2:]))
        if len(frames) == 1:
            return still
        rest = motion(frames[0], frames[1:], estimator)
        return Motion(torch.cat([still.flow, rest.flow]), torch.cat([still.confidence, rest.confidence]))
    earlier = torch.cat([luma(previous[None]), greys[:-1]])
    earlier_rgb = torch.cat([previous[None], frames[:-1]])
    backward = estimator(frames, earlier_rgb)
    forward = estimator(earlier_rgb, frames)
    return Motion(backward, consistency(backward, forward) * photometric(greys, earlier, backward))


def consistency(backward: Tensor, forward: Tensor) -> Tensor:
    """1 where following the flow back and forth returns to the start, 0 where it does not: (T, 1, H, W).

    The bound of Sundaram, Brox and Keutzer (2010), |b + f(b)|^2 < 0.01 (|b|^2 + |f(b)|^2) + 0.5, made soft: confidence
    falls from 1 at half the bound to 0 at the bound. Flows are (T, 2, H, W) in pixels.
    """
    returned = warp(forward, backward, mode="bilinear")
    bound = 0.01 * (backward.square() + returned.square()).sum(1, keepdim=True) + 0.5
    error = (backward + returned).square().sum(1, keepdim=True)
    return (2 - 2 * error / bound).clamp(0, 1)


def photometric(greys: Tensor, earlier: Tensor, backward: Tensor) -> Tensor:
    """1 where the earlier frame, moved, looks like this one, 0 where it does not: (T, 1, H, W).

    Lumas are (T, 1, H, W) in [0, 1]. The difference is averaged over 5 x 5 pixels and held against the frame's median
    difference, which is its noise: grain must not cost confidence, a ghost must. A change of exposure that all pixels
    share is taken out.
    """
    difference = greys - warp(earlier, backward, mode="bilinear")
    difference = difference - difference.flatten(1).median(1).values.view(-1, 1, 1, 1)
    local = F.avg_pool2d(F.pad(difference.abs(), (2, 2, 2, 2), mode="replicate"), 5, stride=1)
    bound = 2 * local.flatten(1).median(1).values.view(-1, 1, 1, 1) + 4 / 255
    return (2 - local / bound).clamp(0, 1)
