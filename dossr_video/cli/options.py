"""Click pieces: options made from `Settings`, help in groups, a command that may be left out."""

from __future__ import annotations

import functools
import os
import types
import typing
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import rich_click as click
from click.core import ParameterSource
from click.shell_completion import CompletionItem
from pydantic import BeforeValidator
from pydantic.fields import FieldInfo

from dossr_video.cli.console import log_to
from dossr_video.errors import SettingsError
from dossr_video.names import meant, possible
from dossr_video.presets import load_config, load_preset, preset_names
from dossr_video.settings import GROUPS, MODELS, Settings

if TYPE_CHECKING:
    from dossr_video.jobs.execute.executor import Executor


HELP = click.RichHelpConfiguration(
    theme="default-slim", max_width=120, show_arguments=False, padding_helptext_first_line=(0, 0, 1, 0)
)
"""How help looks: no frames, since a terminal of 80 columns has none to spare."""


class LocalFile(click.Path):
    """A path of this machine: a URL would lose one of its slashes, and be told as a file that is not there."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if "://" in str(value):
            from dossr_video.jobs.urls import local, shown_url

            if (path := local(str(value))) is None:
                name = "" if param is None else f"{param.get_error_hint(ctx)} ".replace("'", "")
                raise SettingsError(
                    f"{name}{shown_url(str(value))} must be a file of this machine",
                    hint="name a file here; the source and the result of a run may be URLs, the folders of `batch` too",
                )
            value = str(path)
        found = super().convert(value, param, ctx)
        possible(Path(os.fsdecode(found)))
        return found


PATH = LocalFile(path_type=Path)


def _log_to(ctx: click.Context, parameter: click.Parameter, path: Path | None) -> None:
    if path is not None:
        log_to(path)


def _frame_rate(ctx: click.Context, parameter: click.Parameter, value: str | None) -> Fraction | None:
    return Settings.of({"fps": value}).frame_rate


fps_option = click.option(
    "--fps", metavar="RATE", callback=_frame_rate, help="frame rate of a picture sequence that does not say its own"
)
debug_option = click.option("--debug", is_flag=True, expose_value=False, help="show the traceback of an error")
quiet_option = click.option("--quiet", is_flag=True, help="no progress; errors and warnings only")
progress_option = click.option(
    "--progress",
    type=click.Choice(["auto", "json"]),
    default="auto",
    help="json: a line of JSON on stdout for each event, for other programs  [auto]",
)
log_option = click.option(
    "--log",
    type=PATH,
    metavar="FILE",
    expose_value=False,
    callback=_log_to,
    help="append all messages with the time to a file",
)
force_option = click.option("--force", is_flag=True, help="overwrite results that exist")
restart_option = click.option(
    "--restart", is_flag=True, help="drop what an interrupted run has finished and begin anew"
)
ray_option = click.option(
    "--ray", "cluster", metavar="local|ADDRESS", help="run the segments on a Ray cluster (extra `ray`)"
)


def job_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """What every command has that does a job: --force, --restart, --ray, --quiet, --progress, --log and --debug."""
    for option in (
        debug_option,
        log_option,
        progress_option,
        quiet_option,
        ray_option,
        restart_option,
        force_option,
    ):
        function = option(function)
    return function


class DefaultCommand(click.RichGroup):
    """A group whose first argument may be left out: `dossr-video in.mp4 out.mp4` is `dossr-video upscale ...`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        own = {"--help", "--version", "-h"}
        if not args and not ctx.resilient_parsing:
            args = ["--help"]
        if args and args[0] not in self.commands and args[0] not in own:
            if not ctx.resilient_parsing:
                self._require_no_command(args[0])
            args = ["upscale", *args]
        return super().parse_args(ctx, args)

    def _require_no_command(self, word: str) -> None:
        """SettingsError for a word that is a command, mistyped: neither a file nor a name that one would have."""
        if word.isalpha() and not Path(word).exists() and (near := meant(word, self.commands)):
            raise SettingsError(f"{word!r} is no command, and no file", hint=near.strip())

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        return _or_file(super().shell_complete(ctx, incomplete), incomplete)


class GroupedCommand(click.RichCommand):
    """A command whose help shows its own options, and with --help-all the settings in their groups as well."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        # The settings are explained once, where a run is.
        shown = frozenset() if self.name != "upscale" else COMMON
        settings = [parameter for parameter in self.get_params(ctx) if isinstance(parameter, SettingOption)]
        left = [] if ctx.meta.get(ALL) else [setting for setting in settings if setting.name not in shown]
        for setting in left:
            setting.hidden = True
        own = [p.name for p in self.get_params(ctx) if isinstance(p, click.Option) and not isinstance(p, SettingOption)]
        self.panels = [click.RichOptionPanel("The run", options=own)]
        super().format_options(ctx, formatter)
        for setting in left:
            setting.hidden = False
        if left:
            formatter.write(f"{len(left)} more options: {ctx.command_path} --help-all")


ALL = "dossr_video.help_all"
LONGEST = 40  # characters of an option's values before its help
COMMON = frozenset(
    {"model", "scale", "size", "encoder", "crf", "pix_fmt", "strict", "deinterlace", "deflicker", "start", "end"}
    | {"strength", "native", "device", "seed", "preset", "audio", "subtitles"}
)


def _print_all(ctx: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    if wanted:
        ctx.meta[ALL] = True
        click.echo(ctx.get_help())
        ctx.exit()


class SettingOption(click.RichOption):
    """An option made from a field of Settings; only the ones that were given reach the function."""

    def __init__(self, name: str, field: FieldInfo, *, section: str) -> None:
        option, flag, default = "--" + name.replace("_", "-"), field.annotation is bool, ""
        if field.default is True:
            option += f"/--no-{name.replace('_', '-')}"
        elif field.default is not None and field.default is not False and field.default not in ("", ()):
            default = f"  [{field.default}]"
        kind = None if flag else _click_type(field)
        words = ", ".join(map(str, kind.choices)) if isinstance(kind, click.Choice) else ""
        long = len(words) > LONGEST  # a column of the help would cut it
        metavar = "NAME" if long else "FILE" if field.default == () else None
        help_text = (field.description or "") + (f"; one of {words}" if long else "") + default
        envvar = f"DOSSR_VIDEO_{name.upper()}"
        several = field.default == ()
        super().__init__(
            [option],
            default=None,
            type=kind,
            is_flag=flag,
            help=help_text,
            envvar=envvar,
            multiple=several,
            metavar=metavar,
        )
        self.panel = section  # of the help
        self.setting = name

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        items = super().shell_complete(ctx, incomplete)
        if self.setting == "model":
            return _or_file([CompletionItem(name) for name in MODELS if name.startswith(incomplete)], incomplete)
        if self.setting == "encoder":
            from dossr_video.video.write.encoders import encoder_names

            return [CompletionItem(name) for name in encoder_names() if name.startswith(incomplete)]
        return items


def _complete_preset(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    return _or_file([CompletionItem(name) for name in preset_names() if name.startswith(incomplete)], incomplete)


def _or_file(names: list[CompletionItem], incomplete: str) -> list[CompletionItem]:
    """Names, or else a file. The file comes first: in bash it takes away what stands before it."""
    return [CompletionItem(incomplete, type="file"), *names]


def complete_files(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Files, for arguments that may also be URLs."""
    return [CompletionItem(incomplete, type="file")]


def _click_type(field: FieldInfo) -> Any:
    """The click type of a field; limits are checked by Settings, which words them better."""
    if field.default == ():
        return LocalFile()
    # A type with a check of its own, such as h:mm:ss, takes text.
    return click.STRING if _has_check(field) else _type_of(field.annotation)


def _has_check(field: FieldInfo) -> bool:
    kinds = [*field.metadata, *(part for arm in typing.get_args(field.annotation) for part in typing.get_args(arm))]
    return any(isinstance(kind, BeforeValidator) for kind in kinds)


def _type_of(annotation: Any) -> Any:
    members = [a for a in typing.get_args(annotation) if a is not type(None)]
    if typing.get_origin(annotation) in (typing.Union, types.UnionType):
        return _type_of(members[0])
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
        given = {k: v for k, v in options.items() if k in names and v not in (None, ())}
        rest = {k: v for k, v in options.items() if k not in names}
        context: Any = click.get_current_context()
        source = context.get_parameter_source
        environment = {k: v for k, v in given.items() if source(k) is ParameterSource.ENVIRONMENT}
        settings = Settings.of(
            {
                **load_config(),
                **environment,
                **({} if preset is None else load_preset(preset)),
                **{k: v for k, v in given.items() if k not in environment},
            }
        )
        return function(*args, settings=settings, **rest)

    click.option(
        "--preset",
        metavar="NAME|FILE",
        help="options by name: see `dossr-video presets`",
        shell_complete=_complete_preset,
    )(wrapper)
    click.option(
        "--help-all", is_flag=True, is_eager=True, expose_value=False, callback=_print_all, help="explain every option"
    )(wrapper)
    wrapper.__dict__.setdefault("__click_params__", []).extend(reversed(list(_setting_options())))
    return wrapper


def make_executor(settings: Settings, cluster: str | None) -> Executor | None:
    """None: this machine, which the job makes itself once it knows that the input can be used."""
    if cluster is None:
        return None
    from dossr_video.jobs.execute.ray import RayExecutor
    from dossr_video.jobs.resolve import worker_spec

    return RayExecutor(worker_spec(settings), address=cluster)
