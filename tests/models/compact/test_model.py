"""The compact model: exact codec, memory that does not depend on chunks, gating, sizes from shapes."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from dossr_video.errors import ModelError
from dossr_video.frames import Motion
from dossr_video.models.compact.denoiser import Denoiser
from dossr_video.models.compact.model import CompactModel, CompactNetworks, load_compact
from dossr_video.models.compact.restorer import Restorer
from dossr_video.models.compact.wavelet import CHANNELS, WaveletCodec, haar, inverse_haar
from dossr_video.temporal.flow import DisFlow, motion, warp


@pytest.fixture(scope="module")
def model() -> CompactModel:
    return load_compact(device=torch.device("cpu"), dtype=torch.float32)


@pytest.fixture(scope="module")
def found(moving: Tensor) -> Motion:
    return motion(None, moving, DisFlow())


def part(whole: Motion, start: int, stop: int) -> Motion:
    return Motion(whole.flow[start:stop], whole.confidence[start:stop])


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


def test_codec_round_trip_and_scale(model: CompactModel, moving: Tensor) -> None:
    latents = model.encode(moving)
    assert torch.allclose(model.decode(latents), moving, atol=1e-5)
    assert model.networks.codec.std.min() > 0


def test_frame_by_frame_is_one_chunk(model: CompactModel, moving: Tensor, found: Motion) -> None:
    whole = model.restore(moving, found, None).pictures
    hidden, pieces = None, []
    for start, stop in ((0, 1), (1, 4), (4, 9)):
        restored = model.restore(moving[start:stop], part(found, start, stop), hidden)
        hidden = restored.hidden
        pieces.append(restored.pictures)
    assert whole.shape == (9, 3, 128, 160)
    assert torch.equal(torch.cat(pieces), whole)


def test_without_confidence_nothing_is_remembered(model: CompactModel, moving: Tensor, found: Motion) -> None:
    hidden = model.restore(moving[:3], part(found, 0, 3), None).hidden
    lost = Motion(found.flow[3:4], torch.zeros_like(found.confidence[3:4]))
    first = model.restore(moving[3:4], lost, None).pictures
    again = model.restore(moving[3:4], lost, hidden).pictures
    remembered = model.restore(moving[3:4], part(found, 3, 4), hidden).pictures
    assert torch.equal(first, again)
    assert (remembered - first).abs().max() > 1e-3


def test_mean_colour_stays(model: CompactModel, moving: Tensor, found: Motion) -> None:
    restored = model.restore(moving, found, None)
    latents = model.encode(restored.pictures)
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(0))
    final = model.decode(model.denoise(0.5 * latents + 0.8 * noise, 499, model.condition(restored, latents)))
    for pictures in (restored.pictures, final):
        assert (pictures.mean((2, 3)) - moving.mean((2, 3))).abs().max() < 0.02 / 255


def test_half_precision_keeps_shades(model: CompactModel, moving: Tensor, found: Motion) -> None:
    half = load_compact(device=torch.device("cpu"), dtype=torch.bfloat16)
    restored, rough = (m.restore(moving, found, None) for m in (model, half))
    latents = model.encode(restored.pictures)
    clean = [m.decode(m.denoise(latents, 499, m.condition(restored, latents))) for m in (model, half)]
    for exact, coarse in ((restored.pictures, rough.pictures), tuple(clean)):
        assert exact.dtype == coarse.dtype == torch.float32
        assert (coarse - exact).abs().mean() < 0.4 / 255
        assert (coarse - exact).mean((2, 3)).abs().max() < 0.02 / 255  # bfloat16 has 0.5 / 255 near white
    assert not torch.equal(restored.pictures, rough.pictures)


def test_latents_move_through_pixels(model: CompactModel, moving: Tensor) -> None:
    flow = torch.full((1, 2, 8, 10), 1.5)  # input pixels: 6 of the picture's
    moved = model.decode(model.warp(model.encode(moving[:1]), flow))
    assert torch.allclose(moved, warp(moving[:1], flow), atol=1e-5)
    assert torch.allclose(moved[..., 8:-8, 8:-8], moving[:1, :, 14:-2, 14:-2], atol=1e-4)


@pytest.mark.parametrize(("features", "convolutions", "scale", "width"), [(8, 2, 4, 16), (12, 3, 2, 8)])
def test_sizes_come_from_the_tensors(features: int, convolutions: int, scale: int, width: int) -> None:
    networks = CompactNetworks(
        Restorer(features=features, convolutions=convolutions, scale=scale), Denoiser(width=width, deep_width=24)
    )
    again = CompactNetworks.from_state(networks.state_dict())
    assert again.restorer.scale == scale
    for name, value in networks.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])


def test_foreign_weights_are_refused() -> None:
    state = CompactNetworks(Restorer(features=8, convolutions=2), Denoiser(width=8, deep_width=8)).state_dict()
    del state["restorer.trunk.0.bias"]
    with pytest.raises(ModelError, match="do not fit"):
        CompactNetworks.from_state(state)
    with pytest.raises(ModelError, match="do not fit"):
        CompactNetworks.from_state({})


def test_new_codec_changes_nothing() -> None:
    pictures = torch.rand(1, 3, 8, 8)
    codec = WaveletCodec()
    assert torch.allclose(codec.decode(codec.encode(pictures)), pictures, atol=1e-6)
