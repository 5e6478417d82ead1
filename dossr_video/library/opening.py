"""Which catalogue belongs to a place of results: a file of SQLite, or a database that is named."""

from __future__ import annotations

import hashlib
import json
import secrets
import socket
from dataclasses import asdict, dataclass
from pathlib import Path

from platformdirs import user_state_path

from dossr_video.errors import SettingsError, TargetError
from dossr_video.jobs import durable
from dossr_video.jobs.resources import write_errors
from dossr_video.jobs.upload import read_small, write_small
from dossr_video.library.catalogue import Catalogue, Entry
from dossr_video.library.files import Place
from dossr_video.library.postgres import SCHEMES, PostgresDatabase
from dossr_video.library.sqlite import NAME, SqliteDatabase

MARKER = ".dossr-video.catalogue"  # among the results, where the catalogue is not
MOVED = ".moved"  # behind the name of a file whose entries are in another catalogue


@dataclass(frozen=True)
class _Marker:
    """What tells the library from others, whatever the paths by which machines see its folder."""

    library: str  # in the database; "" for the file of one machine
    catalogue: str  # name of the database

    @classmethod
    def of(cls, results: Place) -> _Marker | None:
        try:
            if isinstance(results, str):
                content = read_small(f"{results}/{MARKER}")
            else:
                content = (results / MARKER).read_bytes()
            return None if content is None else cls(**json.loads(content))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError) as error:
            raise TargetError(
                f"{results}/{MARKER} cannot be read: {error}",
                hint="it says which catalogue the results are in; name that one, and copy the file back",
            ) from error

    def write(self, results: Place) -> None:
        content = json.dumps(asdict(self)).encode()
        if isinstance(results, str):
            write_small(f"{results}/{MARKER}", content)
            return
        with write_errors(results):
            durable.write(results / MARKER, content)


def open_catalogue(results: Place, address: str | None, *, patient: bool = False) -> Catalogue:
    """The catalogue of a place of results, made where there is none.

    Without `address` it is a file in the folder, or for a bucket one of this machine. Where `address` names another,
    what that file says is taken over, and it is set aside. `patient`: the database was there before, and is waited for.

    Raises:
        SettingsError: The address is none, or what it needs is not installed.
        TargetError: The catalogue cannot be used, or is not that of these results.
    """
    if address is None:
        found = existing_catalogue(results, None) or _made(results)
    else:
        database = _database(address, patient=patient)
        with database.alone():
            marker = _Marker.of(results)
            if marker is None or marker.catalogue == _here(results):
                _move(results, database)
        found = _known(results, database)
    found.check_writable()
    return found


def existing_catalogue(results: Place, address: str | None) -> Catalogue | None:
    """As `open_catalogue`, to read from; None where nothing was noted yet."""
    marker, file = _Marker.of(results), _file_of(results)
    database = None if address is None else _database(address)
    if marker is None or marker.catalogue == _here(results):
        return Catalogue(SqliteDatabase(file)) if file.exists() else None
    if database is None:
        raise TargetError(
            f"{results} has its catalogue in {marker.catalogue}",
            hint="name it: --catalogue postgresql://user@host/database"
            if marker.library
            else "go on there; or give it --catalogue postgresql://... there first, which all machines may share",
        )
    return _known(results, database)


def has_catalogue(results: Path) -> bool:
    return (results / NAME).exists() or (results / MARKER).exists()


def _file_of(results: Place) -> Path:
    """The file of SQLite: in the folder, or for a bucket in the user's own."""
    if isinstance(results, Path):
        return results / NAME
    folder = user_state_path("dossr-video", appauthor=False) / hashlib.sha256(results.encode()).hexdigest()[:16]
    return folder / NAME.removeprefix(".")


def _here(results: Place) -> str:
    """How the marker of a bucket calls the file of this machine."""
    return f"{socket.gethostname()}:{_file_of(results)}"


def _made(results: Place) -> Catalogue:
    file = _file_of(results)
    if isinstance(results, str):
        with write_errors(file.parent):
            file.parent.mkdir(parents=True, exist_ok=True)
        _Marker("", _here(results)).write(results)
    return Catalogue(SqliteDatabase(file))


def _known(results: Place, database: PostgresDatabase) -> Catalogue:
    """The catalogue that the marker names; TargetError where the database is another."""
    marker = _Marker.of(results)
    assert marker is not None
    if not database.rows("SELECT library FROM dossr_libraries WHERE library = ?", marker.library):
        raise TargetError(
            f"the catalogue {database.name} does not know {results}, whose catalogue was {marker.catalogue}",
            hint=f"name that one; or remove {results}/{MARKER} to begin anew",
        )
    return Catalogue(database, marker.library)


def _database(address: str, *, patient: bool = False) -> PostgresDatabase:
    if not address.startswith(SCHEMES):
        raise SettingsError(
            f"--catalogue {address.partition(':')[0]}:... is no address of PostgreSQL",
            hint="write it as postgresql://user@host:port/database; without it the catalogue is a file in the folder",
        )
    return PostgresDatabase(address, patient=patient)


def _move(results: Place, database: PostgresDatabase) -> None:
    """Make a new library in the database, with what the file of SQLite says."""
    file, catalogue = _file_of(results), Catalogue(database, secrets.token_hex(16))
    entries: list[Entry] = []
    if file.exists():
        old = Catalogue(SqliteDatabase(file))
        if busy := old.in_work():
            raise TargetError(
                f"{results} is being worked on with the catalogue {file}, at {busy[0].source}",
                hint="stop that first (Ctrl-C), or let it go on to its end",
            )
        entries = old.entries()
        del old  # which closes it
    catalogue.begin(str(results), entries)
    _Marker(catalogue.library, database.name).write(results)
    if file.exists():
        with write_errors(file.parent):
            file.rename(file.with_name(file.name + MOVED))
