"""A whole shot through the embedded model: no seams between chunks, nothing over a cut, pieces that meet."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from _pytest.outcomes import Failed
from kornia.filters import gaussian_blur2d
from torch import Tensor

from dossr_video import Settings, upscale_frames
from dossr_video.errors import SettingsError
from dossr_video.frames import Motion
from dossr_video.models.base import HiddenState, PictureModel, Restored
from dossr_video.models.bicubic import Bicubic
from dossr_video.models.dossr.model import load_dossr
from dossr_video.models.registry import load_model
from dossr_video.temporal.flow import box_mean

TINY = Path(__file__).parents[1] / "data" / "golden" / "tiny" / "tiny.ckpt"


@pytest.fixture(scope="module")
def compact() -> PictureModel:
    return load_model("compact", device="cpu", dtype="float32")


def grainy(seed: int, frames: int, *, mean: float = 0.5) -> Tensor:
    """(T, 3, 32, 40): a texture that slides, with noise of its own in every frame."""
    rng = np.random.default_rng(seed)
    texture = cv2.GaussianBlur(rng.random((32, 40 + 2 * frames, 3), np.float32), (0, 0), 1.5)
    texture = (texture - texture.mean()) / texture.std() * 0.15 + mean
    clip = np.stack([texture[:, 2 * t : 2 * t + 40] for t in range(frames)])
    clip = clip + rng.normal(0, 0.02, clip.shape).astype(np.float32)
    return torch.from_numpy(clip.clip(0, 1)).permute(0, 3, 1, 2).contiguous()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("compact", {"blend": "pixel", "deflicker": True}),
        ("sampled", {"blend": "pixel", "steps": 3, "final": "landing"}),
        ("sampled", {"blend": "latent", "steps": 3, "blend_calls": "all"}),
    ],
)
def test_no_seams_between_chunks(request: pytest.FixtureRequest, name: str, options: dict[str, Any]) -> None:
    model = request.getfixturevalue(name)
    frames = grainy(1, 9) * torch.tensor([1, 0.97, 1.02, 0.99, 1, 1.03, 0.98, 1, 1.01]).view(-1, 1, 1, 1)

    def result(**changed: Any) -> Tensor:
        settings = Settings(**{"noise": "warped", **options, **changed})
        return upscale_frames(frames, model=model, settings=settings).mul(255).round()

    whole = result(chunk=16)
    assert (whole != result(blend="off"))[1:].float().mean() > 0.2
    for chunk in (1, 4, 7):
        cut = result(chunk=chunk)
        # A batched kernel may round differently: one code on a tenth of a percent.
        assert (whole - cut).abs().max() <= 1
        assert (whole != cut).float().mean() <= 1e-3


@pytest.mark.parametrize(("name", "blend", "left"), [("compact", "pixel", 0.25), ("sampled", "latent", 0.5)])
def test_either_blending_steadies(request: pytest.FixtureRequest, name: str, blend: str, left: float) -> None:
    model = request.getfixturevalue(name)
    noise = 0.02 * torch.randn(6, 3, 32, 40, generator=torch.Generator().manual_seed(0))
    frames = (grainy(8, 1) + noise).clamp(0, 1)

    def unsteadiness(blend: str) -> float:
        result = upscale_frames(frames, model=model, settings=Settings(blend=blend))
        return float(result.diff(dim=0).square().mean())

    assert unsteadiness(blend) < left * unsteadiness("off")


class Plain(Bicubic):
    """A network without latents, for which blending is of use."""

    blended = True


@pytest.mark.parametrize("tile", [None, 64])
def test_a_model_without_latents_is_blended_too(tile: int | None) -> None:
    noise = 0.02 * torch.randn(6, 3, 96, 80, generator=torch.Generator().manual_seed(0))
    frames = (torch.nn.functional.interpolate(grainy(8, 1), (96, 80)) + noise).clamp(0, 1)
    model = Plain(device=torch.device("cpu"), dtype=torch.float32)
    blended, cut, off = (
        upscale_frames(frames, model=model, settings=Settings(tile=tile, **options))
        for options in ({"chunk": 6}, {"chunk": 4}, {"blend": "off"})
    )
    assert blended.diff(dim=0).square().mean() < 0.25 * off.diff(dim=0).square().mean()
    assert torch.allclose(blended, cut, atol=1e-5)


class Sharper(Plain):
    """One that invents."""

    def restore(self, frames: Tensor, motion: Motion, hidden: HiddenState) -> Restored:
        pictures = super().restore(frames, motion, hidden).pictures
        return Restored(pictures + 2 * (pictures - box_mean(pictures)))


def no_flow(source: Tensor, target: Tensor) -> Tensor:
    pytest.fail("optical flow was computed")


def test_no_optical_flow_where_nothing_looks_at_it(compact: PictureModel) -> None:
    bicubic = load_model("bicubic", device="cpu")
    frames = grainy(8, 1).repeat(2, 1, 1, 1)
    upscale_frames(frames, model=bicubic, flow=no_flow)
    for model, options in ((bicubic, {"deflicker": True}), (compact, {"blend": "off"})):
        with pytest.raises(Failed):
            upscale_frames(frames, model=model, flow=no_flow, settings=Settings(**options))


@pytest.mark.parametrize(
    "options", [{"steps": 5}, {"order": 1}, {"final": "x0"}, {"color_fix": "none"}, {"warm_start": 3}]
)
def test_options_of_the_sampler_need_a_model_that_samples(options: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match="bicubic samples nothing, so --") as refusal:
        upscale_frames(grainy(8, 1), settings=Settings(model="bicubic", **options))
    assert "leave" in refusal.value.hint
    with pytest.raises(SettingsError, match="no latents"):
        upscale_frames(grainy(8, 1), settings=Settings(model="bicubic", blend="latent"))


def test_a_long_shot_drifts_neither_in_colour_nor_in_sharpness(compact: PictureModel) -> None:
    there = grainy(7, 21)
    period = torch.cat([there[:-1], there[1:].flip(0)])  # 40 frames, there and back
    noise = 0.02 * torch.randn(120, 3, 32, 40, generator=torch.Generator().manual_seed(0))
    frames = (period.repeat(3, 1, 1, 1) + noise).clamp(0, 1)
    result = upscale_frames(frames, model=compact)
    assert ((result.mean((2, 3)) - frames.mean((2, 3))).abs() * 255).max() < 0.5
    sharp = (result - box_mean(result)).abs().mean((1, 2, 3)).view(3, 40).mean(1)
    assert abs(float(sharp[2] / sharp[1]) - 1) < 0.02


def test_a_frame_keeps_its_light_unless_told_otherwise(compact: PictureModel) -> None:
    gains = torch.tensor([1, 0.97, 1.02, 0.99, 1, 1.03, 0.98, 1, 1.01]).view(-1, 1, 1, 1)
    frames = (grainy(1, 9) * gains).clamp(0, 1)
    kept, evened = (
        upscale_frames(frames, model=compact, settings=Settings(deflicker=deflicker)).mean((2, 3)) * 255
        for deflicker in (False, True)
    )
    source = frames.mean((2, 3)) * 255
    assert (kept - source).abs().max() < 0.5
    assert evened.diff(n=2, dim=0).abs().mean() < 0.5 * source.diff(n=2, dim=0).abs().mean()


@pytest.mark.parametrize("noise", ["shared", "warped", "independent"])
def test_nothing_crosses_a_cut(sampled: PictureModel, noise: str) -> None:
    settings = Settings(noise=noise, steps=2, final="landing", deflicker=True)
    after = grainy(2, 3, mean=0.7)
    one, other = (
        upscale_frames(torch.cat([grainy(seed, 6, mean=0.3), after]), model=sampled, settings=settings)[6:]
        for seed in (3, 4)
    )
    assert torch.equal(one, other)


def test_a_piece_with_a_lead_in_meets_the_one_before(compact: PictureModel) -> None:
    frames = grainy(5, 18)
    # Shared noise, for the piece's frames have other indices here than in the whole.
    whole = upscale_frames(frames, model=compact)
    piece = upscale_frames(frames[6:], model=compact)
    at_once = (piece[0] - whole[6]).abs().mean()
    met = (piece[8:] - whole[14:]).abs()
    assert met.mean() < 0.5 / 255
    assert met.mean() < 0.2 * at_once


@pytest.mark.parametrize("blend", ["pixel", "latent"])
def test_the_full_model_has_no_seams_either(blend: str) -> None:
    tiny = load_dossr(TINY, device=torch.device("cpu"), dtype=torch.float32, head_channels=8, text_head_channels=8)
    frames, options = grainy(6, 3)[..., :32], {"blend": blend, "noise": "warped", "steps": 2}
    whole, cut, off = (
        upscale_frames(frames, model=tiny, settings=Settings(**options | changed)).mul(255).round()
        for changed in ({"chunk": 3}, {"chunk": 2}, {"blend": "off"})
    )
    assert torch.equal(whole[0], off[0])
    assert (whole != off)[1:].float().mean() > 0.1
    assert (whole - cut).abs().max() <= 1
    assert (whole != cut).float().mean() <= 1e-3


@pytest.mark.parametrize("blend", ["pixel", "off"])
@pytest.mark.parametrize("latents", [True, False], ids=["compact", "plain"])
def test_strength_goes_from_the_restorer_to_the_model(compact: PictureModel, latents: bool, blend: str) -> None:
    model = compact if latents else Sharper(device=torch.device("cpu"), dtype=torch.float32)
    frames = grainy(3, 3)

    def result(strength: float) -> Tensor:
        return upscale_frames(frames, model=model, settings=Settings(blend=blend, strength=strength))

    full = upscale_frames(frames, model=model, settings=Settings(blend=blend))
    results = [result(strength) for strength in (0, 0.25, 0.5, 0.75, 1)]
    assert torch.equal(results[-1], full)
    away = [float((picture - results[0]).abs().mean()) for picture in results]
    left = [float((picture - full).abs().mean()) for picture in results]
    assert away[0] == left[-1] == 0
    assert all(a < b for a, b in pairwise(away))
    assert all(a > b for a, b in pairwise(left))
    if blend == "off":
        assert torch.allclose(results[2], (results[0] + full) / 2, atol=2e-3)


def test_no_strength_is_the_restorer_alone(sampled: PictureModel) -> None:
    frames = grainy(3, 1)
    still = Motion(torch.zeros(1, 2, 32, 40), torch.zeros(1, 1, 32, 40))
    restored = sampled.restore(frames, still, None).pictures
    result = upscale_frames(frames, model=sampled, settings=Settings(strength=0))
    assert torch.allclose(result, restored.clamp(0, 1), atol=1e-6)


def test_a_soft_source_becomes_sharper_on_its_own_grid(compact: PictureModel) -> None:
    truth = torch.zeros(1, 3, 192, 256)
    for x in range(12, 240, 24):
        truth[..., 20:172, x : x + 12] = 0.7
    soft = F.interpolate(gaussian_blur2d(truth, (33, 33), (4.0, 4.0)), scale_factor=0.5, mode="area").repeat(2, 1, 1, 1)

    def edges(**options: Any) -> float:
        result = upscale_frames(soft, model=compact, settings=Settings(**options))
        assert result.shape == (2, 3, 384, 512)
        return float(result.diff(dim=3).abs().amax(3).mean())

    assert edges(native=0.5) > 1.15 * edges(native="off")


def test_auto_measures_frames_in_memory() -> None:
    model = Bicubic(device=torch.device("cpu"), dtype=torch.float32)
    blocks = torch.rand(1, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    squares = F.interpolate(blocks, scale_factor=27, mode="nearest")
    soft = gaussian_blur2d(squares, (25, 25), (3.0, 3.0))
    for frames, ratio in ((soft, 0.5), (squares, 1)):
        auto, given = (upscale_frames(frames, model=model, settings=Settings(native=n)) for n in ("auto", ratio))
        assert torch.equal(auto, given)
        assert (frames is soft) == (
            not torch.equal(auto, upscale_frames(frames, model=model, settings=Settings(native="off")))
        )


def test_a_speck_or_scratch_of_one_frame_is_not_drawn_into_the_next(compact: PictureModel) -> None:
    """Whether dust is mended or not: neither blending nor the model's memory carries it on."""
    noise = torch.rand(1, 3, 56, 90, generator=torch.Generator().manual_seed(0))
    texture = gaussian_blur2d(noise, (13, 13), (2.0, 2.0))
    texture = (texture - texture.mean()) / texture.std() * 0.12 + 0.5
    clean = torch.cat([texture[..., t : t + 72] for t in range(4)]).clamp(0, 1)
    marked = clean.clone()
    marked[1, :, 20:23, 30:33] = 0.95
    marked[1, :, :, 50] += 0.2
    marked = marked.clamp(0, 1)
    for dust in ("off", "0.5"):
        with_marks, without = (
            upscale_frames(frames, model=compact, settings=Settings(dust=dust)) for frames in (marked, clean)
        )
        away = (with_marks - without).abs().mean(1)
        assert away[2].max() < 0.15 * away[1].max() or away[2].max() < 6 / 255, dust
        assert away[2].mean() < 1 / 255
