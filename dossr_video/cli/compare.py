"""The commands that look at pictures: `dossr-video preview` before the work, `dossr-video compare` after it."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import rich_click as click

from dossr_video.cli.console import progress_display, say, warn
from dossr_video.cli.options import (
    PATH,
    GroupedCommand,
    debug_option,
    force_option,
    fps_option,
    progress_option,
    quiet_option,
    with_settings,
)
from dossr_video.errors import SettingsError
from dossr_video.jobs.progress import Progress
from dossr_video.settings import Settings


@click.command()
@click.argument("source", type=PATH)
@click.argument("results", type=PATH, nargs=-1, required=True)
@click.option(
    "--page", type=PATH, default="compare.html", show_default=True, metavar="HTML", help="where it is written"
)
@fps_option
@force_option
@quiet_option
@debug_option
def compare(
    source: Path, results: tuple[Path, ...], *, page: Path, fps: Fraction | None, force: bool, quiet: bool
) -> None:
    """Write a page that holds RESULTS, of this program or others, against their SOURCE.

    Pictures of every shot under a slider, where each result differs from the source, and sharpness, flicker and
    brightness over time. The page is one file that needs nothing else.
    """
    from dossr_video.report.compare import compare as write

    with progress_display(quiet=quiet) as show:
        write(
            source,
            results,
            page,
            fps=fps,
            force=force,
            on_frame=lambda count: show(Progress("comparing", count)),
            warn=warn,
        )
    if not quiet:
        say(f"page: {page}")


@click.command(cls=GroupedCommand)
@click.argument("source", type=PATH)
@with_settings
@click.option(
    "--at", multiple=True, metavar="TIME", help="where to look, as 1:20 or 80 seconds; may be given several times"
)
@click.option("--count", type=int, default=3, show_default=True, help="without --at: moments, spread over the file")
@click.option("--seconds", type=float, default=0.0, metavar="S", help="films of so long at each moment  [one frame]")
@click.option(
    "--try", "choices", multiple=True, metavar="OPTION=VALUE,...", help="every value; may be given several times"
)
@click.option("--page", type=PATH, default="preview.html", show_default=True, metavar="HTML", help="its name")
@force_option
@quiet_option
@progress_option
@debug_option
def preview(
    source: Path,
    *,
    settings: Settings,
    at: tuple[str, ...],
    count: int,
    seconds: float,
    choices: tuple[str, ...],
    page: Path,
    force: bool,
    quiet: bool,
    progress: Literal["auto", "json"],
) -> None:
    """Do a few frames of SOURCE, in one or several ways, and tell how long the whole file would take.

    With --seconds each moment is a short film in which the source and every way play side by side.
    `--try model=compact,bicubic --try blend_strength=0.5,1` does every combination on the same frames. Writes a page
    with a slider and the films, and beside it a PNG with a detail of every picture.
    """
    from dossr_video.jobs.estimate import duration
    from dossr_video.preview import preview as write
    from dossr_video.preview import trials

    wanted = trials(settings, dict(map(_choice, choices)))
    with progress_display(quiet=quiet, kind=progress) as show:
        estimates = write(
            source,
            wanted,
            page,
            at=[_seconds(time) for time in at],
            count=count,
            seconds=seconds,
            force=force,
            on_frames=lambda done, total: show(Progress("previewing", done, total)),
        )
    for estimate in estimates:
        click.echo(f"{estimate.name}: about {duration(estimate.hours * 3600)} for the whole file on this machine")
    if not quiet:
        say(f"page: {page}")
        say(f"sheet: {page.with_suffix('.png')}")


def _choice(text: str) -> tuple[str, list[Any]]:
    """`blend=pixel,off`; the settings read what is no whole number."""
    name, _, values = text.partition("=")
    try:
        if not name or not all(values.split(",")):
            raise ValueError
        return name, [int(value) if value.isdecimal() else value for value in values.split(",")]
    except ValueError as error:
        raise SettingsError(
            f"--try {text} must be OPTION=VALUE,VALUE", hint="for example --try blend_strength=0.5,1"
        ) from error


def _seconds(text: str) -> float:
    """`1:02:03`, `2:03.5` or `80`."""
    try:
        parts = [float(part) for part in text.split(":")]
        if len(parts) > 3 or min(parts) < 0 or not all(part < 60 for part in parts[1:]):
            raise ValueError
    except ValueError as error:
        raise SettingsError(f"--at {text} is no time", hint="write it as 1:20 or as 80 seconds") from error
    return sum(part * 60**place for place, part in enumerate(reversed(parts)))
