"""Upscales a library: every file that is new or has changed, one or more at once; a failed one never stops the rest."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from pathlib import Path

from dossr_video.errors import Interrupted, SettingsError, SourceError, TargetError
from dossr_video.jobs.child import Child, CrashError, Here
from dossr_video.jobs.execute.executor import Executor
from dossr_video.jobs.progress import FINISHED, Item, OnProgress, Progress, no_progress
from dossr_video.jobs.upload import check_url
from dossr_video.library.catalogue import Catalogue
from dossr_video.library.files import Library, Place, last_of
from dossr_video.library.opening import existing_catalogue, open_catalogue
from dossr_video.library.pages import INDEX, write_library_index
from dossr_video.library.results import is_there
from dossr_video.library.several import Room, files_at_once, sharing, together
from dossr_video.library.work import FileWork, Outcome
from dossr_video.names import shown
from dossr_video.report.index import require_index_place
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
    restart: bool = False  # drop the finished segments of interrupted files where they are of no use any more
    cluster: str | None = None  # address of a Ray cluster; None: this machine
    premis: bool = False  # leave PREMIS XML beside each result
    captions: tuple[str, ...] = ()  # the kinds, scc and srt, that closed captions are left as beside each result
    jobs: int | None = None  # files that are done at once; None: as many as `files_at_once` says

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
        on_index: Callable[[str], None] = lambda name: None,
        cancelled: Callable[[], bool] = lambda: False,
        executor: Executor | None = None,
    ) -> list[Outcome]:
        """Do every file that is new, has changed, failed before or was done with other settings.

        Each is worked on in a process that holds the model and is started anew after a crash: a file that crashes the
        libraries is an outcome like another. `jobs` files are done at once, as far as they fit into the memory. With an
        `executor` it is this process; then, and with a cluster, it is one file at a time.

        `on_outcome` and `on_progress` are called from one thread at a time, `on_index` at the end with the name of the
        index, if it could be written.

        The catalogue remembers; many processes may share a library, each taking what no other works on. In the end
        they wait for each other: the file of one that has died is done by another. A report and a page are left beside
        each result, an index of all in their folder. With `watch`, files that appear later are done too, until
        `cancelled` says so.

        Returns the outcome of each file. Raises Interrupted when `cancelled` leaves files to do, TargetError when the
        results' folder or the catalogue cannot be used, SettingsError when its address is none, ModelError when the
        model cannot be loaded.
        """
        if isinstance(self.library.results, Path):
            _make(self.library.results)
            require_index_place(self.library.results / INDEX)
        else:
            check_url(f"{self.library.results}/{INDEX}", force=True)
        catalogue = open_catalogue(self.library.results, self.library.catalogue)
        jobs = 1 if executor or self.cluster else self.jobs or files_at_once(self.settings)
        given = (self.library, sharing(self.settings, jobs), self.force, self.restart, self.cluster, self.premis)
        make = partial(FileWork, *given, self.captions, catalogue.now())
        index = _Index(self.library.results, catalogue)
        processes: list[Child | Here] = (
            [Here(partial(make, executor))] if executor else [*(Child(make) for _ in range(jobs))]
        )
        run = _Run(make(), index, on_outcome, on_progress, cancelled, watch=watch)
        try:
            processes[0].call("prepare", on_progress=on_progress, cancelled=cancelled)
            tasks = [partial(run.files_by, process, slot, several=jobs > 1) for slot, process in enumerate(processes)]
            together(tasks, [process.end for process in processes])
        finally:
            for process in processes:
                process.close()
            if index.write(on_progress, now=True):
                on_index(f"{self.library.results}/{INDEX}")
        return run.outcomes

    def to_do(self) -> Iterator[Place]:
        """The files that `run` would do now."""
        catalogue = existing_catalogue(self.library.results, self.library.catalogue)
        known = {entry.source: entry for entry in catalogue.entries()} if catalogue else {}
        work = FileWork(self.library, self.settings, self.force, self.restart)
        for source in self.library.files():
            entry = known.get(self.library.name_of(source))
            try:
                done = entry is not None and entry.covers(work.entry(source), partial(work.is_same, source))
            except (OSError, SourceError):  # `run` says what is wrong with it
                done = False
            if not (done and is_there(self.library.target_of(source))):
                yield source


class _Run:
    """The files of one run, taken by one process or several."""

    def __init__(
        self,
        work: FileWork,
        index: _Index,
        on_outcome: Callable[[Outcome], None],
        on_progress: OnProgress,
        cancelled: Callable[[], bool],
        *,
        watch: bool,
    ) -> None:
        self._begun: dict[Place, Outcome | None] = {}  # in the order in which they were begun; None: not done yet
        self._work, self._index = work, index
        self._turns = _Turns(work.library, watch, cancelled, self._about(None))
        self._on_outcome, self._on_progress, self._cancelled = on_outcome, on_progress, cancelled
        self._room = Room()
        self._failed = threading.Event()  # no file is begun any more
        self._lock = threading.RLock()  # of all that is told and noted

    @property
    def outcomes(self) -> list[Outcome]:
        return [outcome for outcome in self._begun.values() if outcome is not None]

    def files_by(self, process: Child | Here, slot: int, *, several: bool) -> None:
        """Do files until there are no more; of `several` processes each waits until its file fits beside the others."""
        try:
            while not self._failed.is_set() and (turn := self._turns.take()) is not None:
                source, item = turn[0], replace(turn[1], slot=slot)
                if self._cancelled() and not self._turns.watch:
                    raise Interrupted(
                        f"stopped after {len(self.outcomes)} files", hint="give the same command again to go on"
                    )
                with self._lock:
                    self._begun.setdefault(source, None)
                self._note(source, item, self._outcome(process, source, item, several=several))
        except BaseException:
            self._failed.set()
            raise

    def _outcome(self, process: Child | Here, source: Place, item: Item, *, several: bool) -> Outcome:
        show, cancelled = self._about(item), self._cancelled
        try:
            size = process.call("memory", source, on_progress=show, cancelled=cancelled) if several else 0
            with self._room.held(size, lambda: self._failed.is_set() or cancelled()):
                outcome: Outcome = process.call("do", source, on_progress=show, cancelled=cancelled)
        except CrashError as error:
            if self._failed.is_set():  # it was ended with the others
                raise Interrupted("stopped at once", hint="give the same command again to go on") from error
            with self._lock:
                target = self._work.library.target_of(source)
                self._work.tidy(source)
                outcome = self._work.crashed(Outcome(source, target, "crashed", error=error.message, hint=error.hint))
        return outcome

    def _note(self, source: Place, item: Item, outcome: Outcome) -> None:
        show = self._about(item)
        if outcome.waits:
            self._turns.waiting.append((source, item))
            show(Progress("waiting for other workers", unit="files"))
            return
        show(Progress(FINISHED, unit="files"))
        with self._lock:
            self._begun[source] = outcome
            self._on_outcome(outcome)
            self._index.write(self._on_progress)

    def _about(self, item: Item | None) -> OnProgress:
        """Adds the file to its events, which several threads make; None: they are about none."""

        def show(event: Progress) -> None:
            with self._lock:
                self._on_progress(replace(event, item=item))

        return show


class _Index:
    """The index of a library: written at the end, and now and then before, when it takes a small part of the time."""

    def __init__(self, results: Place, catalogue: Catalogue) -> None:
        self._results, self._catalogue = results, catalogue
        self._next = time.monotonic()

    def write(self, on_progress: OnProgress, *, now: bool = False) -> bool:
        """Whether it was time for it, and it is written."""
        began = time.monotonic()
        if not now and began < self._next:
            return False
        written = write_library_index(self._results, self._catalogue, on_progress)
        took = time.monotonic() - began
        self._next = began + took + max(INDEX_PAUSE, 20 * took)
        return written


@dataclass
class _Turns:
    """The files of a library one after another, and again those that others work on, until they are settled."""

    library: Library
    watch: bool  # whether files that come later are among them
    cancelled: Callable[[], bool]
    on_progress: OnProgress
    waiting: list[tuple[Place, Item]] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._turns = self._all()

    def take(self) -> tuple[Place, Item] | None:
        """The next file for whichever process asks; None: there is none any more."""
        with self._lock:
            turn = next(self._turns, None)
            if turn is None and self.waiting:  # since it was asked last
                self._turns = self._later()
                turn = next(self._turns, None)
            return turn

    def _all(self) -> Iterator[tuple[Place, Item]]:
        files = [] if self.watch else self.library.files()
        for number, source in enumerate(files, start=1):
            yield source, Item(shown(last_of(source)), number, len(files))
        yield from self._later()

    def _later(self) -> Iterator[tuple[Place, Item]]:
        numbers, arrivals = count(1), _arrivals(self.library, self.on_progress)
        while (self.watch and not self.cancelled()) or self.waiting:
            if self.watch:
                for source in next(arrivals):
                    yield source, Item(shown(last_of(source)), next(numbers))
            waiting, self.waiting = self.waiting, []
            yield from waiting
            until = time.monotonic() + POLL
            while time.monotonic() < until and not self.cancelled():
                time.sleep(min(0.2, POLL))


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TargetError(
            f"the folder {folder} cannot be made: {error.strerror}", hint="choose a folder you may write to"
        ) from error


def _arrivals(library: Library, on_progress: OnProgress) -> Iterator[list[Place]]:
    """At each look the files that have stopped growing since the last, and again when they have changed.

    One that cannot be looked at is among them, to be told, and again when that has changed. What cannot be listed is a
    warning, but for the first time: SourceError as `Library.files`.
    """
    seen: dict[Place, FileStatus | str] = {}
    given: dict[Place, FileStatus | str] = {}
    files, told = library.files(), ""
    while True:
        found: dict[Place, FileStatus | str] = {}
        for path in files:
            try:
                found[path] = library.status_of(path)
            except (OSError, SourceError) as error:
                if not (
                    isinstance(path, Path) and isinstance(error, SourceError)
                ):  # a sequence with gaps: not complete
                    found[path] = str(error)
        ready = {path: state for path, state in found.items() if seen.get(path) == state != given.get(path)}
        given.update(ready)
        seen = found
        yield list(ready)
        try:
            files, told = library.files(), ""
        except SourceError as error:
            if error.message != told:
                on_progress(Progress("waiting for files", unit="files", warnings=(f"{error.message}; {_AGAIN}",)))
            files, told = [], error.message


_AGAIN = "it is tried again until Ctrl-C"
