"""How much memory a network takes for a picture, found on a small one before large ones are begun."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

SPARE = 1.5  # for what layers take within themselves


@torch.inference_mode()
def bytes_per_pixel(network: Callable[[Tensor], Tensor], picture: Tensor) -> float:
    """Bytes that `network` takes at its peak for each pixel of a picture (1, 3, H, W)."""
    with _Live() as live:
        network(picture)
    return SPARE * live.peak / (picture.shape[-1] * picture.shape[-2])


class _Live(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Adds up the tensors that are alive."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.peak = self._held = 0
        self._known: weakref.WeakSet[Any] = weakref.WeakSet()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        given = {id(tensor.untyped_storage()) for tensor in tree_leaves((args, kwargs)) if isinstance(tensor, Tensor)}
        result = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                if id(storage) not in given and storage not in self._known:
                    self._known.add(storage)
                    self._held += storage.nbytes()
                    weakref.finalize(storage, self._gone, storage.nbytes())
        self.peak = max(self.peak, self._held)
        return result

    def _gone(self, size: int) -> None:
        self._held -= size
