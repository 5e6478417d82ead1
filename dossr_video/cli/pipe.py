"""`dossr-video - -`: frames from one program to another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from dossr_video.cli.console import progress_display, say, warn
from dossr_video.cli.signals import interruptible
from dossr_video.errors import SettingsError
from dossr_video.jobs.progress import Progress
from dossr_video.settings import Settings


def run_pipe(
    source: str,
    target: str,
    settings: Settings,
    refused: Mapping[str, object],
    *,
    quiet: bool,
    progress: Literal["auto", "json"],
) -> None:
    from dossr_video.pipe import STANDARD, unused_options, upscale_pipe

    for option in [option for option, value in refused.items() if value]:
        raise SettingsError(f"{option} has no meaning for pipes", hint=f"leave {option} away, or name files")
    if progress == "json" and target == STANDARD:
        raise SettingsError("--progress json writes where the frames go", hint="leave it away, or use a named pipe")
    if unused := unused_options(settings):
        warn(f"without effect on pipes: {', '.join(unused)}")
    with interruptible() as cancelled, progress_display(quiet=quiet, kind=progress) as show:
        count = upscale_pipe(
            source,
            target,
            settings,
            on_frame=lambda frames: show(Progress("upscaling", frames)),
            cancelled=cancelled,
        )
    if not quiet:
        say(f"{count} frames")
