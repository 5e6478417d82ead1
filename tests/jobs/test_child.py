from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from dossr_video.errors import SourceError
from dossr_video.jobs import child
from dossr_video.jobs.child import Child, CrashError
from dossr_video.jobs.progress import Progress


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


def test_no_sign_of_life_ends_it(other: Child, monkeypatch: pytest.MonkeyPatch) -> None:
    other.call("add", 5)
    monkeypatch.setattr(child, "LOOKING", 0.3)
    with pytest.raises(CrashError, match="no sign of life"):
        other.call("hang")
