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
from dossr_video.temporal.warping import warped_rows

# The last features (B, F, H, W), result (B, 3, scale H, scale W) and frame (B, 3, H, W).
Hidden = tuple[Tensor, Tensor, Tensor]

STRIP = 2**17  # pixels that enter at a time
DETAIL = 30.0  # detail of a picture has a deviation of about 0.03; brought to 1, as the features are


def by_pixel(pictures: Tensor, scale: int) -> Tensor:
    """A view of pictures (B, C, scale H, scale W) by the pixels of the frame: (B, C, scale, scale, H, W)."""
    return torch.unflatten(torch.unflatten(pictures, 3, (-1, scale)), 2, (-1, scale)).permute(0, 1, 3, 5, 2, 4)


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
        features = (
            self.enter(frames.to(dtype), None) if hidden is None else self._entered(frames, flow, confidence, hidden)
        )
        features, detail = self.go_through(features)
        detail = F.pixel_shuffle(detail.float(), self.scale)
        # Without its mean, so that no frame changes its mean colour.
        result = self.enlarged(frames).add_(detail).sub_(detail.mean((2, 3), keepdim=True))
        return result, (features * self.gain, result, frames)

    def enlarged(self, frames: Tensor) -> Tensor:
        """What the detail is added to."""
        return F.interpolate(frames, scale_factor=self.scale, mode="nearest")

    def _entered(self, frames: Tensor, flow: Tensor, confidence: Tensor, hidden: Hidden) -> Tensor:
        """The first features, by strips: what is remembered of a large frame takes twice as much as they do."""
        height, width = frames.shape[2:]
        rows = max(STRIP // width, 1)
        remembered = hidden[0].float(), hidden[1].float(), hidden[2].float()
        parts = []
        for top in range(0, height, rows):
            bottom = min(top + rows, height)
            first, last = max(top - 1, 0), min(bottom + 1, height)  # that the convolution sees
            seen = self.seen(frames, flow, confidence, remembered, (first, last))
            part = self.enter(frames[:, :, first:last].to(self.head.weight.dtype), seen.to(self.head.weight.dtype))
            parts.append(part[:, :, top - first : bottom - first])
        return parts[0] if len(parts) == 1 else torch.cat(parts, 2)

    def seen(self, frames: Tensor, flow: Tensor, confidence: Tensor, hidden: Hidden, rows: tuple[int, int]) -> Tensor:
        """What is remembered, moved to these frames: their rows from the first to the second, half-open."""
        features, result, before = hidden
        (first, last), scale = rows, self.scale
        now = frames[:, :, first:last]
        count = features.shape[1]
        channels_last = hidden[0].is_contiguous(memory_format=torch.channels_last)  # as the engine has them
        layout = torch.channels_last if channels_last else torch.contiguous_format
        size = (len(frames), self.memory.in_channels, last - first, frames.shape[3])
        seen = torch.empty(size, dtype=frames.dtype, device=frames.device, memory_format=layout)
        seen[:, :count] = warped_rows(features, flow, first, last, "bilinear")
        change = torch.unflatten(seen[:, count:-3], 1, (3, scale, scale))
        change.copy_(by_pixel(warped_rows(result, flow, first * scale, last * scale, "bilinear"), scale))
        change -= now[:, :, None, None]  # the nearest enlargement
        seen[:, -3:] = warped_rows(before, flow, first, last, "bilinear") - now
        seen[:, :count] *= confidence[:, :, first:last]
        seen[:, count:] *= DETAIL * confidence[:, :, first:last]
        return seen

    def layers(self, frames: Tensor, seen: Tensor) -> tuple[Tensor, Tensor]:
        """All of them, of the frames and what is remembered: the last features and the detail, as `go_through`."""
        return self.go_through(self.enter(frames, seen))

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
