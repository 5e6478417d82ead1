"""Files of a library that are done at once: results, order, memory, and how all of them are stopped."""

from __future__ import annotations

import importlib
import os
import shutil
import threading
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from dossr_video import progress_bar
from dossr_video.errors import Interrupted
from dossr_video.jobs.execute.local import LocalExecutor
from dossr_video.jobs.progress import Item, Progress
from dossr_video.library import batch, several
from dossr_video.library.batch import Batch
from dossr_video.library.files import Library
from dossr_video.library.several import Room, files_at_once, need, sharing, together
from dossr_video.settings import Settings


def test_two_at_once_make_what_one_after_another_makes(
    make_clip: Callable[..., Path],
    tiny: Settings,
    executor: LocalExecutor,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    paths = Path(__file__).parent, Path(batch.__file__).parents[2]  # the package that is tested
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, paths)))
    monkeypatch.syspath_prepend(Path(__file__).parent)
    folder = tmp_path / "in"
    folder.mkdir()
    make_clip(folder / "a.mp4", [5])
    for name in ("crash.mp4", "y.mp4", "z.mp4"):
        shutil.copyfile(folder / "a.mp4", folder / name)
    (folder / "bad.mov").write_bytes(b"this is no video")
    Batch(Library(folder, tmp_path / "one"), tiny).run(executor=executor)
    monkeypatch.setattr(batch, "FileWork", importlib.import_module("crashing").Crashing)
    events: list[Progress] = []
    outcomes = Batch(Library(folder, tmp_path / "two"), tiny, jobs=2).run(on_progress=events.append)
    assert [(outcome.target.name, outcome.verdict) for outcome in outcomes if isinstance(outcome.target, Path)] == [
        *[("a.mp4", "done"), ("bad.mov", "failed"), ("crash.mp4", "crashed"), ("y.mp4", "done"), ("z.mp4", "done")]
    ]
    finished = [event.item.name for event in events if event.item and event.stage == "finished"]
    assert sorted(finished) == ["a.mp4", "bad.mov", "crash.mp4", "y.mp4", "z.mp4"]
    for name in ("a.mp4", "y.mp4", "z.mp4"):
        assert (tmp_path / "two" / name).read_bytes() == (tmp_path / "one" / name).read_bytes()
    assert {event.item.slot for event in events if event.item} == {0, 1}
    stages = [(event.item.slot, event.stage) for event in events if event.item]
    turns = sum(before[0] != after[0] for before, after in pairwise(stages))
    assert turns > 2  # they ran beside each other


def test_how_many_at_once_and_with_how_many_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(several, "cores", lambda: 16)
    cpu = Settings(device="cpu")
    assert files_at_once(cpu) == 8
    assert sharing(cpu, 8).threads == 2
    assert sharing(cpu, 1).threads is None
    four = Settings(device="cpu", threads=4, model="bicubic")
    assert files_at_once(four) == 4
    assert sharing(four, 4).threads == 4
    assert files_at_once(Settings(device="cpu", model="large")) == 1
    monkeypatch.setattr(several, "cores", lambda: 2)
    assert files_at_once(cpu) == 1
    assert sharing(cpu, 3).threads == 1
    assert sharing(cpu, 3).digest() == cpu.digest()  # what is done already stays


def test_a_file_begins_once_it_fits_beside_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(several, "available", lambda: 2 * need(1000))
    room, seen = Room(), []

    def second() -> None:
        with room.held(need(1000), lambda: False):
            seen.append("second")

    with room.held(need(100_000_000), lambda: False):  # alone it may try whatever its size
        waiting = threading.Thread(target=second)
        waiting.start()
        with room.held(need(1000), lambda: True):  # who is to stop need not wait
            time.sleep(0.3)
        seen.append("first")
    waiting.join()
    assert seen == ["first", "second"]
    monkeypatch.setattr(several, "available", lambda: None)
    room = Room()
    with room.held(1 << 60, lambda: False), room.held(1 << 60, lambda: False):
        pass


def test_an_error_waits_for_what_runs_and_ctrl_c_does_not() -> None:
    done: list[str] = []
    ended = threading.Event()

    def slow() -> None:
        time.sleep(0.2)
        done.append("slow")

    def fail() -> None:
        raise Interrupted("stopped", hint="")

    for tasks in ([fail, slow], [slow, fail]):
        done.clear()
        with pytest.raises(Interrupted):
            together(tasks, [ended.set])
        assert done == ["slow"]
    assert not ended.is_set()

    def stop_at_once() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        together([stop_at_once, lambda: ended.wait(10) and done.append("ended")], [ended.set])  # type: ignore[func-returns-value, list-item]
    assert done == ["slow", "ended"]


def test_each_file_has_lines_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar.progress_display(quiet=False) as show:
        for done in range(4):
            for slot, name in enumerate(("a.mp4", "b.mp4")):
                show(Progress("upscaling", done, 100, item=Item(name, slot + 1, 2, slot)))
        show(Progress("finished", item=Item("a.mp4", 1, 2, 0)))
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["1/2 a.mp4", "2/2 b.mp4"]  # not one for each event
