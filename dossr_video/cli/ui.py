"""The command `dossr-video ui`: the local page."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path

import rich_click as click

from dossr_video.cli.console import say
from dossr_video.cli.options import PATH, debug_option
from dossr_video.errors import SettingsError

PORT = 8677


@click.command()
@click.argument("folders", type=PATH, nargs=-1, required=True)
@click.option("--port", type=click.IntRange(0, 65535), default=PORT, show_default=True, help="0: any free one")
@click.option(
    "--max-upload",
    type=click.FloatRange(0, 100_000),
    default=20.0,
    show_default=True,
    metavar="GB",
    help="largest file that may be dropped into the page",
)
@click.option("--browser/--no-browser", default=True, help="whether to open the page in your browser  [yes]")
@debug_option
def ui(folders: tuple[Path, ...], *, port: int, max_upload: float, browser: bool) -> None:
    """Open a page to choose files of FOLDERS, preview, start and watch jobs, on this machine alone (extra `ui`).

    The page sees the FOLDERS and nothing else. Jobs run as with `dossr-video IN OUT`, one after another.
    """
    if missing := [name for name in ("starlette", "uvicorn") if find_spec(name) is None]:
        raise SettingsError(
            f"`dossr-video ui` needs {' and '.join(missing)}", hint='install them: pip install "dossr-video[ui]"'
        )
    from dossr_video.ui.server import serve

    screen = sys.platform == "darwin" or any(name in os.environ for name in ("DISPLAY", "WAYLAND_DISPLAY"))
    serve(folders, port=port, limit=round(max_upload * 1e9), browser=browser and screen, say=say)
