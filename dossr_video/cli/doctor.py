"""The command `dossr-video doctor`."""

from __future__ import annotations

import json
from dataclasses import asdict

import rich_click as click

from dossr_video.cli.console import put
from dossr_video.cli.options import debug_option


@click.command()
@click.option("--json", "as_json", is_flag=True, help="print JSON")
@debug_option
def doctor(*, as_json: bool) -> None:
    """Tell what this machine has for the work and how fast it is; for what is missing, how to get it."""
    from dossr_video.doctor import examine, time_model

    findings = [*examine(), time_model()]
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
        return
    for finding in findings:
        put(f"{finding.topic}: {finding.found}" + (f"; {finding.remedy}" if finding.remedy else ""))
