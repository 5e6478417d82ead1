"""Full DoSSR as a domain-shift model: Stable Diffusion's UNet and VAE, a control branch, an RRDBNet restorer."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor

from dossr_video.diffusion.schedule import make_point
from dossr_video.errors import ModelError, SettingsError
from dossr_video.frames import Motion, concatenated
from dossr_video.models.base import (
    DEFAULT_PROMPT,
    EMPTY_PROMPT,
    Condition,
    DomainShiftModel,
    HiddenState,
    Offload,
    Restored,
    SamplerDefaults,
)
from dossr_video.models.checkpoint import digest
from dossr_video.models.dossr.lean import called_at
from dossr_video.models.dossr.networks import Networks, hollow, load_networks, open_source
from dossr_video.models.dossr.parts import PartName, Parts
from dossr_video.models.footprint import Footprint, Live, Part, free_on
from dossr_video.models.rrdbnet import RRDBNet
from dossr_video.temporal.warping import warp

LATENT_SCALE = 0.18215
ACCELERATORS = ("cuda", "xpu")  # with memory of their own
SIDE = 128  # input pixels of the frame whose memory is added up


class DoSSR(DomainShiftModel):
    """See DomainShiftModel; on a CPU frames go through `networks` one at a time, so no result depends on the batch.

    On an accelerator all that are given go through at once, for one frame does not fill it; `batch` says how many do.
    `contexts` holds one text context (1, 77, D), or two with guidance, positive and negative:
    eps = negative + cfg_scale (positive - negative).

    `offload`: whether the networks wait in main memory while others work: where not all fit, from the beginning, or
    never. It changes no result.
    """

    scale = RRDBNet.scale
    recurrent = False
    blended = True
    defaults = SamplerDefaults(steps=5, order=3, final="landing", color_fix="wavelet")

    def __init__(
        self,
        networks: Networks,
        contexts: Tensor,
        *,
        name: str,
        digest: str,
        cfg_scale: float = 1.0,
        device: torch.device | None = None,
        offload: Offload = "auto",
    ) -> None:
        """`device` is where they work; None: where the networks are."""
        weight = networks.unet.conv_in.weight
        self.name = name
        self.digest = digest
        self.networks = networks
        self.device: torch.device = device or weight.device
        self.dtype: torch.dtype = weight.dtype
        self.contexts = contexts.to(self.device, self.dtype)
        self.cfg_scale = cfg_scale
        self.batch: int | None = 1 if self.device.type == "cpu" else None  # frames at once; None: all
        self._repeated: dict[int, Tensor] = {}  # contexts by frames: the same tensors again, so that layers know them
        self.latent_stride: int = 2 ** (len(networks.vae.config.block_out_channels) - 1)
        unet_stride = 2 ** (len(networks.unet.config.block_out_channels) - 1)
        self.multiple: int = self.latent_stride * unet_stride // self.scale
        self._parts, self._may_offload = Parts(networks, self.device), offload != "off"
        if offload == "on" or self.device != weight.device:
            self._parts.move()

    @cached_property
    def footprint(self) -> Footprint:
        return footprint_of(self)

    def free_bytes(self) -> int | None:
        free = free_on(self.device)
        return None if free is None else free + self._parts.on_device

    def offload(self) -> bool:
        if self._parts.moved or not self._may_offload or self.device.type not in ACCELERATORS:
            return False
        self._parts.move()
        return True

    def restore(self, frames: Tensor, motion: Motion, hidden: HiddenState) -> Restored:
        return Restored(self._each(self.networks.restorer, frames, "restorer"))

    def encode(self, pictures: Tensor) -> Tensor:
        return self.posterior(pictures)[0]

    def posterior(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the degraded latents, each (T, C, h, w)."""
        mean, log_variance = self._each(self._encode, 2 * pictures - 1, "codec").chunk(2, dim=1)
        return LATENT_SCALE * mean, LATENT_SCALE * torch.exp(0.5 * log_variance.clamp(-30, 20))

    def _encode(self, pictures: Tensor) -> Tensor:
        moments: Tensor = self.networks.vae.quant_conv(self.networks.vae.encoder(pictures))
        return moments

    def condition(self, restored: Restored, degraded_latents: Tensor) -> Condition:
        """`degraded_latents` is the mean that `encode` gives: where one encoder serves both, that is the hint."""
        encoder = self.networks.cond_encoder
        if encoder is None:
            return Condition(hint=degraded_latents)
        moments = self._each(encoder, 2 * restored.pictures - 1, "codec")
        return Condition(hint=LATENT_SCALE * moments.chunk(2, dim=1)[0])

    def denoise(self, x: Tensor, t: int, condition: Condition) -> Tensor:
        point = make_point(t)
        parts = zip(self._cut(x), self._cut(condition.hint), strict=True)
        with self._parts.at_work("denoiser"):
            eps = concatenated([self._guided(part, t, hint) for part, hint in parts])
        return (x - point.s * eps) / point.a

    def _guided(self, x: Tensor, t: int, hint: Tensor) -> Tensor:
        """eps (T, C, h, w); with guidance, both contexts in one call."""
        count, frames = len(self.contexts), len(x)
        if frames not in self._repeated:
            self._repeated[frames] = self.contexts.repeat_interleave(frames, 0)
        contexts = self._repeated[frames]
        eps = self.predict_noise(x.repeat(count, 1, 1, 1), t, hint.repeat(count, 1, 1, 1), contexts)
        return eps if count == 1 else eps[frames:] + self.cfg_scale * (eps[:frames] - eps[frames:])

    def predict_noise(
        self, x: Tensor, t: int | Tensor, hint: Tensor, contexts: Tensor, *, control: float = 1.0
    ) -> Tensor:
        """What the network takes for the noise in x (B, C, h, w), with contexts (B, 77, D); t may be (B,).

        `control` scales the control branch's outputs; at 0 the branch is not run.
        """
        x, contexts = x.to(self.dtype), contexts.to(self.dtype)
        residuals: dict[str, object] = {}
        with called_at(t):
            if control:
                down, middle = self.control(x, t, hint, contexts, scale=control)
                residuals = {"down_block_additional_residuals": down, "mid_block_additional_residual": middle}
            eps: Tensor = self.networks.unet(x, t, contexts, **residuals, return_dict=False)[0]
        return eps.float()

    def control(
        self, x: Tensor, t: int | Tensor, hint: Tensor, contexts: Tensor, *, scale: float = 1.0
    ) -> tuple[list[Tensor], Tensor]:
        """The control branch's outputs: one per input block of the UNet, and the middle one's."""
        sample = torch.cat((x.to(self.dtype), hint.to(self.dtype)), dim=1)
        no_picture = sample.new_zeros(len(sample), 1, *sample.shape[2:])
        contexts = contexts.to(self.dtype)
        outputs: tuple[list[Tensor], Tensor] = self.networks.controlnet(
            sample, t, contexts, no_picture, scale, return_dict=False
        )
        return outputs

    def decode(self, latents: Tensor) -> Tensor:
        return self._each(self._decode, latents / LATENT_SCALE, "codec") / 2 + 0.5

    def _decode(self, latents: Tensor) -> Tensor:
        pictures: Tensor = self.networks.vae.decoder(self.networks.vae.post_quant_conv(latents))
        return pictures

    def warp(self, latents: Tensor, flow: Tensor) -> Tensor:
        return warp(latents, flow)

    def _each(self, network: Callable[[Tensor], Tensor], images: Tensor, part: PartName) -> Tensor:
        with self._parts.at_work(part):
            return concatenated([network(image.to(self.device, self.dtype)).float() for image in self._cut(images)])

    def _cut(self, images: Tensor) -> tuple[Tensor, ...]:
        return torch.split(images, self.batch or len(images))


def load_dossr(
    path: Path,
    *,
    device: torch.device,
    dtype: torch.dtype,
    name: str | None = None,
    prompt: str | None = None,
    negative_prompt: str | None = None,
    cfg_scale: float = 1.0,
    head_channels: int | None = None,
    text_head_channels: int | None = None,
    offload: Offload = "auto",
) -> DoSSR:
    """A model from the released checkpoint or from a folder made by `convert`.

    The released one-step weights are loaded alike, and sampled in one call. `head_channels` and `text_head_channels`
    are channels per attention head, for checkpoints of other sizes than the released ones; without them a config.json
    beside the checkpoint is asked, and folders hold them. `offload` is that of DoSSR; `auto` begins with it where the
    weights alone do not fit.
    Raises ModelError, also where that is `off` and they do not fit; SettingsError for a prompt that needs a vocabulary
    that is not installed.
    """
    if offload == "on" and device.type not in ACCELERATORS:
        raise SettingsError(
            f"on {device} all parts of a model are in main memory", hint="leave --offload away, or use --device cuda"
        )
    source = open_source(path, head_channels=head_channels, text_head_channels=text_head_channels)
    prompts = [DEFAULT_PROMPT if prompt is None else prompt]
    if cfg_scale != 1.0:
        prompts.append(EMPTY_PROMPT if negative_prompt is None else negative_prompt)
    contexts = source.contexts(prompts)
    try:
        networks = load_networks(source, device=torch.device("cpu") if offload == "on" else device, dtype=dtype)
    except torch.OutOfMemoryError as error:
        if offload == "off":
            raise ModelError(
                f"{path} does not fit into the memory of {device}", hint="leave --offload off away, or use --device cpu"
            ) from error
        networks = None
    if networks is None:  # here the error and what it held are gone
        networks = load_networks(source, device=torch.device("cpu"), dtype=dtype)
    return DoSSR(
        networks,
        contexts,
        name=name or str(path),
        digest=digest(path),
        cfg_scale=cfg_scale,
        device=device,
        offload=offload,
    )


def footprint_of(model: DoSSR) -> Footprint:
    """What `model` takes, found on networks of its sizes without data: shapes alone go through their layers.

    Attention counts as in fused kernels, which keep no table of weights.
    """
    meta = torch.device("meta")
    contexts = model.contexts.to(meta)
    whole = DoSSR(hollow(model.networks, model.dtype), contexts, name="", digest="", cfg_scale=model.cfg_scale)
    frame = torch.empty(1, 3, SIDE, SIDE, device=meta)
    pictures = torch.empty(1, 3, SIDE * whole.scale, SIDE * whole.scale, device=meta)
    cells = SIDE * whole.scale // whole.latent_stride
    latents = torch.empty(1, 4, cells, cells, device=meta)
    still = Motion(frame[:, :2], frame[:, :1])
    stages: tuple[tuple[PartName, Callable[[], object]], ...] = (
        ("restorer", lambda: whole.restore(frame, still, None)),
        ("codec", lambda: whole.posterior(pictures)),
        ("denoiser", lambda: whole.denoise(latents, 300, Condition(latents))),
        ("codec", lambda: whole.decode(latents)),
    )
    found: dict[PartName, float] = {}
    with torch.inference_mode():
        with Live() as kept:
            for _, stage in stages:
                stage()
        for name, stage in stages:
            with Live() as live:
                stage()
            found[name] = max(found.get(name, 0), live.peak / SIDE**2)
    parts = whole._parts
    restorer, codec, denoiser = (Part(parts.weights(name), found[name]) for name in ("restorer", "codec", "denoiser"))
    return Footprint(restorer, codec, denoiser, kept=kept.now, picture_bytes=pictures.nbytes / SIDE**2)
