from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from dossr_video.jobs.execute.local import LocalExecutor
from dossr_video.jobs.resolve import worker_spec
from dossr_video.settings import Settings

PASSWORD = "s3cret-word"


@pytest.fixture(scope="session")
def executor(tiny: Settings) -> LocalExecutor:
    """With it a library is worked on in this process: others take seconds to start."""
    return LocalExecutor(worker_spec(tiny))


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The address of a PostgreSQL of this session's own, without a database."""
    programs = [*sorted(Path("/usr/lib/postgresql").glob("*/bin")), Path(shutil.which("initdb") or "/").parent]
    folder = next((path for path in reversed(programs) if (path / "initdb").exists()), None)
    if folder is None:
        if os.environ.get("FAIL_WITHOUT_POSTGRES") == "1":
            pytest.fail("FAIL_WITHOUT_POSTGRES=1 and there is no PostgreSQL")
        pytest.skip("needs PostgreSQL: apt-get install postgresql")
    pytest.importorskip("psycopg")
    # It does not run as root, and goes to a folder that its user reaches.
    user = {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}
    data = Path(tempfile.mkdtemp(prefix="postgres-"))
    (data / "password").write_text(PASSWORD)
    for path in (data, data / "password"):
        if user:
            shutil.chown(path, user["user"], user["group"])
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = {"cwd": data, "check": True, "stdout": subprocess.DEVNULL, **user}
    made = ["--auth=scram-sha-256", "--username=films", f"--pwfile={data}/password", "--encoding=UTF8", "--locale=C"]
    subprocess.run([folder / "initdb", "--no-sync", *made, data / "base"], **options)
    listen = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -c fsync=off"
    control = [folder / "pg_ctl", "-D", data / "base", "-w", "-l", data / "log"]
    subprocess.run([*control, "-o", listen, "start"], **options)
    yield f"postgresql://films:{PASSWORD}@127.0.0.1:{port}/"
    subprocess.run([*control, "-m", "immediate", "stop"], **options)
    shutil.rmtree(data)


@pytest.fixture
def make_database(postgres_server: str) -> Callable[[], str]:
    """Makes an empty database and gives its address."""
    import psycopg

    def make() -> str:
        name = f"t{secrets.token_hex(6)}"
        with psycopg.connect(postgres_server + "postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return postgres_server + name

    return make


@pytest.fixture(params=["sqlite", "postgres"])
def address(request: pytest.FixtureRequest) -> str | None:
    """Where the catalogue is: None for the file in the folder of the results."""
    return None if request.param == "sqlite" else request.getfixturevalue("make_database")()
