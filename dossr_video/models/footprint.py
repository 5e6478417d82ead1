"""How much memory networks take, found on small pictures before large ones are begun, and how much there is."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

SPARE = 1.5  # for what layers take within themselves
REST = 10**9  # bytes on an accelerator for its driver, the work space of kernels, and pictures on their way


@dataclass(frozen=True)
class Part:
    """A part of a model that can be on its device without the others."""

    weights: int  # bytes
    pixel_bytes: float  # while it works, for each pixel of the frames, or of a tile of them


@dataclass(frozen=True)
class Footprint:
    """Memory that a model of three parts takes on its device, by arithmetic."""

    restorer: Part
    codec: Part
    denoiser: Part
    kept: int  # bytes that layers keep from call to call
    picture_bytes: float  # of an enlarged picture, for each pixel of its frame

    @property
    def weights(self) -> int:
        """Bytes of all parts."""
        return self.restorer.weights + self.codec.weights + self.denoiser.weights + self.kept

    @property
    def pixel_bytes(self) -> float:
        """Bytes that whole frames take on a CPU, for each of their pixels."""
        return SPARE * max(part.pixel_bytes for part in (self.restorer, self.codec, self.denoiser)) + self.picture_bytes

    def needed(self, pixels: int, *, offload: bool, tile: int | None = None, codec_tile: int | None = None) -> int:
        """Bytes at the peak, without REST.

        Args:
            pixels: Of all frames that go through at once.
            offload: Whether only the part that works is on the device.
            tile: Pixels of a tile of them; None: whole frames.
            codec_tile: The same of the codec alone.
        """
        sides = ((self.restorer, tile), (self.codec, codec_tile or tile), (self.denoiser, tile))
        pictures = self.picture_bytes * pixels * (1 if tile is None and codec_tile is None else PUT_TOGETHER)
        peak = max(
            part.pixel_bytes * min(pixels, cut or pixels) + (part.weights if offload else 0) for part, cut in sides
        )
        weights = self.kept if offload else self.weights
        return round(weights + peak + pictures)


PUT_TOGETHER = 3  # pictures' worth of what a picture and the weights of its tiles take, until they are one


def free_on(device: torch.device) -> int | None:
    """Bytes that can still be taken on an accelerator; None where that is not known, and of a CPU."""
    if device.type in ("cuda", "xpu"):
        backend: Any = getattr(torch, device.type)
        free: int = backend.mem_get_info(device)[0]
        return free + int(backend.memory_reserved(device)) - int(backend.memory_allocated(device))
    if device.type == "mps":
        return torch.mps.recommended_max_memory() - torch.mps.current_allocated_memory()
    return None


def size_of(device: torch.device) -> int | None:
    """Bytes of memory that an accelerator has; None where that is not known, and of a CPU."""
    if device.type in ("cuda", "xpu"):
        size: int = getattr(torch, device.type).mem_get_info(device)[1]
        return size
    return torch.mps.recommended_max_memory() if device.type == "mps" else None


@torch.inference_mode()
def bytes_per_pixel(network: Callable[[Tensor], Tensor], picture: Tensor) -> float:
    """Bytes that `network` takes at its peak for each pixel of a picture (1, 3, H, W)."""
    with Live() as live:
        network(picture)
    return SPARE * live.peak / (picture.shape[-1] * picture.shape[-2])


class Live(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up the tensors that are made within it and are alive."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = self.now = 0  # bytes
        self._known: weakref.WeakSet[Any] = weakref.WeakSet()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {id(tensor.untyped_storage()) for tensor in tree_leaves((args, kwargs)) if isinstance(tensor, Tensor)}
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                if id(storage) not in given and storage not in self._known:
                    self._known.add(storage)
                    self.now += storage.nbytes()
                    weakref.finalize(storage, self._gone, storage.nbytes())
        self.peak = max(self.peak, self.now)
        return result

    def _gone(self, size: int) -> None:
        self.now -= size
