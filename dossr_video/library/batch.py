"""Upscales a library: every file that is new or has changed, one after another; a failed file never stops the rest."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from dossr_video.errors import Interrupted, SettingsError, SourceError, TargetError
from dossr_video.jobs.child import Child, CrashError, Here
from dossr_video.jobs.execute.executor import Executor
from dossr_video.jobs.progress import Item, OnProgress, no_progress
from dossr_video.library.catalogue import Catalogue, has_catalogue
from dossr_video.library.files import Library
from dossr_video.library.pages import write_library_index
from dossr_video.library.work import FileWork, Outcome
from dossr_video.names import shown
from dossr_video.settings import Settings
from dossr_video.video.files import FileStatus, status_of
from dossr_video.video.sequence import exists

POLL = 5.0  # seconds between two scans of a watched folder; a file that grew in between is not ready


@dataclass(frozen=True)
class Batch:
    """A batch run over a library."""

    library: Library
    settings: Settings
    force: bool = False  # overwrite results that the catalogue does not know
    restart: bool = False  # drop the finished segments of interrupted files
    cluster: str | None = None  # address of a Ray cluster; None: this machine
    premis: bool = False  # leave PREMIS XML beside each result

    def __post_init__(self) -> None:
        """Raises SettingsError for options that mean one file."""
        for option in ("audio", "subtitles"):
            if getattr(self.settings, option):
                raise SettingsError(
                    f"--{option} names the tracks of one film; a library has many",
                    hint="leave it away here, and give it with the one file",
                )

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

        Each is worked on in a process that holds the model and is started anew after a crash: a file that crashes the
        libraries is an outcome like another. With an `executor` it is this process.

        The catalogue in the results' folder remembers; several processes may share a library, each taking what no
        other works on. A report and a page are left beside each result, an index of all in their folder. With `watch`,
        files that appear later are done too, until `cancelled` says so.

        Returns the outcome of each file. Raises Interrupted when `cancelled` leaves files to do, TargetError when the
        results' folder cannot be used, ModelError when the model cannot be loaded.
        """
        outcomes: dict[Path, Outcome] = {}
        files = _arrivals(self.library, cancelled) if watch else self.library.files()
        catalogue = Catalogue(_made(self.library.results))
        make = partial(FileWork, self.library, self.settings, self.force, self.restart, self.cluster, self.premis)
        work = make()
        process = Here(partial(make, executor)) if executor else Child(make)
        try:
            process.call("prepare", on_progress=on_progress, cancelled=cancelled)
            for number, source in enumerate(files, start=1):
                if cancelled() and not watch:
                    raise Interrupted(
                        f"stopped after {len(outcomes)} files", hint="give the same command again to go on"
                    )
                item = Item(shown(source.name), number, len(files) if isinstance(files, list) else None)
                show = _about(item, on_progress)
                try:
                    outcome = process.call("do", source, on_progress=show, cancelled=cancelled)
                except CrashError as error:
                    target = self.library.target_of(source)
                    outcome = Outcome(source, target, "crashed", error=error.message, hint=error.hint)
                    work.tidy(source)
                if outcome.verdict in ("failed", "crashed"):
                    outcome = work.failed(outcome)
                outcomes[source] = outcome
                on_outcome(outcome)
                if outcome.verdict != "busy":
                    write_library_index(self.library.results, catalogue, show)
        finally:
            process.close()
        return list(outcomes.values())

    def to_do(self) -> Iterator[Path]:
        """The files that `run` would do now."""
        catalogue = Catalogue(self.library.results) if has_catalogue(self.library.results) else None
        work = FileWork(self.library, self.settings, self.force, self.restart)
        for source in self.library.files():
            known = catalogue.get(self.library.name_of(source)) if catalogue else None
            try:
                done = known is not None and known.covers(work.entry(source))
            except (OSError, SourceError):  # `run` says what is wrong with it
                done = False
            if not (done and exists(self.library.target_of(source))):
                yield source


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
    seen: dict[Path, FileStatus] = {}
    given: dict[Path, FileStatus] = {}
    while not cancelled():
        found: dict[Path, FileStatus] = {}
        for path in library.files():
            try:
                found[path] = status_of(path)
            except (FileNotFoundError, SourceError):  # a sequence with gaps is not complete yet
                continue
        for path, state in found.items():
            if seen.get(path) == state != given.get(path):
                given[path] = state
                yield path
        seen = found
        until = time.monotonic() + POLL
        while time.monotonic() < until and not cancelled():
            time.sleep(min(0.2, POLL))
