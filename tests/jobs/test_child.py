from __future__ import annotations

import importlib
import os
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from dossr_video.errors import SourceError
from dossr_video.jobs import child
from dossr_video.jobs.child import Child, CrashError
from dossr_video.jobs.memory import available
from dossr_video.jobs.progress import Progress
from dossr_video.system import memory_of


@pytest.fixture
def other(monkeypatch: pytest.MonkeyPatch) -> Iterator[Child]:
    here = Path(__file__).parent
    monkeypatch.setenv("PYTHONPATH", str(here))
    monkeypatch.syspath_prepend(here)
    found = Child(partial(importlib.import_module("subject").Subject, 7))
    yield found
    found.close()


def test_calls_reach_one_process_and_its_events_come_back(other: Child) -> None:
    events: list[Progress] = []
    result, pid = other.call("add", 5, on_progress=events.append)
    assert (result, pid != os.getpid()) == (12, True)
    assert events == [Progress("upscaling", 5)]
    assert other.call("add", 5, cancelled=lambda: True) == (112, pid)
    with pytest.raises(SourceError, match="no") as refusal:
        other.call("refuse")
    assert refusal.value.hint == "yes"
    assert other.call("add", 5) == (12, pid)


def test_a_crash_is_an_error_that_says_what_was_seen_and_the_next_call_starts_anew(other: Child) -> None:
    _, pid = other.call("add", 5)
    with pytest.raises(CrashError, match=r"SIGABRT \(probing\): free\(\): invalid pointer"):
        other.call("crash")
    result, after = other.call("add", 5)
    assert (result, after != pid) == (12, True)


def test_a_call_of_a_process_that_is_gone_is_cancelled(other: Child, tmp_path: Path) -> None:
    process, connection, log = child._start(other._make)
    with log:
        connection.send(("stay", (tmp_path / "end",)))
        assert connection.recv() == ("cancelled", None)
        connection.close()
        assert process.wait(60) == 0
    assert (tmp_path / "end").read_text() == "cancelled"


def test_a_failed_connection_of_the_method_is_its_error(other: Child) -> None:
    _, pid = other.call("add", 5)
    with pytest.raises(ConnectionResetError, match="of a store"):
        other.call("lose")
    assert other.call("add", 5)[1] == pid


def test_no_sign_of_life_ends_it(other: Child, monkeypatch: pytest.MonkeyPatch) -> None:
    other.call("add", 5)
    monkeypatch.setattr(child, "LOOKING", 0.3)
    with pytest.raises(CrashError, match="no sign of life"):
        other.call("hang")


def test_another_thread_ends_it(other: Child) -> None:
    _, pid = other.call("add", 5)
    timer = threading.Timer(0.3, other.end)
    timer.start()
    with pytest.raises(CrashError, match="the process that worked on it ended"):
        other.call("hang")
    timer.join()
    other.end()  # there is none
    assert other.call("add", 5)[1] != pid


@pytest.mark.skipif(memory_of(os.getpid()) is None, reason="the system does not tell the memory of a process")
def test_a_file_that_takes_most_of_the_memory_ends_it(other: Child, monkeypatch: pytest.MonkeyPatch) -> None:
    _, pid = other.call("add", 5)
    monkeypatch.setattr(child, "available", lambda: 100 << 20)
    monkeypatch.setattr(child, "POLL", 0.01)
    with pytest.raises(CrashError, match=r"it took \d+\.\d MB of memory \(analysing\), most of what was free"):
        other.call("eat", "analysing")
    result, after = other.call("add", 5)
    assert (result, after != pid) == (12, True)
    assert other.call("eat", "upscaling") == 25  # pictures and networks are not the file's


def test_memory_is_told_where_the_system_does() -> None:
    held, free = memory_of(os.getpid()), available()
    assert held is None or 1 << 20 < held < 1 << 40
    assert free is None or free >= 0
    assert memory_of(2**22 + 1) is None
