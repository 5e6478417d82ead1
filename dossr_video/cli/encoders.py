"""The command `dossr-video encoders`: what results can be encoded with here."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click
from rich.console import Console
from rich.table import Table

from dossr_video.cli.options import debug_option

if TYPE_CHECKING:
    from dossr_video.video.write.available import EncoderInfo

FORMATS = 6  # that a row tells


@click.command()
@click.argument("name", required=False)
@click.option("--json", "as_json", is_flag=True, help="print JSON, with all pixel formats")
@debug_option
def encoders(name: str | None, *, as_json: bool) -> None:
    """List the encoders of this FFmpeg for --encoder, their pixel formats and containers, and whether hardware is here.

    With NAME its own options, for --encoder-options.
    """
    from dossr_video.video.write.available import available, options_of_encoder

    if name is not None:
        options = options_of_encoder(name)
        if as_json:
            click.echo(json.dumps([asdict(option) for option in options], indent=2))
            return
        table = Table("option", "default", "values", "", box=None)
        for option in options:
            table.add_row(option.name, option.default, " ".join(option.choices), option.about)
        Console().print(table if options else f"{name} has no options of its own")
        return
    found = available()
    if as_json:
        click.echo(json.dumps([asdict(info) for info in found], indent=2))
        return
    others = [info for info in found if not (info.known or info.hardware)]
    _print("With settings chosen here", [info for info in found if info.known])
    _print("Others, as FFmpeg sets them: --encoder-options changes that", others)
    _print("Hardware", [info for info in found if info.hardware])


def _print(title: str, infos: list[EncoderInfo]) -> None:
    table = Table("encoder", "", "pixel formats", "containers", title=title, title_justify="left", box=None)
    for info in infos:
        more = f" and {len(info.formats) - FORMATS} more" if len(info.formats) > FORMATS else ""
        about = info.about
        if info.hardware:
            about = "opens here" if info.missing is None else "no device or driver here"
        table.add_row(info.name, about, " ".join(info.formats[:FORMATS]) + more, " ".join(info.containers))
    Console().print(table)
    click.echo()
