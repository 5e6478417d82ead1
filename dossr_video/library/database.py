"""The tables of the catalogue, and what SQLite and PostgreSQL do for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from dossr_video.errors import TargetError

VERSION = 2  # of the tables; the first had no leases and no table of versions

COLUMNS = {
    "source": "TEXT NOT NULL",
    "target": "TEXT NOT NULL",
    "state": "TEXT NOT NULL",
    "size": "BIGINT NOT NULL",
    "modified": "BIGINT NOT NULL",
    "sample": "TEXT NOT NULL",
    "settings": "TEXT NOT NULL",
    "started": "DOUBLE PRECISION NOT NULL",
    "finished": "DOUBLE PRECISION",
    "frames": "BIGINT",
    "result_size": "BIGINT",
    "error": "TEXT",
    "hint": "TEXT",
    "result_sha256": "TEXT",
    "coming": "TEXT",
    "attempts": "BIGINT NOT NULL",
    "deaths": "BIGINT NOT NULL",
    "worker": "TEXT",
    "lease": "DOUBLE PRECISION",
    "version": "BIGINT NOT NULL",
}

_FILES = "".join(f"{name} {kind}, " for name, kind in COLUMNS.items())
TABLES = (
    f"CREATE TABLE dossr_files (library TEXT NOT NULL, {_FILES}PRIMARY KEY (library, source))",
    "CREATE INDEX dossr_targets ON dossr_files (library, target)",
    "CREATE TABLE dossr_libraries (library TEXT PRIMARY KEY, results TEXT NOT NULL)",
    "CREATE TABLE dossr_version (version BIGINT NOT NULL)",
    f"INSERT INTO dossr_version VALUES ({VERSION})",  # nosec B608
)

Statement = tuple[str, Sequence[Sequence[Any]]]
"""With the values of each time that it is executed."""


class Database(Protocol):
    """Where the tables are. Values stand for `?`. All methods raise TargetError where it cannot be used."""

    name: str  # for messages, without what is secret

    def now(self) -> float:
        """Seconds since 1970, by the one clock that all who use it see."""
        ...

    def rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """What a SELECT finds."""
        ...

    def change(self, statement: str, *values: Any) -> int:
        """Execute a statement; how many rows it has changed. It is on the disk when this returns."""
        ...

    def together(self, statements: Sequence[Statement]) -> None:
        """Execute all or none."""
        ...


def check_version(name: str, version: int) -> None:
    """TargetError when a newer program has made the tables."""
    if version > VERSION:
        raise TargetError(
            f"the catalogue {name} has version {version}, and this dossr-video knows those up to {VERSION}",
            hint="use the dossr-video that made it, or a newer one: pip install --upgrade dossr-video",
        )
