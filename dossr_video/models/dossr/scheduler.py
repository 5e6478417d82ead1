"""The domain-shift sampler as a diffusers scheduler, for pipelines written with diffusers.

It calls the same `diffusion.solver.step` as `diffusion.sampler.sample`, so both give the same latents, bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from diffusers.configuration_utils import ConfigMixin, register_to_config
from diffusers.schedulers.scheduling_utils import SchedulerMixin
from diffusers.utils import BaseOutput
from torch import Tensor

from dossr_video.diffusion.schedule import SHIFT_STEPS, TRAINING_STEPS, Point, make_point, make_schedule
from dossr_video.diffusion.solver import Estimate, Order, diffuse, step
from dossr_video.errors import SamplerError

MOST_CALLS = SHIFT_STEPS - 1  # there are no more entries


@dataclass
class DossrSchedulerOutput(BaseOutput):
    """What `DossrScheduler.step` returns.

    Attributes:
        prev_sample: Latents (T, C, h, w) at the next timestep.
        pred_original_sample: The clean latents (T, C, h, w) that the model output stands for.
    """

    prev_sample: Tensor
    pred_original_sample: Tensor


class DossrScheduler(SchedulerMixin, ConfigMixin):
    """Domain-shift SDE solver of arXiv 2409.17778, orders 1 to 3.

    Args:
        order: Order of the solver, 1, 2 or 3.
        final: What the last step returns: "landing", the solver's point at timestep 0, as published, which still holds
            noise of standard deviation 0.029; or "x0", the last estimate of the clean latents.
        corrected_third_order: Use a third order that is exact for x0 quadratic in lambda; False: the published form.
        prediction_type: "epsilon" when the model predicts the noise, "sample" when it predicts the clean latents.

    Example:
        >>> scheduler = DossrScheduler(order=2)
        >>> scheduler.set_timesteps(5)
        >>> scheduler.timesteps.tolist()
        [499, 399, 299, 200, 100]
    """

    order = 1  # network calls a step, as diffusers counts; not the order of the solver

    @register_to_config  # type: ignore[untyped-decorator]
    def __init__(
        self,
        order: Order = 3,
        final: Literal["landing", "x0"] = "landing",
        corrected_third_order: bool = False,
        prediction_type: Literal["epsilon", "sample"] = "epsilon",
        num_train_timesteps: int = TRAINING_STEPS,
    ) -> None:
        if num_train_timesteps != TRAINING_STEPS:
            raise SamplerError(
                f"num_train_timesteps {num_train_timesteps} must be {TRAINING_STEPS}", hint="leave it away"
            )
        if order not in (1, 2, 3):
            raise SamplerError(f"order {order} must be 1, 2 or 3", hint="3 is the published one")
        if prediction_type not in ("epsilon", "sample"):
            raise SamplerError(
                f"prediction_type {prediction_type!r} must be 'epsilon' or 'sample'", hint="DoSSR predicts epsilon"
            )
        if final not in ("landing", "x0"):
            raise SamplerError(f"final {final!r} must be 'landing' or 'x0'", hint="'landing' is the published one")
        self.set_timesteps(5)

    def set_timesteps(self, num_inference_steps: int, device: str | torch.device | None = None) -> None:
        """Choose the number of network calls, and begin a new run.

        Args:
            num_inference_steps: Network calls, 1 to 499.
            device: Where `timesteps` lies; None: the CPU.

        Raises:
            SamplerError: The number is out of range. It is also a ValueError.
        """
        if not 1 <= num_inference_steps <= MOST_CALLS:
            raise SamplerError(f"{num_inference_steps} network calls must be 1 to {MOST_CALLS}", hint="5 are usual")
        self.num_inference_steps = num_inference_steps
        self._points = tuple(reversed(make_schedule(num_inference_steps)))
        self.timesteps = torch.tensor([point.t for point in self._points[:-1]], device=device)
        self._estimates: list[Estimate] = []

    def scale_model_input(self, sample: Tensor, timestep: int | Tensor | None = None) -> Tensor:
        """The latents as the model sees them: unchanged."""
        return sample

    def start(self, degraded_latents: Tensor, noise: Tensor) -> Tensor:
        """Latents at the first timestep.

        Args:
            degraded_latents: Latents of the degraded picture (T, C, h, w).
            noise: Standard normal noise of the same shape.
        """
        return self._points[0].a * degraded_latents + self._points[0].s * noise

    def step(
        self,
        model_output: Tensor,
        timestep: int | Tensor,
        sample: Tensor,
        degraded_latents: Tensor,
        noise: Tensor | None = None,
        generator: torch.Generator | None = None,
        return_dict: bool = True,
    ) -> DossrSchedulerOutput | tuple[Tensor, Tensor]:
        """Latents at the next timestep. Timesteps must be taken in the order of `timesteps`, each once.

        Args:
            model_output: What the model gave for `sample`: see `prediction_type`. (T, C, h, w).
            timestep: The element of `timesteps` that `sample` is at.
            sample: Latents at `timestep`, (T, C, h, w).
            degraded_latents: Latents of the degraded picture, (T, C, h, w).
            noise: Standard normal noise of the same shape; None: drawn from `generator`.
            generator: Of the noise; None: torch's default one.
            return_dict: Return a DossrSchedulerOutput; False: a tuple of its two fields.

        Raises:
            SamplerError: `timestep` is not one of `timesteps`. It is also a ValueError.
        """
        index = self._index(int(timestep))
        if index == 0:
            self._estimates = []
        point, target = self._points[index], self._points[index + 1]
        x0 = self._clean(model_output, sample, point)
        last = index == len(self._points) - 2
        if last and self.config.final == "x0":
            previous = x0
        else:
            if noise is None:
                noise = torch.randn(sample.shape, generator=generator, dtype=sample.dtype).to(sample.device)
            self._estimates = [Estimate(point, x0), *self._estimates][: self.config.order]
            corrected = self.config.corrected_third_order
            previous = step(sample, self._estimates, degraded_latents, noise, target, corrected_third_order=corrected)
        return DossrSchedulerOutput(previous, x0) if return_dict else (previous, x0)

    def add_noise(self, original_samples: Tensor, noise: Tensor, timesteps: Tensor, degraded_latents: Tensor) -> Tensor:
        """The forward process q(x_t | x0, xhat0), for training.

        Args:
            original_samples: Clean latents (B, C, h, w).
            noise: Standard normal noise of the same shape.
            timesteps: Entries of the schedule (B,), each in [0, 500).
            degraded_latents: Latents of the degraded pictures, of the same shape.
        """
        rows = zip(original_samples, degraded_latents, noise, timesteps.tolist(), strict=True)
        return torch.stack([diffuse(x0, xhat0, n, make_point(t)) for x0, xhat0, n, t in rows])

    def _index(self, timestep: int) -> int:
        entries = [point.t for point in self._points[:-1]]
        if timestep not in entries:
            raise SamplerError(f"timestep {timestep} must be one of {entries}", hint="call set_timesteps first")
        return entries.index(timestep)

    def _clean(self, model_output: Tensor, sample: Tensor, point: Point) -> Tensor:
        if self.config.prediction_type == "sample":
            return model_output
        return (sample - point.s * model_output) / point.a
