"""The catalogue in a file of SQLite: that of a library on one machine, or on a folder that a few share."""

from __future__ import annotations

import os
import sqlite3
import tempfile
import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dossr_video.errors import TargetError
from dossr_video.library.database import COLUMNS, TABLES, Statement, check_version

NAME = ".dossr-video.sqlite"  # in the folder of the results
WAIT = 60.0  # seconds for another process that writes to it

LOCAL = frozenset({"ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "tmpfs", "overlay", "f2fs", "bcachefs"})
"""File systems of one machine, where SQLite's write-ahead log works: it needs memory that all its users share."""


class SqliteDatabase:
    """A file of SQLite, made where there is none.

    Where the file system is known to be this machine's own it has a write-ahead log: nobody waits for a reader. On
    others, which may be shared over a network, it has SQLite's older journal, which needs nothing but their locks.
    """

    def __init__(self, path: Path) -> None:
        """Takes over the tables of an older version; TargetError when they cannot be used, or are of a newer one."""
        self.name = str(path)
        self._folder = path.parent
        self._lock = threading.Lock()
        with self._errors():
            self._connection = sqlite3.connect(path, timeout=WAIT, isolation_level=None, check_same_thread=False)
            weakref.finalize(self, self._connection.close)
            journal = "WAL" if file_system_of(path.parent) in LOCAL else "DELETE"
            self._connection.execute(f"PRAGMA journal_mode = {journal}")
        self._make_tables()

    def now(self) -> float:
        """By the clock of the file system: of machines that share it, each has another of its own."""
        with self._errors(), tempfile.NamedTemporaryFile(prefix=".dossr-video.", dir=self._folder) as file:
            return os.fstat(file.fileno()).st_mtime

    def rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        with self._lock, self._errors():
            return self._connection.execute(statement, values).fetchall()

    def change(self, statement: str, *values: Any) -> int:
        with self._lock, self._errors():
            return self._connection.execute(statement, values).rowcount

    def together(self, statements: Sequence[Statement]) -> None:
        with self._lock, self._errors(), self._transaction():
            for statement, values in statements:
                self._connection.executemany(statement, values)

    def _make_tables(self) -> None:
        with self._lock, self._errors(), self._transaction():
            there = {row[0] for row in self._connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            if "dossr_version" not in there:
                for statement in TABLES:
                    self._connection.execute(statement)
                if "files" in there:
                    self._take_over_first_version()
            [version] = self._connection.execute("SELECT version FROM dossr_version").fetchone()
        check_version(self.name, version)

    def _take_over_first_version(self) -> None:
        """What worked on a file then is not known here: its job folder says so."""
        had = {row[1] for row in self._connection.execute("PRAGMA table_info(files)")}
        new = {"library": "''", "attempts": "0", "deaths": "0", "version": "1"}
        kept = [name for name in COLUMNS if name in had and name not in new]
        self._connection.execute(
            f"INSERT INTO dossr_files ({', '.join([*new, *kept])}) "  # names of this module  # nosec B608
            f"SELECT {', '.join([*new.values(), *kept])} FROM files"
        )
        self._connection.execute("UPDATE dossr_files SET state = 'waiting' WHERE state = 'running'")
        self._connection.execute("DROP TABLE files")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        self._connection.execute("COMMIT")

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise TargetError(
                f"the catalogue {self.name} cannot be used: {error}",
                hint="check permissions and space; or move it away: then the reports beside the results tell",
            ) from error


def file_system_of(folder: Path) -> str:
    """The kind of file system that holds a folder; "" where that is not known."""
    try:
        mounts = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return ""
    place, found, kind = folder.resolve(), Path(), ""
    for _, where, its_kind, *_ in (line.split(" ") for line in mounts):
        mount = Path(where.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\"))
        if place.is_relative_to(mount) and len(mount.parts) >= len(found.parts):  # a later one hides an earlier one
            found, kind = mount, its_kind
    return kind
