"""First weights of the compact network: those of another SRVGG network, and a memory of use from the first step."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from dossr_video.models.compact.restorer import DETAIL, Restorer
from dossr_video.training.ncnn import NcnnNetwork


def warm_started(network: NcnnNetwork) -> Restorer:
    """A restorer whose pictures, without a frame before, are those of an SRVGG network."""
    values = list(network.weights.items())
    weights, biases, slopes = (
        [value for key, value in values if key.endswith(end)] for end in ("_weight", "_bias", "_slope")
    )
    restorer = Restorer(features=len(biases[0]), convolutions=len(weights) - 2)
    layers = [restorer.head, restorer.head_slope, *restorer.trunk, restorer.tail]
    convolutions = [layer for layer in layers if isinstance(layer, nn.Conv2d)]
    activations = [layer for layer in layers if isinstance(layer, nn.PReLU)]
    for convolution, weight, bias in zip(convolutions, weights, biases, strict=True):
        convolution.load_state_dict({"weight": weight, "bias": bias})
    for activation, slope in zip(activations, slopes, strict=True):
        activation.load_state_dict({"weight": slope})
    start_memory(restorer)
    return restorer


@torch.no_grad()
def start_memory(restorer: Restorer) -> None:
    """Begin with what is surely of use: a frame's first features are drawn a little towards those of the last result.

    The weights of the last features begin small, but not at zero.
    """
    nn.init.normal_(restorer.memory.weight, std=0.0005)
    features = restorer.head.weight.shape[0]
    pixels = restorer.scale**2
    for colour, own in enumerate(restorer.head.weight.unbind(1)):
        first = features + pixels * colour
        restorer.memory.weight[:, first : first + pixels] += 0.12 * own[:, None] / (pixels * DETAIL)
        restorer.memory.weight[:, features + 3 * pixels + colour] += 0.03 * own / DETAIL


@torch.no_grad()
def measure_gain(restorer: Restorer, frames: Sequence[Tensor]) -> None:
    """Scale what is remembered of frames (B, 3, H, W) to a deviation of 1, each feature by itself."""
    restorer.gain.fill_(1.0)
    none = torch.zeros(1)
    features = [restorer(part, none, none, None)[1][0].float() for part in frames]
    rms = torch.stack([part.square().mean((0, 2, 3)) for part in features]).mean(0).sqrt()
    # A feature that is hardly ever there is not blown up to noise.
    restorer.gain.copy_((1 / rms.clamp(min=0.3 * float(rms.median())))[:, None, None])
