"""What the work takes, told before it."""

from __future__ import annotations

import tempfile
from pathlib import Path

import av
import pytest

from dossr_video.errors import SourceError
from dossr_video.jobs import job
from dossr_video.jobs.estimate import Speed, cost_of, duration, measure, sample_segment
from dossr_video.jobs.execute.executor import Callbacks, Task
from dossr_video.jobs.execute.local import LocalExecutor
from dossr_video.jobs.progress import Progress
from dossr_video.jobs.resolve import resolve, worker_spec
from dossr_video.jobs.run import run_job
from dossr_video.runspec import RunSpec
from dossr_video.settings import Settings
from dossr_video.video.info import SourceInfo
from dossr_video.video.inspect.processing import analyse
from dossr_video.video.read.probe import probe
from dossr_video.video.read.reader import expected_frames


@pytest.fixture(scope="module")
def executor(tiny: Settings) -> LocalExecutor:
    return LocalExecutor(worker_spec(tiny))


def planned(source: Path, settings: Settings, executor: LocalExecutor) -> tuple[SourceInfo, RunSpec]:
    info, target = probe(source), Path("out.mp4")
    processing = analyse(info, settings, target=target)
    return info, resolve(settings, info, processing, target, worker=executor.info, workers=executor.workers)


def test_a_measurement_takes_a_part_of_some_frames_and_leaves_nothing(
    sample: Path, tiny: Settings, executor: LocalExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    done: list[tuple[Task, int, int, int]] = []

    class Watched(LocalExecutor):
        def __init__(self) -> None:
            self.info, self.workers = executor.info, executor.workers

        def run(self, tasks: list[Task], callbacks: Callbacks) -> None:  # type: ignore[override]
            executor.run(tasks, callbacks)
            [task] = tasks
            with av.open(str(task.target)) as container:
                frames = list(container.decode(video=0))
            done.append((task, len(frames), frames[0].width, frames[0].height))

    info, spec = planned(sample, tiny, executor)
    segment = sample_segment(info, spec)
    assert segment.pts[0] * info.video.time_base == pytest.approx(1.0, abs=0.05)
    speed = measure(segment, info, spec, Watched())
    assert speed is not None
    task, *shape = done[0]
    assert task.segment.area is not None
    assert (task.segment.area.width, task.segment.area.height) == (148, 62)
    assert shape == [12, 2 * 148, 2 * 62]
    assert list(tmp_path.iterdir()) == []


def test_the_expected_size_is_near_the_true_one(
    sample: Path, tiny: Settings, executor: LocalExecutor, tmp_path: Path
) -> None:
    info, spec = planned(sample, tiny, executor)
    speed = measure(sample_segment(info, spec), info, spec, executor)
    assert speed is not None
    assert speed.seconds_per_pixel > 0
    report = run_job(sample, tmp_path / "o.mp4", tiny, executor=executor)
    found = cost_of(speed, info, spec, frames=report.frames, computed=report.frames)
    assert report.target.size / 2 < found.size < 2 * report.target.size
    assert found.disk == 2 * found.size


def test_cost_is_in_proportion_to_frames_pixels_and_workers() -> None:
    speed = Speed(seconds_per_pixel=0.01, bytes_per_pixel=0.5)
    cost = speed.cost(100, computed=80, pixels=10, result_pixels=40, workers=2)
    assert (cost.seconds, cost.size, cost.disk) == (4.0, 2000, 4000)
    assert "about 4 seconds" in cost.describe()
    assert "2.0 kB" in cost.describe()


def test_long_work_is_measured_before_and_told_with_the_plan(
    sample: Path, tiny: Settings, executor: LocalExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def told(name: str) -> tuple[list[str], str]:
        events: list[Progress] = []
        run_job(sample, tmp_path / name, tiny, executor=executor, on_progress=events.append)
        return list(dict.fromkeys(event.stage for event in events)), "\n".join(
            note for event in events if event.stage == "upscaling" for note in event.notes
        )

    short, notes = told("short.mp4")
    assert "measuring" not in short
    assert "on this machine" not in notes
    monkeypatch.setattr(job, "SHORT", 0)
    long, notes = told("long.mp4")
    assert long[long.index("measuring") + 1] == "upscaling"
    assert "on this machine; the result about" in notes
    assert (tmp_path / "short.mp4").read_bytes() == (tmp_path / "long.mp4").read_bytes()


def test_expected_frames_minds_start_duration_and_fields(sample: Path, tiny: Settings, executor: LocalExecutor) -> None:
    def frames(**options: object) -> int | None:
        info, spec = planned(sample, tiny.model_copy(update=options), executor)
        return expected_frames(info, spec.read)

    assert frames() == 50
    assert frames(deinterlace="field") == 100
    assert frames(start=1.0, duration=0.4) == 10


def test_a_part_without_frames_is_refused(sample: Path, tiny: Settings, executor: LocalExecutor) -> None:
    info, spec = planned(sample, tiny.model_copy(update={"start": 30.0}), executor)
    with pytest.raises(SourceError, match="no frame after 30 s"):
        sample_segment(info, spec)


def test_durations_are_round() -> None:
    hours = (80.0, 30.2, 1.25, 0.2, 0.01)
    assert [duration(seconds) for seconds in (0.2, 1.4, 1.6)] == ["1 second", "1 second", "2 seconds"]
    assert [duration(3600 * h) for h in hours] == ["3.3 days", "30 hours", "1.2 hours", "12 minutes", "36 seconds"]
