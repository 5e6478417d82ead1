"""dossr-video: video super-resolution with domain-shift diffusion, for film and tape that cannot be shot again.

    import dossr_video
    dossr_video.upscale("in.mp4", "out.mp4", dossr_video.Settings(seed=1))
    model = dossr_video.load_model("compact")
    large = dossr_video.upscale_frames(frames, model=model)
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
