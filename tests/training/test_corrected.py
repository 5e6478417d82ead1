"""The large model in training: what the model does, a denoiser that learns, restorers that stay as they are."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from dossr_video.diffusion.schedule import SHIFT_STEPS
from dossr_video.frames import Motion
from dossr_video.models.compact.restorer import Restorer
from dossr_video.models.large.denoiser import Denoiser
from dossr_video.models.large.model import SEEN, LargeModel, LargeNetworks
from dossr_video.models.rrdbnet import RRDBNet
from dossr_video.quality.networks import Lpips
from dossr_video.temporal.flow import DisFlow, motion
from dossr_video.training.batches import Batch
from dossr_video.training.corrected import Corrected
from dossr_video.training.trainer import Stage, Trainer


@pytest.fixture
def networks() -> LargeNetworks:
    torch.manual_seed(0)
    x4plus, compact = RRDBNet(features=8, blocks=1, growth=4), Restorer(features=8, convolutions=2)
    denoiser = Denoiser(width=8, deep_width=8, seen=SEEN)
    nn.init.normal_(denoiser.tail.weight, std=0.1)
    return LargeNetworks(x4plus, compact, denoiser)


@pytest.fixture
def found(moving: Tensor) -> Motion:
    return motion(None, moving[:3], DisFlow())


@torch.no_grad()
def drawn(networks: LargeNetworks, moving: Tensor, found: Motion) -> list[Tensor]:
    """What training makes of three frames, (1, 3, H, W) each."""
    trained, hidden, pictures = Corrected(networks), None, []
    for frame, flow, confidence in zip(moving[:3, None], found.flow[:, None], found.confidence[:, None], strict=True):
        picture, hidden = trained(frame, flow, confidence, hidden)
        pictures.append(picture)
    return pictures


def tamed(networks: LargeNetworks) -> LargeNetworks:
    """The same with a denoiser that makes all bands weaker."""
    other = copy.deepcopy(networks)
    nn.init.constant_(other.denoiser.tail.bias, -1.0)
    return other


def test_training_sees_what_the_model_shows(networks: LargeNetworks, moving: Tensor, found: Motion) -> None:
    pictures = drawn(networks, moving, found)
    model = LargeModel(networks, name="large", digest="", device=torch.device("cpu"), dtype=torch.float32)
    restored = model.restore(moving[:3], found, None)
    latents = model.encode(restored.pictures)
    shown = model.decode(model.denoise(torch.randn_like(latents), SHIFT_STEPS - 1, model.condition(restored, latents)))
    assert torch.allclose(torch.cat(pictures), shown, atol=1e-4)


def test_the_denoiser_learns_and_the_restorers_stay(
    networks: LargeNetworks, moving: Tensor, found: Motion, tmp_path: Path
) -> None:
    parts = networks.x4plus, networks.compact
    before = [{name: value.clone() for name, value in part.state_dict().items()} for part in parts]
    truth = torch.stack(drawn(tamed(networks), moving, found))
    batch = Batch(moving[:3, None], truth, found.flow[:, None], found.confidence[:, None], wanted=truth[-1])
    critic = Lpips([nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU())], [torch.full((1, 8, 1, 1), 0.1)])
    trainer = Trainer(Corrected(networks), (critic,), seed=0)
    stage = Stage(until=8, rate=3e-3, memory_rate=0.0, pixels=1.0, steadiness=0.0)
    losses = [trainer.advance(batch, stage)["pixels"] for _ in range(8)]
    assert losses[-1] < 0.9 * losses[0]
    for part, state in zip(parts, before, strict=True):
        assert all(torch.equal(value, state[name]) for name, value in part.state_dict().items())
    trainer.average.save(tmp_path / "large.safetensors")
    saved = LargeNetworks.from_state(*before, load_file(tmp_path / "large.safetensors"))
    kept = trainer.average.networks.denoiser.head.bias.half().float()
    assert torch.equal(saved.denoiser.head.bias, kept)
