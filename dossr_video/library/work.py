"""One file of a library: from its name to its result, its report and its page."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Literal

from dossr_video.errors import DossrError, Interrupted, TargetError
from dossr_video.jobs.execute.executor import Executor
from dossr_video.jobs.execute.local import LocalExecutor
from dossr_video.jobs.fingerprint import SourceMark, sha256
from dossr_video.jobs.folder import JobFolder
from dossr_video.jobs.lock import HeldError
from dossr_video.jobs.naming import completed
from dossr_video.jobs.progress import OnProgress, Progress
from dossr_video.jobs.record import Record
from dossr_video.jobs.report import Report
from dossr_video.jobs.resolve import resolve_sampling, worker_spec
from dossr_video.jobs.resources import write_errors
from dossr_video.jobs.run import run_job
from dossr_video.library.catalogue import Catalogue, Entry
from dossr_video.library.files import Library
from dossr_video.library.pages import write_page, write_report
from dossr_video.names import shown
from dossr_video.quality.track import Measured
from dossr_video.settings import Settings
from dossr_video.video.files import status_of
from dossr_video.video.sequence import exists

Verdict = Literal["done", "unchanged", "failed", "crashed", "busy"]


@dataclass(frozen=True)
class Outcome:
    """The outcome of one file in this run; `busy` when another process works on it."""

    source: Path
    target: Path
    verdict: Verdict
    seconds: float = 0.0  # of this run
    frames: int | None = None
    error: str | None = None
    hint: str | None = None


@dataclass(frozen=True)
class FileWork:
    """Does files of a library. All that opens a video is here, where it may run in a process of its own."""

    library: Library
    settings: Settings
    force: bool  # overwrite results that the catalogue does not know
    restart: bool  # drop the finished segments of interrupted files
    cluster: str | None = None  # address of a Ray cluster; None: this machine
    premis: bool = False  # leave PREMIS XML beside each result
    given: Executor | None = field(default=None, compare=False)

    def prepare(self, *, on_progress: OnProgress, cancelled: Callable[[], bool]) -> None:
        """Load the model, and refuse once what would be refused for every file; ModelError, SettingsError."""
        info = self.executor.info
        resolve_sampling(self.settings, info.defaults, model=info.model)

    @cached_property
    def executor(self) -> Executor:
        spec = worker_spec(self.settings)
        if self.given is not None or self.cluster is None:
            return self.given or LocalExecutor(spec)
        from dossr_video.jobs.execute.ray import RayExecutor

        return RayExecutor(spec, address=self.cluster)

    def do(self, source: Path, *, on_progress: OnProgress, cancelled: Callable[[], bool]) -> Outcome:
        """Do a file that is new, has changed, failed before or was done with other settings. Raises Interrupted."""
        target, started = self.library.target_of(source), time.monotonic()
        on_progress(Progress("probing"))
        measured: list[Measured] = []
        try:
            outcome = self._claimed(source, target, on_progress, cancelled, measured.append)
        except Interrupted:
            raise
        except HeldError as error:
            outcome = Outcome(source, target, "busy", error=error.message, hint=error.hint)
        except OSError as error:  # gone since it was listed, or not readable
            outcome = Outcome(
                source, target, "failed", error=str(error), hint="check that the file is there and may be read"
            )
        except DossrError as error:
            outcome = Outcome(source, target, "failed", error=error.message, hint=error.hint)
        except Exception as error:
            message = f"{type(error).__name__}: {error}"
            outcome = Outcome(source, target, "failed", error=message, hint="please report this defect of dossr-video")
        if outcome.verdict in ("done", "unchanged"):
            write_page(source, target, on_progress, cancelled, measured=measured[0] if measured else None)
        return replace(outcome, seconds=time.monotonic() - started)

    def failed(self, outcome: Outcome) -> Outcome:
        """Note in the catalogue that a file failed or crashed; `unchanged` where another process has done it."""
        try:
            entry = self.entry(outcome.source)
            catalogue = Catalogue(self.library.results)
            before = catalogue.get(entry.source)
            if before is not None and before.covers(entry):
                return replace(outcome, verdict="unchanged", error=None, hint=None)
            state: Literal["failed", "crashed"] = "crashed" if outcome.verdict == "crashed" else "failed"
            error, hint = shown(outcome.error or ""), shown(outcome.hint or "")
            noted = replace(entry.after(before), state=state, error=error, hint=hint)
            catalogue.put(replace(noted, finished=time.time()))
        except (OSError, DossrError):  # the file or the catalogue cannot be used: the outcome says why
            pass
        return outcome

    def entry(self, source: Path) -> Entry:
        """What the catalogue is to say of a file; OSError or SourceError when it cannot be read."""
        if source.is_dir():  # see Library.files
            raise OSError(f"the folder {source} cannot be read")
        mark = SourceMark.of(source)
        return Entry(
            self.library.name_of(source),
            shown(self.library.target_of(source).relative_to(self.library.results).as_posix()),
            "running",
            mark.size,
            mark.modified,
            mark.sample,
            self.settings.digest(),
            time.time(),
        )

    def tidy(self, source: Path) -> None:
        """Remove what a crash has left, but for finished segments."""
        try:
            with JobFolder.beside(self.library.target_of(source), suffix="").held():
                pass
        except (OSError, DossrError):  # it is left to the next run
            pass

    def _claimed(
        self,
        source: Path,
        target: Path,
        on_progress: OnProgress,
        cancelled: Callable[[], bool],
        on_measured: Callable[[Measured], None],
    ) -> Outcome:
        entry, catalogue = self.entry(source), Catalogue(self.library.results)
        before = catalogue.get(entry.source)
        if before is not None and before.covers(entry) and exists(target):
            _remove_leftover(target)
            return Outcome(source, target, "unchanged")
        self._check_owner(catalogue, entry, target)
        ours = before is not None and exists(target) and self._is_ours(before, target, sha256(target))
        with write_errors(self.library.results):
            target.parent.mkdir(parents=True, exist_ok=True)
        try:
            report = run_job(
                source,
                target,
                self.settings,
                force=self.force or ours,
                restart=self.restart,
                on_progress=on_progress,
                record=_CatalogueRecord(catalogue, entry, target, on_progress, on_measured, self.premis),
                cancelled=cancelled,
                executor=self.executor,
            )
        except _DoneMeanwhile:
            return Outcome(source, target, "unchanged")
        if report.damage:
            places = tuple(f"the source is damaged {place}" for place in report.damage)
            on_progress(Progress("reporting", report.frames, report.frames, warnings=places))
        return Outcome(source, target, "done", frames=report.frames)

    def _check_owner(self, catalogue: Catalogue, entry: Entry, target: Path) -> None:
        """Two sources must not become the same file: `a.avi` and `a.avi.mkv` would. Nor may a source be overwritten."""
        if self.library.is_among_sources(target):
            raise TargetError(f"{target} lies among the sources", hint="choose a folder of results beside them")
        others = [e.source for e in catalogue.of_target(entry.target) if e.source != entry.source]
        if others:
            raise TargetError(
                f"{entry.target} is already the result of {others[0]}", hint=f"rename {others[0]} or {entry.source}"
            )

    def _is_ours(self, before: Entry, target: Path, now: str) -> bool:
        """Whether the file there, of that sha256, is what the catalogue knows; TargetError when it was edited since."""
        if now in (before.result_sha256, before.coming):
            return True
        size = status_of(target).size
        if before.result_sha256 is None and before.result_size in (None, size):  # None: nothing was ever made
            return before.result_size is not None
        if self.force:
            return False
        raise TargetError(f"{target} was changed since it was made", hint="move it away, or overwrite it with --force")


class _DoneMeanwhile(Exception):
    """Another process has done the file before the job could begin."""


@dataclass
class _CatalogueRecord(Record):
    """Notes a job in the catalogue while its folder is held: so the catalogue says "done" before others may begin."""

    catalogue: Catalogue
    entry: Entry
    target: Path
    on_progress: OnProgress
    on_measured: Callable[[Measured], None]
    premis: bool
    wants_figures = True

    def is_measured(self, measured: Measured) -> None:
        self.on_measured(measured)

    def begins(self) -> None:
        before = self.catalogue.claim(self.entry, unless=self._is_done)
        if before is not None and self._is_done(before):
            raise _DoneMeanwhile
        self.entry = self.entry.after(before)

    def _is_done(self, known: Entry) -> bool:
        return known.covers(self.entry) and exists(self.target)

    def is_whole(self, report: Report) -> None:
        """Whoever finds the result after a crash knows it by this."""
        self.catalogue.put(replace(self.entry, frames=report.frames, coming=report.target.sha256))

    def is_named(self, report: Report) -> None:
        write_report(report, self.target, self.on_progress, premis=self.premis)
        result = report.target
        done = replace(self.entry, state="done", finished=time.time(), frames=report.frames, coming=None)
        self.catalogue.put(replace(done, result_size=result.size, result_sha256=result.sha256))


def _remove_leftover(target: Path) -> None:
    """Remove the folder of a complete job that was killed before it had done so."""
    folder = JobFolder.beside(target, suffix="")
    if not os.path.lexists(folder.path):
        return
    with contextlib.suppress(OSError, DossrError), folder.held():  # else it is in use, or not of a job
        if completed(folder, target) is not None:
            folder.remove()
