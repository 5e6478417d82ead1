"""Upscales a library: every file that is new or has changed, one after another; a failed file never stops the rest."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from pathlib import Path

from dossr_video.errors import Interrupted, SettingsError, SourceError, TargetError
from dossr_video.jobs.child import Child, CrashError, Here
from dossr_video.jobs.execute.executor import Executor
from dossr_video.jobs.progress import Item, OnProgress, Progress, no_progress
from dossr_video.jobs.upload import check_url
from dossr_video.library.catalogue import Catalogue
from dossr_video.library.files import Library, Place, last_of
from dossr_video.library.opening import existing_catalogue, open_catalogue
from dossr_video.library.pages import INDEX, write_library_index
from dossr_video.library.results import is_there
from dossr_video.library.work import FileWork, Outcome
from dossr_video.names import shown
from dossr_video.settings import Settings
from dossr_video.video.files import FileStatus

POLL = 5.0  # seconds between two looks at a watched folder, and at files that others work on
INDEX_PAUSE = 60.0  # seconds between two times that the index is written, at least


@dataclass(frozen=True)
class Batch:
    """A batch run over a library."""

    library: Library
    settings: Settings
    force: bool = False  # overwrite results that the catalogue does not know
    restart: bool = False  # drop the finished segments of interrupted files
    cluster: str | None = None  # address of a Ray cluster; None: this machine
    premis: bool = False  # leave PREMIS XML beside each result
    captions: tuple[str, ...] = ()  # the kinds, scc and srt, that closed captions are left as beside each result

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

        The catalogue remembers; many processes may share a library, each taking what no other works on. In the end
        they wait for each other: the file of one that has died is done by another. A report and a page are left beside
        each result, an index of all in their folder. With `watch`, files that appear later are done too, until
        `cancelled` says so.

        Returns the outcome of each file. Raises Interrupted when `cancelled` leaves files to do, TargetError when the
        results' folder or the catalogue cannot be used, SettingsError when its address is none, ModelError when the
        model cannot be loaded.
        """
        outcomes: dict[Place, Outcome] = {}
        if isinstance(self.library.results, Path):
            _make(self.library.results)
        else:
            check_url(f"{self.library.results}/{INDEX}", force=True)
        catalogue = open_catalogue(self.library.results, self.library.catalogue)
        given = (self.library, self.settings, self.force, self.restart, self.cluster, self.premis, self.captions)
        make = partial(FileWork, *given, catalogue.now())
        work = make()
        index = _Index(self.library.results, catalogue)
        process = Here(partial(make, executor)) if executor else Child(make)
        turns = _Turns(self.library, watch, cancelled)
        try:
            process.call("prepare", on_progress=on_progress, cancelled=cancelled)
            for source, item in turns:
                if cancelled() and not watch:
                    raise Interrupted(
                        f"stopped after {len(outcomes)} files", hint="give the same command again to go on"
                    )
                show = _about(item, on_progress)
                try:
                    outcome = process.call("do", source, on_progress=show, cancelled=cancelled)
                except CrashError as error:
                    target = self.library.target_of(source)
                    outcome = Outcome(source, target, "crashed", error=error.message, hint=error.hint)
                    work.tidy(source)
                    outcome = work.crashed(outcome)
                if outcome.waits:
                    turns.waiting.append((source, item))
                    show(Progress("waiting for other workers", unit="files"))
                    continue
                outcomes[source] = outcome
                on_outcome(outcome)
                index.write(show)
        finally:
            process.close()
            index.write(on_progress, now=True)
        return list(outcomes.values())

    def to_do(self) -> Iterator[Place]:
        """The files that `run` would do now."""
        catalogue = existing_catalogue(self.library.results, self.library.catalogue)
        known = {entry.source: entry for entry in catalogue.entries()} if catalogue else {}
        work = FileWork(self.library, self.settings, self.force, self.restart)
        for source in self.library.files():
            entry = known.get(self.library.name_of(source))
            try:
                done = entry is not None and entry.covers(work.entry(source))
            except (OSError, SourceError):  # `run` says what is wrong with it
                done = False
            if not (done and is_there(self.library.target_of(source))):
                yield source


class _Index:
    """The index of a library: written at the end, and now and then before, when it takes a small part of the time."""

    def __init__(self, results: Place, catalogue: Catalogue) -> None:
        self._results, self._catalogue = results, catalogue
        self._next = time.monotonic()

    def write(self, on_progress: OnProgress, *, now: bool = False) -> None:
        began = time.monotonic()
        if now or began >= self._next:
            write_library_index(self._results, self._catalogue, on_progress)
            took = time.monotonic() - began
            self._next = began + took + max(INDEX_PAUSE, 20 * took)


@dataclass
class _Turns:
    """The files of a library one after another, and again those that others work on, until they are settled."""

    library: Library
    watch: bool  # whether files that come later are among them
    cancelled: Callable[[], bool]
    waiting: list[tuple[Place, Item]] = field(default_factory=list)

    def __iter__(self) -> Iterator[tuple[Place, Item]]:
        files = [] if self.watch else self.library.files()
        for number, source in enumerate(files, start=1):
            yield source, Item(shown(last_of(source)), number, len(files))
        numbers, arrivals = count(1), _arrivals(self.library)
        while (self.watch and not self.cancelled()) or self.waiting:
            if self.watch:
                for source in next(arrivals):
                    yield source, Item(shown(last_of(source)), next(numbers))
            waiting, self.waiting = self.waiting, []
            yield from waiting
            until = time.monotonic() + POLL
            while time.monotonic() < until and not self.cancelled():
                time.sleep(min(0.2, POLL))


def _about(item: Item, on_progress: OnProgress) -> OnProgress:
    """Adds the file to its events."""
    return lambda event: on_progress(replace(event, item=item))


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TargetError(
            f"the folder {folder} cannot be made: {error.strerror}", hint="choose a folder you may write to"
        ) from error


def _arrivals(library: Library) -> Iterator[list[Place]]:
    """At each look the files that have stopped growing since the last, and again when they have changed."""
    seen: dict[Place, FileStatus] = {}
    given: dict[Place, FileStatus] = {}
    while True:
        found: dict[Place, FileStatus] = {}
        for path in library.files():
            try:
                found[path] = library.status_of(path)
            except (FileNotFoundError, SourceError):  # a sequence with gaps is not complete yet
                continue
        ready = {path: state for path, state in found.items() if seen.get(path) == state != given.get(path)}
        given.update(ready)
        seen = found
        yield list(ready)
