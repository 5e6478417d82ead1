#!/usr/bin/env python3
"""How much memory the full model takes on an accelerator, by arithmetic: the table of docs/DOSSR_MODEL.md.

    measure_dossr_memory.py [--frames 1] [--dtype float16] [--sizes 480x272 ...] [--tiles 64 128 ...]

Every network has its released size and no data: shapes alone go through its layers (PyTorch's meta device), and all
that is alive at the same time is added up. Attention counts as in fused kernels, which keep no table of weights.
What the driver, the allocator's rounding and the convolutions' own work space take comes on top: a GB or so.
Prints Markdown; nothing of it was measured on an accelerator.
"""

from __future__ import annotations

import argparse
import gzip
import json
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from dossr_video.frames import Motion
from dossr_video.models.base import Condition, DomainShiftModel, PictureModel
from dossr_video.models.dossr.architecture import build
from dossr_video.models.dossr.model import DoSSR
from dossr_video.models.dossr.networks import Networks
from dossr_video.models.tiled import in_tiles

KEYS = Path(__file__).parent.parent / "tests" / "data" / "manifest_full.json.gz"
CARDS = (8, 12, 24)  # GB
REST = 1.0  # GB for the driver and the kernels' work space


class Alive(TorchDispatchMode):
    """Adds up the storages that are alive."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._seen: set[int] = set()

    def __torch_dispatch__(
        self, func: Callable[..., Any], types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else (result,):
            if isinstance(tensor, Tensor):
                self._note(tensor)
        return result

    def _note(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        key, size = storage._cdata, storage.nbytes()
        if key in self._seen:
            return
        self._seen.add(key)
        self.now += size
        self.peak = max(self.peak, self.now)
        weakref.finalize(storage, self._gone, key, size)

    def _gone(self, key: int, size: int) -> None:
        self._seen.discard(key)
        self.now -= size


def released_size(dtype: torch.dtype) -> DoSSR:
    """The model at its released size, without data."""
    meta = torch.device("meta")
    keys = json.loads(gzip.decompress(KEYS.read_bytes()))["keys"]
    weights = {key: torch.empty(shape, device=meta) for key, (shape, _) in keys.items()}

    def network(name: str) -> Any:
        return build(name, weights, source="manifest", device=meta, dtype=dtype)

    networks = Networks(network("unet"), network("controlnet"), network("vae"), None, network("restorer"))
    return DoSSR(networks, torch.empty(1, 77, 1024, device=meta), name="", digest="")


def weights_of(model: DoSSR) -> int:
    modules = (model.networks.unet, model.networks.controlnet, model.networks.vae, model.networks.restorer)
    return sum(value.numel() * value.element_size() for module in modules for value in module.state_dict().values())


@torch.inference_mode()
def peaks(model: PictureModel, width: int, height: int, frames: int) -> dict[str, int]:
    """Bytes of activations by stage, for frames whose sides are multiples of the model's."""
    assert isinstance(model, DomainShiftModel)
    found = {}
    pictures = torch.empty(frames, 3, height * model.scale, width * model.scale, device="meta")
    still = Motion(
        torch.empty(frames, 2, height, width, device="meta"), torch.empty(frames, 1, height, width, device="meta")
    )
    latents = torch.empty(frames, 4, height * model.scale // 8, width * model.scale // 8, device="meta")
    stages: dict[str, Callable[[], Any]] = {
        "restore": lambda: model.restore(torch.empty(frames, 3, height, width, device="meta"), still, None),
        "encode": lambda: model.posterior(pictures),
        "network call": lambda: model.denoise(latents, 300, Condition(latents)),
        "decode": lambda: model.decode(latents),
    }
    for name, stage in stages.items():
        with Alive() as alive:
            stage()
        found[name] = alive.peak + pictures.nbytes  # the restorer's pictures wait for the colour fix
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=1, help="that go through the networks at once")
    parser.add_argument("--dtype", choices=["float32", "float16", "bfloat16"], default="float16")
    parser.add_argument("--sizes", nargs="*", default=["128x128", "480x272", "960x544"])
    parser.add_argument("--tiles", type=int, nargs="*", default=[128, 256])
    args = parser.parse_args()
    whole = released_size(getattr(torch, args.dtype))
    with Alive() as kept:  # what layers keep from call to call
        peaks(whole, whole.multiple, whole.multiple, 1)
    weights = (weights_of(whole) + kept.now) / 1e9
    print(f"Weights in {args.dtype}: {weights:.2f} GB. Frames at once: {args.frames}.\n")
    stages = ("restore", "encode", "network call", "decode")
    print("| source | result | tile |", " | ".join(stages), "| all | card of |")
    print("| --- | --- | ---: |", " | ".join(["---:"] * (len(stages) + 2)), "|")
    for size in args.sizes:
        width, height = map(int, size.split("x"))
        for tile in [None, *sorted((t for t in args.tiles if t < max(width, height)), reverse=True)]:
            found = peaks(whole if tile is None else in_tiles(whole, tile), width, height, args.frames)
            total = weights + max(found.values()) / 1e9 + REST
            card = next((f"{card} GB" for card in CARDS if total <= card), "more")
            cells = " | ".join(f"{found[stage] / 1e9:.2f}" for stage in stages)
            print(f"| {size} | {4 * width}x{4 * height} | {tile or ''} | {cells} | {total:.1f} | {card} |", flush=True)


if __name__ == "__main__":
    main()
