"""Click pieces: options made from `Settings`, help in groups, a command that may be left out."""

from __future__ import annotations

import functools
import types
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click
from click.core import ParameterSource
from pydantic.fields import FieldInfo

from dossr_video.presets import load_config, load_preset
from dossr_video.settings import GROUPS, Settings

if TYPE_CHECKING:
    from dossr_video.jobs.execute.executor import Executor


PATH = click.Path(path_type=Path)

debug_option = click.option("--debug", is_flag=True, expose_value=False, help="show the traceback of an error")
quiet_option = click.option("--quiet", is_flag=True, help="no progress; errors and warnings only")
force_option = click.option("--force", is_flag=True, help="overwrite results that exist")
restart_option = click.option(
    "--restart", is_flag=True, help="drop what an interrupted run has finished and begin anew"
)
ray_option = click.option(
    "--ray", "cluster", metavar="local|ADDRESS", help="run the segments on a Ray cluster (extra `ray`)"
)


def job_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """What every command has that does a job: --force, --restart, --ray, --quiet and --debug."""
    for option in (debug_option, quiet_option, ray_option, restart_option, force_option):
        function = option(function)
    return function


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
        envvar = f"DOSSR_VIDEO_{name.upper()}"
        super().__init__([option], default=None, type=kind, is_flag=flag, help=help_text, envvar=envvar)
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
        source = click.get_current_context().get_parameter_source
        environment = {k: v for k, v in given.items() if source(k) is ParameterSource.ENVIRONMENT}
        settings = Settings.of(
            {
                **load_config(),
                **environment,
                **(load_preset(preset) if preset else {}),
                **{k: v for k, v in given.items() if k not in environment},
            }
        )
        return function(*args, settings=settings, **rest)

    click.option("--preset", metavar="NAME|FILE", help="options by name: see `dossr-video presets`")(wrapper)
    wrapper.__dict__.setdefault("__click_params__", []).extend(reversed(list(_setting_options())))
    return wrapper


def make_executor(settings: Settings, cluster: str | None) -> Executor | None:
    """None: this machine, which the job makes itself once it knows that the input can be used."""
    if cluster is None:
        return None
    from dossr_video.jobs.execute.ray import RayExecutor
    from dossr_video.jobs.resolve import worker_spec

    return RayExecutor(worker_spec(settings), address=cluster)
