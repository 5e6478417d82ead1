"""Limits of weights files: nothing that a file merely claims may fill the memory, or take longer than a moment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from dossr_video.errors import ModelError

MOST_TENSORS = 8_000  # of a file; the largest networks have some 3,000
LONGEST_NAME = 500  # characters
TIMES = 4  # a network may be this much larger than its file: stored in half precision, with tables that it computes
SPARE = 64 << 20, 1_000  # bytes and tensors that any network may take besides
MADE = frozenset({"empty", "zeros", "ones", "full", "rand", "randn", "randint", "arange", "linspace"})
LARGEST_SCALE = 16  # output side / input side, of --scale too
HINT = "it is damaged or made to fill the memory; fetch it again from where it was published"


def require_count(path: Path, count: int) -> None:
    """ModelError where a file holds too many tensors."""
    if count > MOST_TENSORS:
        raise ModelError(f"{path} holds {count} tensors; at most {MOST_TENSORS} are read", hint=HINT)


def require_limits(path: Path, weights: Mapping[str, Tensor]) -> None:
    """ModelError where a file holds too many tensors, or claims larger ones than it holds."""
    require_count(path, len(weights))
    longest = max(weights, key=len)
    if len(longest) > LONGEST_NAME:
        raise ModelError(f"{path} has a tensor with a name of {len(longest)} characters", hint=HINT)
    total = 0
    for name, tensor in weights.items():
        size = tensor.numel() * tensor.element_size()
        total += size
        if size > tensor.untyped_storage().nbytes():
            shape = "x".join(map(str, tensor.shape))
            raise ModelError(f"{path} claims {shape} numbers in {name}, and does not hold them", hint=HINT)
    if total > TIMES * path.stat().st_size:  # several names for the same numbers
        raise ModelError(f"{path} claims {total / 1e6:.0f} MB of numbers, more than {TIMES} times its size", hint=HINT)


def require_scale(name: str, scale: int, *, hint: str) -> None:
    """ModelError where a model enlarges more than is done."""
    if scale > LARGEST_SCALE:
        raise ModelError(f"{name} enlarges x{scale}; at most x{LARGEST_SCALE} is done", hint=hint)


def require_numbers(source: str, weights: Mapping[str, Tensor]) -> None:
    """ModelError where what is multiplied or added is no float, or not finite."""
    for name, tensor in weights.items():
        if tensor.is_floating_point():
            if not tensor.is_meta and not tensor.isfinite().all():  # meta tensors have sizes alone
                raise ModelError(f"{source} holds numbers in {name} that are not finite", hint=HINT)
        elif name.endswith(("weight", "bias")):
            raise ModelError(f"{source} holds {name} as {tensor.dtype}, not as floats", hint=HINT)


@contextmanager
def built_within(source: str, weights: Mapping[str, Tensor]) -> Iterator[None]:
    """While a network is made for these weights: ModelError once it grows far beyond them."""
    size = sum(tensor.numel() * tensor.element_size() for tensor in weights.values())
    with _Counting(source, TIMES * size + SPARE[0], TIMES * len(weights) + SPARE[1]):
        yield


class _Counting(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the tensors that are made, and their bytes."""

    def __init__(self, source: str, most_bytes: int, most_tensors: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._source = source
        self._most = most_bytes, most_tensors
        self._size = self._count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        if name in MADE:
            self._count += 1
            if args and isinstance(args[0], (list, tuple)):
                kind = (kwargs or {}).get("dtype") or torch.float32
                self._size += prod(args[0]) * kind.itemsize
            if self._size > self._most[0] or self._count > self._most[1]:
                raise ModelError(f"{self._source} describes a network far larger than what it holds", hint=HINT)
        return func(*args, **(kwargs or {}))
