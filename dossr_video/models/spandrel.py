"""Networks of others for single pictures, through spandrel: some forty architectures, known by their tensors' names.

Such a network is the restorer of the pipeline: tiled, blended along the motion, and with the source's mean colour.
"""

from __future__ import annotations

import warnings
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dossr_video.color import match_mean
from dossr_video.errors import ModelError
from dossr_video.frames import Motion
from dossr_video.models.base import HiddenState, NetworkInfo, PictureModel, Restored
from dossr_video.models.checkpoint import digest, read_license, read_weights
from dossr_video.models.footprint import bytes_per_pixel
from dossr_video.models.limits import built_within, require_numbers
from dossr_video.models.torchvision import import_torchvision

SMALL = 32  # pixels a side of the picture on which the memory is measured
SEVERAL = ("recurrent", "spynet", "propagat", "trunk", "temporal", "fusion", "pcd_align", "flow")  # in tensors' names
LONGEST_REASON = 200  # characters
RIGHT = "give a super-resolution network for single pictures"


class SpandrelModel(PictureModel):
    """A spandrel ImageModelDescriptor as a model; frames go through it one at a time."""

    multiple = 1  # spandrel pads by itself
    recurrent = False
    blended = True

    def __init__(
        self, network: Any, info: NetworkInfo, *, name: str, digest: str, device: torch.device, dtype: torch.dtype
    ) -> None:
        """Raises RuntimeError where it does not run, as some do in half precision."""
        self.name, self.digest, self.device = name, digest, device
        self.scale: int = network.scale
        self.network_info = (info,)
        network.model.requires_grad_(False).eval()
        half = {torch.float16: network.supports_half, torch.bfloat16: network.supports_bfloat16}
        self.dtype = dtype if half.get(dtype, True) else torch.float32
        self._network = network.to(device, self.dtype)
        side = max(SMALL, network.size_requirements.minimum)
        taken = bytes_per_pixel(self._enlarge, torch.zeros(1, 3, side, side, device=device, dtype=self.dtype))
        self.pixel_bytes = taken if device.type == "cpu" else None

    def restore(self, frames: Tensor, motion: Motion, hidden: HiddenState) -> Restored:
        pictures = torch.cat([self._enlarge(frame[None].to(self.dtype)).float() for frame in frames])
        return Restored(match_mean(pictures, frames))

    def _enlarge(self, frame: Tensor) -> Tensor:
        """(1, 3, H, W) -> (1, 3, scale H, scale W), in [0, 1]; a network of one channel takes the colours in turn."""
        if self._network.input_channels == 3:
            return self._network(frame)
        return torch.cat([self._network(plane) for plane in torch.split(frame, 1, dim=1)], dim=1)


def load_network(path: Path, *, device: torch.device, dtype: torch.dtype) -> SpandrelModel:
    """A network for single pictures from a file.

    Raises:
        ModelError: spandrel is not installed; the file is damaged; the network is not one that spandrel knows, or is
            not one that enlarges or restores RGB or grey pictures.
    """
    spandrel = _spandrel()
    weights = spandrel.canonicalize_state_dict(read_weights(path))
    require_numbers(str(path), weights)
    network = _made(path, weights, spandrel)
    _require_pictures(path, network, spandrel)
    info = NetworkInfo(
        file=path.name,
        architecture=network.architecture.name,
        scale=network.scale,
        channels=network.input_channels,
        parameters=sum(parameter.numel() for parameter in network.model.parameters()),
        size=path.stat().st_size,
        license=read_license(path),
    )
    load = partial(SpandrelModel, info=info, name=str(path), digest=digest(path), device=device)
    try:
        try:
            return load(network, dtype=dtype)
        except RuntimeError as error:
            if dtype == torch.float32 or isinstance(error, torch.OutOfMemoryError):
                raise
        return load(_made(path, weights, spandrel), dtype=torch.float32)
    except torch.OutOfMemoryError as error:
        raise ModelError(
            f"{path} does not fit into the memory of {device}", hint="close other programs, or use --device cpu"
        ) from error
    except ModelError:
        raise
    except Exception as error:
        raise _misfit(path, error) from error


def _made(path: Path, weights: dict[str, Tensor], spandrel: Any) -> Any:
    """What spandrel makes of the weights."""
    try:
        with warnings.catch_warnings(), built_within(str(path), weights):
            warnings.filterwarnings("ignore", message="torch.meshgrid")  # of several architectures
            return spandrel.MAIN_REGISTRY.load(weights)
    except spandrel.UnsupportedModelError as error:
        if found := next((name for name in weights if any(word in name for word in SEVERAL)), None):
            raise ModelError(
                f"{path} looks like a network for several frames at once (it has {found}); networks of others must "
                "be for single pictures",
                hint=RIGHT,
            ) from error
        raise ModelError(
            f"{path} holds no network that spandrel {_version()} knows",
            hint="check that it is a super-resolution network for single pictures; a newer spandrel may know it",
        ) from error
    except ModelError:
        raise
    except Exception as error:  # architectures raise anything of tensors that are none of their own
        raise _misfit(path, error) from error


def _misfit(path: Path, error: Exception) -> ModelError:
    """With the first thing that does not fit: torch tells each in a line below its first, which ends in a colon."""
    first, *rest = str(error).strip().splitlines() or [type(error).__name__]
    reason = rest[0].strip() if rest and first.endswith(":") else first
    return ModelError(
        f"{path} does not fit its own architecture: {reason[:LONGEST_REASON]}", hint="fetch the file again"
    )


def _require_pictures(path: Path, network: Any, spandrel: Any) -> None:
    """ModelError where it is not a network that takes any picture, in RGB or grey, and gives one."""
    kind = f"{path} is {network.architecture.name}"
    if not isinstance(network, spandrel.ImageModelDescriptor):
        raise ModelError(f"{kind}, which fills in masked parts: it needs a mask beside the picture", hint=RIGHT)
    if network.purpose == "FaceSR":
        raise ModelError(f"{kind}, which restores single cropped faces, not pictures", hint=RIGHT)
    channels = (network.input_channels, network.output_channels)
    if channels not in ((3, 3), (1, 1)):
        raise ModelError(
            f"{kind} with {channels[0]} channels in and {channels[1]} out: it must enlarge or restore RGB or grey "
            "pictures",
            hint=RIGHT,
        )


def _spandrel() -> Any:
    try:
        import_torchvision()
        import spandrel
    except ImportError as error:
        raise ModelError(
            "networks of others need spandrel, which is not installed",
            hint='pip install "dossr-video[models]", with the torchvision that belongs to your torch',
        ) from error
    return spandrel


def _version() -> str:
    from importlib.metadata import version

    return version("spandrel")
