"""The command `dossr-video presets`: list, explain and save presets."""

from __future__ import annotations

import rich_click as click

from dossr_video.cli.console import put
from dossr_video.cli.options import GroupedCommand, debug_option, force_option, with_settings
from dossr_video.errors import SettingsError
from dossr_video.presets import Preset, preset_names, read_preset, save_preset, user_folder
from dossr_video.settings import Settings


@click.group(invoke_without_command=True)
@click.pass_context
def presets(context: click.Context) -> None:
    """List the presets; `presets show NAME` gives the reason for every value.

    Options are taken in this order, the later ones win: config.yaml in the user's folder, environment variables such
    as DOSSR_VIDEO_CRF=18, --preset, options of the command line.
    """
    if context.invoked_subcommand is not None:
        return
    names = preset_names()
    width = max(map(len, names))
    for name in names:
        try:
            about = read_preset(name).about
        except SettingsError as error:  # the others are there
            about = f"cannot be used: {error.message}"
        put(f"{name:<{width}}  {about}".rstrip())
    click.echo(f"\nYour own: {user_folder() / 'presets'}")


@presets.command()
@click.argument("name", metavar="NAME|FILE")
@debug_option
def show(name: str) -> None:
    """Print the options of a preset and the reason for each."""
    preset = read_preset(name)
    if preset.about:
        click.echo(preset.about)
    for option, value in preset.options.items():
        why = preset.reasons.get(option)
        click.echo(f"  --{option.replace('_', '-')} {_text(value)}" + (f"  {why}" if why else ""))


@presets.command(cls=GroupedCommand)
@click.argument("name")
@with_settings
@force_option
@click.option("--about", default="", metavar="TEXT", help="what the preset is for, one line")
@debug_option
def save(name: str, *, settings: Settings, force: bool, about: str) -> None:
    """Save the options that follow as the preset NAME, in the user's folder."""
    path = save_preset(Preset(name, about, settings.model_dump(exclude_unset=True)), force=force)
    click.echo(f"{path}\nuse it with --preset {name}")


def _text(value: object) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
