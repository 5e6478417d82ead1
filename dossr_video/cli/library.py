"""The commands for whole collections: `dossr-video batch` and `dossr-video status`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Literal

import rich_click as click
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from dossr_video.cli.console import duration_text, progress_display, put, say
from dossr_video.cli.options import (
    GroupedCommand,
    complete_files,
    debug_option,
    job_options,
    make_executor,
    with_settings,
)
from dossr_video.cli.signals import interruptible
from dossr_video.jobs.progress import Progress
from dossr_video.names import shown
from dossr_video.settings import Settings

if TYPE_CHECKING:
    from dossr_video.library.estimate import Estimate
    from dossr_video.library.status import Status
    from dossr_video.library.work import Outcome


KINDS = ("mkv", "mp4", "m4v", "mov", "mxf", "webm", "png", "tif", "tiff", "dpx", "exr", "jp2", "j2k")
"""Extensions of all results that there are; loading what writes them would take too long here."""

catalogue_option = click.option(
    "--catalogue",
    metavar="URL",
    envvar="DOSSR_VIDEO_CATALOGUE",
    help="postgresql://user@host/database that many machines share (extra `postgres`)  [a file in RESULTS]",
)


@click.command(cls=GroupedCommand)
@click.argument("sources", shell_complete=complete_files)
@click.argument("results", shell_complete=complete_files)
@with_settings
@click.option("--recursive", is_flag=True, help="folders below SOURCES too")
@click.option("--include", multiple=True, metavar="GLOB", help="only files that match; may be given several times")
@click.option("--exclude", multiple=True, metavar="GLOB", help="no files that match; may be given several times")
@click.option(
    "--to",
    type=click.Choice(KINDS),
    help="what all results are: png, tif, dpx, exr and the like are numbered pictures in a folder for each source  "
    "[as the source, else mkv]",
)
@click.option(
    "--jobs",
    type=click.IntRange(1, 256),
    metavar="N",
    help="files that are done at once; the results are the same  [with compact and bicubic on a CPU one for every two "
    "cores, as far as the free memory holds them; else 1]",
)
@click.option("--premis", is_flag=True, help="leave OUT.premis.xml beside each result, for archives")
@click.option(
    "--captions",
    type=click.Choice(["scc", "srt"]),
    multiple=True,
    help="leave OUT.scc or OUT.srt beside each new result whose source has closed captions; may be given several times",
)
@click.option("--dry-run", is_flag=True, help="estimate frames, hours and disk; the speed is measured on this machine")
@click.option("--watch", is_flag=True, help="go on with files that appear later, until Ctrl-C")
@catalogue_option
@job_options
def batch(
    sources: str,
    results: str,
    *,
    settings: Settings,
    recursive: bool,
    include: tuple[str, ...],
    exclude: tuple[str, ...],
    to: str | None,
    jobs: int | None,
    premis: bool,
    captions: tuple[str, ...],
    dry_run: bool,
    watch: bool,
    catalogue: str | None,
    force: bool,
    restart: bool,
    cluster: str | None,
    quiet: bool,
    progress: Literal["auto", "json"],
) -> int:
    """Do every video of the folder SOURCES into the folder RESULTS, which mirrors it; either may be s3://BUCKET/FOLDER.

    Only what is new, has changed or failed before is done; a bad file never stops the rest. Exit code 1 if some failed.
    """
    from dossr_video.library.batch import Batch
    from dossr_video.library.estimate import estimate
    from dossr_video.library.files import Library, Place, place_of

    library = Library(
        place_of(sources), place_of(results), recursive, include, exclude, f".{to}" if to else None, catalogue
    )
    work = Batch(library, settings, force, restart, cluster, premis, tuple(dict.fromkeys(captions)), jobs)
    if dry_run:
        with interruptible() as cancelled, progress_display(quiet=quiet, kind=progress) as show:
            executor = make_executor(settings, cluster)
            found = estimate(work, executor=executor, on_progress=show, cancelled=cancelled)
        _print_estimate(found)
        return 0
    outcomes: dict[Place, Outcome] = {}
    pages: list[str] = []
    try:
        with interruptible() as cancelled, progress_display(quiet=quiet, kind=progress) as show:

            def take(outcome: Outcome) -> None:
                outcomes[outcome.source] = outcome
                _report(outcome, quiet=quiet)
                if watch:
                    show(Progress("waiting for files", unit="files"))

            work.run(watch=watch, on_outcome=take, on_progress=show, on_index=pages.append, cancelled=cancelled)
    finally:  # after Ctrl-C too: what was done until then
        if outcomes and not quiet:
            _print_outcomes(list(outcomes.values()))
            for page in pages:
                say(f"page of all: {page}")
    if not outcomes and not quiet:
        say("no files")
    return int(any(outcome.verdict in ("failed", "crashed") for outcome in outcomes.values()))


@click.command()
@click.argument("path", shell_complete=complete_files)
@click.option("--json", "as_json", is_flag=True, help="print JSON")
@catalogue_option
@debug_option
def status(path: str, *, as_json: bool, catalogue: str | None) -> None:
    """Show what is running, interrupted, done or failed of a folder of results, or of one result.

    Known are all files of `batch`, jobs that are not finished, and results with a report beside them (RESULT.json).
    """
    from dossr_video.library.files import place_of
    from dossr_video.library.status import status as look

    found = look(place_of(path), catalogue=catalogue)
    if as_json:
        click.echo(json.dumps(asdict(found), indent=2, default=shown))
    else:
        _print_status(found)


def _print_estimate(found: Estimate) -> None:
    from dossr_video.jobs.estimate import duration
    from dossr_video.jobs.resources import readable

    if found.measured_on is None:
        click.echo("nothing to do")
    else:
        click.echo(f"{found.files} files, {found.frames} frames: about {duration(found.hours * 3600)} on this machine")
        click.echo(
            f"{readable(found.result_bytes)} of results, and {readable(found.temporary_bytes)} for temporary files"
        )
        click.echo(f"measured on a part of {shown(found.measured_on)}")
    for path in found.unknown:
        click.echo(f"not counted, it declares no length: {shown(path)}")
    for path, reason in found.refused:
        click.echo(shown(f"would fail: {reason}" if str(path) in reason else f"would fail: {path}: {reason}"))


def _report(outcome: Outcome, *, quiet: bool) -> None:
    """The outcome of a file, at once: a library takes days."""
    if outcome.error is not None:
        say(_failure(outcome.verdict, str(outcome.source), outcome.error, outcome.hint or ""))
    elif outcome.verdict == "done" and not quiet:
        say(f"done: {outcome.target}: {outcome.frames} frames in {duration_text(outcome.seconds)}")


def _print_outcomes(outcomes: Sequence[Outcome]) -> None:
    """A row for each file of this run that was not up to date, and the counts of all."""
    table = Table("file", "outcome", "frames", "time")
    for outcome in outcomes:
        if outcome.verdict != "unchanged":
            frames = "" if outcome.frames is None else str(outcome.frames)
            table.add_row(escape(shown(outcome.source)), outcome.verdict, frames, duration_text(outcome.seconds))
    counts = Counter(outcome.verdict for outcome in outcomes)
    if table.row_count:
        Console(stderr=True).print(table)
    say(", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items())))


def _print_status(status: Status) -> None:
    from dossr_video.library.worker import Worker

    for job in status.jobs:
        if job.kept is not None:
            put(f"failed its proof: {job.target}: kept as {job.kept}")
            continue
        left = "" if job.seconds_left is None else f", {duration_text(job.seconds_left)} left"
        owner = "" if job.owner is None else f" by process {job.owner.pid} on {job.owner.host}"
        click.echo(f"{job.state}{owner}: {shown(job.target)}: {job.stage} {job.done}/{job.total or '?'} frames{left}")
    for entry in status.running:
        put(f"running by {Worker(entry.worker or '')}: {entry.source}")
    for entry in status.done:
        target = "" if entry.target == entry.source else f" -> {entry.target}"
        put(f"done: {entry.source}{target}: {entry.frames} frames")
    for entry in status.failed:
        put(_failure(entry.state, entry.source, entry.error or "", entry.hint or ""))
    jobs = Counter(job.state for job in status.jobs)
    stopped = f"{jobs['interrupted']} interrupted, " if jobs["interrupted"] else ""
    click.echo(
        f"{len(status.running) + jobs['running']} in work, {stopped}{len(status.done)} done, "
        f"{len(status.failed) + jobs['failed']} failed"
    )


def _failure(state: str, source: str, error: str, hint: str) -> str:
    """What came of a file and what to do, with its name once."""
    where = "" if source in error else f"{source}: "
    return f"{state}: {where}{error}" + (f"; {hint}" if hint else "")
