"""The command that looks at results: `dossr-video compare`."""

from __future__ import annotations

from pathlib import Path

import click

from dossr_video.cli.console import progress_display, say
from dossr_video.cli.options import PATH, debug_option, force_option, quiet_option
from dossr_video.jobs.progress import Progress


@click.command()
@click.argument("source", type=PATH)
@click.argument("results", type=PATH, nargs=-1, required=True)
@click.option(
    "--page", type=PATH, default="compare.html", show_default=True, metavar="HTML", help="where it is written"
)
@force_option
@quiet_option
@debug_option
def compare(source: Path, results: tuple[Path, ...], *, page: Path, force: bool, quiet: bool) -> None:
    """Write a page that holds RESULTS, of this program or others, against their SOURCE.

    Pictures of every shot under a slider, where each result differs from the source, and sharpness, flicker and
    brightness over time. The page is one file that needs nothing else.
    """
    from dossr_video.report.compare import compare as write

    with progress_display(quiet=quiet) as show:
        write(source, results, page, force=force, on_frame=lambda count: show(Progress("comparing", count)))
    if not quiet:
        say(f"page: {page}")
