"""The compact model's restorer: a recurrent SRVGG network, whose hidden state is moved along the motion.

The trunk is that of Real-ESRGAN's realesr-animevideov3 (convolutions and PReLUs at input resolution, pixel shuffle,
residual to the nearest enlargement). What came before enters beside the first convolution.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dossr_video.temporal.flow import warp

Hidden = tuple[Tensor, Tensor]  # last features (B, F, H, W) and the frame they were made from (B, 3, H, W)


class Restorer(nn.Module):
    """One frame at a time: (B, 3, H, W) RGB in [0, 1] -> (B, 3, scale H, scale W), not clamped.

    Frames and results are float32 whatever the weights are: half precision has no more than 256 shades.
    """

    def __init__(self, *, features: int = 64, convolutions: int = 16, scale: int = 4) -> None:
        super().__init__()
        self.scale = scale
        self.head = nn.Conv2d(3, features, 3, padding=1)
        self.memory = nn.Conv2d(features + 3, features, 3, padding=1, bias=False)
        self.head_slope = nn.PReLU(features)
        self.trunk = nn.Sequential()
        for _ in range(convolutions):
            self.trunk.append(nn.Conv2d(features, features, 3, padding=1))
            self.trunk.append(nn.PReLU(features))
        self.tail = nn.Conv2d(features, 3 * scale * scale, 3, padding=1)
        nn.init.zeros_(self.memory.weight)  # starts as the single-picture network it is warm-started from

    def forward(self, frames: Tensor, flow: Tensor, confidence: Tensor, hidden: Hidden | None) -> tuple[Tensor, Hidden]:
        """The enlarged frames, and the hidden state for the next ones.

        flow (B, 2, H, W) leads back to the frame before, in pixels; where confidence (B, 1, H, W) is 0 the hidden
        state is not used.
        """
        dtype = self.head.weight.dtype
        first = self.head(frames.to(dtype))
        if hidden is not None:
            # What is large is worked on in place and let go of early.
            count = hidden[0].shape[1]
            seen = frames.new_empty(len(frames), count + 3, *frames.shape[2:]).to(memory_format=torch.channels_last)
            seen[:, :count], seen[:, count:] = (warp(part.float(), flow, mode="bilinear") for part in hidden)
            seen[:, count:] -= frames
            seen *= confidence
            first += self.memory(seen.to(dtype))
            del seen
        features = self.head_slope(first)
        del first
        for layer in self.trunk:  # called as a whole it would hold its input to the end
            features = layer(features)
        detail = F.pixel_shuffle(self.tail(features).float(), self.scale)
        # Without its mean, so that no frame changes its mean colour.
        detail -= detail.mean((2, 3), keepdim=True)
        detail += F.interpolate(frames, scale_factor=self.scale, mode="nearest")
        return detail, (features, frames)
