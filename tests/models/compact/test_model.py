"""The compact model: memory that is of use and does not depend on chunks, gating, sizes from shapes, its limits."""

from __future__ import annotations

from importlib import resources

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from dossr_video.errors import ModelError
from dossr_video.frames import Motion
from dossr_video.models.compact import restorer
from dossr_video.models.compact.dots import without_dots
from dossr_video.models.compact.model import CompactModel, load_compact
from dossr_video.models.compact.restorer import Restorer
from dossr_video.quality.cost import multiplications
from dossr_video.temporal.flow import DisFlow, motion

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def model() -> CompactModel:
    return load_compact(device=CPU, dtype=torch.float32)


@pytest.fixture(scope="module")
def found(moving: Tensor) -> Motion:
    return motion(None, moving, DisFlow())


def part(whole: Motion, start: int, stop: int) -> Motion:
    return Motion(whole.flow[start:stop], whole.confidence[start:stop])


def test_memory_is_of_use(model: CompactModel) -> None:
    """A soft, noisy pan comes nearer to its truth where the frames before are remembered."""
    rng = np.random.default_rng(3)
    image = np.full((320, 480, 3), 128, np.uint8)
    for _ in range(120):
        (x, y), colour = rng.integers(0, 480, 2).tolist(), rng.integers(0, 256, 3).tolist()
        if rng.random() < 0.5:
            cv2.circle(image, (x, y), int(rng.integers(3, 30)), colour, -1, cv2.LINE_AA)
        else:
            cv2.rectangle(image, (x, y), (x + int(rng.integers(4, 60)), y + int(rng.integers(4, 40))), colour, -1)
    truth, soft = (
        torch.from_numpy(np.stack([picture[8:264, 6 * t : 6 * t + 256] for t in range(7)])).permute(0, 3, 1, 2) / 255
        for picture in (image, cv2.GaussianBlur(image, (0, 0), 4.0))
    )
    grain = torch.from_numpy(rng.normal(0, 10 / 255, (7, 1, 64, 64)).astype(np.float32))
    frames = (F.avg_pool2d(soft, 4) + grain).clamp(0, 1)
    found = motion(None, frames, DisFlow())
    remembered = model.restore(frames, found, None).pictures[3:]
    alone = torch.cat([model.restore(frames[i : i + 1], part(found, i, i + 1), None).pictures for i in range(3, 7)])
    assert psnr(remembered, truth[3:]) - psnr(alone, truth[3:]) > 0.18


def psnr(pictures: Tensor, truth: Tensor) -> float:
    return float(-10 * (pictures.clamp(0, 1) - truth).square().mean().log10())


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


def test_dots_are_taken_out_of_the_pictures_and_not_of_what_is_remembered(model: CompactModel, moving: Tensor) -> None:
    frames = moving[:1, :, :24, :32].round()  # of single pixels, where dots are drawn
    still = Motion(torch.zeros(1, 2, 24, 32), torch.zeros(1, 1, 24, 32))
    restored = model.restore(frames, still, None)
    assert restored.hidden is not None
    as_drawn = restored.hidden[1]
    assert torch.equal(restored.pictures, without_dots(as_drawn, frames))
    assert (restored.pictures - as_drawn).abs().mean() > 0.1 / 255


def test_mean_colour_stays(model: CompactModel, moving: Tensor, found: Motion) -> None:
    pictures = model.restore(moving, found, None).pictures
    assert (pictures.mean((2, 3)) - moving.mean((2, 3))).abs().max() < 0.02 / 255


def test_half_precision_keeps_shades(model: CompactModel, moving: Tensor, found: Motion) -> None:
    half = load_compact(device=CPU, dtype=torch.bfloat16)
    exact, coarse = (m.restore(moving, found, None).pictures for m in (model, half))
    assert exact.dtype == coarse.dtype == torch.float32
    assert (coarse - exact).abs().mean() < 0.4 / 255
    assert (coarse - exact).mean((2, 3)).abs().max() < 0.02 / 255  # bfloat16 has 0.5 / 255 near white
    assert not torch.equal(exact, coarse)


def test_it_is_small(model: CompactModel) -> None:
    frames = torch.rand(2, 3, 32, 32)
    moved = Motion(torch.zeros(2, 2, 32, 32), torch.ones(2, 1, 32, 32))
    count = multiplications(
        lambda clip: model.restore(frames, moved, None).pictures, frames.permute(0, 2, 3, 1).numpy()
    )
    assert 0.5e6 < count < 1.3e6  # a pixel
    assert len((resources.files("dossr_video.models") / "weights" / "compact.safetensors").read_bytes()) < 12e6


@pytest.mark.parametrize(("features", "convolutions", "scale"), [(8, 2, 4), (12, 3, 2)])
def test_sizes_come_from_the_tensors(features: int, convolutions: int, scale: int) -> None:
    network = Restorer(features=features, convolutions=convolutions, scale=scale)
    again = Restorer.from_state(network.state_dict())
    assert again.scale == scale
    for name, value in network.state_dict().items():
        assert torch.equal(value, again.state_dict()[name])


def test_foreign_weights_are_refused() -> None:
    state = Restorer(features=8, convolutions=2).state_dict()
    del state["trunk.0.bias"]
    with pytest.raises(ModelError, match="do not fit"):
        Restorer.from_state(state)
    with pytest.raises(ModelError, match="do not fit"):
        Restorer.from_state({})


def test_a_frame_by_strips_is_the_frame(moving: Tensor, found: Motion, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load_compact(device=CPU, dtype=torch.float32)
    whole = model.restore(moving[:3], part(found, 0, 3), None).pictures
    monkeypatch.setattr(restorer, "STRIP", 7 * moving.shape[-1])
    strips = model.restore(moving[:3], part(found, 0, 3), None).pictures
    assert torch.allclose(whole, strips, atol=1e-5)
