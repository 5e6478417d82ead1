"""What the pipeline and the sampler need of a model: frames to pictures, or latents to sample as well."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

from dossr_video.frames import Motion

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from dossr_video.models.footprint import Footprint

HiddenState: TypeAlias = "tuple[Tensor, ...] | None"
"""What a recurrent restorer keeps of the frame before; None before the first frame of a shot."""


DEFAULT_PROMPT = "clean, high-resolution, 8k"
"""What DoSSR was trained with."""
EMPTY_PROMPT = ""

Engine: TypeAlias = Literal["torch", "ncnn", "onnxruntime"]
"""What runs the layers of a network."""
Offload: TypeAlias = Literal["auto", "on", "off"]
"""Whether the parts of a model wait in main memory while others work: where they do not fit, always, or never."""


@dataclass(frozen=True, eq=False)
class Restored:
    """What a restorer makes of a batch of frames.

    Attributes:
        pictures: (T, 3, scale H, scale W), not clamped; they may be a part of `hidden`, so nothing is done in place.
        hidden: For the frames after them; None of a model that is not recurrent.
        seen: What the network calls see beside the pictures' latents, (T, K, h, w) at the latents' size; None: nothing.
    """

    pictures: Tensor
    hidden: HiddenState = None
    seen: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Condition:
    """What every network call sees beside x; computed once per batch of frames."""

    hint: Tensor  # (T, C, h, w)
    context: Tensor | None = (
        None  # (K, 77, D) text context, shared by all frames; K = 2 (positive, negative) when guided
    )


@dataclass(frozen=True)
class NetworkInfo:
    """What a file with a network of others says of itself."""

    file: str  # its name
    architecture: str  # spandrel's name of it, or ONNX
    scale: int  # output side / input side
    channels: int  # 3: RGB; 1: the colours go through one after the other
    parameters: int | None  # numbers that were trained; None: not known
    size: int  # bytes of the file
    license: str | None  # as its metadata says; None: they do not

    def __str__(self) -> str:
        kind = "RGB" if self.channels == 3 else "one channel"
        size = f"{self.size / 1e6:.2f} MB"
        sizes = size if self.parameters is None else f"{self.parameters:,} parameters, {size}"
        told = "no licence in the file" if self.license is None else f"licence {self.license}"
        return f"{self.architecture} x{self.scale}, {kind}, {sizes}, {told}"


@dataclass(frozen=True)
class SamplerDefaults:
    """How a model is best sampled; settings left at None take these."""

    steps: int  # network calls, at least 1
    order: Literal[1, 2, 3]
    final: Literal["landing", "x0"]  # what the sampler returns: the point at entry 0, or x0 of the last call
    color_fix: Literal["none", "adain", "wavelet"]


class PictureModel(ABC):
    """A model that enlarges frames: the base of all models, and all that a network without latents needs to be.

    Frames and pictures are RGB in [0, 1]; every tensor is on `device`. Nothing here draws random numbers or keeps
    state between calls, so a call that failed can be made again.

    Attributes:
        name: What the user called it.
        digest: sha256 (hex) of the weights, for the plan's fingerprint.
        scale: Output side / input side.
        multiple: Input sides are padded to a multiple of this, pixels.
        recurrent: Whether `restore` uses the motion and the hidden state. Where False, both are ignored.
        blended: Whether pictures are to be blended with the frame before them. False for one that invents no detail,
            and so has none that flickers.
        device: Where the networks are and every tensor is expected.
        dtype: What the networks compute in; tensors are float32 outside of them.
        engine: What runs their layers.
        network_info: Networks of others, in the order in which frames go through them; none of a model of the package.
        pixel_bytes: Memory that a frame takes on a CPU, bytes for each of its pixels; None: not known.
    """

    name: str
    digest: str
    scale: int
    multiple: int
    recurrent: bool
    blended: bool
    device: torch.device
    dtype: torch.dtype
    engine: Engine = "torch"
    network_info: tuple[NetworkInfo, ...] = ()
    pixel_bytes: float | None = None

    @property
    def footprint(self) -> Footprint | None:
        """Memory that it takes, of a model of several parts; None: not known."""
        return None

    def free_bytes(self) -> int | None:
        """Bytes on an accelerator that the model has or can still get; None where that is not known."""
        return None

    def offload(self) -> bool:
        """From now on keep the parts of the model that wait in main memory; False where that is so, or cannot be."""
        return False

    @abstractmethod
    def restore(self, frames: Tensor, motion: Motion, hidden: HiddenState) -> Restored:
        """Enlarge frames; one after another gives the same as all at once.

        Args:
            frames: Consecutive frames of one shot, (T, 3, H, W) in [0, 1]; sides are multiples of `multiple`.
            motion: From each frame to the one before it, at the size of the frames.
            hidden: As the call for the frames before returned it; None at a shot's start.
        """


class DomainShiftModel(PictureModel):
    """A restorer, a codec between pictures and latents, and a denoiser that predicts clean latents.

    `restore` gives the restorer output, whose latents are the degraded ones that sampling begins from.

    Attributes:
        latent_stride: Output pixels per side of a latent cell.
        defaults: How the model is best sampled.
    """

    latent_stride: int
    defaults: SamplerDefaults

    @abstractmethod
    def encode(self, pictures: Tensor) -> Tensor:
        """Pictures to degraded latents, the mean of the encoder's posterior.

        Args:
            pictures: Restorer output, (T, 3, scale H, scale W) in [0, 1].

        Returns:
            Latents (T, C, h, w), with h = scale H / latent_stride.
        """

    def posterior(self, pictures: Tensor) -> tuple[Tensor, Tensor | None]:
        """Mean and standard deviation of the latents, each as `encode` gives them; None where the codec is exact."""
        return self.encode(pictures), None

    @abstractmethod
    def condition(self, restored: Restored, degraded_latents: Tensor) -> Condition:
        """What every network call sees, of the restorer output.

        Args:
            restored: Restorer output, its pictures in [0, 1].
            degraded_latents: The posterior's mean that `encode` gave for them, (T, C, h, w).
        """

    @abstractmethod
    def denoise(self, x: Tensor, t: int, condition: Condition) -> Tensor:
        """One network call.

        Args:
            x: Noisy latents at schedule entry t, (T, C, h, w).
            t: Entry of the schedule, in [0, 500).
            condition: Of the same frames.

        Returns:
            The estimate of the clean latents x0, (T, C, h, w), whatever the network itself predicts.
        """

    @abstractmethod
    def decode(self, latents: Tensor) -> Tensor:
        """Latents (T, C, h, w) to pictures (T, 3, scale H, scale W), not clamped."""

    @abstractmethod
    def warp(self, latents: Tensor, flow: Tensor) -> Tensor:
        """Latents moved along a flow; each codec knows how its latents may be moved.

        Args:
            latents: (T, C, h, w), of the frame before.
            flow: To that frame, (T, 2, H, W) in input pixels.

        Returns:
            Moved latents (T, C, h, w).
        """
