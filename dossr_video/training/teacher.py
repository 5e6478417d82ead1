"""A sharp single-picture network as a teacher: its pictures are what the small model can learn to draw."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dossr_video.color import wavelet
from dossr_video.training.batches import SCALE


class NetworkTeacher:
    """Enlarges a frame four times with a network, in `dtype`, and gives it the frame's own light.

    The truth has many forms that look the same when shrunk, and who must guess draws their blurred mean. A large
    network's answer is one of them, the same whenever it is asked, so a small one can learn it.
    """

    def __init__(self, network: nn.Module, dtype: torch.dtype) -> None:
        self.network = network.eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.dtype = dtype

    @torch.no_grad()
    def __call__(self, frame: Tensor) -> Tensor:
        """(3, h, w) uint8 RGB to (3, 4h, 4w)."""
        source = frame[None].float() / 255
        with torch.autocast("cpu", self.dtype, enabled=self.dtype != torch.float32):
            drawn = self.network(source.contiguous(memory_format=torch.channels_last)).float()
        light = F.interpolate(source, scale_factor=SCALE, mode="bicubic", align_corners=False)
        return (wavelet(drawn, light)[0].clamp(0, 1) * 255).round().byte()
