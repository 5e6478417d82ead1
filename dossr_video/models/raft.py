"""Learned optical flow: RAFT (Teed and Deng 2020) as torchvision has it, where a user has both it and its weights."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dossr_video.errors import ModelError
from dossr_video.models.checkpoint import digest, read_weights
from dossr_video.models.limits import require_numbers
from dossr_video.names import possible
from dossr_video.temporal.flow import PRESETS, DisFlow, FlowEstimator

MULTIPLE = 8  # pixels, of the sides RAFT takes
SMALLEST = 128  # pixels; its pyramid of correlations needs as many
HINT = "give raft_small or raft_large as torchvision publishes them (.pth), or one of " + ", ".join(PRESETS)


@dataclass(frozen=True)
class RaftFlow:
    """A FlowEstimator over a network that is called as torchvision's RAFT is: RGB in [-1, 1], flows of every update."""

    network: nn.Module
    digest: str  # sha256 of the weights
    device: torch.device

    @torch.inference_mode()
    def __call__(self, source: Tensor, target: Tensor) -> Tensor:
        height, width = source.shape[-2:]
        below, right = (max(side + -side % MULTIPLE, SMALLEST) - side for side in (height, width))
        pair = [
            F.pad(images.expand(-1, 3, -1, -1).to(self.device) * 2 - 1, (0, right, 0, below), mode="replicate")
            for images in (source, target)
        ]
        flow: Tensor = self.network(*pair)[-1]
        return flow[..., :height, :width].to(source)


def load_flow(name: str, *, device: torch.device) -> FlowEstimator:
    """OpenCV's DIS for the name of one of its presets, else RAFT with the weights of a file.

    Raises ModelError when there is no such file, it does not hold RAFT, or torchvision is not there.
    """
    if name in PRESETS:
        return DisFlow(name)
    path = possible(Path(name))
    try:
        weights = read_weights(path)
        require_numbers(str(path), weights)
    except ModelError as error:
        raise ModelError(f"--flow {error.message}", hint=HINT) from error
    network = _network(large=any(key.startswith("mask_predictor.") for key in weights))
    try:
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise ModelError(f"--flow {path} does not hold the weights of RAFT", hint=HINT) from error
    return RaftFlow(network.to(device).requires_grad_(False).eval(), digest(path), device)


def _network(*, large: bool) -> nn.Module:
    try:
        from torchvision.models import optical_flow  # type: ignore[import-not-found,import-untyped,unused-ignore]
    # A torchvision that was built for another torch raises RuntimeError.
    except (ImportError, RuntimeError, OSError) as error:
        reason = str(error).splitlines()[0]
        raise ModelError(
            f"--flow with a file needs torchvision, which cannot be imported: {reason}",
            hint="install the torchvision that belongs to your torch, or use --flow " + ", ".join(PRESETS),
        ) from error
    network: nn.Module = optical_flow.raft_large(weights=None) if large else optical_flow.raft_small(weights=None)
    return network
