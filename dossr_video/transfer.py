"""Copies between main memory and an accelerator, by way of page-locked memory where there is CUDA.

CUDA copies from and to such memory several times as fast, and while the processor goes on. The order of copies and of
what the networks do is that of the device's stream, so results are the same.
"""

from __future__ import annotations

import torch
from torch import Tensor


def in_main_memory(tensor: Tensor) -> Tensor:
    """A copy in main memory, laid out alike."""
    like = torch.empty_like(tensor, device="cpu", pin_memory=torch.cuda.is_available())
    return like.copy_(tensor)


def page_locked(tensor: Tensor, device: torch.device) -> Tensor:
    """`tensor` of main memory, where `device` takes it from fastest: a copy for CUDA, else itself."""
    return in_main_memory(tensor) if device.type == "cuda" else tensor


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """`tensor` on the device; what is page-locked is still on its way while the processor goes on."""
    return tensor.to(device, non_blocking=tensor.device.type == "cpu" and device.type == "cuda" and tensor.is_pinned())


def to_main_memory(tensor: Tensor) -> Tensor:
    """`tensor`, or a whole copy of it in main memory."""
    if tensor.device.type != "cuda":
        return tensor.cpu()
    copied = torch.empty_like(tensor, device="cpu", pin_memory=True)
    copied.copy_(tensor, non_blocking=True)
    done = torch.cuda.Event()  # type: ignore[no-untyped-call]
    done.record(torch.cuda.current_stream(tensor.device))
    done.synchronize()
    return copied
