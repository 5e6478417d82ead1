"""The command `dossr-video`.

Exit codes: 0 done, 1 failed, 2 wrong usage, 3 the result did not pass its proof, 130 interrupted. A failure is one line
`error:` and one line `hint:`; --debug adds the traceback.

What needs torch is imported inside the commands: --help and a mistyped option need not wait for it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import rich_click as click
from click.shell_completion import get_completion_class

from dossr_video.cli.compare import compare, preview
from dossr_video.cli.console import failures, progress_display, say, warn
from dossr_video.cli.doctor import doctor
from dossr_video.cli.encoders import encoders
from dossr_video.cli.library import batch, status
from dossr_video.cli.options import (
    HELP,
    PATH,
    DefaultCommand,
    GroupedCommand,
    complete_files,
    debug_option,
    fps_option,
    job_options,
    make_executor,
    with_settings,
)
from dossr_video.cli.pipe import PipeOptions, pipe_options, run_pipe
from dossr_video.cli.presets import presets
from dossr_video.cli.probe import probe
from dossr_video.cli.signals import interruptible
from dossr_video.cli.ui import ui
from dossr_video.cli.verify import verify
from dossr_video.errors import SettingsError
from dossr_video.heap import keep_one_heap
from dossr_video.jobs.progress import Progress
from dossr_video.settings import Settings
from dossr_video.threads import wait_asleep

if TYPE_CHECKING:
    from dossr_video.temporal.shots import Luma


@click.group(cls=DefaultCommand, context_settings={"help_option_names": ["-h", "--help"], "rich_help_config": HELP})
@click.version_option(package_name="dossr-video", prog_name="dossr-video")
def app() -> None:
    """Restore and enlarge video x4 with domain-shift diffusion.

    \b
    dossr-video IN OUT [options]     the same as `dossr-video upscale IN OUT`
    dossr-video upscale --help       the options that most people need
    dossr-video upscale --help-all   all options
    """


@app.command(cls=GroupedCommand)
@click.argument("source", shell_complete=complete_files)
@click.argument("target", shell_complete=complete_files)
@with_settings
@job_options
@pipe_options
@click.option("--json-report", type=PATH, metavar="FILE", help="write what was done and found as JSON")
@click.option("--premis", type=PATH, metavar="XML", help="write what was done and found as PREMIS 3, for archives")
@click.option("--report", "page", type=PATH, metavar="HTML", help="write a page with pictures, figures and the proof")
@click.option("--before-after", type=PATH, metavar="PNG", help="write a picture of a frame before and after")
@click.option(
    "--captions",
    type=PATH,
    multiple=True,
    metavar="FILE",
    help="write the closed captions (CEA-608) as .scc or .srt; may be given several times",
)
def upscale(
    source: str,
    target: str,
    *,
    settings: Settings,
    force: bool,
    restart: bool,
    cluster: str | None,
    quiet: bool,
    progress: Literal["auto", "json"],
    json_report: Path | None,
    premis: Path | None,
    page: Path | None,
    before_after: Path | None,
    captions: tuple[Path, ...],
    pipes: PipeOptions,
) -> None:
    """Restore and enlarge SOURCE into TARGET, sound and all other streams kept. Either may be a URL.

    TARGET ends in .mp4, .m4v, .mov, .mkv, .mxf or .webm, or is numbered pictures: out_%06d.png. An interrupted run
    goes on where it stopped when the same command is given again. `-` for both, or named pipes, takes frames (y4m or
    rawvideo) from one program and gives them to another.
    """
    from dossr_video.cli.records import Outputs, OutputsRecord
    from dossr_video.jobs.run import run_job
    from dossr_video.jobs.urls import is_url, shown_url
    from dossr_video.pipe import is_pipe

    outputs = Outputs(page, json_report, premis, before_after, captions)
    if is_pipe(source) or is_pipe(target):
        refused = {
            "--audio": settings.audio,
            "--subtitles": settings.subtitles,
            "--restart": restart,
            "--ray": cluster,
            **dict(outputs.given()),
        }
        run_pipe(source, target, settings, pipes, refused, quiet=quiet, progress=progress)
        return
    pipes.require_none()
    with interruptible() as cancelled, progress_display(quiet=quiet, kind=progress) as on_progress:
        report = run_job(
            source,
            target,
            settings,
            force=force,
            restart=restart,
            on_progress=on_progress,
            cancelled=cancelled,
            executor=make_executor(settings, cluster),
            record=OutputsRecord(
                outputs,
                source,
                target,
                settings,
                force=force,
                on_frame=lambda done, frames: on_progress(Progress("reporting", done, frames)),
            ),
        )
    for place in report.damage:
        warn(f"the source is damaged {place}")
    if not quiet:
        say(f"result: {shown_url(target) if is_url(target) else target}")
        if before_after is not None:
            say(f"before and after: {before_after}")
        if page is not None:
            say(f"page: {page}")
        for path in captions:
            say(f"captions: {path}")
        say(report.summary())


@app.command()
@click.argument("checkpoint", type=PATH)
@click.argument("folder", type=PATH)
@click.option(
    "--dtype",
    type=click.Choice(["float16", "float32"]),
    default="float16",
    show_default=True,
    help="number type of the weights",
)
@click.option("--text-tower", is_flag=True, help="keep the text tower, for prompts of your own")
@debug_option
def convert(checkpoint: Path, folder: Path, *, dtype: str, text_tower: bool) -> None:
    """Write a DoSSR CHECKPOINT as a FOLDER in diffusers' layout: smaller, faster to load."""
    from dossr_video.models.dossr.convert import convert as write
    from dossr_video.models.registry import DTYPES

    write(checkpoint, folder, dtype=DTYPES[dtype], text_tower=text_tower)
    say(f"result: {folder}; use it with --model {folder}")


@app.command()
@click.argument("source", type=PATH)
@fps_option
@click.option("--json", "as_json", is_flag=True, help="print JSON")
@debug_option
def shots(source: Path, *, fps: Fraction | None, as_json: bool) -> None:
    """Print the shots of SOURCE: first frame, one past the last, and the time at which each begins."""
    from dossr_video.temporal.shots import find_shots
    from dossr_video.video.info import Choice
    from dossr_video.video.read.reader import ReadSpec, open_reader

    pts = []
    with open_reader(source, ReadSpec(choice=Choice(fps=fps))) as reader:

        def lumas() -> Iterator[Luma]:
            for frame in reader.frames():
                pts.append(frame.pts)
                yield frame.luma_small()

        starts = list(find_shots(lumas()))
        times = [float(pts[start] * reader.time_base) for start in starts]
    rows = list(zip(starts, [*starts[1:], len(pts)], times, strict=True))
    if as_json:
        click.echo(json.dumps([{"start": a, "stop": b, "seconds": t} for a, b, t in rows]))
    else:
        for start, stop, seconds in rows:
            click.echo(f"{start}\t{stop}\t{seconds:.3f}")


@app.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@debug_option
def completion(shell: str) -> None:
    """Print what makes Tab complete commands, options and files: `eval "$(dossr-video completion bash)"`."""
    kind = get_completion_class(shell)
    assert kind is not None
    click.echo(kind(app, {}, "dossr-video", "_DOSSR_VIDEO_COMPLETE").source())


app.add_command(probe)
app.add_command(batch)
app.add_command(status)
app.add_command(presets)
app.add_command(compare)
app.add_command(preview)
app.add_command(verify)
app.add_command(doctor)
app.add_command(encoders)
app.add_command(ui)


def main() -> None:
    """Entry point of the command; see the module's docstring for the exit codes."""
    keep_one_heap()
    wait_asleep()
    with failures(debug="--debug" in sys.argv):
        try:
            code = app(prog_name="dossr-video", standalone_mode=False)
        except click.Abort as error:  # what click makes of the second Ctrl-C
            raise KeyboardInterrupt from error
        except click.UsageError as error:
            command = error.ctx.command_path if error.ctx else "dossr-video"
            hint = f"`{command} --help` tells how it is used"
            if (file := next((a for a in sys.argv[1:] if a.startswith("-") and Path(a).exists()), None)) is not None:
                hint = f"a file whose name begins with a dash is given as ./{file}"
            raise SettingsError(error.format_message(), hint=hint) from error
        sys.exit(code if isinstance(code, int) else 0)
