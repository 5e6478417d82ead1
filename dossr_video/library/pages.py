"""What a library leaves to look at: a report and a page beside each result, and an index of all."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote as quoted

from dossr_video.errors import DossrError, Interrupted, TargetError
from dossr_video.jobs.captions import caption_texts
from dossr_video.jobs.premis import premis_of
from dossr_video.jobs.progress import OnProgress, Progress
from dossr_video.jobs.report import Report
from dossr_video.jobs.resources import readable, write_errors, write_file
from dossr_video.jobs.upload import read_small, write_small
from dossr_video.library.catalogue import Catalogue, Entry
from dossr_video.library.files import Place, last_of
from dossr_video.names import decoded, shown
from dossr_video.option_values import duration_text
from dossr_video.quality.track import Measured
from dossr_video.report.index import Row, write_index
from dossr_video.video.mux.captions import holds_captions
from dossr_video.video.read.probe import probe
from dossr_video.video.sequence import path_beside

INDEX = "dossr-video.html"  # in the folder of the results


def page_of(target: Path) -> Path:
    return path_beside(target, ".html")


def beside(target: Place, ending: str) -> Place:
    """Where a file of that ending lies that goes with a result: its page, its report, its captions."""
    return f"{target}{ending}" if isinstance(target, str) else path_beside(target, ending)


@dataclass(frozen=True)
class Beside:
    """What goes beside a new result. A failure is a warning: the result is complete."""

    source: Place
    target: Place
    on_progress: OnProgress
    premis: bool  # whether the report is written as PREMIS XML too
    captions: tuple[str, ...] = ()  # the kinds, scc and srt, that the source's closed captions are written as

    def require_captions_place(self) -> None:
        """TargetError where captions would be written over a file, but for one that is as an earlier run left it."""
        places = [beside(self.target, f".{kind}") for kind in self.captions]
        found = {place: content for place in places if (content := _read(place)) is not None}
        before = read_report(self.target) if found else None
        for place, content in found.items():
            if before is None or before.captions.get(last_of(place)) != hashlib.sha256(content).hexdigest():
                raise TargetError(
                    f"{shown(place)} exists, and the closed captions are to be written there",
                    hint="move it away, or overwrite it with --force",
                )

    def write(self, report: Report, source: Path, result: Path, measured: Measured | None) -> None:
        """The report; the page of an older result goes away.

        Where source or result are in a bucket the page is written now, from the files on this machine, which go away.
        """
        try:
            report = report.model_copy(update={"captions": self._captions(report, source)})
            self._report(report)
            if not (isinstance(self.source, Path) and isinstance(self.target, Path)):
                self._page(report, source, result, measured)
        except DossrError as error:
            warning = f"{shown(self.target)} lacks a file that goes beside it: {error.message}"
            self.on_progress(Progress("reporting", warnings=(warning,)))

    def _report(self, report: Report) -> None:
        place = beside(self.target, ".json")
        if (before := _read(place)) is not None:
            _require_report(place, before)
            if isinstance(self.target, Path):  # that of a bucket is written over
                with write_errors(self.target.parent):
                    page_of(self.target).unlink(missing_ok=True)
        _write(place, report.dumps().encode())
        if self.premis:
            _write(beside(self.target, ".premis.xml"), premis_of(report))

    def _captions(self, report: Report, source: Path) -> dict[str, str]:
        """Write the captions where the source has any; gives the names of their files, with their SHA-256."""
        read = report.settings.read
        if not self.captions or not holds_captions(
            film := probe(source, max_pixels=read.max_pixels, choice=read.choice)
        ):
            return {}
        texts, left = caption_texts(film, report, [f".{kind}" for kind in self.captions])
        if left:
            told = tuple(f"not in the captions of {shown(self.source)}: {line}" for line in left)
            self.on_progress(Progress("reporting", warnings=told))
        digests = {}
        for kind, text in zip(self.captions, texts, strict=True):
            place = beside(self.target, f".{kind}")
            _write(place, text)
            digests[last_of(place)] = hashlib.sha256(text).hexdigest()
        return digests

    def _page(self, report: Report, source: Path, result: Path, measured: Measured | None) -> None:
        from dossr_video.report.run import run_page  # what draws plots takes a second to import

        def count(frames: int) -> None:
            self.on_progress(Progress("reporting", frames, report.frames))

        with tempfile.TemporaryDirectory() as folder:
            page = Path(folder) / "page.html"
            run_page(report, source, result, page, measured=measured, on_frame=count)
            _write(beside(self.target, ".html"), page.read_bytes())


def _read(place: Place) -> bytes | None:
    """What is there, of a folder no bytes; None: nothing."""
    if isinstance(place, str):
        return read_small(place)
    if not os.path.lexists(place):
        return None
    with write_errors(place.parent):
        return b"" if place.is_dir() else place.read_bytes()


def _write(place: Place, content: bytes) -> None:
    if isinstance(place, str):
        write_small(place, content)
    else:
        write_file(place, content)


def _require_report(place: Place, content: bytes) -> None:
    """TargetError when the file is no report, of whatever version: somebody else's is not overwritten."""
    try:
        found = json.loads(content)
    except ValueError:
        found = None
    if not (isinstance(found, dict) and {"settings", "proof"} <= found.keys()):
        raise TargetError(f"{shown(place)} exists and is no report", hint="move it away")


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


def write_library_index(results: Place, catalogue: Catalogue, on_progress: OnProgress) -> bool:
    """The index of all files that the catalogue knows; whether it is written. A failure is a warning."""
    try:
        if isinstance(results, Path):
            rows = [_row(results, entry) for entry in catalogue.entries()]
            write_index(results / INDEX, rows, title=shown(results.resolve().name))
            return True
        with tempfile.TemporaryDirectory() as folder:
            rows = [_row(None, entry) for entry in catalogue.entries()]
            write_index(Path(folder) / INDEX, rows, title=shown(results))
            write_small(f"{results}/{INDEX}", (Path(folder) / INDEX).read_bytes())
    except DossrError as error:
        on_progress(Progress("reporting", unit="files", warnings=(error.message,)))
        return False
    return True


def read_report(target: Place) -> Report | None:
    """None where a result has none, or one of another version."""
    try:
        content = _read(beside(target, ".json"))
        return None if content is None else Report.model_validate_json(content)
    except (TargetError, OSError, ValueError):
        return None


def _row(results: Path | None, entry: Entry) -> Row:
    """With what the report tells, but for results in a bucket: to read all of those would take too long."""
    if entry.state != "done":
        found = [line for line in (entry.error, entry.hint) if line]
        return Row(entry.source, entry.state, found=found)
    target = Path(decoded(entry.target))
    report = read_report(results / target) if results else None
    page = page_of(target)
    there = results is None or (results / page).exists()
    link = quoted(os.fsencode(page)) if there else ""
    size = readable(entry.result_size or 0)
    if report is None:
        return Row(entry.source, "done", link, frames=str(entry.frames), size=size)
    found = [
        *(f"not kept: {line}" for line in report.lost),
        *(f"damaged {place}" for place in report.damage),
        *report.warnings,
    ]
    video = report.settings.video
    return Row(
        entry.source,
        "done",
        link,
        f"{video.width}x{video.height}",
        str(report.frames),
        size,
        duration_text(report.seconds),
        found,
    )
