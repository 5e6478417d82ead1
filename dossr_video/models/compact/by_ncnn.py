"""The compact model's network run by ncnn, a frame going through all of it strip by strip.

Of a frame of 1280x720 the features alone take 240 MB, so nothing between the layers exists as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from dossr_video.models.compact.restorer import Hidden, Restorer, by_pixel
from dossr_video.models.ncnn import NcnnStream

ROWS = 36  # of a strip: what the layers work on stays in the processor's caches; ncnn makes 6 x 6 pixels at a time


class StreamedRestorer:
    """Restorer.forward for one float32 frame; the results differ from PyTorch's by less than a hundredth of a code."""

    def __init__(self, network: Restorer) -> None:
        self._network = network
        self._layers = NcnnStream(network, "layers")

    def __call__(
        self, frames: Tensor, flow: Tensor, confidence: Tensor, hidden: Hidden | None
    ) -> tuple[Tensor, Hidden]:
        """See Restorer.forward."""
        network, scale = self._network, self._network.scale
        height, width = frames.shape[2:]
        features = frames.new_empty(1, network.memory.out_channels, height, width)
        result = frames.new_empty(1, 3, height * scale, width * scale)
        total = torch.zeros(1, 3, 1, 1, dtype=torch.float64)
        known = done = 0  # rows of either
        for kept, detail in self._layers(self._strips(frames, flow, confidence, hidden)):
            torch.mul(kept, network.gain, out=features[:, :, known : known + kept.shape[2]])
            rows = slice(done, done + detail.shape[2])
            detail = torch.unflatten(detail, 1, (3, scale, scale))
            part = by_pixel(result[:, :, rows.start * scale : rows.stop * scale], scale)
            torch.add(detail, frames[:, :, None, None, rows], out=part)  # to the nearest enlargement
            total += detail.sum((4, 5)).sum((2, 3))[..., None, None]
            known, done = known + kept.shape[2], rows.stop
        # Without its mean, so that no frame changes its mean colour.
        result -= (total / (height * width * scale * scale)).float()
        return result, (features, result, frames)

    def _strips(
        self, frames: Tensor, flow: Tensor, confidence: Tensor, hidden: Hidden | None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Rows of the frame, and what is remembered there."""
        network, (height, width) = self._network, frames.shape[2:]
        rows = max(ROWS, self._layers.least)
        for top in range(0, height, rows):
            bottom = min(top + rows, height)
            if hidden is None:
                seen = frames.new_zeros(1, network.memory.in_channels, bottom - top, width)
            else:
                seen = network.seen(frames, flow, confidence, hidden, (top, bottom))
            yield frames[:, :, top:bottom], seen
