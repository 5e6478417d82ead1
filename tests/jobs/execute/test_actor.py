"""A worker as on another machine, without the cluster around it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from socket import gethostname

import pytest

from dossr_video.errors import Interrupted, JobError, SourceError
from dossr_video.jobs.execute import actor
from dossr_video.jobs.execute.actor import RemoteWorker
from dossr_video.jobs.execute.executor import Callbacks, Task
from dossr_video.jobs.fingerprint import SourceMark
from dossr_video.jobs.resolve import worker_spec
from dossr_video.jobs.run import run_job
from dossr_video.runspec import WorkerInfo
from dossr_video.settings import Settings


@dataclass
class Recorder:
    """An executor that does nothing."""

    info: WorkerInfo
    workers: int = 1
    tasks: list[Task] = field(default_factory=list)

    def run(self, tasks: Iterable[Task], callbacks: Callbacks) -> None:
        self.tasks += tasks


@pytest.fixture
def task(clip: Path, tiny: Settings, worker: RemoteWorker, tmp_path: Path) -> Task:
    """The first of the job that makes out.mp4 of in.mp4."""
    (tmp_path / "in.mp4").write_bytes(clip.read_bytes())
    recorder = Recorder(worker.info())
    with pytest.raises(Interrupted):
        run_job(tmp_path / "in.mp4", tmp_path / "out.mp4", tiny, executor=recorder)
    return recorder.tasks[0]


@pytest.fixture
def mark(clip: Path) -> SourceMark:
    """Of the source as the process that runs the job sees it; the date is another."""
    mark = SourceMark.of(clip)
    return replace(mark, glance=replace(mark.glance, modified=0))


@pytest.fixture(scope="module")
def worker(tiny: Settings) -> Iterator[RemoteWorker]:
    worker = RemoteWorker(worker_spec(tiny), "cpu")
    yield worker
    assert worker._scratch is not None
    folder = worker._scratch.path
    worker.clean_up()
    assert not folder.exists()


def bring(worker: RemoteWorker, task: Task) -> bytes:
    content = b""
    while piece := worker.piece(task, len(content)):
        content += piece
    return content


def test_a_segment_comes_in_pieces_and_the_jobs_folder_is_not_needed(
    worker: RemoteWorker, task: Task, mark: SourceMark, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(actor, "PIECE", 500)
    assert worker.run(task, mark, worker.info()).frames == len(task.segment)
    content = bring(worker, task)
    assert len(content) > 500
    assert not task.target.parent.exists()
    assert not worker._made(task).exists()
    worker.run(task, mark, worker.info())
    assert bring(worker, task) == content


def test_another_file_that_looks_the_same_is_refused(
    worker: RemoteWorker, task: Task, edit: Callable[[Path], None]
) -> None:
    """As where a machine has a copy of its own, and it was edited."""
    source = task.source.path
    source.write_bytes(source.read_bytes() + bytes(4_000_000))
    mark = SourceMark.of(source)
    os.utime(source, (1, 1))
    worker.run(task, mark, worker.info())
    edit(source)
    with pytest.raises(SourceError, match="sees no such file"):
        worker.run(task, mark, worker.info())


@pytest.mark.parametrize("spoil", [Path.unlink, lambda path: path.write_bytes(path.read_bytes()[:-1] + b"x")])
def test_a_source_that_this_machine_does_not_see_is_refused(
    spoil: Callable[[Path], None], worker: RemoteWorker, task: Task, mark: SourceMark
) -> None:
    spoil(task.source.path)
    with pytest.raises(SourceError, match=f"machine {gethostname()} of the cluster sees no such file") as refusal:
        worker.run(task, mark, worker.info())
    assert "path that all machines share" in refusal.value.hint


def test_a_source_with_a_url_is_fetched_and_goes_away_after_the_job(
    worker: RemoteWorker, task: Task, mark: SourceMark, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    worker.run(task, mark, worker.info())
    seen = bring(worker, task)
    task.source.path.unlink()
    with_url = replace(task, url=clip.as_uri())
    worker.run(with_url, mark, worker.info())
    assert bring(worker, with_url) == seen
    assert list((tmp_path / "cache").rglob("*.mp4"))
    worker.clean_up()
    assert not list((tmp_path / "cache").rglob("*.mp4"))
    with pytest.raises(SourceError, match="has changed since the job began"):
        worker.run(with_url, replace(mark, sha256=""), worker.info())


def test_other_weights_or_another_version_are_refused(worker: RemoteWorker, task: Task, mark: SourceMark) -> None:
    with pytest.raises(JobError, match=r"would compute something else: version .* in place of 0$"):
        worker.run(task, mark, replace(worker.info(), version="0"))
