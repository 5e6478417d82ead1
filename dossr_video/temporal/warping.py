"""Images moved along an optical flow."""

from __future__ import annotations

from typing import Literal

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

STRIP = 2**20  # pixels that are warped at a time
EXACT = int(cv2.__version__.split(".")[0]) >= 5  # older ones move by 32nds of a pixel
LARGEST = 2**15 - 2  # pixels of a side that OpenCV moves

Mode = Literal["bilinear", "bicubic"]


def warp(images: Tensor, flow: Tensor, *, mode: Mode = "bicubic") -> Tensor:
    """Sample images (T, C, h, w) at p + flow; flow (T, 2, H, W) in its own pixels is scaled to h x w.

    Border pixels are replicated.
    """
    h, w = images.shape[-2:]
    # In float32: half precision is too coarse for coordinates in a large image.
    source, flow = images.float(), flow.float()
    if h % flow.shape[-2]:
        flow = resize_flow(flow, (h, w))
    rows = max(STRIP // w, 1)
    if rows >= h:
        return warped_rows(source, flow, 0, h, mode).to(images)
    # By strips: coordinates for the whole image take as much memory as the image.
    moved = source.new_empty(source.shape)
    for top in range(0, h, rows):
        moved[:, :, top : top + rows] = warped_rows(source, flow, top, min(top + rows, h), mode)
    return moved.to(images)


def warped_rows(images: Tensor, flow: Tensor, top: int, bottom: int, mode: Mode) -> Tensor:
    """Rows top to bottom, half-open, of the warped images (T, C, h, w); h is a multiple of the flow's height."""
    h, w = images.shape[-2:]
    ratio = h // flow.shape[-2]
    # One more row on either side, because the flow is interpolated between rows.
    first, last = max(top // ratio - 1, 0), min(-(-bottom // ratio) + 1, flow.shape[-2])
    part = resize_flow(flow[:, :, first:last], ((last - first) * ratio, w))
    part = part[:, :, top - first * ratio : bottom - first * ratio]
    learnt = images.requires_grad or flow.requires_grad
    if EXACT and images.device.type == "cpu" and max(h, w) <= LARGEST and not learnt:
        return _remapped(images, part, top, mode)
    y = torch.arange(top, bottom, device=images.device, dtype=torch.float32).view(1, -1, 1)
    x = torch.arange(w, device=images.device, dtype=torch.float32).view(1, 1, w)
    places = torch.stack([x + part[:, 0], y + part[:, 1]], -1)
    places *= places.new_tensor([2 / max(w - 1, 1), 2 / max(h - 1, 1)])
    places -= 1
    return F.grid_sample(images, places, mode=mode, padding_mode="border", align_corners=True)


def _remapped(images: Tensor, flow: Tensor, top: int, mode: Mode) -> Tensor:
    """Rows from `top` on by OpenCV: a third of the time of PyTorch, and ten times as exact."""
    filters = {"bilinear": cv2.INTER_LINEAR, "bicubic": cv2.INTER_CUBIC}
    moved = torch.empty(*images.shape[:2], *flow.shape[-2:])
    for image, steps, result in zip(images, _interleaved(flow), moved, strict=True):
        if top:  # they count from a row of their own
            steps = steps.copy()
            steps[..., 1] += top
        for plane, rows in zip(image.numpy(), result.numpy(), strict=True):
            how = filters[mode] | cv2.WARP_RELATIVE_MAP
            cv2.remap(plane, steps, None, how, dst=rows, borderMode=cv2.BORDER_REPLICATE)
    return moved


def _interleaved(flow: Tensor) -> list[NDArray[np.float32]]:
    """(T, 2, H, W) as OpenCV has them, (H, W, 2) each."""
    return [np.ascontiguousarray(places.permute(1, 2, 0).numpy()) for places in flow]


def resize_flow(flow: Tensor, size: tuple[int, int]) -> Tensor:
    """Flow (T, 2, H, W) in pixels of H x W -> (T, 2, *size) in pixels of the new size."""
    h, w = flow.shape[-2:]
    if (h, w) == size:
        return flow
    ratio = flow.new_tensor([size[1] / w, size[0] / h])
    if flow.device.type == "cpu" and not flow.requires_grad and size[0] >= h:
        large = torch.empty(len(flow), *size, 2)
        for places, result in zip(_interleaved(flow * ratio.view(1, 2, 1, 1)), large.numpy(), strict=True):
            cv2.resize(places, size[::-1], dst=result, interpolation=cv2.INTER_LINEAR)
        return large.permute(0, 3, 1, 2)
    large = F.interpolate(flow, size=size, mode="bilinear", align_corners=False)
    return large * ratio.view(1, 2, 1, 1)
