from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

from dossr_video.cli.commands import app
from dossr_video.errors import Interrupted, TargetError
from dossr_video.jobs.execute.local import LocalExecutor
from dossr_video.jobs.lock import locked
from dossr_video.jobs.progress import Progress
from dossr_video.jobs.report import report_of
from dossr_video.jobs.run import run_job
from dossr_video.library.batch import Batch
from dossr_video.library.estimate import estimate
from dossr_video.library.files import Library
from dossr_video.library.status import status
from dossr_video.settings import Settings


@pytest.fixture
def folder(clip: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("a.mp4", "b.mp4"):
        shutil.copyfile(clip, folder / name)
    (folder / "bad.mov").write_bytes(b"this is no video")
    return folder


def test_an_estimate_counts_frames_and_measures_this_machine_and_writes_nothing(
    folder: Path, tiny: Settings, tmp_path: Path, executor: LocalExecutor
) -> None:
    found = estimate(Batch(Library(folder, tmp_path / "out"), tiny), executor=executor)
    assert (found.files, found.frames) == (2, 108)
    assert found.measured_on == folder / "b.mp4"
    assert found.hours > 0
    assert found.result_bytes == 2 * found.temporary_bytes > 0
    assert [(path.name, "is not a video" in reason) for path, reason in found.refused] == [("bad.mov", True)]
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_an_estimate_leaves_out_what_is_done(
    folder: Path, tiny: Settings, tmp_path: Path, executor: LocalExecutor
) -> None:
    library = Library(folder, tmp_path / "out")
    Batch(library, tiny).run(executor=executor)
    found = estimate(Batch(library, tiny), executor=executor)
    assert (found.files, found.frames, found.measured_on) == (0, 0, None)
    assert len(found.refused) == 1


def test_an_estimate_minds_start_and_duration(
    folder: Path, tiny: Settings, tmp_path: Path, executor: LocalExecutor
) -> None:
    cut = tiny.model_copy(update={"start": 0.5, "duration": 0.4})
    found = estimate(Batch(Library(folder, tmp_path / "out", include=("a.mp4",)), cut), executor=executor)
    assert found.frames == pytest.approx(0.4 * 25, abs=1)


def test_an_estimate_shows_what_it_does_and_can_be_stopped(
    folder: Path, tiny: Settings, tmp_path: Path, executor: LocalExecutor
) -> None:
    events: list[Progress] = []
    work = Batch(Library(folder, tmp_path / "out"), tiny)
    estimate(work, executor=executor, on_progress=events.append)
    seen = dict.fromkeys((event.item.name, event.item.number, event.stage) for event in events if event.item)
    assert list(seen) == [
        ("a.mp4", 1, "probing"),
        ("b.mp4", 2, "probing"),
        ("bad.mov", 3, "probing"),
        ("b.mp4", 1, "measuring"),
    ]
    with pytest.raises(Interrupted, match="after 0 files were probed"):
        estimate(work, executor=executor, cancelled=lambda: True)


def test_status_tells_of_running_interrupted_done_and_failed_files(
    folder: Path, clip: Path, tiny: Settings, tmp_path: Path, content: Callable[[Path], object], executor: LocalExecutor
) -> None:
    results = tmp_path / "out"
    Batch(Library(folder, results), tiny).run(executor=executor)
    seen = 0

    def watch(event: Progress) -> None:
        nonlocal seen
        seen = event.done if event.stage == "upscaling" else 0
        if event.stage == "upscaling" and event.done > 20:
            [job] = status(results / "c.mp4").jobs
            assert (job.state, job.stage) == ("running", "upscaling")

    with pytest.raises(Interrupted):
        run_job(clip, results / "c.mp4", tiny, on_progress=watch, cancelled=lambda: seen >= 20)
    found = status(results)
    assert [entry.source for entry in found.done] == ["a.mp4", "b.mp4"]
    assert [entry.source for entry in found.failed] == ["bad.mov"]
    [job] = found.jobs
    assert (job.target, job.state, job.owner, job.done, job.total) == (results / "c.mp4", "interrupted", None, 29, 54)
    printed = CliRunner().invoke(app, ["status", str(results)], standalone_mode=False, catch_exceptions=False).stdout
    assert printed.splitlines()[-1] == "0 in work, 1 interrupted, 2 done, 1 failed"
    with locked(results / "c.mp4.dossr" / "lock"):
        [job] = status(results / "c.mp4").jobs
        assert job.state == "running"
        assert job.owner is not None


def test_status_of_one_result_is_that_of_its_library(folder: Path, tiny: Settings, tmp_path: Path) -> None:
    results = tmp_path / "out"
    Batch(Library(folder, results), tiny).run()
    [entry] = status(results / "a.mp4").done
    assert (entry.source, entry.frames) == ("a.mp4", 54)
    printed = CliRunner().invoke(app, ["status", str(results), "--json"], standalone_mode=False, catch_exceptions=False)
    told = json.loads(printed.stdout)
    assert [entry["source"] for entry in told["done"]] == ["a.mp4", "b.mp4"]
    assert [entry["source"] for entry in told["failed"]] == ["bad.mov"]
    assert told["jobs"] == []
    lines = CliRunner().invoke(app, ["status", str(results)], standalone_mode=False, catch_exceptions=False).stdout
    assert "done: a.mp4: 54 frames\n" in lines
    [failed] = [line for line in lines.splitlines() if line.startswith("failed: ")]
    assert failed.count("bad.mov") == 1
    assert failed.endswith(f"; {status(results).failed[0].hint}")


def test_status_of_a_result_of_no_library_is_told_by_its_report(clip: Path, tiny: Settings, tmp_path: Path) -> None:
    target = tmp_path / "out.mkv"
    report = run_job(clip, target, tiny)
    with pytest.raises(TargetError, match="neither a job nor a report") as refused:
        status(target)
    assert f"--json-report {report_of(target)}" in refused.value.hint
    report_of(target).write_text(report.dumps())
    [entry] = status(target).done
    assert (entry.source, entry.target, entry.state) == (str(clip), "out.mkv", "done")
    assert (entry.frames, entry.result_size, entry.result_sha256) == (54, report.target.size, report.target.sha256)
    printed = CliRunner().invoke(app, ["status", str(target)], standalone_mode=False, catch_exceptions=False).stdout
    assert printed.splitlines()[-1] == "0 in work, 1 done, 0 failed"


def test_status_of_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="does not exist"):
        status(tmp_path / "no")
    assert status(tmp_path).jobs == ()
