"""The diffusers scheduler against the sampler."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from dossr_video.diffusion.sampler import sample
from dossr_video.diffusion.schedule import make_point, make_schedule
from dossr_video.models.dossr.scheduler import DossrScheduler

DEGRADED = torch.linspace(-2, 2, 32).reshape(2, 4, 2, 2)


def noise(call: int) -> Tensor:
    return torch.randn(DEGRADED.shape, generator=torch.Generator().manual_seed(call))


def predicted(x: Tensor, t: int) -> Tensor:
    return torch.sin(3 * x + t / 100)


def run(scheduler: DossrScheduler, calls: int) -> Tensor:
    scheduler.set_timesteps(calls)
    x = scheduler.start(DEGRADED, noise(0))
    for call, t in enumerate(scheduler.timesteps, start=1):
        output = predicted(scheduler.scale_model_input(x, t), int(t))
        x = scheduler.step(output, t, x, DEGRADED, noise=noise(call)).prev_sample
    return x


@pytest.mark.parametrize("prediction_type", ["epsilon", "sample"])
@pytest.mark.parametrize("final", ["landing", "x0"])
@pytest.mark.parametrize(("order", "corrected"), [(1, False), (2, False), (3, False), (3, True)])
@pytest.mark.parametrize("calls", [1, 2, 5, 20])
def test_it_gives_the_samplers_latents_bit_for_bit(order, corrected, calls, final, prediction_type):
    def denoise(x: Tensor, t: int) -> Tensor:
        output, point = predicted(x, t), make_point(t)
        return output if prediction_type == "sample" else (x - point.s * output) / point.a

    expected = sample(
        denoise,
        make_schedule(calls),
        DEGRADED,
        noise=noise,
        order=order,
        final=final,
        corrected_third_order=corrected,
    )
    scheduler = DossrScheduler(
        order=order, final=final, corrected_third_order=corrected, prediction_type=prediction_type
    )
    assert torch.equal(run(scheduler, calls), expected)
    assert torch.equal(run(scheduler, calls), expected)  # a second run begins anew


def test_saved_and_loaded_it_samples_alike(tmp_path: Path):
    scheduler = DossrScheduler(order=2, final="x0", prediction_type="sample")
    scheduler.save_pretrained(tmp_path)
    loaded = DossrScheduler.from_pretrained(tmp_path)
    assert loaded.config.order == 2
    assert torch.equal(run(loaded, 5), run(scheduler, 5))


def test_noise_may_come_from_a_generator():
    scheduler = DossrScheduler(order=1)

    def stepped(seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        previous, x0 = scheduler.step(DEGRADED, 499, DEGRADED, DEGRADED, generator=generator, return_dict=False)
        assert x0.shape == previous.shape
        return previous

    assert torch.equal(stepped(1), stepped(1))
    assert not torch.equal(stepped(1), stepped(2))


def test_adding_noise_is_the_forward_process():
    x0, entries = 0.5 * DEGRADED, torch.tensor([0, 499])
    noised = DossrScheduler().add_noise(x0, noise(0), entries, DEGRADED)
    torch.testing.assert_close(noised[0], x0[0], rtol=0, atol=0.2)  # nearly clean
    end = make_point(499)
    torch.testing.assert_close(noised[1], end.a * DEGRADED[1] + end.s * noise(0)[1], rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"order": 4}, "order 4"),
        ({"final": "mean"}, "final 'mean'"),
        ({"prediction_type": "v"}, "prediction_type 'v'"),
        ({"num_train_timesteps": 500}, "num_train_timesteps 500"),
    ],
)
def test_a_configuration_that_is_none_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        DossrScheduler(**options)


def test_a_timestep_that_is_not_on_the_way_is_refused():
    with pytest.raises(ValueError, match=r"timestep 7 must be one of \[499, 399, 299, 200, 100\]"):
        DossrScheduler().step(DEGRADED, 7, DEGRADED, DEGRADED)
