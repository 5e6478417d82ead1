"""Training: it lowers its loss, stops and resumes without a trace, and writes weights that load."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

from dossr_video.diffusion.schedule import SHIFT_STEPS
from dossr_video.models.compact.denoiser import Denoiser
from dossr_video.models.compact.model import CompactNetworks
from dossr_video.models.compact.restorer import Restorer
from dossr_video.quality.networks import Lpips
from dossr_video.training.batches import Batch, Batches
from dossr_video.training.degradation import read_recipes
from dossr_video.training.footage import Footage, split
from dossr_video.training.losses import Discriminator, grid, hinge, seen_alike, texture, unrest
from dossr_video.training.trainer import Stage, Trainer, draw_entries, mix, unsteadiness
from dossr_video.training.validation import enlarge, held_out, sheet

RECIPES = Path(__file__).parents[2] / "configs" / "degradation.yaml"
STAGE = Stage(until=10, parts=("restorer", "denoiser"), rate=2e-3, batch=2, side=16, judged=2, adversarial=0.03)


@pytest.fixture(scope="module")
def alexnet() -> Lpips:
    """The right form with random weights: two stages, strides 2 and 1."""
    torch.manual_seed(1)
    stages = [nn.Conv2d(3, 8, 5, stride=2, padding=2), nn.Conv2d(8, 8, 3, padding=1)]
    rectified = [nn.Sequential(stage, nn.ReLU()).requires_grad_(False) for stage in stages]
    return Lpips(rectified, [torch.full((1, 8, 1, 1), 0.1)] * 2)


def trainer(footage: Footage, alexnet: Lpips) -> Trainer:
    torch.manual_seed(2)
    networks = CompactNetworks(Restorer(features=8, convolutions=2), Denoiser(width=16, deep_width=16))
    batches = Batches(footage, read_recipes(RECIPES), seed=0, frames=3, side=24, window=3, renew=0.5)
    return Trainer(networks, (alexnet,), batches, seed=0)


def test_bfloat16_trains_alike(footage: Footage, alexnet: Lpips) -> None:
    runs = [trainer(footage, alexnet) for _ in range(2)]
    runs[1].dtype = torch.bfloat16
    for _ in range(3):
        exact, rough = (run.advance(STAGE) for run in runs)
    for name in ("pixels", "features", "texture", "fine"):
        assert exact[name] == pytest.approx(rough[name], rel=0.05)
    assert exact != rough
    assert all(parameter.dtype == torch.float32 for parameter in runs[1].networks.parameters())


def test_discriminator_learns_the_difference(alexnet: Lpips) -> None:
    torch.manual_seed(0)
    judge = Discriminator([8, 8])
    optimiser = torch.optim.Adam(judge.parameters(), lr=2e-3)
    sharp = torch.rand(4, 3, 48, 48)
    soft = nn.functional.avg_pool2d(sharp, 3, stride=1, padding=1)
    true, false = alexnet.features(sharp), alexnet.features(soft)
    losses = []
    for _ in range(30):
        loss = hinge(judge(true), judge(false))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert abs(losses[0] - 2) < 0.3
    assert losses[-1] < 1
    assert all(t.mean() > f.mean() for t, f in zip(judge(true), judge(false), strict=True))


def test_loss_falls(footage: Footage, alexnet: Lpips) -> None:
    run = trainer(footage, alexnet)
    run.batches.renew = 0  # the same clips all along: their loss must fall
    losses = [run.advance(STAGE)["pixels"] for _ in range(10)]
    assert np.mean(losses[-3:]) < 0.9 * np.mean(losses[:3])


def test_resumed_is_uninterrupted(footage: Footage, alexnet: Lpips, tmp_path: Path) -> None:
    whole = trainer(footage, alexnet)
    for _ in range(6):
        last = whole.advance(STAGE)
    first = trainer(footage, alexnet)
    for _ in range(3):
        first.advance(STAGE)
    first.save(tmp_path / "state.pt")
    second = trainer(footage, alexnet)
    second.load(torch.load(tmp_path / "state.pt", weights_only=True))
    for _ in range(3):
        again = second.advance(STAGE)
    assert again == last
    for name, value in whole.average.state_dict().items():
        assert torch.equal(value, second.average.state_dict()[name]), name


@pytest.mark.parametrize("part", ["restorer", "denoiser"])
def test_a_stage_trains_its_parts_alone(footage: Footage, alexnet: Lpips, part: str) -> None:
    run = trainer(footage, alexnet)
    before = {name: value.clone() for name, value in run.networks.state_dict().items()}
    run.advance(Stage(until=1, parts=(part,), rate=1e-3, batch=1, side=16, judged=2))
    changed = {name.split(".")[0] for name, value in run.networks.state_dict().items() if not value.equal(before[name])}
    assert changed == {part}


def test_weights_of_a_run_load(footage: Footage, alexnet: Lpips, tmp_path: Path) -> None:
    run = trainer(footage, alexnet)
    run.advance(STAGE)
    file = tmp_path / "compact.safetensors"
    run.average.save(file)
    state = {name: value.float() for name, value in safetensors.torch.load_file(file).items()}
    loaded = CompactNetworks.from_state(state).eval()
    samples = held_out(footage, read_recipes(RECIPES), clips=2, frames=3, side=24)
    for kept, read in zip(enlarge(run.average, samples[0]), enlarge(loaded, samples[0]), strict=True):
        assert torch.allclose(kept, read, atol=5e-3)
    assert sheet(loaded, samples).shape == (2 * 96, 4 * 96, 3)


def test_mixed_latents_are_the_forward_process() -> None:
    generator = torch.Generator().manual_seed(0)
    degraded, clean = torch.full((400, 4, 8, 8), 2.0), torch.full((400, 4, 8, 8), -1.0)
    t, own = draw_entries(400, generator)
    mixed = mix(degraded, clean, t, generator)
    assert t.min() >= 0
    assert t.max() == SHIFT_STEPS - 1
    late = mixed[t == SHIFT_STEPS - 1]
    assert len(late) > 250
    assert abs(float(late.mean()) - 2.0 * 0.2763**0.5) < 0.02  # abar[499] = 0.2763, eta = 1
    assert abs(float(late.std()) - (1 - 0.2763) ** 0.5) < 0.02
    early = mixed[t < 50]
    assert float(early.mean()) < -0.8
    assert own[t == SHIFT_STEPS - 1].sum() < 3  # a later call may draw the last entry too
    assert 0.3 < float(own[t < SHIFT_STEPS - 1].float().mean()) < 0.7


@pytest.mark.parametrize("own", [True, False])
def test_later_calls_learn_from_what_the_first_made(
    footage: Footage, alexnet: Lpips, monkeypatch: pytest.MonkeyPatch, own: bool
) -> None:
    """At the last entry the clean latents have no share, so what starts from the first call has not seen the truth."""
    run = trainer(footage, alexnet)
    nn.init.normal_(run.networks.denoiser.tail.weight, std=0.1)
    monkeypatch.setattr(
        "dossr_video.training.trainer.draw_entries",
        lambda count, generator: (torch.full((count,), 100), torch.full((count,), own)),
    )
    batch = run.batches.at(0, size=2, side=16)
    batches = (batch, replace(batch, truth=1 - batch.truth))
    finals = [run._run(batch, STAGE, torch.Generator().manual_seed(0))[1] for batch in batches]
    assert torch.allclose(*finals, atol=1e-5) == own


def test_steady_errors_cost_nothing(footage: Footage) -> None:
    shape = (3, 1, 3, 32, 32)
    small, large = torch.zeros(3, 1, 3, 8, 8), torch.zeros(shape)
    still = Batch(small, large, flow=small[:, :, :2], confidence=small[:, :, :1] + 1, wanted=large[-1])
    steady = torch.rand(shape[1:]).expand(shape)
    assert float(unsteadiness(steady, still)) < 1e-6
    assert float(unsteadiness(torch.rand(shape), still)) > 0.1
    assert float(unsteadiness(torch.rand(shape)[-1:], still)) == 0  # a single frame has nothing to be steady with


def test_looks_are_learnt_from_what_is_wanted(
    footage: Footage, alexnet: Lpips, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A teacher's picture in the place of the truth moves the losses of how it looks, and no other."""
    batch = trainer(footage, alexnet).batches.at(0, size=2, side=16)
    losses = []
    for wanted in (batch.wanted, 1 - batch.wanted):
        run = trainer(footage, alexnet)
        monkeypatch.setattr(run.batches, "at", lambda *_, w=wanted, **__: replace(batch, wanted=w))
        losses.append(run.advance(replace(STAGE, adversarial=0.0, taught=1.0)))
    same = {name for name in losses[0] if losses[0][name] == losses[1][name]}
    assert same == {"pixels", "restored", "steadiness"}


def test_grid_is_what_repeats() -> None:
    generator = torch.Generator().manual_seed(0)
    noise = 0.1 * torch.randn(1, 3, 96, 96, generator=generator)
    tiles = {period: noise[..., :period, :period].tile(96 // period, 96 // period) for period in (4, 8, 6)}
    assert float(grid(torch.full((1, 3, 96, 96), 0.5))) < 1e-6
    assert min(float(grid(tiles[4])), float(grid(tiles[8]))) > 2.5 * float(grid(noise))
    assert float(grid(tiles[4])) > 2 * float(grid(tiles[6]))


def test_unrest_counts_where_the_truth_is_flat() -> None:
    generator = torch.Generator().manual_seed(0)
    pattern = 0.02 * torch.randn(1, 3, 48, 48, generator=generator)
    flat, rough = torch.full((1, 3, 48, 48), 0.5), torch.rand(1, 3, 48, 48, generator=generator)
    assert float(unrest(flat, flat)) == 0
    assert float(unrest(flat + 0.1, flat)) < 1e-6
    assert float(unrest(flat + pattern, flat)) > 50 * float(unrest(rough + pattern, rough))


def test_texture_sees_place_too(alexnet: Lpips) -> None:
    generator = torch.Generator().manual_seed(0)
    truth, other = (torch.rand(1, 3, 64, 64, generator=generator) for _ in range(2))
    noisy = truth + 0.1 * torch.rand(1, 3, 64, 64, generator=generator)
    distances = [
        float(texture(alexnet.features(pictures), alexnet.features(truth))) for pictures in (truth, noisy, other)
    ]
    assert distances[0] < 1e-5
    assert distances[0] < distances[1] < distances[2]


def test_cuts_are_alike() -> None:
    pictures = torch.rand(2, 3, 24, 32)
    cuts = [seen_alike(pictures, pictures.clone(), torch.Generator().manual_seed(seed)) for seed in range(6)]
    assert all(torch.equal(first, second) for first, second in cuts)
    assert len({first.shape for first, _ in cuts}) > 3


def test_lpips_has_gradients_even_where_nothing_is_seen(alexnet: Lpips) -> None:
    pictures = torch.zeros(1, 3, 32, 32, requires_grad=True)
    distance = alexnet.distance(alexnet.features(pictures), alexnet.features(torch.rand(1, 3, 32, 32)))
    distance.sum().backward()
    assert pictures.grad is not None
    assert pictures.grad.isfinite().all()
    assert pictures.grad.abs().max() > 0


def test_footage_moves_and_repeats(footage: Footage) -> None:
    def draw(seed: int) -> Tensor:
        return torch.from_numpy(footage.draw(np.random.default_rng(seed), frames=4, side=64)).float()

    assert draw(0).shape == (4, 64, 64, 3)
    assert torch.equal(draw(0), draw(0))
    assert sum(float((draw(seed)[1:] - draw(seed)[:-1]).abs().mean()) > 1 for seed in range(8)) >= 4


def test_held_out_files_are_not_trained_on() -> None:
    files = [Path(f"{i}.jpg") for i in range(40)]
    training, held = split(files, 16)
    assert held == (Path("15.jpg"), Path("31.jpg"))
    assert set(training) | set(held) == set(files)
    assert not set(training) & set(held)
