"""Training of the full model, as in the paper: a control branch learns to bring degraded latents back.

Text tower, VAE, condition encoder, restorer and the UNet's way down stay as they are; the control branch and the UNet's
way up are trained with the L1 distance between clean latents and their estimate from mixed latents.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dossr_video.diffusion.schedule import SHIFT_STEPS, make_point
from dossr_video.diffusion.solver import diffuse
from dossr_video.frames import Motion
from dossr_video.models.dossr.model import DoSSR
from dossr_video.training.batches import Batch, Batches
from dossr_video.training.saving import save_whole


def domain_shift_loss(model: DoSSR, batch: Batch, generator: torch.Generator) -> Tensor:
    """Mean L1 distance of x0 at one random schedule entry per frame; the frames of all clips count alike."""
    with torch.no_grad():
        truth = batch.truth.flatten(0, 1).to(model.device)
        motion = Motion(batch.flow.flatten(0, 1), batch.confidence.flatten(0, 1))
        restored = model.restore(batch.frames.flatten(0, 1).to(model.device), motion, None)
        restored = replace(restored, pictures=restored.pictures.clamp(0, 1))
        clean, degraded = model.encode(truth), model.encode(restored.pictures)
        hint = model.condition(restored, degraded).hint
        steps = torch.randint(SHIFT_STEPS, (len(clean),), generator=generator)
        noise = torch.randn(clean.shape, generator=generator).to(clean)
        points = [make_point(int(t)) for t in steps]
        x = torch.stack([diffuse(*each) for each in zip(clean, degraded, noise, points, strict=True)])
    eps = model.predict_noise(x, steps.to(x.device), hint, model.contexts[:1].expand(len(x), -1, -1))
    a, s = (x.new_tensor(values).view(-1, 1, 1, 1) for values in zip(*((p.a, p.s) for p in points), strict=True))
    return ((x - s * eps) / a - clean).abs().mean()


class DossrTrainer:
    """The networks in training and their optimiser; everything random follows from the seed and the step."""

    def __init__(self, model: DoSSR, batches: Batches, *, seed: int, rate: float) -> None:
        unet = model.networks.unet
        self.model, self.batches, self.seed, self.step = model, batches, seed, 0
        self.trained = nn.ModuleList(
            [model.networks.controlnet, unet.up_blocks, unet.conv_norm_out, unet.conv_out]
        ).requires_grad_(True)
        # Its contribution is zero by construction and must stay so.
        model.networks.controlnet.controlnet_cond_embedding.requires_grad_(False)
        self.parameters = [parameter for parameter in self.trained.parameters() if parameter.requires_grad]
        self.optimiser = torch.optim.AdamW(self.parameters, lr=rate, weight_decay=0.01)

    def advance(self, *, size: int, side: int, precision: torch.dtype = torch.float32) -> float:
        """One step on `size` clips of `side` input pixels a side; the loss before it."""
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.step)
        batch = self.batches.at(self.step, size=size, side=side)
        with torch.autocast(self.model.device.type, precision, enabled=precision != torch.float32):
            loss = domain_shift_loss(self.model, batch, generator)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimiser.step()
        self.step += 1
        return loss.item()

    def save(self, path: Path) -> None:
        """Write all that `load` needs; a crash leaves the file before."""
        state = {"step": self.step, "trained": self.trained.state_dict(), "optimiser": self.optimiser.state_dict()}
        save_whole(state, path)

    def load(self, state: dict[str, Any]) -> None:
        self.step = state["step"]
        self.trained.load_state_dict(state["trained"])
        self.optimiser.load_state_dict(state["optimiser"])
