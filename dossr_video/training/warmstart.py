"""First weights of the compact networks: Real-ESRGAN's video network, no memory, no denoising."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from dossr_video.models.compact.denoiser import Denoiser
from dossr_video.models.compact.model import CompactNetworks
from dossr_video.models.compact.restorer import Restorer
from dossr_video.models.compact.wavelet import haar
from dossr_video.training.ncnn import NcnnNetwork


def warm_started(network: NcnnNetwork, pictures: Tensor) -> CompactNetworks:
    """Networks whose pictures are those of an SRVGG network; the codec's constants are measured on (B, 3, H, W)."""
    values = list(network.weights.items())
    weights = [value for key, value in values if key.endswith("_weight")]
    biases = [value for key, value in values if key.endswith("_bias")]
    slopes = [value for key, value in values if key.endswith("_slope")]
    restorer = Restorer(features=len(biases[0]), convolutions=len(weights) - 2)
    layers = [restorer.head, restorer.head_slope, *restorer.trunk, restorer.tail]
    convolutions = [layer for layer in layers if isinstance(layer, nn.Conv2d)]
    activations = [layer for layer in layers if isinstance(layer, nn.PReLU)]
    for convolution, weight, bias in zip(convolutions, weights, biases, strict=True):
        convolution.load_state_dict({"weight": weight, "bias": bias})
    for activation, slope in zip(activations, slopes, strict=True):
        activation.load_state_dict({"weight": slope})
    networks = CompactNetworks(restorer, Denoiser())
    networks.codec.mean, networks.codec.std = codec_constants(pictures)
    return networks


def codec_constants(pictures: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each Haar channel, each (192, 1, 1), equal within a band and colour."""
    latents = haar(pictures)
    means = [latents[:, :3].mean((0, 2, 3)), torch.zeros(latents.shape[1] - 3)]
    deviations = [latents[:, :3].std((0, 2, 3))]
    for first, positions in ((3, 1), (12, 4), (48, 16)):
        energy = latents[:, first : first + 9 * positions].square().mean((0, 2, 3))
        deviations.append(energy.reshape(9, positions).mean(1).sqrt().repeat_interleave(positions))
    return torch.cat(means)[:, None, None], torch.cat(deviations)[:, None, None]
