"""The queue of a library, in SQLite and in PostgreSQL."""

from __future__ import annotations

import json
import socket
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from dossr_video.errors import SettingsError, TargetError
from dossr_video.library import catalogue as module
from dossr_video.library import postgres, sqlite
from dossr_video.library.batch import Batch
from dossr_video.library.catalogue import Catalogue, Claim, Entry, LostError
from dossr_video.library.database import VERSION
from dossr_video.library.files import Library
from dossr_video.library.opening import MARKER, existing_catalogue, open_catalogue
from dossr_video.library.sqlite import NAME, SqliteDatabase, file_system_of
from dossr_video.library.work import FileWork
from dossr_video.library.worker import Worker
from dossr_video.settings import Settings

WANTED = Entry("a.avi", "a.avi.mkv", "running", 100, 5, "sample", "settings")


@pytest.fixture
def worker() -> Worker:
    return Worker.new()


@pytest.fixture
def elsewhere() -> Worker:
    """A worker on another machine."""
    return far(Worker.new())


def far(worker: Worker) -> Worker:
    return Worker(json.dumps({**json.loads(worker.text), "host": "elsewhere"}))


def claim(
    catalogue: Catalogue,
    worker: Worker,
    wanted: Entry = WANTED,
    *,
    since: float = 0.0,
    there: bool = True,
    same: bool = False,
) -> Claim:
    return catalogue.claim(wanted, worker, since=since, is_there=lambda: there, is_same=lambda done: same)


def test_a_file_goes_from_worker_to_worker_until_it_is_done(
    address: str | None, worker: Worker, elsewhere: Worker, tmp_path: Path
) -> None:
    catalogue = open_catalogue(tmp_path, address)
    assert claim(catalogue, worker) == Claim("ours", None)
    assert claim(catalogue, elsewhere).answer == "busy"
    [held] = catalogue.in_work()
    assert (held.state, held.worker, held.attempts) == ("running", worker.text, 1)
    catalogue.give_back("a.avi", worker)
    assert claim(catalogue, elsewhere).answer == "ours"
    assert not catalogue.renew("a.avi", worker)
    assert catalogue.renew("a.avi", elsewhere)
    with pytest.raises(LostError, match=r"a\.avi was taken by another worker"):
        catalogue.promise("a.avi", worker, frames=1, sha256="theirs")
    catalogue.promise("a.avi", elsewhere, frames=9, sha256="mine")
    assert catalogue.get("a.avi").coming == "mine"
    catalogue.finish("a.avi", elsewhere, frames=9, size=1000, sha256="mine")
    catalogue.finish("a.avi", elsewhere, frames=9, size=1000, sha256="mine")  # the answer was lost: said again
    [done] = catalogue.entries()
    assert catalogue.of_target("a.avi.mkv") == [done] == [existing_catalogue(tmp_path, address).get("a.avi")]
    assert (done.state, done.frames, done.result_size, done.result_sha256) == ("done", 9, 1000, "mine")
    assert (done.coming, done.worker, done.lease, done.attempts) == (None, None, None, 1)
    assert claim(catalogue, worker).answer == "done"
    # Another date on the same content is noted.
    assert claim(catalogue, worker, replace(WANTED, modified=6), same=True).answer == "done"
    assert claim(catalogue, worker, replace(WANTED, modified=6)).answer == "done"
    [done] = catalogue.entries()
    assert done.modified == 6
    # A result that is gone, other content and other settings are done again; what was made before stays known.
    assert claim(catalogue, worker, there=False) == Claim("ours", done)
    catalogue.give_back("a.avi", worker)
    again = claim(catalogue, worker, replace(WANTED, sample="other"))
    assert again.before is not None
    assert (again.answer, again.before.result_sha256, catalogue.get("a.avi").result_size) == ("ours", "mine", 1000)


def test_what_failed_is_tried_again_by_the_next_run_alone(address: str | None, worker: Worker, tmp_path: Path) -> None:
    catalogue = open_catalogue(tmp_path, address)
    began = catalogue.now()
    claim(catalogue, worker, since=began)
    time.sleep(0.02)
    catalogue.fail("a.avi", worker, "failed", "it is no video", "mend it")
    other = Worker.new()
    assert claim(catalogue, other, since=began).answer == "failed"
    assert claim(catalogue, other, replace(WANTED, settings="others"), since=began).answer == "ours"
    catalogue.give_back("a.avi", other)
    time.sleep(0.02)
    claim(catalogue, other, since=catalogue.now())
    catalogue.fail("a.avi", other, "failed", "it is no video", "mend it")
    time.sleep(0.02)
    assert claim(catalogue, worker, since=catalogue.now()).answer == "ours"
    found = catalogue.get("a.avi")
    assert (found.attempts, found.error) == (2, None)


def test_a_lease_runs_out_by_the_clock_of_the_catalogue(
    address: str | None, worker: Worker, elsewhere: Worker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LEASE", 1.0)
    catalogue = open_catalogue(tmp_path, address)
    clock = time.time
    monkeypatch.setattr(time, "time", lambda: clock() - 5000)  # the clock of a machine that is late
    claim(catalogue, elsewhere)
    monkeypatch.setattr(time, "time", lambda: clock() + 5000)  # of one that is early
    assert claim(catalogue, worker).answer == "busy"
    assert abs(catalogue.now() - clock()) < 60
    time.sleep(0.6)
    assert catalogue.renew("a.avi", elsewhere)
    time.sleep(0.6)
    assert claim(catalogue, worker).answer == "busy"
    time.sleep(0.6)
    assert claim(catalogue, worker).answer == "ours"
    assert not catalogue.renew("a.avi", elsewhere)
    assert (catalogue.get("a.avi").deaths, catalogue.get("a.avi").attempts) == (1, 2)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it is not known whether a process is another's")
def test_a_worker_that_has_ended_on_this_machine_has_no_lease(worker: Worker, tmp_path: Path) -> None:
    catalogue = open_catalogue(tmp_path, None)
    known = json.loads(worker.text)
    gone = Worker(json.dumps({**known, "started": known["started"] - 60, "token": "another"}))
    claim(catalogue, gone)
    assert claim(catalogue, worker).answer == "ours"
    for change in ({"host": "elsewhere"}, {"boot": "another"}, {"space": "pid:[1]"}):  # not known to have ended
        assert not Worker(json.dumps({**json.loads(gone.text), **change})).is_gone()


def test_a_file_that_ends_one_worker_after_another_has_failed(
    address: str | None, elsewhere: Worker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LEASE", -1.0)  # each has run out when the next one asks
    catalogue = open_catalogue(tmp_path, address)
    answers = [claim(catalogue, far(Worker.new())).answer for _ in range(6)]
    assert answers == ["ours"] * 5 + ["failed"]
    found = catalogue.get("a.avi")
    assert (found.state, found.error) == ("crashed", "5 workers ended without a word while they worked on it")
    assert claim(catalogue, elsewhere, since=catalogue.now() + 1).answer == "ours"  # the next run


def test_of_many_who_ask_at_once_one_gets_a_file(address: str | None, tmp_path: Path) -> None:
    open_catalogue(tmp_path, address)
    names, taken = [f"{i}.avi" for i in range(12)], []

    def work() -> None:
        catalogue, worker = open_catalogue(tmp_path, address), Worker.new()
        for name in names:
            wanted = replace(WANTED, source=name, target=name + ".mkv")
            if claim(catalogue, worker, wanted).answer == "ours":
                taken.append(name)
                catalogue.finish(name, worker, frames=1, size=1, sha256=worker.text)

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == sorted(names)


@pytest.fixture
def first_version(tmp_path: Path) -> Path:
    """A catalogue as dossr-video 0.1.0 left it."""
    columns = "source PRIMARY KEY, target, state, size, modified, sample, settings, started, finished, frames"
    with sqlite3.connect(tmp_path / NAME) as connection:
        connection.execute(f"CREATE TABLE files ({columns}, result_size, error, hint, result_sha256) WITHOUT ROWID")
        done = ("a.avi", "a.avi.mkv", "done", 100, 5, "sample", "settings", 1.5, 2.5, 9, 1000, None, None, "digest")
        failed = ("b.avi", "b.avi.mkv", "failed", 1, 1, "x", "y", 1.0, 2.0, None, None, "no video", "mend it", None)
        running = ("c.avi", "c.avi.mkv", "running", 1, 1, "x", "y", 1.0, None, None, None, None, None, None)
        for row in (done, failed, running):
            connection.execute(f"INSERT INTO files VALUES ({','.join('?' * 14)})", row)
    connection.close()
    return tmp_path


def test_a_catalogue_of_the_first_version_is_taken_over(
    first_version: Path, address: str | None, worker: Worker
) -> None:
    catalogue = open_catalogue(first_version, address)
    assert [entry.state for entry in catalogue.entries()] == ["done", "failed", "waiting"]
    done = catalogue.get("a.avi")
    assert (done.frames, done.result_size, done.result_sha256, done.finished) == (9, 1000, "digest", 2.5)
    assert catalogue.get("b.avi").error == "no video"
    assert claim(catalogue, worker).answer == "done"
    assert claim(catalogue, worker, replace(WANTED, source="c.avi")).answer == "ours"
    assert (first_version / NAME).exists() == (address is None)
    assert (first_version / MARKER).exists() == (address is not None)
    assert [e.source for e in open_catalogue(first_version, address).entries()] == ["a.avi", "b.avi", "c.avi"]


def test_a_library_moves_into_a_database_once_and_is_not_looked_for_elsewhere(
    make_database: Callable[[], str], worker: Worker, tmp_path: Path
) -> None:
    address, results = make_database(), tmp_path / "out"
    (results / "other").mkdir(parents=True)
    here = open_catalogue(results, None)
    claim(here, worker)
    with pytest.raises(TargetError, match=r"is being worked on .*a\.avi"):
        open_catalogue(results, address)
    here.give_back("a.avi", worker)
    assert existing_catalogue(results, address).get("a.avi").state == "waiting"  # only looked at: nothing moves
    assert (results / NAME).exists()
    del here  # which closes it
    opened: list[Catalogue] = []
    threads = [threading.Thread(target=lambda: opened.append(open_catalogue(results, address))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({catalogue.library for catalogue in opened}) == 1
    assert [entry.source for entry in opened[0].entries()] == ["a.avi"]
    assert opened[0].database.rows("SELECT COUNT(*) FROM dossr_files") == [(1,)]
    assert sorted(p.name for p in results.iterdir()) == [MARKER, f"{NAME}.moved", "other"]
    assert open_catalogue(results / "other", address).entries() == []  # another library in the same database
    with pytest.raises(TargetError, match=r"has its catalogue in postgresql://127.0.0.1:\d+/t\w+$"):
        open_catalogue(results, None)
    with pytest.raises(TargetError, match="does not know"):
        open_catalogue(results, make_database())
    (results / MARKER).write_text("{}")
    with pytest.raises(TargetError, match="cannot be read"):
        open_catalogue(results, address)


def test_tables_of_a_newer_version_are_left_alone(address: str | None, tmp_path: Path) -> None:
    catalogue = open_catalogue(tmp_path, address)
    catalogue.database.change("UPDATE dossr_version SET version = ?", VERSION + 1)
    with pytest.raises(
        TargetError, match=f"has version {VERSION + 1}, and this dossr-video knows those up to"
    ) as error:
        open_catalogue(tmp_path, address)
    assert "upgrade" in error.value.hint


def test_a_catalogue_that_is_none_is_refused(tmp_path: Path) -> None:
    (tmp_path / NAME).write_bytes(b"not a database" * 100)
    with pytest.raises(TargetError, match=r"catalogue .* cannot be used"):
        open_catalogue(tmp_path, None)


def test_the_log_of_sqlite_is_kept_off_file_systems_that_may_be_shared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def journal() -> str:
        [[name]] = SqliteDatabase(tmp_path / NAME).rows("PRAGMA journal_mode")
        return str(name)

    if file_system_of(tmp_path) in sqlite.LOCAL:
        assert journal() == "wal"
    monkeypatch.setattr(sqlite, "file_system_of", lambda folder: "nfs4")
    assert journal() == "delete"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sqlite:///films.db", r"--catalogue sqlite:\.\.\. is no address of PostgreSQL"),
        ("mysql://me:s3cret-word@host/films", r"--catalogue mysql:\.\.\. is no address of PostgreSQL"),
        ("postgresql://me:s3cret-word@[host/films", "is not an address as PostgreSQL takes them"),
        ("postgresql://me@host/films?nonsense=s3cret-word", "is not an address as PostgreSQL takes them"),
    ],
)
def test_an_address_that_is_none_is_refused(url: str, message: str, tmp_path: Path) -> None:
    if url.startswith("postgres"):
        pytest.importorskip("psycopg")
    with pytest.raises(SettingsError, match=message) as error:
        open_catalogue(tmp_path, url)
    assert "s3cret-word" not in error.value.message + error.value.hint
    assert list(tmp_path.iterdir()) == []


def test_without_psycopg_its_installation_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(SettingsError, match="needs psycopg") as error:
        open_catalogue(tmp_path, "postgresql://me@host/films")
    assert 'pip install "dossr-video[postgres]"' in error.value.hint


def test_a_server_that_does_not_let_us_in_is_told_without_the_password(
    postgres_server: str, make_database: Callable[[], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import psycopg

    monkeypatch.setattr(postgres, "WAIT", 0.0)
    address = make_database()
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("CREATE ROLE reader LOGIN PASSWORD 's3cret-word'")
    reading = address.replace("films:", "reader:")
    refused = {
        address.replace("s3cret-word", "wr0ng-word"): "password authentication failed",
        postgres_server + "no": 'database "no" does not exist',
        "postgresql://films:s3cret-word@127.0.0.1:1/films": "Connection refused",
        reading: "permission denied for schema public",
    }
    for wrong, message in refused.items():
        with pytest.raises(TargetError, match=message) as error:
            open_catalogue(tmp_path, wrong)
        assert "word" not in error.value.message.replace("password authentication", "")
    open_catalogue(tmp_path, address)
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO reader")
    assert existing_catalogue(tmp_path, reading).entries() == []
    with pytest.raises(TargetError, match="permission denied for table dossr_files") as error:
        open_catalogue(tmp_path, reading)
    assert "GRANT" in error.value.hint
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("DROP OWNED BY reader")
        connection.execute("DROP ROLE reader")


def test_a_connection_that_breaks_is_made_anew(
    make_database: Callable[[], str], worker: Worker, tmp_path: Path
) -> None:
    import psycopg

    address = make_database()
    catalogue = open_catalogue(tmp_path, address)
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'dossr-video'"
            " AND datname = current_database()"
        )
    assert claim(catalogue, worker).answer == "ours"


def test_a_worker_waits_for_a_server_that_restarts_as_it_begins(
    make_database: Callable[[], str], tiny: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = make_database()
    server = urlsplit(address)
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    away = address.replace(f":{server.port}/", f":{port}/")
    library = Library(tmp_path, tmp_path / "out", catalogue=away)
    (tmp_path / "out").mkdir()
    monkeypatch.setattr(postgres, "PAUSE", 0.2)
    began = time.monotonic()
    with pytest.raises(TargetError, match="Connection refused"):  # the command itself is told at once
        Batch(library, tiny).run()
    assert time.monotonic() - began < 5

    def come_back() -> None:
        time.sleep(1.0)
        with socket.create_server(("127.0.0.1", port)) as listening:
            mine, _ = listening.accept()
        theirs = socket.create_connection((server.hostname, server.port))
        for pair in ((mine, theirs), (theirs, mine)):
            threading.Thread(target=pass_on, args=pair, daemon=True).start()

    def pass_on(one: socket.socket, other: socket.socket) -> None:
        while content := one.recv(1 << 16):
            other.sendall(content)
        other.close()

    back = threading.Thread(target=come_back)
    back.start()
    assert FileWork(library, tiny, force=False, restart=False).catalogue.entries() == []
    back.join()
    monkeypatch.setattr(postgres, "WAIT", 0.5)
    began = time.monotonic()
    with pytest.raises(TargetError, match="Connection refused"):  # not for ever
        _ = FileWork(library, tiny, force=False, restart=False).catalogue
    assert time.monotonic() - began > 0.5
