"""What a library leaves to look at: a report and a page beside each result, and an index of all."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote as quoted

from dossr_video.errors import DossrError, Interrupted, TargetError
from dossr_video.jobs import durable
from dossr_video.jobs.premis import premis_of
from dossr_video.jobs.progress import OnProgress, Progress
from dossr_video.jobs.report import Report, report_of
from dossr_video.jobs.resources import readable, write_errors
from dossr_video.library.catalogue import Catalogue, Entry
from dossr_video.names import shown
from dossr_video.quality.track import Measured
from dossr_video.report.index import Row, write_index
from dossr_video.report.plots import clock
from dossr_video.video.sequence import plain_name

INDEX = "dossr-video.html"  # in the folder of the results


def page_of(target: Path) -> Path:
    return target.with_name(plain_name(target) + ".html")


def write_report(report: Report, target: Path, on_progress: OnProgress, *, premis: bool) -> None:
    """Beside a new result, with `premis` as PREMIS XML too; the page of an older one goes away.

    A failure is a warning: the result is complete.
    """
    try:
        with write_errors(target.parent):
            if report_of(target).exists():
                _require_report(report_of(target))
                page_of(target).unlink(missing_ok=True)
            durable.write(report_of(target), report.dumps().encode())
            if premis:
                durable.write(target.with_name(plain_name(target) + ".premis.xml"), premis_of(report))
    except DossrError as error:
        on_progress(Progress("reporting", warnings=(f"{shown(target)} has no report: {error.message}",)))


def _require_report(path: Path) -> None:
    """TargetError when the file is no report, of whatever version: somebody else's is not overwritten."""
    try:
        found = json.loads(path.read_bytes())
    except ValueError:
        found = None
    if not (isinstance(found, dict) and {"settings", "proof"} <= found.keys()):
        raise TargetError(f"{shown(path)} exists and is no report", hint="move it away")


def write_page(
    source: Path,
    target: Path,
    on_progress: OnProgress,
    cancelled: Callable[[], bool],
    *,
    measured: Measured | None = None,
) -> None:
    """The page of a result that has a report and no page yet. A failure is a warning: the result is complete.

    `measured` by the run that has just made the result; None: both files are read. It is left to the next run of the
    library when `cancelled` says so.
    """
    from dossr_video.report.run import run_page  # what draws plots takes a second to import

    if page_of(target).is_file() or (report := read_report(target)) is None:
        return

    def count(frames: int) -> None:
        on_progress(Progress("reporting", frames, report.frames))
        if cancelled():
            raise Interrupted("stopped while a page was written", hint="the next run writes it")

    try:
        count(0)
        run_page(report, source, target, page_of(target), measured=measured, on_frame=count)
    except Interrupted:
        return
    except DossrError as error:
        on_progress(Progress("reporting", warnings=(f"{shown(target)} has no page: {error.message}",)))


def write_library_index(results: Path, catalogue: Catalogue, on_progress: OnProgress) -> None:
    """The index of all files that the catalogue knows. A failure is a warning."""
    try:
        rows = [_row(results, entry) for entry in catalogue.entries()]
        write_index(results / INDEX, rows, title=shown(results.resolve().name))
    except DossrError as error:
        on_progress(Progress("reporting", unit="files", warnings=(error.message,)))


def read_report(target: Path) -> Report | None:
    """None where a result has none, or one of another version."""
    try:
        return Report.model_validate_json(report_of(target).read_bytes())
    except (OSError, ValueError):
        return None


def _row(results: Path, entry: Entry) -> Row:
    if entry.state != "done":
        found = [line for line in (entry.error, entry.hint) if line]
        return Row(entry.source, entry.state, found=found)
    target = results / entry.target
    report = read_report(target)
    page = quoted(os.fsencode(page_of(Path(entry.target)))) if page_of(target).exists() else ""
    size = readable(entry.result_size or 0)
    if report is None:
        return Row(entry.source, "done", page, frames=str(entry.frames), size=size)
    found = [
        *(f"not kept: {line}" for line in report.lost),
        *(f"damaged {place}" for place in report.damage),
        *report.warnings,
    ]
    video = report.settings.video
    return Row(
        entry.source,
        "done",
        page,
        f"{video.width}x{video.height}",
        str(report.frames),
        size,
        clock(report.seconds),
        found,
    )
