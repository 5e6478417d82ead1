"""`large`: a mean of the pictures of Real-ESRGAN's x4plus and of compact, and a denoiser that weighs its bands.

x4plus draws sharper than compact and costs 20 to 30 times as much; alone it draws too much, and something else on
every frame. Compact is closer to the frame and steadier. The denoiser was trained on the mean of the two, while they
stayed as they are. It sees where they differ, how far a picture, shrunk again, is from its frame, and what the frames
before looked like. Origin, data and figures: docs/LARGE_MODEL.md.
"""

from __future__ import annotations

import hashlib
from importlib import resources
from pathlib import Path

import safetensors.torch
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dossr_video.color import wavelet
from dossr_video.diffusion.schedule import make_point
from dossr_video.errors import ModelError
from dossr_video.frames import Motion
from dossr_video.models.base import Condition, DomainShiftModel, Engine, HiddenState, Restored, SamplerDefaults
from dossr_video.models.compact.by_ncnn import StreamedRestorer
from dossr_video.models.compact.restorer import Restorer
from dossr_video.models.large.denoiser import DRAWN, SHARES, Denoiser
from dossr_video.models.large.wavelet import CHANNELS, STRIDE, WaveletCodec
from dossr_video.models.ncnn import run_by_ncnn
from dossr_video.models.rrdbnet import ResidualDenseBlock, RRDBNet
from dossr_video.temporal.warping import warp

KEPT = 0.7  # share of the frames before in what is remembered, where the flow is sure
ERROR = 0.1  # difference of a shrunk picture from its frame that the denoiser sees as 1
_CELL = STRIDE // RRDBNet.scale  # input pixels per latent cell side
SEEN = 3 * _CELL**2 + _CELL**2 + 2 * CHANNELS
FILES = ("x4plus.safetensors", "compact.safetensors", "large.safetensors")


class LargeNetworks(nn.Module):
    """The two restorers, which are never trained here, and the parts that were."""

    def __init__(self, x4plus: RRDBNet, compact: Restorer, denoiser: Denoiser) -> None:
        super().__init__()
        self.x4plus, self.compact, self.denoiser, self.codec = x4plus, compact, denoiser, WaveletCodec()

    @classmethod
    def from_state(
        cls, x4plus: dict[str, Tensor], compact: dict[str, Tensor], trained: dict[str, Tensor]
    ) -> LargeNetworks:
        """Networks of the sizes that the tensors have. Raises ModelError when they are not those of this model."""
        try:
            deep_width, width = trained["denoiser.down.weight"].shape[:2]
            growth, features = x4plus["body.0.rdb1.conv1.weight"].shape[:2]
            blocks = sum(key.endswith("rdb1.conv1.bias") for key in x4plus)
            networks = cls(
                RRDBNet(features=features, blocks=blocks, growth=growth),
                Restorer.from_state(compact),
                Denoiser(width=width, deep_width=deep_width, seen=SEEN),
            )
            networks.x4plus.load_state_dict(x4plus)
            kept = {**networks.x4plus.state_dict(prefix="x4plus."), **networks.compact.state_dict(prefix="compact.")}
            networks.load_state_dict({**trained, **kept})
        except (KeyError, RuntimeError) as error:
            reason = str(error).splitlines()[-1].strip()
            raise ModelError(
                f"the weights of large do not fit the model: {reason}", hint="reinstall dossr-video"
            ) from error
        return networks

    def save(self, path: Path) -> None:
        """A float16 safetensors file of all but the restorers, as the package carries it."""
        parts = ((f"{name}.", part) for name, part in (("denoiser", self.denoiser), ("codec", self.codec)))
        state = {name: value for prefix, part in parts for name, value in part.state_dict(prefix=prefix).items()}
        safetensors.torch.save_file({name: value.half().contiguous() for name, value in state.items()}, path)

    def restore(
        self, frames: Tensor, flow: Tensor, confidence: Tensor, hidden: tuple[Tensor, ...] | None
    ) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        """The restored pictures of one moment, what the denoiser sees beside them, and what the next ones remember.

        Args:
            frames: (B, 3, H, W) in [0, 1], H and W multiples of 4.
            flow: Back to the frame before, (B, 2, H, W) in input pixels.
            confidence: Of the flow, (B, 1, H, W).
            hidden: What this returned for the frame before; None at a shot's start.

        Returns:
            Pictures (B, 3, 4H, 4W) in [0, 1]; (B, SEEN, H / 2, W / 2); the hidden state.
        """
        frames = frames.contiguous(memory_format=torch.channels_last)
        drawn = self.x4plus(frames.to(self.x4plus.conv_body.weight.dtype)).float()
        state = None if hidden is None else (hidden[0], hidden[1], hidden[2])
        steady, state = self.compact(frames, flow, confidence, state)
        with torch.autocast(frames.device.type, enabled=False):  # half precision loses shades
            if hidden is None:
                confidence = torch.zeros_like(confidence)
            drawn, steady = lit(drawn.clamp(0, 1), frames), steady.clamp(0, 1)
            picture = torch.lerp(steady, drawn, DRAWN)
            moved, memory = remember(picture, None if hidden is None else hidden[3], flow, confidence)
            beside = seen_beside(self.codec, frames, picture, moved, confidence)
            difference = self.codec.encode(drawn) - self.codec.encode(steady)
            return picture, torch.cat([beside, difference], 1), (*state, memory)


def load_networks() -> tuple[LargeNetworks, str]:
    """The networks inside the package, and the sha256 (hex) of their files and of the denoiser's shares.

    Raises ModelError when a file is damaged.
    """
    folder = resources.files("dossr_video.models") / "weights"
    try:
        data = [(folder / file).read_bytes() for file in FILES]
        states = [{k: v.float() for k, v in safetensors.torch.load(part).items()} for part in data]
    except (OSError, safetensors.SafetensorError) as error:
        raise ModelError(f"the weights of large cannot be read: {error}", hint="reinstall dossr-video") from error
    return LargeNetworks.from_state(*states), hashlib.sha256(b"".join(data) + SHARES).hexdigest()


def remember(picture: Tensor, before: Tensor | None, flow: Tensor, confidence: Tensor) -> tuple[Tensor, Tensor]:
    """What the frames before looked like, moved to this one, and with this one added to it.

    Args:
        picture: Restored picture of a frame, (B, 3, 4H, 4W) in [0, 1].
        before: The second result of the frame before; None at a shot's start.
        flow: Back to the frame before, (B, 2, H, W) in input pixels.
        confidence: Of the flow, (B, 1, H, W).

    Returns:
        Two pictures (B, 3, 4H, 4W); where nothing is known of the frames before, both are `picture`.
    """
    if before is None:
        return picture, picture
    moved = warp(before, flow)
    share = KEPT * F.interpolate(confidence, size=picture.shape[-2:], mode="bilinear", align_corners=False)
    return moved, picture + share * (moved - picture)


def seen_beside(codec: WaveletCodec, frames: Tensor, pictures: Tensor, moved: Tensor, confidence: Tensor) -> Tensor:
    """What the denoiser sees of pictures (B, 3, 4H, 4W) beside their latents: (B, SEEN - 192, H / 2, W / 2).

    That is how far the pictures, shrunk again, are from the frames (B, 3, H, W); the confidence of the flow
    (B, 1, H, W), 0 at a shot's start; and, where all of a cell is sure, how the latents of `moved` differ.
    """
    error = (frames - F.avg_pool2d(pictures, RRDBNet.scale)) / ERROR
    sure = F.pixel_unshuffle(confidence, _CELL)
    change = codec.encode(moved) - codec.encode(pictures)
    return torch.cat([F.pixel_unshuffle(error, _CELL), sure, change * sure.amin(1, keepdim=True)], 1)


def lit(pictures: Tensor, frames: Tensor) -> Tensor:
    """Pictures (B, 3, 4H, 4W) in [0, 1] with the coarse light of their frames (B, 3, H, W), which x4plus changes."""
    light = F.interpolate(frames, scale_factor=RRDBNet.scale, mode="bicubic", align_corners=False)
    return wavelet(pictures, light).clamp(0, 1)


class LargeModel(DomainShiftModel):
    """See DomainShiftModel; the networks are LargeNetworks."""

    scale = RRDBNet.scale
    multiple = 4
    recurrent = True
    blended = True
    latent_stride = STRIDE

    def __init__(
        self,
        networks: LargeNetworks,
        *,
        name: str,
        digest: str,
        device: torch.device,
        dtype: torch.dtype,
        engine: Engine = "torch",
    ) -> None:
        """`engine`: ncnn runs on the CPU in float32 alone."""
        self.name, self.digest, self.device, self.dtype, self.engine = name, digest, device, dtype, engine
        self.defaults = SamplerDefaults(steps=1, order=1, final="x0", color_fix="wavelet")
        self.networks = networks.eval().requires_grad_(False).to(device)
        self.codec = networks.codec
        # But not the codec, which is exact arithmetic on pictures.
        for part in (networks.x4plus, networks.compact, networks.denoiser):
            part.to(dtype)
        self.networks.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if engine == "ncnn":
            _run_by_ncnn(networks)

    def restore(self, frames: Tensor, motion: Motion, hidden: HiddenState) -> Restored:
        pictures, seen = [], []
        # Frame by frame: batched sums may round differently, and results must not depend on the chunk length.
        each = (part[:, None] for part in (frames, motion.flow, motion.confidence))
        for frame, flow, confidence in zip(*each, strict=True):
            picture, beside, hidden = self.networks.restore(frame, flow, confidence, hidden)
            pictures.append(picture)
            seen.append(beside)
        return Restored(torch.cat(pictures), hidden=hidden, seen=torch.cat(seen))

    def encode(self, pictures: Tensor) -> Tensor:
        return self.codec.encode(pictures)

    def condition(self, restored: Restored, degraded_latents: Tensor) -> Condition:
        assert restored.seen is not None, "of another model"
        return Condition(hint=torch.cat([degraded_latents, restored.seen], 1))

    def denoise(self, x: Tensor, t: int, condition: Condition) -> Tensor:
        """What x holds of the clean latents is all that is looked at: at the last entry, nothing.

        So the noise leaves no pattern on the pictures, and those of one call are the same for every seed.
        """
        times = torch.full((len(x),), t, device=x.device)
        clean: Tensor = self.networks.denoiser((1 - make_point(t).eta) * x, condition.hint, times)
        return clean

    def decode(self, latents: Tensor) -> Tensor:
        return self.codec.decode(latents)

    def warp(self, latents: Tensor, flow: Tensor) -> Tensor:
        """Through pixels, for channels encode position: exact up to the picture's own interpolation."""
        return self.encode(warp(self.decode(latents), flow))


def _run_by_ncnn(networks: LargeNetworks) -> None:
    """All convolutions of 3 x 3. In parts that do not see far, for frames go through each of them by strips."""
    x4plus = networks.x4plus
    for block in x4plus.body.modules():
        if isinstance(block, ResidualDenseBlock):
            run_by_ncnn(block, "forward")
    run_by_ncnn(x4plus, "enlarge")
    networks.compact.forward = StreamedRestorer(networks.compact)  # type: ignore[method-assign]
    # Those of the denoiser one by one: what is between them depends on the time.
    for layer in (x4plus.conv_body, *networks.denoiser.modules()):
        if isinstance(layer, nn.Conv2d) and layer.kernel_size == (3, 3):
            run_by_ncnn(layer, "forward")


def load_large(
    name: str = "large", *, device: torch.device, dtype: torch.dtype, engine: Engine = "torch"
) -> LargeModel:
    """The model inside the package. Raises ModelError when a file of it is missing or damaged."""
    networks, digest = load_networks()
    return LargeModel(networks, name=name, digest=digest, device=device, dtype=dtype, engine=engine)
