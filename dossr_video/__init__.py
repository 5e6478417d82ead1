"""dossr-video: video super-resolution with domain-shift diffusion, for film and tape that cannot be shot again.

`upscale("in.mp4", "out.mp4", Settings(seed=1))` does a file; `upscale_frames(frames, model=load_model("compact"))`
does frames in memory.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from dossr_video.errors import DossrError
from dossr_video.settings import Settings

if TYPE_CHECKING:
    from dossr_video.api import load_model, upscale, upscale_frames

__all__ = ["DossrError", "Settings", "load_model", "upscale", "upscale_frames"]


def __getattr__(name: str) -> Any:
    # The rest imports torch, which takes seconds: `dossr-video --help` and a mistyped option need not wait for it.
    if name in ("load_model", "upscale", "upscale_frames"):
        return getattr(import_module("dossr_video.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
