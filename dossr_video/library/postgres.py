"""The catalogue in PostgreSQL: that of a library which many machines work on."""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from dossr_video.errors import SettingsError, TargetError
from dossr_video.library.database import TABLES, Statement, check_version

SCHEMES = ("postgresql://", "postgres://")
ANSWER = 10  # seconds for the server to answer at first
WAIT = 60.0  # seconds for a server that went away to come back
PAUSE = 1.0  # seconds between two tries
ONE_AT_A_TIME = 0x646F737372  # number of the lock under which tables and libraries are made

T = TypeVar("T")


class PostgresDatabase:
    """Tables in a database of PostgreSQL, made where there are none. One connection serves all threads."""

    def __init__(self, address: str, *, patient: bool = False) -> None:
        """Raises SettingsError where the address is none or psycopg is missing, TargetError as `_refusal`.

        `patient`: it was there before, so it is waited for, as for one that goes away later.
        """
        self.address = address
        self._driver = _driver()
        try:
            self._parameters = self._driver.conninfo.conninfo_to_dict(address)
        except self._driver.Error as error:
            # What the driver says of it may hold the password.
            raise SettingsError(
                "--catalogue postgresql://... is not an address as PostgreSQL takes them",
                hint="write it as postgresql://user@host:port/database",
            ) from error
        parameters = self._parameters
        host = parameters.get("host") or parameters.get("hostaddr") or "localhost"
        port = f":{parameters['port']}" if "port" in parameters else ""
        self.name = f"postgresql://{host}{port}/{parameters.get('dbname', '')}"
        self._lock = threading.RLock()
        self._connection: Any = None if patient else self._connect()
        self._make_tables()

    def now(self) -> float:
        [[seconds]] = self.rows("SELECT EXTRACT(EPOCH FROM clock_timestamp())::DOUBLE PRECISION")
        return float(seconds)

    def rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        return self._lasting(lambda: self._execute(statement, values).fetchall())

    def change(self, statement: str, *values: Any) -> int:
        return self._lasting(lambda: int(self._execute(statement, values).rowcount))

    def together(self, statements: Sequence[Statement]) -> None:
        def execute() -> None:
            with self._connection.transaction(), self._connection.cursor() as cursor:
                for statement, values in statements:
                    cursor.executemany(statement.replace("?", "%s"), values)

        self._lasting(execute)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """While the block runs, nobody else is in such a block."""
        self.rows("SELECT pg_advisory_lock(?)", ONE_AT_A_TIME)
        try:
            yield
        finally:
            self.rows("SELECT pg_advisory_unlock(?)", ONE_AT_A_TIME)

    def _execute(self, statement: str, values: Sequence[Any] = ()) -> Any:
        return self._connection.execute(statement.replace("?", "%s"), values)

    def _lasting(self, act: Callable[[], T]) -> T:
        """Do it, again where the server went away meanwhile and comes back in time."""
        until = time.monotonic() + WAIT
        with self._lock:
            while True:
                try:
                    if self._connection is None or self._connection.closed:
                        self._connection = self._connect()
                    return act()
                except self._driver.Error as error:
                    if not self._connection.closed or time.monotonic() > until:
                        raise self._refusal(error) from error
                except TargetError:
                    if time.monotonic() > until:
                        raise
                time.sleep(PAUSE)

    def _connect(self) -> Any:
        parameters = {"connect_timeout": ANSWER, "application_name": "dossr-video", **self._parameters}
        try:
            connection = self._driver.connect(**parameters, autocommit=True)
        except self._driver.Error as error:
            raise self._refusal(error) from error
        weakref.finalize(self, connection.close)
        return connection

    def _make_tables(self) -> None:
        def make() -> int:
            with self._connection.transaction():
                if not self._has_tables():
                    self._execute("SELECT pg_advisory_xact_lock(?)", (ONE_AT_A_TIME,))
                    for statement in () if self._has_tables() else TABLES:
                        self._execute(statement)
                return int(self._execute("SELECT version FROM dossr_version").fetchone()[0])

        check_version(self.name, self._lasting(make))

    def _has_tables(self) -> bool:
        return bool(self._execute("SELECT to_regclass('dossr_version') IS NOT NULL").fetchone()[0])

    def _refusal(self, error: Exception) -> TargetError:
        """What the server said, without the password."""
        errors, said = self._driver.errors, _first_line(error)
        if isinstance(error, errors.InsufficientPrivilege | errors.ReadOnlySqlTransaction):
            hint = "let the user make and change tables there: GRANT CREATE, USAGE ON SCHEMA public TO its name"
        elif isinstance(error, errors.UndefinedTable | errors.UndefinedColumn):
            hint = "its tables are not as dossr-video made them; name another database"
        else:
            hint = (
                "check that the server runs, the database is there and the user may connect; "
                "a password belongs into PGPASSWORD or ~/.pgpass"
            )
        password = self._parameters.get("password")
        return TargetError(
            f"the catalogue {self.name} cannot be used: {said.replace(password, '...') if password else said}",
            hint=hint,
        )


def _driver() -> Any:
    try:
        import psycopg
        import psycopg.conninfo
    except ImportError as error:
        raise SettingsError(
            "--catalogue postgresql:// needs psycopg", hint='install it: pip install "dossr-video[postgres]"'
        ) from error
    return psycopg


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
