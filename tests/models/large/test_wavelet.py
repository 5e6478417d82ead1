"""The codec of `large`: exact, orthonormal."""

from __future__ import annotations

import torch

from dossr_video.models.large.wavelet import CHANNELS, WaveletCodec, haar, inverse_haar


def test_haar_is_orthonormal_and_inverted() -> None:
    pictures = torch.rand(2, 3, 32, 48, dtype=torch.float64)
    latents = haar(pictures)
    assert latents.shape == (2, CHANNELS, 4, 6)
    assert torch.allclose(latents.square().sum(), pictures.square().sum())
    assert torch.allclose(inverse_haar(latents), pictures, atol=1e-14)


def test_low_band_is_the_mean_of_8_by_8_pixels() -> None:
    pictures = torch.rand(1, 3, 16, 16, dtype=torch.float64)
    means = torch.nn.functional.avg_pool2d(pictures, 8)
    assert torch.allclose(haar(pictures)[:, :3], 8 * means)


def test_channels_are_ordered_by_level() -> None:
    stripes = torch.zeros(1, 3, 16, 16)
    stripes[..., ::2] = 1  # detail of the finest level alone
    latents = haar(stripes)
    assert latents[:, 3:48].abs().max() < 1e-6
    assert latents[:, 48:].abs().max() > 0.5


def test_new_codec_changes_nothing() -> None:
    pictures = torch.rand(1, 3, 8, 8)
    codec = WaveletCodec()
    assert torch.allclose(codec.decode(codec.encode(pictures)), pictures, atol=1e-6)
