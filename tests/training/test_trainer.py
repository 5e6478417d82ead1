"""Training: it lowers its loss, stops and resumes without a trace, and writes weights that load."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from dossr_video.frames import luma
from dossr_video.models.compact.restorer import Restorer
from dossr_video.quality.networks import Lpips
from dossr_video.training.batches import Batch, Batches
from dossr_video.training.degradation import read_recipes
from dossr_video.training.footage import Footage, split
from dossr_video.training.losses import Discriminator, PixelDiscriminator, grid, hinge, seen_alike, texture, unrest
from dossr_video.training.trainer import LOSSES, Stage, Steps, Trainer, uncoloured, unsteadiness
from dossr_video.training.validation import enlarge, held_out, sheet
from dossr_video.training.warmstart import measure_gain, start_memory

RECIPES = Path(__file__).parents[2] / "configs" / "degradation.yaml"
LOOKS = {"features": 0.3, "texture": 0.3, "fine": 0.5, "unrest": 15.0, "grid": 15.0, "adversarial": 0.03, "dots": 0.03}
STAGE = Stage(until=10, rate=2e-3, memory_rate=2e-3, batch=2, side=16, **LOOKS)


@pytest.fixture(scope="module")
def alexnet() -> Lpips:
    """The right form with random weights: two stages, strides 2 and 1."""
    torch.manual_seed(1)
    stages = [nn.Conv2d(3, 8, 5, stride=2, padding=2), nn.Conv2d(8, 8, 3, padding=1)]
    rectified = [nn.Sequential(stage, nn.ReLU()).requires_grad_(False) for stage in stages]
    return Lpips(rectified, [torch.full((1, 8, 1, 1), 0.1)] * 2)


@dataclass
class Run:
    """A small network and what it is trained on."""

    trainer: Trainer
    batches: Batches

    def advance(self, stage: Stage = STAGE) -> dict[str, float]:
        return self.trainer.advance(Steps(self.batches, [stage])[self.trainer.step], stage)


def start(footage: Footage, alexnet: Lpips, *, dtype: torch.dtype = torch.float32) -> Run:
    torch.manual_seed(2)
    network = Restorer(features=8, convolutions=2)
    start_memory(network)
    batches = Batches(footage, read_recipes(RECIPES), seed=0, frames=3, side=24, window=3, renew=0.5)
    return Run(Trainer(network, (alexnet,), seed=0, dtype=dtype), batches)


def test_bfloat16_trains_alike(footage: Footage, alexnet: Lpips) -> None:
    runs = [start(footage, alexnet, dtype=dtype) for dtype in (torch.float32, torch.bfloat16)]
    for _ in range(3):
        exact, rough = (run.advance() for run in runs)
    for name in ("pixels", "features", "texture", "fine"):
        assert exact[name] == pytest.approx(rough[name], rel=0.05)
    assert exact != rough
    assert set(exact) == set(LOSSES)
    assert all(parameter.dtype == torch.float32 for parameter in runs[1].trainer.network.parameters())


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


def test_discriminator_of_pixels_sees_dots_of_the_size_of_an_input_pixel() -> None:
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    judge = PixelDiscriminator()
    optimiser = torch.optim.Adam(judge.parameters(), lr=2e-3)
    dot = nn.functional.pad(torch.ones(2, 2), (1, 1, 1, 1)) - 0.25

    def draw() -> tuple[Tensor, Tensor]:
        frames, signs = torch.rand((2, 4, 1, 12, 12), generator=generator)
        smooth = nn.functional.interpolate(0.2 * frames, scale_factor=4.0, mode="bicubic").expand(-1, 3, -1, -1)
        return smooth, smooth + 0.05 * torch.kron((signs - 0.5).sign(), dot)

    for _ in range(60):
        smooth, dotted = draw()
        loss = hinge(judge(smooth), judge(dotted))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    smooth, dotted = draw()
    assert hinge(judge(smooth), judge(dotted)) < 0.5


def test_loss_falls(footage: Footage, alexnet: Lpips) -> None:
    run = start(footage, alexnet)
    run.batches.renew = 0  # the same clips all along: their loss must fall
    losses = [run.advance()["pixels"] for _ in range(10)]
    assert np.mean(losses[-3:]) < 0.9 * np.mean(losses[:3])


def test_resumed_is_uninterrupted(footage: Footage, alexnet: Lpips, tmp_path: Path) -> None:
    whole = start(footage, alexnet)
    for _ in range(6):
        last = whole.advance()
    first = start(footage, alexnet)
    for _ in range(3):
        first.advance()
    first.trainer.save(tmp_path / "state.pt")
    second = start(footage, alexnet)
    second.trainer.load(torch.load(tmp_path / "state.pt", weights_only=True))
    for _ in range(3):
        again = second.advance()
    assert again == last
    for name, value in whole.trainer.average.state_dict().items():
        assert torch.equal(value, second.trainer.average.state_dict()[name]), name


def test_a_worker_process_draws_the_same_batches(footage: Footage) -> None:
    def batches() -> Steps:
        return Steps(Batches(footage, read_recipes(RECIPES), seed=0, frames=2, side=24, window=2), [STAGE])

    drawn = DataLoader(batches(), batch_size=None, sampler=range(2, 5), num_workers=1)
    for step, batch in enumerate(drawn, 2):
        own = batches()[step]
        assert all(torch.equal(part, vars(own)[name]) for name, part in vars(batch).items())


@pytest.mark.parametrize(("rates", "trained"), [((1e-3, 0.0), {"head"}), ((0.0, 1e-3), {"memory", "gain"})])
def test_a_stage_trains_at_its_rates(
    footage: Footage, alexnet: Lpips, rates: tuple[float, float], trained: set[str]
) -> None:
    run = start(footage, alexnet)
    before = {name: value.clone() for name, value in run.trainer.network.state_dict().items()}
    for _ in range(3):  # one of them at least has a frame to remember
        run.advance(Stage(until=9, rate=rates[0], memory_rate=rates[1], batch=1, side=16))
    after = run.trainer.network.state_dict()
    changed = {name.split(".")[0] for name, value in after.items() if not value.equal(before[name])}
    assert changed & {"memory", "gain", "head"} == trained


def test_weights_of_a_run_load(footage: Footage, alexnet: Lpips, tmp_path: Path) -> None:
    run = start(footage, alexnet)
    run.advance()
    file = tmp_path / "compact.safetensors"
    run.trainer.average.save(file)
    loaded = Restorer.from_state(safetensors.torch.load_file(file)).eval()
    samples = held_out(footage, read_recipes(RECIPES), clips=2, frames=3, side=24)
    kept, read = (enlarge(network, samples[0]) for network in (run.trainer.average, loaded))
    assert torch.allclose(kept, read, atol=5e-3)
    assert not torch.equal(read, enlarge(loaded, samples[0], memory=False))
    assert sheet(loaded, samples).shape == (2 * 96, 3 * 96, 3)


def test_what_is_remembered_has_a_deviation_of_one(moving: Tensor) -> None:
    network = Restorer(features=8, convolutions=2)
    measure_gain(network, [moving[:1], moving[4:5]])
    none = torch.zeros(1)
    features = torch.cat([network(frame[None], none, none, None)[1][0] for frame in (moving[0], moving[4])])
    rms = features.detach().square().mean((0, 2, 3)).sqrt()
    assert rms.median() == pytest.approx(1, abs=0.2)


def test_steady_errors_cost_nothing(footage: Footage) -> None:
    shape = (3, 1, 3, 32, 32)
    small, large = torch.zeros(3, 1, 3, 8, 8), torch.zeros(shape)
    still = Batch(small, large, flow=small[:, :, :2], confidence=small[:, :, :1] + 1, wanted=large[-1])
    steady = torch.rand(shape[1:]).expand(shape)
    assert float(unsteadiness(steady, still)) < 1e-6
    assert float(unsteadiness(torch.rand(shape), still)) > 0.1
    assert float(unsteadiness(torch.rand(shape)[-1:], still)) == 0  # a single frame has nothing to be steady with


def test_looks_are_learnt_from_what_is_wanted(footage: Footage, alexnet: Lpips) -> None:
    """A teacher's picture in the place of the truth moves the losses of how it looks, and no other."""
    batch = start(footage, alexnet).batches.at(0, size=2, side=16)
    stage = replace(STAGE, adversarial=0.0, dots=0.0, taught=1.0)
    losses = [
        start(footage, alexnet).trainer.advance(replace(batch, wanted=wanted), stage)
        for wanted in (batch.wanted, 1 - batch.wanted)
    ]
    same = {name for name in losses[0] if losses[0][name] == losses[1][name]}
    assert same == {"pixels", "steadiness"}


def test_looks_are_those_of_the_luma(footage: Footage, alexnet: Lpips) -> None:
    """Another colour of the same luma moves the losses of pixels alone."""
    batch = start(footage, alexnet).batches.at(0, size=2, side=16)
    tint = torch.tensor([0.114, 0.0, -0.299]).view(3, 1, 1)
    other = replace(batch, truth=batch.truth + tint, wanted=batch.wanted + tint)
    plain, tinted = (start(footage, alexnet).trainer.advance(each, STAGE) for each in (batch, other))
    for name in ("features", "texture", "fine", "adversarial"):
        assert plain[name] == pytest.approx(tinted[name], rel=1e-4), name
    assert tinted["pixels"] > 1.1 * plain["pixels"]


def test_looks_change_no_colour(alexnet: Lpips) -> None:
    """Their gradients are grey: what a critic asks for moves all channels alike."""
    pictures = torch.rand(1, 3, 32, 32, requires_grad=True)
    shown = uncoloured(pictures)
    assert torch.allclose(shown, luma(pictures).expand(-1, 3, -1, -1))
    alexnet.features(shown)[0].square().sum().backward()
    assert pictures.grad is not None
    red, green, blue = pictures.grad[0]
    assert green.abs().max() > 0
    assert torch.allclose(red, green)
    assert torch.allclose(blue, green)


def test_learnt_from_are_the_last_frames(footage: Footage, alexnet: Lpips) -> None:
    """Those before are remembered, but what is wrong with them costs nothing."""
    batch = start(footage, alexnet).batches.at(0, size=2, side=16)
    truth = batch.truth.clone()
    truth[0] = 1 - truth[0]
    for through, same in ((2, True), (3, False)):
        stage = replace(STAGE, adversarial=0.0, dots=0.0, through=through, shortest=3)
        plain, other = (
            start(footage, alexnet).trainer.advance(replace(batch, truth=part), stage) for part in (batch.truth, truth)
        )
        assert (plain == other) == same


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
