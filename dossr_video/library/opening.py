"""Which catalogue belongs to a folder of results: the file of SQLite in it, or a database that is named."""

from __future__ import annotations

import json
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path

from dossr_video.errors import SettingsError, TargetError
from dossr_video.jobs import durable
from dossr_video.jobs.resources import write_errors
from dossr_video.library.catalogue import Catalogue, Entry
from dossr_video.library.postgres import SCHEMES, PostgresDatabase
from dossr_video.library.sqlite import NAME, SqliteDatabase

MARKER = ".dossr-video.catalogue"  # in the folder of the results, where the catalogue is not
MOVED = ".moved"  # behind the name of a file whose entries are in another catalogue


@dataclass(frozen=True)
class _Marker:
    """What tells the library from others, whatever the paths by which machines see its folder."""

    library: str
    catalogue: str  # name of the database

    @classmethod
    def of(cls, results: Path) -> _Marker | None:
        try:
            return cls(**json.loads((results / MARKER).read_bytes()))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError) as error:
            raise TargetError(
                f"{results / MARKER} cannot be read: {error}",
                hint="it says which catalogue the results are in; name that one, and copy the file back",
            ) from error

    def write(self, results: Path) -> None:
        durable.write(results / MARKER, json.dumps(asdict(self)).encode())


def open_catalogue(results: Path, address: str | None) -> Catalogue:
    """The catalogue of a folder of results, made where there is none.

    Where `address` names another than the file in the folder, what that file says is taken over, and it is set aside.

    Raises:
        SettingsError: The address is none, or what it needs is not installed.
        TargetError: The catalogue cannot be used, or is not that of these results.
    """
    if address is not None and _Marker.of(results) is None:
        database = _database(address)
        with database.alone():
            if _Marker.of(results) is None:
                _move(results, database)
    found = existing_catalogue(results, address) or Catalogue(SqliteDatabase(results / NAME))
    found.check_writable()
    return found


def existing_catalogue(results: Path, address: str | None) -> Catalogue | None:
    """As `open_catalogue`, to read from; None where nothing was noted yet."""
    marker = _Marker.of(results)
    database = None if address is None else _database(address)
    if marker is None:
        return Catalogue(SqliteDatabase(results / NAME)) if (results / NAME).exists() else None
    if database is None:
        raise TargetError(
            f"{results} has its catalogue in {marker.catalogue}",
            hint="name it: --catalogue postgresql://user@host/database",
        )
    if not database.rows("SELECT library FROM dossr_libraries WHERE library = ?", marker.library):
        raise TargetError(
            f"the catalogue {database.name} does not know {results}, whose catalogue was {marker.catalogue}",
            hint=f"name that one; or remove {results / MARKER} to begin anew",
        )
    return Catalogue(database, marker.library)


def has_catalogue(results: Path) -> bool:
    return (results / NAME).exists() or (results / MARKER).exists()


def _database(address: str) -> PostgresDatabase:
    if not address.startswith(SCHEMES):
        raise SettingsError(
            f"--catalogue {address.partition(':')[0]}:... is no address of PostgreSQL",
            hint="write it as postgresql://user@host:port/database; without it the catalogue is a file in the folder",
        )
    return PostgresDatabase(address)


def _move(results: Path, database: PostgresDatabase) -> None:
    """Make a new library in the database, with what the file in the folder says."""
    file, catalogue = results / NAME, Catalogue(database, secrets.token_hex(16))
    entries: list[Entry] = []
    if file.exists():
        old = Catalogue(SqliteDatabase(file))
        if busy := old.in_work():
            raise TargetError(
                f"{results} is being worked on with the catalogue in it, at {busy[0].source}",
                hint="stop that first (Ctrl-C), or let it go on to its end",
            )
        entries = old.entries()
        del old  # which closes it
    catalogue.begin(str(results), entries)
    with write_errors(results):
        _Marker(catalogue.library, database.name).write(results)
        if file.exists():
            file.rename(file.with_name(NAME + MOVED))
