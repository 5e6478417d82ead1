"""`compact`: the model inside the package, trained by this project; small enough for a CPU.

A recurrent restorer, the wavelet codec and a small denoiser, read from one float16 safetensors file whose shapes give
every size. Its origin, data and figures: docs/COMPACT_MODEL.md.
"""

from __future__ import annotations

import hashlib
from importlib import resources
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor, nn

from dossr_video.errors import ModelError
from dossr_video.frames import Motion, concatenated
from dossr_video.models.base import Condition, DomainShiftModel, HiddenState, Restored, SamplerDefaults
from dossr_video.models.compact.denoiser import Denoiser
from dossr_video.models.compact.restorer import Restorer
from dossr_video.models.compact.wavelet import STRIDE, WaveletCodec
from dossr_video.temporal.flow import warp


class CompactNetworks(nn.Module):
    """The three parts that a weights file holds."""

    def __init__(self, restorer: Restorer, denoiser: Denoiser) -> None:
        super().__init__()
        self.restorer, self.denoiser, self.codec = restorer, denoiser, WaveletCodec()

    @classmethod
    def from_state(cls, state: dict[str, Tensor]) -> CompactNetworks:
        """Networks of the sizes that the tensors have. Raises ModelError when they are not those of this model."""
        try:
            features = state["restorer.head.weight"].shape[0]
            convolutions = sum(key.startswith("restorer.trunk.") and key.endswith(".bias") for key in state)
            scale = round((state["restorer.tail.weight"].shape[0] / 3) ** 0.5)
            deep_width, width = state["denoiser.down.weight"].shape[:2]
            networks = cls(
                Restorer(features=features, convolutions=convolutions, scale=scale),
                Denoiser(width=width, deep_width=deep_width),
            )
            networks.load_state_dict(state)
        except (KeyError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise ModelError(
                f"the compact weights do not fit the compact model: {reason}", hint="reinstall dossr-video"
            ) from error
        return networks

    def save(self, path: Path) -> None:
        """A float16 safetensors file, as the package carries it."""
        state = {name: value.half().contiguous() for name, value in self.state_dict().items()}
        safetensors.torch.save_file(state, path)


class WaveletModel(DomainShiftModel):
    """A DomainShiftModel with the wavelet codec and a Denoiser; what it restores with is a subclass's matter."""

    multiple = 4
    recurrent = True
    blended = True
    latent_stride = STRIDE

    codec: WaveletCodec
    denoiser: Denoiser

    def encode(self, pictures: Tensor, posterior_noise: Tensor | None = None) -> Tensor:
        """The codec is exact, so there is no posterior and its noise changes nothing."""
        return self.codec.encode(pictures)

    def condition(self, restored: Restored, degraded_latents: Tensor) -> Condition:
        if restored.seen is None:
            return Condition(hint=degraded_latents)
        return Condition(hint=torch.cat([degraded_latents, restored.seen], 1))

    def denoise(self, x: Tensor, t: int, condition: Condition) -> Tensor:
        times = torch.full((len(x),), t, device=x.device)
        clean: Tensor = self.denoiser(x, condition.hint, times)
        return clean

    def decode(self, latents: Tensor) -> Tensor:
        return self.codec.decode(latents)

    def warp(self, latents: Tensor, flow: Tensor) -> Tensor:
        """Through pixels, for channels encode position: exact up to the picture's own interpolation."""
        return self.encode(warp(self.decode(latents), flow))


class CompactModel(WaveletModel):
    """See DomainShiftModel; the networks are CompactNetworks."""

    def __init__(
        self,
        networks: CompactNetworks,
        *,
        name: str,
        digest: str,
        defaults: SamplerDefaults,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self.name, self.digest, self.defaults, self.device, self.dtype = name, digest, defaults, device, dtype
        self.scale = networks.restorer.scale
        self.networks = networks.eval().requires_grad_(False).to(device)
        self.codec, self.denoiser = networks.codec, networks.denoiser
        # But not the codec, which is exact arithmetic on pictures.
        for part in (networks.restorer, networks.denoiser):
            part.to(dtype)
        self.networks.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def restore(self, frames: Tensor, motion: Motion, hidden: HiddenState) -> Restored:
        pictures = []
        state = None if hidden is None else (hidden[0], hidden[1])
        for frame, flow, confidence in zip(frames, motion.flow, motion.confidence, strict=True):
            frame = frame[None].contiguous(memory_format=torch.channels_last)
            picture, state = self.networks.restorer(frame, flow[None], confidence[None], state)
            pictures.append(picture)
        return Restored(concatenated(pictures), state)


def load_compact(name: str = "compact", *, device: torch.device, dtype: torch.dtype) -> CompactModel:
    """The model inside the package. Raises ModelError when its file is missing or damaged."""
    try:
        data = (resources.files("dossr_video.models") / "weights" / "compact.safetensors").read_bytes()
        state = safetensors.torch.load(data)
    except (OSError, safetensors.SafetensorError) as error:
        raise ModelError(f"the compact weights cannot be read: {error}", hint="reinstall dossr-video") from error
    return CompactModel(
        CompactNetworks.from_state({key: value.float() for key, value in state.items()}),
        name=name,
        digest=hashlib.sha256(data).hexdigest(),
        defaults=SamplerDefaults(steps=1, order=1, final="x0", color_fix="none"),
        device=device,
        dtype=dtype,
    )
