"""Frames that go on from the one before: fewer calls, nearly the same pictures, whatever the chunk length."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from dossr_video import Settings, upscale_frames
from dossr_video.errors import SettingsError
from dossr_video.models.base import Condition, DomainShiftModel
from dossr_video.models.dossr.model import load_dossr

TINY = Path(__file__).parents[1] / "data" / "golden" / "tiny" / "tiny.ckpt"
WARM = {"steps": 5, "warm_start": 3, "final": "landing", "blend": "off"}


def upscaled(model: DomainShiftModel, frames: Tensor, **options: Any) -> Tensor:
    return upscale_frames(frames, model=model, settings=Settings.of(WARM | options)).mul(255)


def entries(model: DomainShiftModel, frames: Tensor, monkeypatch: pytest.MonkeyPatch, **options: Any) -> list[int]:
    """Schedule entries that the network is called at, one for each frame."""
    seen: list[int] = []
    denoise = model.denoise

    def watched(x: Tensor, t: int, condition: Condition) -> Tensor:
        seen.extend([t] * len(x))
        return denoise(x, t, condition)

    with monkeypatch.context() as patch:
        patch.setattr(model, "denoise", watched)
        upscaled(model, frames, **options)
    return seen


def test_frames_after_the_first_leave_out_the_first_calls(
    sampled: DomainShiftModel, moving: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert entries(sampled, moving[:3], monkeypatch) == [499, 399, 299, 200, 100, *(299, 200, 100) * 2]
    assert entries(sampled, moving[:3], monkeypatch, warm_start=1) == [499, 399, 299, 200, 100, 100, 100]


def test_after_a_cut_and_where_no_motion_is_found_all_calls_are_made(
    sampled: DomainShiftModel, moving: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut = torch.cat([moving[:4], 1 - moving[:4].flip(-1)])
    assert len(entries(sampled, cut, monkeypatch)) == 2 * (5 + 3 * 3)
    unrelated = torch.rand(3, 3, 32, 40, generator=torch.Generator().manual_seed(0))
    assert len(entries(sampled, unrelated, monkeypatch)) == 3 * 5


@pytest.mark.parametrize("noise", ["shared", "warped"])
def test_pictures_are_nearly_those_of_all_calls(sampled: DomainShiftModel, moving: Tensor, noise: str) -> None:
    whole = upscaled(sampled, moving, warm_start=None, noise=noise)
    warm = (upscaled(sampled, moving, noise=noise) - whole).abs()
    few = (upscaled(sampled, moving, steps=3, warm_start=None, noise=noise) - whole).abs()
    assert warm[0].max() == 0
    assert 0 < warm[1:].mean() < 0.25 * few[1:].mean()
    assert warm[-2:].mean() < 1.5 * warm[1:3].mean()  # nothing builds up


@pytest.mark.parametrize("noise", ["shared", "warped", "independent"])
def test_the_chunk_length_does_not_matter(sampled: DomainShiftModel, moving: Tensor, noise: str) -> None:
    # In the middle all calls are made, whose noise has to go on from that of the first frame.
    frames = torch.cat([moving[:4], moving[4:5].flip(-1), moving[5:]])
    whole = upscaled(sampled, frames, noise=noise, chunk=16, blend="latent", blend_calls="all").round()
    for length in (1, 2, 5):
        cut = upscaled(sampled, frames, noise=noise, chunk=length, blend="latent", blend_calls="all").round()
        assert (whole - cut).abs().max() <= 1
        assert (whole != cut).float().mean() <= 1e-3


def test_the_full_model_goes_the_same_way(moving: Tensor) -> None:
    tiny = load_dossr(TINY, device=torch.device("cpu"), dtype=torch.float32, head_channels=8, text_head_channels=8)
    options = {"noise": "warped", "steps": 3, "warm_start": 1}
    whole = upscaled(tiny, moving[:3, :, :, :32], **options, chunk=3).round()
    assert torch.equal(whole, upscaled(tiny, moving[:3, :, :, :32], **options, chunk=1).round())
    assert not torch.equal(whole[1:], upscaled(tiny, moving[:3, :, :, :32], **options | {"warm_start": 2}).round()[1:])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 3}, "--warm-start 3 must be less than the network calls of a whole frame, here 3"),
        ({"blend": "latent"}, "leaves out the first network call"),
    ],
)
def test_what_cannot_be_is_refused(
    sampled: DomainShiftModel, moving: Tensor, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        upscaled(sampled, moving, **options)
