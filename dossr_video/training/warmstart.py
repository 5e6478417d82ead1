"""First weights of the compact networks: Real-ESRGAN's video network, no memory, no denoising."""

from __future__ import annotations

import torch
from torch import Tensor

from dossr_video.models.compact import CompactNetworks
from dossr_video.models.denoiser import Denoiser
from dossr_video.models.restorer import Restorer
from dossr_video.models.wavelet import haar
from dossr_video.training.ncnn import NcnnNetwork


def warm_started(network: NcnnNetwork, pictures: Tensor) -> CompactNetworks:
    """Networks whose pictures are those of an SRVGG network, with the codec's constants measured on pictures (B, 3, H, W)."""
    values = list(network.weights.items())
    weights = [value for key, value in values if key.endswith("_weight")]
    biases = [value for key, value in values if key.endswith("_bias")]
    slopes = [value for key, value in values if key.endswith("_slope")]
    restorer = Restorer(features=len(biases[0]), convolutions=len(weights) - 2)
    convolutions = [restorer.head, *restorer.trunk[::2], restorer.tail]
    with torch.no_grad():
        for convolution, weight, bias in zip(convolutions, weights, biases, strict=True):
            convolution.weight.copy_(weight)
            convolution.bias.copy_(bias)
        for activation, slope in zip([restorer.head_slope, *restorer.trunk[1::2]], slopes, strict=True):
            activation.weight.copy_(slope)
    networks = CompactNetworks(restorer, Denoiser())
    networks.codec.mean, networks.codec.std = codec_constants(pictures)
    return networks


def codec_constants(pictures: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each Haar channel, each (192, 1, 1), equal within a band and colour."""
    latents = haar(pictures)
    means = [latents[:, :3].mean((0, 2, 3)), torch.zeros(latents.shape[1] - 3)]
    deviations = [latents[:, :3].std((0, 2, 3))]
    for first, positions in ((3, 1), (12, 4), (48, 16)):
        band = latents[:, first : first + 9 * positions].unflatten(1, (9, positions))
        deviations.append(band.pow(2).mean((0, 2, 3, 4)).sqrt().repeat_interleave(positions))
    return torch.cat(means)[:, None, None], torch.cat(deviations)[:, None, None]
