"""The parts of DoSSR on an accelerator: all of them, or only the one that works; the others wait in main memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Literal

import torch
from torch import Tensor, nn

from dossr_video.models.dossr.networks import Networks
from dossr_video.transfer import in_main_memory

PartName = Literal["restorer", "codec", "denoiser"]


class Parts:
    """Where the weights are. Those that wait keep one copy in main memory, which is never written to."""

    def __init__(self, networks: Networks, device: torch.device) -> None:
        self._device = device
        self._here: PartName | None = None  # of those that are moved, the one on the device
        self._waiting: dict[PartName, list[tuple[Tensor, Tensor]]] = {}  # a parameter, and its numbers in main memory
        self.modules: dict[PartName, tuple[nn.Module, ...]] = {
            "restorer": (networks.restorer,),
            "codec": (networks.vae, *(() if networks.cond_encoder is None else (networks.cond_encoder,))),
            "denoiser": (networks.unet, networks.controlnet),
        }

    @property
    def moved(self) -> bool:
        """Whether only the part that works is on the device."""
        return bool(self._waiting)

    @property
    def on_device(self) -> int:
        """Bytes of weights there."""
        return sum(self.weights(name) for name in self.modules if not self.moved or name == self._here)

    def weights(self, name: PartName) -> int:
        """Bytes of a part's weights."""
        return sum(tensor.nbytes for tensor in self._tensors(name))

    def move(self) -> None:
        """From now on only the part that works is on the device."""
        with torch.inference_mode(False):
            for name in self.modules:
                self._waiting[name] = [(tensor, in_main_memory(tensor.data)) for tensor in self._tensors(name)]
                self._leave(name)

    @contextmanager
    def at_work(self, name: PartName) -> Iterator[None]:
        """Within it the part is on the device; it stays there until another one works."""
        if self.moved and self._here != name:
            with torch.inference_mode(False):
                if self._here is not None:
                    self._leave(self._here)
                self._here = name
                for tensor, numbers in self._waiting[name]:
                    tensor.data = numbers.to(self._device, non_blocking=True, copy=True)
        yield

    def _leave(self, name: PartName) -> None:
        self._here = None
        for tensor, numbers in self._waiting[name]:
            tensor.data = numbers

    def _tensors(self, name: PartName) -> Iterator[Tensor]:
        for module in self.modules[name]:
            yield from chain(module.parameters(), module.buffers())
