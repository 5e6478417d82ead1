"""Copies between main memory and an accelerator."""

from __future__ import annotations

import torch
from torch import Tensor


def in_main_memory(tensor: Tensor) -> Tensor:
    """A copy in main memory, laid out alike; page-locked where CUDA can then copy it at full speed, beside its work."""
    like = torch.empty_like(tensor, device="cpu", pin_memory=torch.cuda.is_available())
    return like.copy_(tensor)
