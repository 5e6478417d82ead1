"""dossr-video: video super-resolution with domain-shift diffusion, for film and tape that cannot be shot again.

`upscale("in.mp4", "out.mp4", crf=18)` does a file; `upscale_frames(frames, model=load_model("compact"))` frames in
memory; `upscale_stream(frames)` frames that stream by.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from dossr_video import errors
from dossr_video.errors import DossrError
from dossr_video.settings import Settings

if TYPE_CHECKING:
    from dossr_video.api import OnProgress, Progress, load_model, upscale, upscale_frames, upscale_stream
    from dossr_video.diffusers import DossrPipeline
    from dossr_video.jobs.report import Report
    from dossr_video.models.dossr.scheduler import DossrScheduler

__all__ = [
    "DossrError",
    "DossrPipeline",
    "DossrScheduler",
    "OnProgress",
    "Progress",
    "Report",
    "Settings",
    "errors",
    "load_model",
    "upscale",
    "upscale_frames",
    "upscale_stream",
]

HOMES = {"DossrPipeline": "diffusers", "DossrScheduler": "models.dossr.scheduler", "Report": "jobs.report"}


def __getattr__(name: str) -> Any:
    # The rest imports torch or diffusers, which take seconds: `dossr-video --help` need not wait for them.
    if name in __all__:
        module = HOMES.get(name, "api")
        return getattr(import_module(f"dossr_video.{module}"), name)
    if name == "__version__":
        return version("dossr-video")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
