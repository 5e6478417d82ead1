"""What has happened to every file of a library: one SQLite file beside the results."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path
from typing import Literal

from dossr_video.errors import TargetError

NAME = ".dossr-video.sqlite"  # in the folder of the results

WAIT = 60.0  # seconds for another process that writes to it

State = Literal["running", "done", "failed", "crashed"]


@dataclass(frozen=True)
class Entry:
    """One file of the library, as it was when it was last worked on."""

    source: str  # path below the library's folder, with /
    target: str  # path below the results' folder, with /
    state: State
    size: int  # bytes of the source
    modified: int  # of the source, nanoseconds since 1970
    sample: str  # of the source, see SourceMark
    settings: str  # sha256 of the settings the result depends on
    started: float  # seconds since 1970
    finished: float | None = None  # seconds since 1970
    frames: int | None = None
    result_size: int | None = None  # bytes
    error: str | None = None
    hint: str | None = None
    result_sha256: str | None = None
    coming: str | None = None  # sha256 of a result that was about to get its name

    def after(self, before: Entry | None) -> Entry:
        """With what was known of the result that is there."""
        if before is None:
            return self
        return replace(
            self,
            frames=before.frames,
            result_size=before.result_size,
            result_sha256=before.result_sha256,
            coming=before.coming,
        )

    def covers(self, wanted: Entry) -> bool:
        """Whether this result is the one that `wanted` asks for; a new date on the same content changes nothing."""
        done = self.state == "done" and self.target == wanted.target
        return done and (self.size, self.sample, self.settings) == (wanted.size, wanted.sample, wanted.settings)


_COLUMNS = [field.name for field in fields(Entry)]
_SELECT = f"SELECT {', '.join(_COLUMNS)} FROM files"  # names of this module  # nosec B608
_INSERT = f"INSERT OR REPLACE INTO files ({', '.join(_COLUMNS)}) VALUES ({', '.join('?' * len(_COLUMNS))})"


def has_catalogue(folder: Path) -> bool:
    return (folder / NAME).exists()


class Catalogue:
    """The entries of one library. Several processes may use the same one; each change is on the disk when it returns.

    A connection lasts for one operation, so nothing is held while a film is computed.
    """

    def __init__(self, folder: Path) -> None:
        """Makes the file where there is none; TargetError when that is not possible or it is no catalogue."""
        self._path = folder / NAME
        with self._connection() as connection:
            connection.execute(
                f"CREATE TABLE IF NOT EXISTS files ({_COLUMNS[0]} PRIMARY KEY, {', '.join(_COLUMNS[1:])}) WITHOUT ROWID"
            )
            there = {row[1] for row in connection.execute("PRAGMA table_info(files)")}
            for name in _COLUMNS:
                if name not in there:  # of a catalogue that an older version made
                    connection.execute(f"ALTER TABLE files ADD COLUMN {name}")
            connection.execute("CREATE INDEX IF NOT EXISTS targets ON files (target)")

    def get(self, source: str) -> Entry | None:
        return next(self._select("WHERE source = ?", source), None)

    def of_target(self, target: str) -> list[Entry]:
        return list(self._select("WHERE target = ?", target))

    def claim(self, entry: Entry, *, unless: Callable[[Entry], bool]) -> Entry | None:
        """Store the entry unless the one before it says no; gives back the one before it, in either case.

        Size and digest of an earlier result stay known until there is a new one: they tell that the file there is ours.
        """
        with self._connection() as connection:
            connection.execute("BEGIN IMMEDIATE")  # nobody else decides about the same file meanwhile
            row = connection.execute(f"{_SELECT} WHERE source = ?", (entry.source,)).fetchone()
            before = Entry(*row) if row else None
            if before is None or not unless(before):
                connection.execute(_INSERT, astuple(entry.after(before)))
            return before

    def put(self, entry: Entry) -> None:
        with self._connection() as connection:
            connection.execute(_INSERT, astuple(entry))

    def entries(self) -> list[Entry]:
        """All of them, by the path of the source."""
        return list(self._select("ORDER BY source"))

    def _select(self, clause: str, *values: str) -> Iterator[Entry]:
        with self._connection() as connection:
            rows = connection.execute(f"{_SELECT} {clause}", values).fetchall()
        return (Entry(*row) for row in rows)

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        try:
            with closing(sqlite3.connect(self._path, timeout=WAIT)) as connection, connection:
                yield connection
        except sqlite3.Error as error:
            raise TargetError(
                f"the catalogue {self._path} cannot be used: {error}",
                hint="check the folder's permissions and space; without its catalogue a library is looked at anew",
            ) from error
