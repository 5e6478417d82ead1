"""The command `dossr-video verify`: an old result, proved again."""

from __future__ import annotations

import json
from pathlib import Path

import rich_click as click

from dossr_video.cli.console import progress_display, put, warn
from dossr_video.cli.options import PATH, debug_option, quiet_option
from dossr_video.jobs.progress import Progress


@click.command()
@click.argument("result", type=PATH)
@click.argument("source", type=PATH, required=False)
@click.option(
    "--json-report", "report", type=PATH, metavar="FILE", help="the report of its run  [RESULT.json, as `batch` leaves]"
)
@click.option("--json", "as_json", is_flag=True, help="print every check as JSON")
@quiet_option
@debug_option
def verify(result: Path, source: Path | None, *, report: Path | None, as_json: bool, quiet: bool) -> None:
    """Prove an old RESULT again from the report of its run: its bytes, and the packets of every stream at their times.

    With the SOURCE that it was made of, all of it is decoded and every frame held against the source's, as at the end
    of the run. Names do not matter, contents do. Exit code 0: it is what was made; 3: it is not; 1: the report is
    missing, or SOURCE is another file.
    """
    from dossr_video.jobs.proving import verify as look

    with progress_display(quiet=quiet or as_json) as show:
        found = look(result, source, report=report, on_frame=lambda count: show(Progress("verifying", count)))
    if as_json:
        click.echo(json.dumps(found.as_json(), indent=2))
    found.require()
    if not as_json:
        for warning in found.warnings:
            warn(warning)
        put(found.summary())
