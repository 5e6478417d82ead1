"""`dossr-video - -`: frames from one program to another."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import click

from dossr_video.cli.console import progress_display, say, warn
from dossr_video.cli.signals import interruptible
from dossr_video.errors import SettingsError
from dossr_video.jobs.progress import Progress
from dossr_video.settings import Settings


@dataclass(frozen=True)
class PipeOptions:
    """What the streams are; None: not given."""

    input_format: Literal["y4m", "rawvideo"] | None
    input_size: str | None
    input_pix_fmt: str | None
    output_format: Literal["y4m", "rawvideo"] | None

    def require_none(self) -> None:
        """SettingsError where one was given and no pipe is there."""
        for name, value in vars(self).items():
            if value is not None:
                option = "--" + name.replace("_", "-")
                raise SettingsError(f"{option} is for pipes", hint=f"leave {option} away, or name pipes: - -")


def pipe_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options of pipes to a command, in a group of their own; the function gets them as `pipes`."""

    @functools.wraps(function)
    def wrapper(*args: Any, **options: Any) -> Any:
        names = ("input_format", "input_size", "input_pix_fmt", "output_format")
        return function(*args, pipes=PipeOptions(*(options.pop(name) for name in names)), **options)

    kinds = click.Choice(["y4m", "rawvideo"])
    for option, kind, metavar, text in (
        ("--output-format", kinds, None, "what is written to a pipe  [as what is read]"),
        ("--input-pix-fmt", click.STRING, "NAME", "pixel format of rawvideo, such as yuv420p10le or rgb24"),
        ("--input-size", click.STRING, "WxH", "size of the frames of rawvideo, such as 720x576"),
        ("--input-format", kinds, None, "what is read from a pipe  [y4m]"),
    ):
        wrapper = click.option(option, type=kind, metavar=metavar, help=text, cls=PipeOption)(wrapper)
    return wrapper


class PipeOption(click.Option):
    """Shown in a group of its own."""

    section = "Pipes"


def run_pipe(
    source: str,
    target: str,
    settings: Settings,
    options: PipeOptions,
    refused: Mapping[str, object],
    *,
    quiet: bool,
    progress: Literal["auto", "json"],
) -> None:
    from dossr_video.pipe import STANDARD, raw_shape, unused_options, upscale_pipe

    for option in [option for option, value in refused.items() if value]:
        raise SettingsError(f"{option} has no meaning for pipes", hint=f"leave {option} away, or name files")
    if progress == "json" and target == STANDARD:
        raise SettingsError("--progress json writes where the frames go", hint="leave it away, or use a named pipe")
    is_raw = options.input_format == "rawvideo"
    if not is_raw and (options.input_size or options.input_pix_fmt):
        raise SettingsError(
            "--input-size and --input-pix-fmt are for rawvideo; y4m says them itself",
            hint="leave them away, or add --input-format rawvideo",
        )
    raw = raw_shape(options.input_size, options.input_pix_fmt, settings) if is_raw else None
    if unused := unused_options(settings, raw=is_raw):
        warn(f"without effect on pipes: {', '.join(unused)}")
    with interruptible() as cancelled, progress_display(quiet=quiet, kind=progress) as show:
        count = upscale_pipe(
            source,
            target,
            settings,
            raw=raw,
            kind=options.output_format,
            on_frame=lambda frames: show(Progress("upscaling", frames)),
            cancelled=cancelled,
        )
    if not quiet:
        say(f"{count} frames")
