"""What has happened to every file of a library, and who works on which: the queue that all its workers share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, fields, replace
from typing import Literal

from dossr_video.errors import JobError
from dossr_video.library.database import COLUMNS, Database
from dossr_video.library.worker import Worker

LEASE = 120.0  # seconds without a word of a worker after which others may take its file
MOST = 5  # workers in a row that may end without a word while they work on a file

State = Literal["waiting", "running", "done", "failed", "crashed"]
ENDED = frozenset({"failed", "crashed"})


@dataclass(frozen=True)
class Entry:
    """One file of the library, as it was when it was last worked on. Times are by the clock of the catalogue."""

    source: str  # path below the library's folder, with /
    target: str  # path below the results' folder, with /
    state: State
    size: int  # bytes of the source
    modified: int  # of the source, nanoseconds since 1970
    sample: str  # of the source, see Glance
    settings: str  # sha256 of the settings the result depends on
    started: float = 0.0  # seconds since 1970
    finished: float | None = None  # seconds since 1970
    frames: int | None = None
    result_size: int | None = None  # bytes
    error: str | None = None
    hint: str | None = None
    result_sha256: str | None = None
    coming: str | None = None  # sha256 of a result that was about to get its name
    attempts: int = 0  # at this content with these settings
    deaths: int = 0  # of them those at the end whose worker ended without a word
    worker: str | None = None  # who works on it, see Worker
    lease: float | None = None  # seconds since 1970: until then nobody else may
    version: int = 0  # raised by each change

    def covers(self, wanted: Entry, is_same: Callable[[Entry], bool]) -> bool:
        """Whether this result is the one that `wanted` asks for.

        `is_same` says of this entry whether the content is still the same; asked where the date alone is another.
        """
        if self.state != "done" or not self.asks_as(replace(wanted, modified=self.modified)):
            return False
        return self.modified == wanted.modified or is_same(self)

    def asks_as(self, wanted: Entry) -> bool:
        """Whether both want the same result of a file that looks the same."""
        mine, theirs = ((e.target, e.size, e.modified, e.sample, e.settings) for e in (self, wanted))
        return mine == theirs

    def is_held(self, now: float) -> bool:
        """Whether a worker has it."""
        return self.worker is not None and (self.lease or 0.0) > now and not Worker(self.worker).is_gone()


assert [field.name for field in fields(Entry)] == list(COLUMNS)
_SELECT = f"SELECT {', '.join(COLUMNS)} FROM dossr_files WHERE library = ?"  # names of this module  # nosec B608
_INSERT = (
    f"INSERT INTO dossr_files (library, {', '.join(COLUMNS)}) VALUES (?{', ?' * len(COLUMNS)}) "  # nosec B608
    "ON CONFLICT (library, source) DO NOTHING"
)


@dataclass(frozen=True)
class Claim:
    """What came of asking for a file."""

    answer: Literal["ours", "done", "failed", "busy"]
    before: Entry | None  # as it was


class LostError(JobError):
    """Another worker has taken the file, since nothing was heard of this one."""


class Catalogue:
    """The entries of one library. Many processes, on many machines, may use it at once.

    Every change is one statement that also says what the entry must be for it, so of two workers one succeeds. A file
    is a worker's own for LEASE seconds by the clock of the database, and for as much again with each `renew`; a worker
    that is known to have ended on this machine has no lease. What a method has changed is on the disk when it returns.
    Each raises TargetError when the database cannot be used.
    """

    def __init__(self, database: Database, library: str = "") -> None:
        """`library` tells it from others in the same database."""
        self.database = database
        self.library = library

    def now(self) -> float:
        """Seconds since 1970, by the clock that all workers share."""
        return self.database.now()

    def get(self, source: str) -> Entry | None:
        rows = self.database.rows(f"{_SELECT} AND source = ?", self.library, source)
        return Entry(*rows[0]) if rows else None

    def of_target(self, target: str) -> list[Entry]:
        return [Entry(*row) for row in self.database.rows(f"{_SELECT} AND target = ?", self.library, target)]

    def entries(self) -> list[Entry]:
        """All of them, by the path of the source."""
        rows = self.database.rows(f"{_SELECT} ORDER BY source", self.library)
        return sorted((Entry(*row) for row in rows), key=lambda entry: entry.source)

    def in_work(self) -> list[Entry]:
        """Those that a worker has at this moment."""
        now = self.now()
        return [entry for entry in self.entries() if entry.is_held(now)]

    def begin(self, results: str, entries: Sequence[Entry]) -> None:
        """Make the library, with these entries of another catalogue."""
        self.database.together(
            [
                ("INSERT INTO dossr_libraries (library, results) VALUES (?, ?)", [(self.library, results)]),
                (_INSERT, [(self.library, *astuple(entry)) for entry in entries]),
            ]
        )

    def check_writable(self) -> None:
        """TargetError when nothing could be noted; changes nothing."""
        self.database.change("UPDATE dossr_files SET version = version WHERE library = ? AND 1 = 0", self.library)

    def rename(self, old: str, wanted: Entry) -> None:
        """Call a file that looks as `wanted` by that name, if it is nobody's and the name is free."""
        self.database.change(
            "UPDATE dossr_files SET source = ?, target = ?, version = version + 1 "
            "WHERE library = ? AND source = ? AND size = ? AND modified = ? AND sample = ? AND worker IS NULL "
            "AND NOT EXISTS (SELECT 1 FROM dossr_files AS other WHERE other.library = ? AND other.source = ?)",
            *(wanted.source, wanted.target),
            *(self.library, old, wanted.size, wanted.modified, wanted.sample),
            *(self.library, wanted.source),
        )

    def claim(
        self,
        wanted: Entry,
        worker: Worker,
        *,
        since: float,
        is_there: Callable[[], bool],
        is_same: Callable[[Entry], bool],
    ) -> Claim:
        """Take a file for a worker, unless it is done, another works on it, or it failed after `since`.

        Args:
            wanted: The file as it is now.
            worker: Who asks.
            since: When the run began, by `now`: what failed before is tried again, and what failed in it is not.
            is_there: Whether the result is there; asked where the catalogue says so.
            is_same: As in Entry.covers.
        """
        while True:
            before = self.get(wanted.source)
            if before is not None and before.covers(wanted, is_same) and is_there():
                self._keep_date(before, wanted.modified)
                return Claim("done", before)
            answer, now = self._answer(before, wanted, worker, since)
            if answer != "ours" or self._take(before, wanted, worker, now):
                return Claim(answer, before)

    def renew(self, source: str, worker: Worker) -> bool:
        """A worker's word that it goes on; whether the file is still its own."""
        return self._change(source, worker, "lease = ?", self.now() + LEASE)

    def give_back(self, source: str, worker: Worker) -> None:
        """The file is nobody's, and is to be done."""
        self._change(source, worker, f"state = 'waiting', attempts = attempts - 1, deaths = 0, {_FREE}")

    def promise(self, source: str, worker: Worker, *, frames: int, sha256: str) -> None:
        """A result is about to get its name: whoever finds it after a crash knows it by this. Raises LostError."""
        if not self._change(source, worker, "frames = ?, coming = ?, lease = ?", frames, sha256, self.now() + LEASE):
            raise _lost(source)

    def finish(self, source: str, worker: Worker, *, frames: int, size: int, sha256: str) -> None:
        """The result has its name. Raises LostError."""
        done = "state = 'done', finished = ?, frames = ?, result_size = ?, result_sha256 = ?, coming = NULL, deaths = 0"
        if self._change(source, worker, f"{done}, {_FREE}", self.now(), frames, size, sha256):
            return
        found = self.get(source)  # the answer to the change may have been lost on its way
        if found is None or (found.state, found.result_sha256) != ("done", sha256):
            raise _lost(source)

    def fail(self, source: str, worker: Worker, state: Literal["failed", "crashed"], error: str, hint: str) -> None:
        """The file cannot be done, and why. Nothing changes where it is not the worker's own any more."""
        change = f"state = ?, finished = ?, error = ?, hint = ?, deaths = 0, {_FREE}"
        self._change(source, worker, change, state, self.now(), error, hint)

    def _answer(
        self, before: Entry | None, wanted: Entry, worker: Worker, since: float
    ) -> tuple[Literal["ours", "failed", "busy"], float]:
        """Of a file that is not done, and the time by which it was decided."""
        now = self.now()
        if before is None or before.worker == worker.text:
            return "ours", now
        if before.worker is not None:
            if before.is_held(now):
                return "busy", now
            if before.asks_as(wanted) and before.deaths + 1 >= MOST:
                self.fail(before.source, Worker(before.worker), "crashed", *_WORD)
                return "failed", now
        failed = before.state in ENDED and before.asks_as(wanted) and (before.finished or 0.0) > since
        return ("failed" if failed else "ours"), now

    def _keep_date(self, done: Entry, modified: int) -> None:
        """A new date of the same content, so that it need not be read for it again."""
        if done.modified != modified:
            self.database.change(
                "UPDATE dossr_files SET modified = ?, version = version + 1 "
                "WHERE library = ? AND source = ? AND version = ?",
                modified,
                self.library,
                done.source,
                done.version,
            )

    def _take(self, before: Entry | None, wanted: Entry, worker: Worker, now: float) -> bool:
        """Whether it was still as it was."""
        again = before is not None and before.asks_as(wanted)
        taken_over = again and before is not None and before.worker not in (None, worker.text)
        values = {
            "target": wanted.target,
            "state": "running",
            "size": wanted.size,
            "modified": wanted.modified,
            "sample": wanted.sample,
            "settings": wanted.settings,
            "started": now,
            "finished": None,
            "error": None,
            "hint": None,
            "attempts": before.attempts + 1 if again and before is not None else 1,
            "deaths": before.deaths + 1 if taken_over and before is not None else 0,
            "worker": worker.text,
            "lease": now + LEASE,
        }
        if before is None:
            row = {**dict.fromkeys(COLUMNS), "source": wanted.source, **values, "version": 1}
            return bool(self.database.change(_INSERT, self.library, *row.values()))
        names = ", ".join(f"{name} = ?" for name in values)
        return bool(
            self.database.change(
                f"UPDATE dossr_files SET {names}, version = version + 1 "  # nosec B608
                "WHERE library = ? AND source = ? AND version = ?",
                *values.values(),
                self.library,
                wanted.source,
                before.version,
            )
        )

    def _change(self, source: str, worker: Worker, change: str, *values: object) -> bool:
        """Change what is the worker's own; whether it was."""
        statement = f"UPDATE dossr_files SET {change}, version = version + 1 "  # nosec B608
        where = "WHERE library = ? AND source = ? AND worker = ?"
        return bool(self.database.change(statement + where, *values, self.library, source, worker.text))


_FREE = "worker = NULL, lease = NULL"
_WORD = (
    f"{MOST} workers ended without a word while they worked on it",
    "it may take more memory than there is; do it alone: `dossr-video IN OUT`",
)


def _lost(source: str) -> LostError:
    return LostError(
        f"{source} was taken by another worker: nothing was heard of this one for {LEASE:.0f} s",
        hint="check that this machine was not suspended and reaches the catalogue",
    )
