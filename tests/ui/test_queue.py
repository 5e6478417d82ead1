from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from dossr_video.errors import JobError, TargetError
from dossr_video.jobs.lock import Owner
from dossr_video.ui.queue import Queue, Seen
from dossr_video.ui.said import Listener
from dossr_video.ui.shots import MOST_CELLS, Shot, cells
from dossr_video.ui.store import Job, Store
from dossr_video.ui.views import printed

EVENT = {
    "stage": "upscaling",
    "done": 1,
    "total": 9,
    "unit": "frames",
    "fps": None,
    "eta": None,
    "notes": [],
    "warnings": [],
}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "jobs")


@pytest.fixture
def queue(store: Store) -> Queue:
    return Queue(store, allowed=lambda path: True)


def upscale(queue: Queue, name: str = "film") -> Job:
    return queue.add("upscale", Path(f"/films/{name}.mp4"), Path(f"/films/{name}_restored.mp4"), ())


def until(see: Callable[[], Seen], state: str) -> Seen:
    end = time.monotonic() + 240
    while (seen := see()).state != state:
        assert time.monotonic() < end, seen
        time.sleep(0.02)
    return seen


def test_jobs_are_found_again_by_the_next_page(store: Store, tmp_path: Path) -> None:
    source = Path(os.fsdecode(b"/films/caf\xe9.mp4"))
    jobs = [store.add("upscale", source, tmp_path / f"{n}.mp4", ("--preset=vhs",)) for n in range(11)]
    assert [job.id for job in jobs] == [f"{n:06d}" for n in range(1, 12)]
    (tmp_path / "jobs" / "000003" / "job.json").write_text('{"kind": "ups')  # a power cut
    (tmp_path / "jobs" / "notes.txt").touch()
    assert Store(tmp_path / "jobs").jobs() == [*jobs[:2], *jobs[3:]]
    store.remove(jobs[0])
    assert store.add("upscale", source, None, ()).id == "000012"
    assert store.get("../jobs/000002") is None


def test_a_process_says_in_its_own_words_why_it_failed(queue: Queue, tmp_path: Path) -> None:
    text = tmp_path / "no.mp4"
    text.write_text("this is no film")
    job = queue.add("probe", text, None, ())
    queue.step()
    seen = until(lambda: queue.get(job.id), "failed")
    assert any(line.startswith("error: ") for line in seen.lines)
    again = queue.add("probe", text, None, ())
    assert [seen.job.id for seen in queue.seen()] == [again.id]


def test_one_upscale_at_a_time_and_only_in_the_folders(store: Store) -> None:
    queue = Queue(store, allowed=lambda path: path.name != "outside.mp4")
    jobs = [upscale(queue, name) for name in ("outside", "first", "second")]
    queue.step()
    queue.step()
    owners = [queue.get(job.id).job.owner for job in jobs]
    assert [owner is None for owner in owners] == [True, False, True]
    until(lambda: queue.get(jobs[1].id), "failed")
    queue.step()
    assert queue.get(jobs[2].id).job.owner is not None
    until(lambda: queue.get(jobs[2].id), "failed")
    assert queue.get(jobs[0].id).state == "waiting"


def test_two_jobs_have_two_results(queue: Queue, tmp_path: Path) -> None:
    upscale(queue)
    with pytest.raises(TargetError, match="is the result of another job"):
        upscale(queue)
    (tmp_path / "there.mp4").touch()
    with pytest.raises(TargetError, match="is there already"):
        queue.add("upscale", tmp_path / "film.mp4", tmp_path / "there.mp4", ())


def test_what_a_process_left_tells_its_state(store: Store, queue: Queue) -> None:
    gone = replace(Owner.current(), started=1)
    job = store.put(replace(upscale(queue), owner=gone))

    def state() -> str:
        return queue.get(job.id).state

    assert state() == "failed"
    job.errors.write_text("error: the disk is full\nhint: free some space\n")
    assert state() == "failed"
    store.put(replace(job, wanted="stop"))
    assert state() == "stopped"
    job.errors.write_text("result: film.mp4\n")
    job.report.write_text("{}")
    assert state() == "done"


def test_after_a_power_cut_a_job_waits_for_its_turn(store: Store, queue: Queue) -> None:
    before = replace(Owner.current(), boot="another")
    job = store.put(replace(upscale(queue), owner=before))
    assert queue.get(job.id).state == "waiting"
    job.errors.write_text("error: the disk is full\n")
    assert queue.get(job.id).state == "failed"


def test_a_process_that_was_not_waited_for_is_gone(tmp_path: Path) -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    end = time.monotonic() + 30
    while not Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].startswith(" Z"):
        assert time.monotonic() < end
        time.sleep(0.01)
    gone = Owner.of(process.pid).is_gone(tmp_path)
    process.wait()
    assert gone


def test_before_its_first_event_a_process_is_not_paused(store: Store, queue: Queue) -> None:
    signals: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, frame: signals.append(number))
    try:
        job = store.put(replace(upscale(queue), owner=Owner.current()))  # this process
        queue.pause(job.id)
        assert (queue.get(job.id).state, signals) == ("running", [])
        job.output.write_text(json.dumps(EVENT) + "\n")
        for state in ("paused", "running"):
            (queue.pause if state == "paused" else queue.go_on)(job.id)
            (queue.pause if state == "paused" else queue.go_on)(job.id)  # in a second tab
            assert queue.get(job.id).state == state
        assert signals == [signal.SIGUSR1, signal.SIGUSR1]
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_job_that_is_gone_is_told(queue: Queue) -> None:
    job = upscale(queue)
    queue.remove(job.id)
    for act in (queue.get, queue.pause, queue.go_on, queue.stop, queue.remove):
        with pytest.raises(JobError):
            act(job.id)


def test_events_are_read_as_they_come(tmp_path: Path) -> None:
    path = tmp_path / "out"
    listener = Listener(path)
    assert listener.listen().stage == ""
    line = json.dumps({**EVENT, "stage": "analysing", "warnings": ["a"]})
    path.write_text(f"{line}\nno event\n{{}}\n{line[:20]}")
    assert (listener.listen().stage, listener.said.warnings) == ("analysing", ["a"])
    with path.open("a") as file:
        file.write(f"{line[20:]}\n{json.dumps(EVENT)}\n")
    assert (listener.listen().stages, listener.said.warnings) == (["analysing", "upscaling"], ["a", "a"])
    counted = [json.dumps({**EVENT, "done": n, "notes": ["half"] if n == 5 else []}) for n in range(1, 10)]
    with path.open("a") as file:
        file.write("\n".join(counted) + "\n")
    assert (listener.listen().done, listener.said.notes) == (9, ["half"])
    path.write_text(json.dumps(EVENT) + "\n")
    assert (listener.listen().stages, listener.said.warnings) == (["upscaling"], [])


def test_what_a_process_prints_is_told_from_its_events(store: Store, queue: Queue) -> None:
    job = upscale(queue)
    assert printed(job) == []
    job.output.write_text('/films/a.mp4: mov\n{"stage": "probing"}\n\npicture: h264\n')
    assert printed(job) == ["/films/a.mp4: mov", "picture: h264"]


def test_the_drawing_of_the_shots_is_as_wide_as_the_film() -> None:
    assert cells([]) == []
    found = cells([Shot(1, 0, 30, 30, None), Shot(2, 30, 40, 5, None)])
    assert [round(cell.x) for cell in found] == [0, 750]
    assert [round(cell.filled / cell.width, 2) for cell in found] == [1, 0.5]
    assert found[1].words == "shot 2: 5 of 10 frames finished"
    many = cells([Shot(n + 1, n, n + 1, n % 2, None) for n in range(5000)])
    assert len(many) <= MOST_CELLS
    assert many[-1].x + many[-1].width == pytest.approx(1000, abs=2)
    assert many[0].words == "shots 1 to 20: 10 of 20 frames finished"
