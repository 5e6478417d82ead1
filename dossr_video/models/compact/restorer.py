"""The compact model's network: a recurrent SRVGG network, whose hidden state is moved along the motion.

The trunk is that of Real-ESRGAN's realesr-animevideov3 (convolutions and PReLUs at input resolution, pixel shuffle,
residual to the nearest enlargement). What came before enters beside the first convolution: the last features, the last
result and the last frame.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dossr_video.errors import ModelError
from dossr_video.temporal.flow import warp

# The last features (B, F, H, W), result (B, 3, scale H, scale W) and frame (B, 3, H, W).
Hidden = tuple[Tensor, Tensor, Tensor]

DETAIL = 30.0  # detail of a picture has a deviation of about 0.03; brought to 1, as the features are


class Restorer(nn.Module):
    """One frame at a time: (B, 3, H, W) RGB in [0, 1] -> (B, 3, scale H, scale W), not clamped.

    Frames and results are float32 whatever the weights are: half precision has no more than 256 shades.
    """

    def __init__(self, *, features: int = 64, convolutions: int = 16, scale: int = 4) -> None:
        super().__init__()
        self.scale = scale
        self.head = nn.Conv2d(3, features, 3, padding=1)
        # No bias: where nothing is remembered, nothing is added.
        self.memory = nn.Conv2d(features + 3 * scale * scale + 3, features, 3, padding=1, bias=False)
        self.head_slope = nn.PReLU(features)
        self.trunk = nn.Sequential()
        for _ in range(convolutions):
            self.trunk.append(nn.Conv2d(features, features, 3, padding=1))
            self.trunk.append(nn.PReLU(features))
        self.tail = nn.Conv2d(features, 3 * scale * scale, 3, padding=1)
        # Scales the features to a deviation of 1 before they are remembered; measured when training begins.
        self.gain = nn.Parameter(torch.ones(features, 1, 1))

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> Restorer:
        """A network of the sizes that the tensors have. Raises ModelError when they are not those of this network."""
        try:
            network = cls(
                features=state["head.weight"].shape[0],
                convolutions=sum(key.startswith("trunk.") and key.endswith(".bias") for key in state),
                scale=round((state["tail.weight"].shape[0] / 3) ** 0.5),
            )
            network.load_state_dict({key: value.float() for key, value in state.items()})
        except (KeyError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise ModelError(
                f"the compact weights do not fit the compact model: {reason}", hint="reinstall dossr-video"
            ) from error
        return network

    def fresh(self) -> list[nn.Parameter]:
        """The weights that what is remembered enters by: trained at a rate of their own."""
        return [self.gain, *self.memory.parameters()]

    def save(self, path: Path) -> None:
        """A float16 safetensors file, as the package carries it."""
        state = {name: value.half().contiguous() for name, value in self.state_dict().items()}
        safetensors.torch.save_file(state, path)

    def forward(self, frames: Tensor, flow: Tensor, confidence: Tensor, hidden: Hidden | None) -> tuple[Tensor, Hidden]:
        """The enlarged frames, and the hidden state for the next ones.

        flow (B, 2, H, W) leads back to the frame before, in pixels; where confidence (B, 1, H, W) is 0 the hidden
        state is not used.
        """
        dtype = self.head.weight.dtype
        base = F.interpolate(frames, scale_factor=self.scale, mode="nearest")
        # What is large is worked on in place and let go of early.
        seen = None if hidden is None else self._seen(frames, base, flow, confidence, hidden).to(dtype)
        features = self.enter(frames.to(dtype), seen)
        del seen
        features, detail = self.go_through(features)
        detail = F.pixel_shuffle(detail.float(), self.scale)
        # Without its mean, so that no frame changes its mean colour.
        result = base.add_(detail).sub_(detail.mean((2, 3), keepdim=True))
        return result, (features * self.gain, result, frames)

    def _seen(self, frames: Tensor, base: Tensor, flow: Tensor, confidence: Tensor, hidden: Hidden) -> Tensor:
        """What is remembered, moved to these frames."""
        count = hidden[0].shape[1]
        channels = self.memory.in_channels
        last = hidden[0].is_contiguous(memory_format=torch.channels_last)  # as the engine has them
        layout = torch.channels_last if last else torch.contiguous_format
        size = (len(frames), channels, *frames.shape[2:])
        seen = torch.empty(size, dtype=frames.dtype, device=frames.device, memory_format=layout)
        # One after the other: at their size in float32 they are large.
        features, result, before = hidden
        seen[:, :count] = warp(features.float(), flow, mode="bilinear")
        seen[:, count:-3] = F.pixel_unshuffle(warp(result.float(), flow, mode="bilinear") - base, self.scale)
        seen[:, -3:] = warp(before.float(), flow, mode="bilinear") - frames
        seen[:, count:] *= DETAIL
        seen *= confidence
        return seen

    # The layers stand in methods of their own, for another engine may run them: models/ncnn.py.
    def enter(self, frames: Tensor, seen: Tensor | None) -> Tensor:
        """The first features, of the frames and what is remembered (None: nothing)."""
        first = self.head(frames)
        if seen is not None:
            first = first + self.memory(seen)
        features: Tensor = self.head_slope(first)
        return features

    def go_through(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """The last features, and the detail at the size of the frames (B, 3 scale^2, H, W)."""
        for layer in self.trunk:  # called as a whole it would hold its input to the end
            features = layer(features)
        return features, self.tail(features)
