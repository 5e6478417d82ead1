"""`compact`: the model inside the package, trained by this project; small enough for a CPU.

One recurrent network, read from a float16 safetensors file whose shapes give every size. It samples nothing: why there
is no denoiser, and its origin, data and figures: docs/COMPACT_MODEL.md.
"""

from __future__ import annotations

import hashlib
from importlib import resources

import safetensors.torch
import torch
from torch import Tensor

from dossr_video.errors import ModelError
from dossr_video.frames import Motion, concatenated
from dossr_video.models.base import Engine, HiddenState, PictureModel, Restored
from dossr_video.models.compact.by_ncnn import StreamedRestorer
from dossr_video.models.compact.dots import RINGS, TEXTURE, without_dots
from dossr_video.models.compact.restorer import Restorer


class CompactModel(PictureModel):
    """See PictureModel; the network is a Restorer."""

    multiple = 1
    recurrent = True
    blended = True

    def __init__(
        self,
        network: Restorer,
        *,
        name: str,
        digest: str,
        device: torch.device,
        dtype: torch.dtype,
        engine: Engine = "torch",
    ) -> None:
        """`engine`: ncnn runs on the CPU in float32 alone."""
        self.name, self.digest, self.device, self.dtype, self.engine = name, digest, device, dtype, engine
        self.scale = network.scale
        self.network = network.eval().requires_grad_(False)
        self.network.to(device=device, dtype=dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._run = StreamedRestorer(network) if engine == "ncnn" else network

    def restore(self, frames: Tensor, motion: Motion, hidden: HiddenState) -> Restored:
        pictures = []
        state = None if hidden is None else (hidden[0], hidden[1], hidden[2])
        for frame, flow, confidence in zip(frames, motion.flow, motion.confidence, strict=True):
            frame = frame[None].contiguous(memory_format=torch.channels_last)
            picture, state = self._run(frame, flow[None], confidence[None], state)
            pictures.append(without_dots(picture, frame))
        return Restored(concatenated(pictures), state)


def load_compact(
    name: str = "compact", *, device: torch.device, dtype: torch.dtype, engine: Engine = "torch"
) -> CompactModel:
    """The model inside the package. Raises ModelError when its file is missing or damaged."""
    try:
        data = (resources.files("dossr_video.models") / "weights" / "compact.safetensors").read_bytes()
        state = safetensors.torch.load(data)
    except (OSError, safetensors.SafetensorError) as error:
        raise ModelError(f"the compact weights cannot be read: {error}", hint="reinstall dossr-video") from error
    return CompactModel(
        Restorer.from_state(state),
        name=name,
        digest=hashlib.sha256(data + repr((RINGS, TEXTURE)).encode()).hexdigest(),  # results depend on both
        device=device,
        dtype=dtype,
        engine=engine,
    )
