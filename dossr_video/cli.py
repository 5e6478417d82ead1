"""The command `dossr-video`: flags, progress, exit codes.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 the result did not pass its proof, 130 interrupted. A failure is one line
`error:` and one line `hint:`; --debug adds the traceback.
"""

from __future__ import annotations

import functools
import sys
import types
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import click
from pydantic.fields import FieldInfo

from dossr_video.console import failures, interruptible, progress_display, say
from dossr_video.errors import SettingsError
from dossr_video.presets import load_preset, preset_names
from dossr_video.settings import GROUPS, Settings

# Everything that imports torch is imported inside the commands: --help and a mistyped option need not wait for it.


class DefaultCommand(click.Group):
    """A group whose first argument may be left out: `dossr-video in.mp4 out.mp4` is `dossr-video upscale ...`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        own = {"--help", "--version", "-h"}
        if args and args[0] not in self.commands and args[0] not in own:
            args = ["upscale", *args]
        return super().parse_args(ctx, args)


class GroupedCommand(click.Command):
    """A command whose help shows the settings in their groups."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                sections.setdefault(getattr(parameter, "section", "The run"), []).append(record)
        for heading, records in sections.items():
            with formatter.section(heading):
                formatter.write_dl(records)


class SettingOption(click.Option):
    """An option made from a field of Settings; only the ones that were given reach the function."""

    def __init__(self, name: str, field: FieldInfo, *, section: str) -> None:
        option, flag, default = "--" + name.replace("_", "-"), field.annotation is bool, ""
        if field.default is True:
            option += f"/--no-{name.replace('_', '-')}"
        elif field.default not in (None, "", False):
            default = f"  [{field.default}]"
        kind = None if flag else _click_type(field.annotation)
        help_text = (field.description or "") + default
        super().__init__([option], default=None, type=kind, is_flag=flag, help=help_text)
        self.section = section


def _click_type(annotation: Any) -> Any:
    """The click type of a field's annotation; limits are checked by Settings, which words them better."""
    members = [a for a in typing.get_args(annotation) if a is not type(None)]
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return _click_type(members[0])
    if typing.get_origin(annotation) is Literal:
        return click.Choice(members)
    return {bool: click.BOOL, int: click.INT, float: click.FLOAT}.get(annotation, click.STRING)


def _setting_options() -> Iterator[SettingOption]:
    for group in GROUPS:
        for name, field in group.model_fields.items():
            yield SettingOption(name, field, section=(group.__doc__ or "").strip())


def with_settings(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds every setting and --preset as options; the function gets them as `settings`."""

    @functools.wraps(function)
    def wrapper(*args: Any, preset: str | None, **options: Any) -> Any:
        names = set(Settings.model_fields)
        given = {k: v for k, v in options.items() if k in names and v is not None}
        rest = {k: v for k, v in options.items() if k not in names}
        settings = Settings.of({**(load_preset(preset) if preset else {}), **given})
        return function(*args, settings=settings, **rest)

    click.option("--preset", metavar="NAME|FILE", help=f"options from a file; shipped: {', '.join(preset_names())}")(
        wrapper
    )
    wrapper.__dict__.setdefault("__click_params__", []).extend(reversed(list(_setting_options())))
    return wrapper


@click.group(cls=DefaultCommand, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(package_name="dossr-video", prog_name="dossr-video")
def app() -> None:
    """Restore and enlarge video x4 with domain-shift diffusion.

    \b
    dossr-video IN OUT [options]     the same as `dossr-video upscale IN OUT`
    dossr-video upscale --help       all options
    """


PATH = click.Path(path_type=Path)


@app.command(cls=GroupedCommand)
@click.argument("source", type=PATH)
@click.argument("target", type=PATH)
@with_settings
@click.option("--force", is_flag=True, help="overwrite TARGET")
@click.option("--restart", is_flag=True, help="drop what an interrupted run has finished and begin anew")
@click.option("--quiet", is_flag=True, help="no progress; errors and warnings only")
@click.option("--json-report", type=PATH, metavar="FILE", help="write what was done and found as JSON")
@click.option("--before-after", type=PATH, metavar="PNG", help="write a picture of a frame before and after")
@click.option("--debug", is_flag=True, expose_value=False, help="show the traceback of an error")
def upscale(
    source: Path,
    target: Path,
    *,
    settings: Settings,
    force: bool,
    restart: bool,
    quiet: bool,
    json_report: Path | None,
    before_after: Path | None,
) -> None:
    """Restore and enlarge SOURCE into TARGET (.mp4, .mkv, .mov), sound and all other streams kept.

    An interrupted run goes on where it stopped when the same command is given again.
    """
    from dossr_video.jobs.run import run_job

    with interruptible() as cancelled, progress_display(quiet=quiet) as on_progress:
        report = run_job(
            source, target, settings, force=force, restart=restart, on_progress=on_progress, cancelled=cancelled
        )
        if json_report is not None:
            json_report.write_text(report.dumps(), encoding="utf-8")
        if before_after is not None:
            from dossr_video.report import before_after as write_picture

            write_picture(source, target, before_after)
        for warning in report.warnings:
            say(f"warning: {warning}")
        if not quiet:
            say(report.summary())
            if before_after is not None:
                say(f"before and after: {before_after}")


def main() -> None:
    """Entry point of the command; see the module's docstring for the exit codes."""
    with failures(debug="--debug" in sys.argv):
        try:
            code = app(prog_name="dossr-video", standalone_mode=False)
        except click.UsageError as error:
            command = error.ctx.command_path if error.ctx else "dossr-video"
            raise SettingsError(error.format_message(), hint=f"`{command} --help` tells how it is used") from error
        sys.exit(code if isinstance(code, int) else 0)
