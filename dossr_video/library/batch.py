"""Upscales a library: every file that is new or has changed, one after another; a failed file never stops the rest."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from dossr_video.errors import DossrError, Interrupted, TargetError
from dossr_video.jobs.execute.executor import Executor
from dossr_video.jobs.execute.local import LocalExecutor
from dossr_video.jobs.fingerprint import SourceMark
from dossr_video.jobs.lock import HeldError
from dossr_video.jobs.progress import Item, OnProgress, no_progress
from dossr_video.jobs.resolve import resolve_sampling, worker_spec
from dossr_video.jobs.resources import write_errors
from dossr_video.jobs.run import run_job
from dossr_video.library.catalogue import Catalogue, Entry, has_catalogue
from dossr_video.library.files import Library
from dossr_video.library.pages import write_library_index, write_page, write_report
from dossr_video.names import shown
from dossr_video.settings import Settings

POLL = 5.0  # seconds between two scans of a watched folder; a file that grew in between is not ready


@dataclass(frozen=True)
class Outcome:
    """The outcome of one file in this run; `busy` when another process works on it."""

    source: Path
    target: Path
    verdict: Literal["done", "unchanged", "failed", "busy"]
    seconds: float  # of this run
    frames: int | None = None
    error: str | None = None
    hint: str | None = None


@dataclass(frozen=True)
class Batch:
    """A batch run over a library."""

    library: Library
    settings: Settings
    force: bool = False  # overwrite results that the catalogue does not know
    restart: bool = False  # drop the finished segments of interrupted files

    def run(
        self,
        *,
        watch: bool = False,
        on_outcome: Callable[[Outcome], None] = lambda outcome: None,
        on_progress: OnProgress = no_progress,
        cancelled: Callable[[], bool] = lambda: False,
        executor: Executor | None = None,
    ) -> list[Outcome]:
        """Do every file that is new, has changed, failed before or was done with other settings.

        The catalogue in the results' folder remembers; several processes may share a library, each taking what no
        other works on. A report and a page are left beside each result, an index of all in their folder. With `watch`,
        files that appear later are done too, until `cancelled` says so.

        Returns the outcome of each file. Raises Interrupted when `cancelled` leaves files to do, TargetError when the
        results' folder cannot be used, ModelError when the model cannot be loaded.
        """
        outcomes: dict[Path, Outcome] = {}
        files = _arrivals(self.library, cancelled) if watch else self.library.files()
        executor = executor or LocalExecutor(worker_spec(self.settings))
        resolve_sampling(self.settings, executor.info.defaults, model=executor.info.model)  # refused once, not per file
        catalogue = Catalogue(_made(self.library.results))
        for number, source in enumerate(files, start=1):
            if cancelled() and not watch:
                raise Interrupted(f"stopped after {len(outcomes)} files", hint="give the same command again to go on")
            item = Item(shown(source.name), number, len(files) if isinstance(files, list) else None)
            show = _about(item, on_progress)
            outcomes[source] = outcome = self._file(source, catalogue, executor, show, cancelled)
            on_outcome(outcome)
            if outcome.verdict in ("done", "unchanged"):
                write_page(source, outcome.target, show, cancelled)
            if outcome.verdict != "busy":
                write_library_index(self.library.results, catalogue, show)
        return list(outcomes.values())

    def to_do(self) -> Iterator[Path]:
        """The files that `run` would do now."""
        catalogue = Catalogue(self.library.results) if has_catalogue(self.library.results) else None
        for source in self.library.files():
            target = self.library.target_of(source)
            try:
                entry = self._entry(source, target, time.time())
            except OSError:  # `run` says what is wrong with it
                yield source
                continue
            known = catalogue.get(entry.source) if catalogue else None
            if known is None or not (known.covers(entry) and target.exists()):
                yield source

    def _file(
        self,
        source: Path,
        catalogue: Catalogue,
        executor: Executor,
        on_progress: OnProgress,
        cancelled: Callable[[], bool],
    ) -> Outcome:
        target, began, started = self.library.target_of(source), time.time(), time.monotonic()

        def outcome(verdict: Literal["done", "unchanged", "failed", "busy"]) -> Outcome:
            return Outcome(source, target, verdict, time.monotonic() - started)

        try:
            entry = self._entry(source, target, began)
        except OSError as error:  # gone since it was listed, or not readable
            return replace(outcome("failed"), error=str(error), hint="check that the file is there and may be read")
        before = catalogue.claim(entry, unless=lambda known: known.covers(entry) and target.exists())
        if before is not None and before.covers(entry) and target.exists():
            return outcome("unchanged")
        ours = before.result_size if before is not None else None  # size of a result that may be overwritten
        try:
            self._check_owner(catalogue, entry, target)
            with write_errors(self.library.results):
                target.parent.mkdir(parents=True, exist_ok=True)
            report = run_job(
                source,
                target,
                self.settings,
                force=self.force or ours is not None,
                restart=self.restart,
                on_progress=on_progress,
                cancelled=cancelled,
                executor=executor,
            )
        except Interrupted:
            raise
        except HeldError as error:
            return replace(outcome("busy"), error=error.message, hint=error.hint)
        except Exception as error:
            known = catalogue.get(entry.source)
            if known is not None and known.covers(entry):  # another process finished it while this one began
                return outcome("unchanged")
            message = error.message if isinstance(error, DossrError) else f"{type(error).__name__}: {error}"
            hint = error.hint if isinstance(error, DossrError) else "please report this defect of dossr-video"
            failed = replace(entry, error=shown(message), hint=shown(hint))
            catalogue.put(replace(failed, state="failed", finished=time.time(), result_size=ours))
            return replace(outcome("failed"), error=message, hint=hint)
        write_report(report, target, on_progress)
        catalogue.put(
            replace(entry, state="done", finished=time.time(), frames=report.frames, result_size=report.target.size)
        )
        return replace(outcome("done"), frames=report.frames)

    def _entry(self, source: Path, target: Path, began: float) -> Entry:
        mark = SourceMark.of(source)
        return Entry(
            self.library.name_of(source),
            shown(target.relative_to(self.library.results).as_posix()),
            "running",
            mark.size,
            mark.modified,
            mark.sample,
            self.settings.digest(),
            began,
        )

    def _check_owner(self, catalogue: Catalogue, entry: Entry, target: Path) -> None:
        """Two sources must not become the same file: `a.avi` and `a.avi.mkv` would. Nor may a source be overwritten."""
        if self.library.is_among_sources(target):
            raise TargetError(f"{target} lies among the sources", hint="choose a folder of results beside them")
        others = [e.source for e in catalogue.of_target(entry.target) if e.source != entry.source]
        if others:
            raise TargetError(
                f"{entry.target} is already the result of {others[0]}", hint=f"rename {others[0]} or {entry.source}"
            )


def _about(item: Item, on_progress: OnProgress) -> OnProgress:
    """Adds the file to its events."""
    return lambda event: on_progress(replace(event, item=item))


def _made(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TargetError(
            f"the folder {folder} cannot be made: {error.strerror}", hint="choose a folder you may write to"
        ) from error
    return folder


def _arrivals(library: Library, cancelled: Callable[[], bool]) -> Iterator[Path]:
    """Files as they come, each when it has stopped growing, and again when it has changed."""
    seen: dict[Path, tuple[int, int]] = {}
    given: dict[Path, tuple[int, int]] = {}
    while not cancelled():
        found: dict[Path, tuple[int, int]] = {}
        for path in library.files():
            try:
                status = path.stat()
            except FileNotFoundError:
                continue
            found[path] = (status.st_size, status.st_mtime_ns)
        for path, state in found.items():
            if seen.get(path) == state != given.get(path):
                given[path] = state
                yield path
        seen = found
        until = time.monotonic() + POLL
        while time.monotonic() < until and not cancelled():
            time.sleep(min(0.2, POLL))
