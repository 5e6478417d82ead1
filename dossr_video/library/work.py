"""One file of a library: from its name to its result, its report and its page."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Literal

from dossr_video.errors import DossrError, Interrupted, JobError, SourceError, TargetError
from dossr_video.jobs.execute.executor import Executor
from dossr_video.jobs.execute.local import LocalExecutor
from dossr_video.jobs.fingerprint import Glance, lasting, sha256
from dossr_video.jobs.lock import HeldError
from dossr_video.jobs.progress import OnProgress, Progress, no_progress
from dossr_video.jobs.record import Record
from dossr_video.jobs.report import Report
from dossr_video.jobs.resolve import resolve, resolve_sampling, worker_spec
from dossr_video.jobs.resources import write_errors
from dossr_video.jobs.run import run_job
from dossr_video.jobs.source import source_of
from dossr_video.jobs.urls import mark_of
from dossr_video.library.catalogue import LEASE, Catalogue, Entry, LostError
from dossr_video.library.files import SCAN_SUFFIXES, Library, Place
from dossr_video.library.lease import Lease
from dossr_video.library.opening import open_catalogue
from dossr_video.library.pages import Beside, read_report, write_page
from dossr_video.library.results import folder_of, is_begun, is_there, remove_leftover, sha256_of
from dossr_video.library.several import need
from dossr_video.library.worker import Worker
from dossr_video.names import shown
from dossr_video.quality.track import Measured
from dossr_video.settings import Settings
from dossr_video.video.files import status_of
from dossr_video.video.inspect.processing import analyse
from dossr_video.video.sequence import exists

Verdict = Literal["done", "unchanged", "failed", "crashed", "busy"]


@dataclass(frozen=True)
class Outcome:
    """The outcome of one file in this run; `busy` when another process works on it."""

    source: Place
    target: Place
    verdict: Verdict
    seconds: float = 0.0  # of this run; of a result those of its report
    frames: int | None = None
    error: str | None = None
    hint: str | None = None
    waits: bool = False  # whether it is looked at again in this run


@dataclass(frozen=True)
class FileWork:
    """Does files of a library. All that opens a video is here, where it may run in a process of its own."""

    library: Library
    settings: Settings
    force: bool  # overwrite results that the catalogue does not know
    restart: bool  # drop the finished segments of interrupted files where they are of no use any more
    cluster: str | None = None  # address of a Ray cluster; None: this machine
    premis: bool = False  # leave PREMIS XML beside each result
    captions: tuple[str, ...] = ()  # the kinds, scc and srt, that closed captions are left as beside each result
    since: float = 0.0  # when the run began, by the clock of the catalogue
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

    @cached_property
    def catalogue(self) -> Catalogue:
        return open_catalogue(self.library.results, self.library.catalogue, patient=True)  # the run has opened it

    @cached_property
    def worker(self) -> Worker:
        return Worker.new()

    def memory(self, source: Place, *, on_progress: OnProgress, cancelled: Callable[[], bool]) -> int:
        """Bytes that this process will take for a file, about; what is not here or no video counts as the smallest."""
        pixels = 0
        if isinstance(source, Path):
            with contextlib.suppress(OSError, DossrError):  # `do` says what is wrong with it
                video = source_of(source, self.settings).video
                pixels = video.width * video.height
        return need(pixels)

    def do(self, source: Place, *, on_progress: OnProgress, cancelled: Callable[[], bool]) -> Outcome:
        """Do a file that is new, has changed, failed before or was done with other settings. Raises Interrupted."""
        target, started = self.library.target_of(source), time.monotonic()
        on_progress(Progress("probing"))
        measured: list[Measured] = []
        with _Failures(source, target) as failures:
            failures.outcome = self._claimed(source, target, on_progress, cancelled, measured.append)
        outcome = failures.outcome
        ready = outcome.verdict in ("done", "unchanged")
        if ready and isinstance(source, Path) and isinstance(target, Path):  # with a bucket there is a page already
            write_page(source, target, on_progress, cancelled, measured=measured[0] if measured else None)
        return outcome if outcome.verdict == "done" else replace(outcome, seconds=time.monotonic() - started)

    def crashed(self, outcome: Outcome) -> Outcome:
        """Note that the process which worked on a file is gone; `unchanged` where another has done it."""
        try:
            entry = self.entry(outcome.source)
            before = self.catalogue.get(entry.source)
            if before is not None and before.covers(entry, partial(self.is_same, outcome.source)):
                return replace(outcome, verdict="unchanged", error=None, hint=None)
            if before is not None and before.worker is not None and Worker(before.worker).is_gone():
                self._fail(entry.source, Worker(before.worker), outcome)
            elif (
                self.catalogue.claim(entry, self.worker, since=self.since, is_there=bool, is_same=bool).answer == "ours"
            ):
                self._fail(entry.source, self.worker, outcome)
        except (OSError, DossrError):  # the file or the catalogue cannot be used: the outcome says why
            pass
        return outcome

    def entry(self, source: Place) -> Entry:
        """What the catalogue is to say of a file; OSError or SourceError when it cannot be read."""
        if isinstance(source, str):
            if Path(source).suffix.lower() in SCAN_SUFFIXES:
                raise SourceError(
                    f"{source}: pictures in a bucket are not read as a film", hint="copy their folder to this machine"
                )
            if ".." in self.library.name_of(source).split("/"):
                raise SourceError(
                    f"{source}: `..` would lead out of the folder of the results", hint="give the object another name"
                )
            size, sample = mark_of(source)
            mark = Glance(size, 0, sample)
        elif source.is_dir():  # see Library.files
            raise OSError(f"the folder {source} cannot be read")
        else:
            mark = Glance.of(source)
        return Entry(
            self.library.name_of(source),
            self.library.target_name_of(source),
            "running",
            mark.size,
            mark.modified,
            mark.sample,
            self.settings.digest(),
        )

    def is_same(self, source: Place, done: Entry, on_progress: OnProgress = no_progress) -> bool:
        """Whether a file with a new date has the content that its result was made of, by the report beside that."""
        return _report_of(source, self.library.target_of(source), on_progress, made=done.result_sha256) is not None

    def tidy(self, source: Place) -> None:
        """Remove what a crash has left, but for finished segments."""
        try:
            with folder_of(self.library.target_of(source)).held():
                pass
        except (OSError, DossrError):  # it is left to the next run
            pass

    def _claimed(
        self,
        source: Place,
        target: Place,
        on_progress: OnProgress,
        cancelled: Callable[[], bool],
        on_measured: Callable[[Measured], None],
    ) -> Outcome:
        """Do the file if nobody else has it."""
        entry, catalogue, worker = self.entry(source), self.catalogue, self.worker
        self._rename(source, entry)
        claim = catalogue.claim(
            entry,
            worker,
            since=self.since,
            is_there=lambda: is_there(target),
            is_same=partial(self.is_same, source, on_progress=on_progress),
        )
        if claim.answer == "done":
            if isinstance(target, Path):
                remove_leftover(target)
            return Outcome(source, target, "unchanged")
        if claim.answer != "ours":
            return _others(source, target, catalogue.get(entry.source))
        lease = Lease(catalogue, entry.source, worker)
        beside = Beside(source, target, on_progress, self.premis, self.captions)
        record = _CatalogueRecord(catalogue, entry.source, worker, beside, on_measured)
        failures = _Failures(source, target)
        try:
            with lease, failures:
                failures.outcome = self._run(
                    entry, claim.before, source, target, record, on_progress, lambda: lease.lost or cancelled()
                )
        except Interrupted as error:
            if not lease.lost:
                raise
            return Outcome(source, target, "busy", error=f"{source}: another worker has taken it", hint=error.hint)
        finally:  # after Ctrl-C too; what is finished is not the worker's any more
            with contextlib.suppress(TargetError):  # then the lease runs out
                if failures.outcome.verdict == "failed":
                    self._fail(entry.source, worker, failures.outcome)
                else:
                    catalogue.give_back(entry.source, worker)
        return failures.outcome

    def _rename(self, source: Place, entry: Entry) -> None:
        """What an older program has noted of it under a name that another file could have had."""
        old = self.library.old_name_of(source)
        if old != entry.source and old not in map(self.library.name_of, self.library.files()):
            self.catalogue.rename(old, entry)

    def _fail(self, name: str, worker: Worker, outcome: Outcome) -> None:
        state: Literal["failed", "crashed"] = "crashed" if outcome.verdict == "crashed" else "failed"
        self.catalogue.fail(name, worker, state, shown(outcome.error or ""), shown(outcome.hint or ""))

    def _run(
        self,
        entry: Entry,
        before: Entry | None,
        source: Place,
        target: Place,
        record: _CatalogueRecord,
        on_progress: OnProgress,
        cancelled: Callable[[], bool],
    ) -> Outcome:
        """Do a file that is ours."""
        self._check_owner(entry, target)
        if not self.force and not is_begun(target):
            record.beside.require_captions_place()
        now = sha256_of(target) if before is not None else None
        report = _report_of(source, target, on_progress) if before is None else None
        if report is not None and not self.force and self._asks_for(report, source, target):
            self.catalogue.promise(entry.source, self.worker, frames=report.frames, sha256=report.target.sha256)
            record.is_noted(report)
            return Outcome(source, target, "unchanged")
        ours = report is not None or (before is not None and now is not None and self._is_ours(before, target, now))
        if isinstance(target, Path):
            with write_errors(Path(self.library.results)):
                target.parent.mkdir(parents=True, exist_ok=True)
        run = partial(
            run_job,
            source,
            target,
            self.settings,
            force=self.force or ours,
            on_progress=on_progress,
            record=record,
            cancelled=cancelled,
            executor=self.executor,
        )
        try:
            report = run()
        except JobError as error:
            if not self.restart or isinstance(error, HeldError):
                raise
            report = run(restart=True)  # only where the finished segments are of no use any more
        if report.damage:
            places = tuple(f"the source is damaged {place}" for place in report.damage)
            on_progress(Progress("reporting", report.frames, report.frames, warnings=places))
        return Outcome(source, target, "done", frames=report.frames, seconds=report.seconds)

    def _asks_for(self, report: Report, source: Place, target: Place) -> bool:
        """Whether a run would do what the report says was done."""
        if not (isinstance(source, Path) and isinstance(target, Path)):
            return False
        settings, executor, info = self.settings, self.executor, source_of(source, self.settings)
        processing = analyse(info, settings, target=target, model_scale=executor.info.scale)
        spec = resolve(settings, info, processing, target, worker=executor.info, workers=executor.workers)
        return lasting(report.settings) == lasting(spec)

    def _check_owner(self, entry: Entry, target: Place) -> None:
        """Two sources must not become the same file: `a.avi` and `a.avi.mkv` would. Nor may a source be overwritten."""
        if self.library.is_among_sources(target):
            raise TargetError(f"{target} lies among the sources", hint="choose a folder of results beside them")
        others = {e.source for e in self.catalogue.of_target(entry.target)} - {entry.source}
        # One that was renamed, as the hint says, has no claim any more.
        others &= set(map(self.library.name_of, self.library.files())) if others else set()
        if others:
            other = min(others)
            raise TargetError(
                f"{entry.target} is already the result of {other}", hint=f"rename {other} or {entry.source}"
            )

    def _is_ours(self, before: Entry, target: Place, now: str) -> bool:
        """Whether the file there, of that sha256, is what the catalogue knows; TargetError when it was edited since."""
        if now in (before.result_sha256, before.coming):
            return True
        size = mark_of(target)[0] if isinstance(target, str) else status_of(target).size
        if before.result_sha256 is None and before.result_size in (None, size):  # None: nothing was ever made
            return before.result_size is not None
        if self.force:
            return False
        raise TargetError(f"{target} was changed since it was made", hint="move it away, or overwrite it with --force")


def _report_of(source: Place, target: Place, on_progress: OnProgress, *, made: str | None = None) -> Report | None:
    """The report beside a result, if it is of the source as it is, and of the result of that SHA-256 (None: as it is).

    None for a source in a bucket, which has no date here.
    """
    report = read_report(target) if isinstance(source, Path) else None
    if report is None or not isinstance(source, Path) or report.target.sha256 != (made or sha256_of(target)):
        return None
    content = sha256(source, lambda: on_progress(Progress("probing")))  # told, for it may take minutes
    return report if report.source.sha256 == content else None


class _Failures:
    """What goes wrong with one file becomes its outcome, unless the run is to end."""

    def __init__(self, source: Place, target: Place) -> None:
        self._source, self._target = source, target
        self.outcome = Outcome(source, target, "busy")

    def __enter__(self) -> _Failures:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        if not isinstance(error, Exception) or isinstance(error, Interrupted):
            return False
        verdict: Verdict = "failed"
        if isinstance(error, DossrError):
            verdict = "busy" if isinstance(error, HeldError | LostError) else "failed"
            message, hint = error.message, error.hint
        elif isinstance(error, OSError):  # gone since it was listed, or not readable
            message = f"{error.filename or self._source}: {error.strerror}" if error.strerror else str(error)
            hint = "check that the file is there and may be read"
        else:
            message, hint = f"{type(error).__name__}: {error}", "please report this defect of dossr-video"
        if verdict == "failed" and isinstance(self._source, Path) and _is_gone(self._source):
            message, hint = f"{self._source} is gone", "put it back and give the same command again"
            if is_begun(self._target):
                hint += f" to go on, or remove {folder_of(self._target).path}, which holds the work on it"
        self.outcome = Outcome(self._source, self._target, verdict, error=message, hint=hint)
        return True


def _is_gone(source: Path) -> bool:
    """Removed or renamed since it was listed."""
    with contextlib.suppress(OSError):
        return not os.path.lexists(source) and not exists(source)
    return False


def _others(source: Place, target: Place, known: Entry | None) -> Outcome:
    """Of a file that is not ours."""
    if known is not None and known.worker is None and known.error is not None:
        verdict: Verdict = "crashed" if known.state == "crashed" else "failed"
        return Outcome(source, target, verdict, error=known.error, hint=known.hint)
    who = "another worker" if known is None or known.worker is None else str(Worker(known.worker))
    return Outcome(
        source,
        target,
        "busy",
        error=f"{source} is being worked on by {who}",
        hint=f"it is looked at again; where its worker has ended that takes up to {LEASE:.0f} s",
        waits=True,
    )


@dataclass
class _CatalogueRecord(Record):
    """Notes a job in the catalogue while its folder is held: so the catalogue says "done" before others may begin."""

    catalogue: Catalogue
    source: str
    worker: Worker
    beside: Beside
    on_measured: Callable[[Measured], None]
    measured: Measured | None = None
    wants_figures = True

    def is_measured(self, measured: Measured) -> None:
        self.measured = measured
        self.on_measured(measured)

    def is_whole(self, report: Report) -> None:
        self.catalogue.promise(self.source, self.worker, frames=report.frames, sha256=report.target.sha256)

    def is_named(self, report: Report, source: Path, result: Path) -> None:
        self.beside.write(report, source, result, self.measured)
        self.is_noted(report)

    def is_noted(self, report: Report) -> None:
        """The result has its name and its report."""
        made = report.target
        self.catalogue.finish(self.source, self.worker, frames=report.frames, size=made.size, sha256=made.sha256)
