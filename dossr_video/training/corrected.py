"""The large model as one network from frames to pictures, for `Trainer`: its restorers stay as they are."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn

from dossr_video.diffusion.schedule import SHIFT_STEPS
from dossr_video.models.large.denoiser import Denoiser
from dossr_video.models.large.model import SEEN, LargeNetworks
from dossr_video.models.rrdbnet import RRDBNet
from dossr_video.training.ncnn import NcnnNetwork


class Corrected(nn.Module):
    """Restorers, then one network call at the last entry, as the model does it; only the denoiser is trained."""

    def __init__(self, networks: LargeNetworks) -> None:
        super().__init__()
        self.networks = networks
        for part in (networks.x4plus, networks.compact):
            part.requires_grad_(False)

    def forward(
        self, frames: Tensor, flow: Tensor, confidence: Tensor, hidden: tuple[Tensor, ...] | None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """Frames (B, 3, H, W) -> pictures (B, 3, 4H, 4W), and what the next frames are to remember."""
        codec = self.networks.codec
        with torch.no_grad():
            picture, seen, hidden = self.networks.restore(frames, flow, confidence, hidden)
            with torch.autocast(frames.device.type, enabled=False):
                latents = codec.encode(picture)
            hint = torch.cat([latents, seen], 1)
        # x holds nothing of the clean latents at the last entry, and the model does not look at the rest.
        last = torch.full((len(frames),), SHIFT_STEPS - 1, device=frames.device)
        estimate = self.networks.denoiser(torch.zeros_like(latents), hint, last)
        with torch.autocast(frames.device.type, enabled=False):
            return codec.decode(estimate.float()), hidden

    def fresh(self) -> list[nn.Parameter]:
        """Weights with a rate of their own: none."""
        return []

    def save(self, path: Path) -> None:
        """A float16 safetensors file of all but the restorers, as the package carries it."""
        self.networks.save(path)


def x4plus(network: NcnnNetwork) -> RRDBNet:
    """x4plus as the large model has it, from the published weights; bfloat16 is what the package stores."""
    values = list(network.weights.items())
    weights, biases = ([value for key, value in values if key.endswith(end)] for end in ("_weight", "_bias"))
    restorer = RRDBNet()
    convolutions = [layer for layer in restorer.modules() if isinstance(layer, nn.Conv2d)]
    for convolution, weight, bias in zip(convolutions, weights, biases, strict=True):
        convolution.load_state_dict({"weight": weight.bfloat16(), "bias": bias.bfloat16()})
    return restorer


def untrained(x4plus: RRDBNet, like: LargeNetworks) -> LargeNetworks:
    """A denoiser that changes nothing yet, with the codec and the compact network of other networks."""
    width, deep_width = like.denoiser.head.out_channels, like.denoiser.down.out_channels
    networks = LargeNetworks(x4plus, like.compact, Denoiser(width=width, deep_width=deep_width, seen=SEEN))
    networks.codec.load_state_dict(like.codec.state_dict())
    return networks
