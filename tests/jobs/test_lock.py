from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from dossr_video.errors import JobError
from dossr_video.jobs import lock
from dossr_video.jobs.lock import Owner, holder, locked

HOLD = """
import sys, time
from pathlib import Path
from dossr_video.jobs.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "lock"


@pytest.fixture
def other(path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def leave(path: Path, owner: Owner, *, age: float = 0.0) -> None:
    path.write_text(json.dumps(asdict(owner)))
    now = path.stat().st_mtime
    os.utime(path, (now, now - age))


def test_a_second_process_is_refused_and_told_who_has_it(path: Path, other: subprocess.Popen[str]) -> None:
    with pytest.raises(JobError, match=f"process {other.pid} on ") as refusal, locked(path):
        pass
    assert refusal.value.hint
    assert holder(path) is not None


def test_a_killed_holder_leaves_nothing_to_clear(path: Path, other: subprocess.Popen[str]) -> None:
    other.send_signal(signal.SIGKILL)
    other.wait()
    assert holder(path) is None
    with locked(path):
        assert holder(path) == Owner.current()


def test_is_free_after_the_block_and_after_an_error_in_it(path: Path) -> None:
    with pytest.raises(KeyError), locked(path):
        raise KeyError
    assert holder(path) is None
    with locked(path):
        pass


def test_an_owner_from_before_a_power_cut_is_gone(path: Path) -> None:
    leave(path, replace(Owner.current(), boot="another"))
    assert holder(path) is None
    with locked(path):
        pass


def test_a_later_process_with_the_same_number_is_not_the_owner(path: Path) -> None:
    leave(path, replace(Owner.current(), started=1))
    assert holder(path) is None


def test_another_machine_holds_it_until_its_lease_runs_out(path: Path) -> None:
    elsewhere = Owner("far.example", "another", 1, 1)
    leave(path, elsewhere, age=lock.LEASE - 60)
    with pytest.raises(JobError, match=r"process 1 on far\.example"), locked(path):
        pass
    assert holder(path) == elsewhere
    leave(path, elsewhere, age=lock.LEASE + 60)
    with locked(path):
        assert holder(path) == Owner.current()


def test_the_holder_gives_signs_of_life(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "BEAT", 0.01)
    with locked(path):
        os.utime(path, (0, 0))
        while path.stat().st_mtime == 0:
            pass


def test_a_folder_removed_by_the_last_holder_is_noticed(path: Path) -> None:
    with locked(path):
        descriptor = os.open(path, os.O_RDWR)
        path.unlink()
        assert not lock._is_still(descriptor, path)
        path.touch()
        assert not lock._is_still(descriptor, path)
        os.close(descriptor)
