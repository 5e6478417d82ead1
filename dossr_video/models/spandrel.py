"""Networks of others for single pictures, through spandrel: some forty architectures, known by their tensors' names.

Such a network is the restorer of the pipeline: tiled, blended along the motion, and with the source's mean colour.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dossr_video.color import match_mean
from dossr_video.errors import ModelError
from dossr_video.frames import Motion
from dossr_video.models.base import HiddenState, PictureModel, Restored
from dossr_video.models.checkpoint import digest, read_weights
from dossr_video.models.limits import built_within, require_numbers
from dossr_video.models.torchvision import import_torchvision


class SpandrelModel(PictureModel):
    """A spandrel ImageModelDescriptor as a model; frames go through it one at a time."""

    multiple = 1  # spandrel pads by itself
    recurrent = False
    blended = True

    def __init__(self, network: Any, *, name: str, digest: str, device: torch.device, dtype: torch.dtype) -> None:
        half = {torch.float16: network.supports_half, torch.bfloat16: network.supports_bfloat16}
        self.name, self.digest, self.device = name, digest, device
        self.dtype = dtype if half.get(dtype, True) else torch.float32
        self.scale: int = network.scale
        network.model.requires_grad_(False).eval()
        self._network = network.to(device, self.dtype)

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
    try:
        with warnings.catch_warnings(), built_within(str(path), weights):
            warnings.filterwarnings("ignore", message="torch.meshgrid")  # of several architectures
            network = spandrel.MAIN_REGISTRY.load(weights)
    except spandrel.UnsupportedModelError as error:
        raise ModelError(
            f"{path} holds no network that spandrel {_version()} knows",
            hint="check that it is a super-resolution network for single pictures; a newer spandrel may know it",
        ) from error
    except (RuntimeError, KeyError, ValueError) as error:
        reason = str(error).strip().split("\n", 1)[0]
        raise ModelError(f"{path} does not fit its own architecture: {reason}", hint="fetch the file again") from error
    channels = (network.input_channels, network.output_channels)
    if not isinstance(network, spandrel.ImageModelDescriptor) or channels not in ((3, 3), (1, 1)):
        raise ModelError(
            f"{path} is {network.architecture.name} with {channels[0]} channels in and {channels[1]} out: it must "
            "enlarge or restore RGB or grey pictures",
            hint="give a super-resolution network for single pictures",
        )
    return SpandrelModel(network, name=str(path), digest=digest(path), device=device, dtype=dtype)


def _spandrel() -> Any:
    try:
        import_torchvision()
        import spandrel
    except ImportError as error:
        raise ModelError(
            "networks of others need spandrel, which is not installed",
            hint="pip install 'dossr-video[models]', with the torchvision that belongs to your torch",
        ) from error
    return spandrel


def _version() -> str:
    from importlib.metadata import version

    return version("spandrel")
