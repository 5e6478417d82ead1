from __future__ import annotations

import errno
import json
import os
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from torch import Tensor

from dossr_video.cli.commands import app
from dossr_video.errors import Interrupted, JobError, ModelError, ProofError, SettingsError, SourceError, TargetError
from dossr_video.frames import Motion
from dossr_video.jobs import durable, job, plan
from dossr_video.jobs import source as job_source
from dossr_video.jobs.execute import local, worker
from dossr_video.jobs.execute.local import LocalExecutor
from dossr_video.jobs.fingerprint import lasting
from dossr_video.jobs.folder import JobFolder
from dossr_video.jobs.lock import HeldError, locked
from dossr_video.jobs.progress import OnProgress, Progress
from dossr_video.jobs.resolve import resolve, worker_spec
from dossr_video.jobs.run import run_job
from dossr_video.library.status import status
from dossr_video.models.base import HiddenState, Restored
from dossr_video.models.bicubic import Bicubic
from dossr_video.models.footprint import Footprint, Part
from dossr_video.models.registry import resolve_dtype
from dossr_video.pipeline import stages
from dossr_video.runspec import MachineSpec
from dossr_video.settings import Settings
from dossr_video.video.inspect import processing
from dossr_video.video.inspect.processing import analyse
from dossr_video.video.mux.proof import Check, Proof
from dossr_video.video.read import pyav
from dossr_video.video.read.probe import probe

DOSSR = Path(__file__).parents[1] / "data" / "golden" / "tiny" / "tiny.ckpt"

Content = Callable[[Path], dict[str, Any]]


def after_frames(count: int) -> tuple[OnProgress, Callable[[], bool]]:
    """A progress callback and the Ctrl-C that a user presses when `count` frames are done."""
    seen = 0

    def watch(event: Progress) -> None:
        nonlocal seen
        seen = event.done if event.stage == "upscaling" else 0

    return watch, lambda: seen >= count


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def interrupted(source: Path, target: Path, settings: Settings, *, frames: int = 20) -> None:
    watch, cancelled = after_frames(frames)
    with pytest.raises(Interrupted, match="frames finished") as stop:
        run_job(source, target, settings, on_progress=watch, cancelled=cancelled)
    assert "same command" in stop.value.hint


def test_a_result_has_every_frame_at_its_time_and_the_sound(
    clip: Path, tiny: Settings, content: Content, whole: dict[str, Any]
) -> None:
    source = content(clip)
    assert whole["seconds"] == source["seconds"]
    assert [p[3] for p in whole["packets"]] == [p[3] for p in source["packets"]]


def test_reports_what_was_done_and_leaves_nothing_behind(clip: Path, tiny: Settings, tmp_path: Path) -> None:
    stages: dict[str, int] = {}
    target = tmp_path / "out.mp4"
    report = run_job(clip, target, tiny, on_progress=lambda event: stages.update({event.stage: event.done}))
    assert stages == {"analysing": 54, "upscaling": 54, "joining": 54, "verifying": 54}
    assert (report.frames, report.duplicates, report.shots, report.segments, report.resumed) == (54, 6, 6, 6, 0)
    assert report.target.size == target.stat().st_size
    used = str(resolve_dtype("auto", torch.device("cpu"))).removeprefix("torch.")  # what this processor is quick at
    assert json.loads(report.dumps())["settings"]["model"]["dtype"] == used
    assert "54 frames" in report.summary()
    assert names(tmp_path) == ["out.mp4"]


def test_the_source_is_probed_and_decided_about_once(
    clip: Path, tiny: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[str, Any]] = []

    def watch(module: ModuleType, name: str) -> None:
        function = getattr(module, name)

        def call(*arguments: Any, **options: Any) -> Any:
            calls.append((name, arguments[0]))
            return function(*arguments, **options)

        monkeypatch.setattr(module, name, call)

    for module in (job_source, job, pyav):
        watch(module, "probe")
    for name in ("field_spans", "make_spec", "output_size"):
        watch(processing, name)
    run_job(clip, tmp_path / "out.mp4", tiny)
    about_the_source = [name for name, first in calls if "joined" not in str(first)]
    assert sorted(about_the_source) == ["field_spans", "make_spec", "output_size", "probe"]


def test_ctrl_c_finishes_the_running_segment_and_the_same_command_goes_on(
    clip: Path, tiny: Settings, content: Content, whole: dict[str, Any], tmp_path: Path
) -> None:
    target = tmp_path / "out.mp4"
    interrupted(clip, target, tiny)
    assert len(list((tmp_path / "out.mp4.dossr" / "segments").iterdir())) == 3
    seen: list[int] = []
    report = run_job(clip, target, tiny, on_progress=lambda event: seen.append(event.done))
    assert report.resumed == 3
    assert content(target) == whole


def test_stopped_at_once_leaves_finished_segments_alone(
    clip: Path, tiny: Settings, content: Content, whole: dict[str, Any], tmp_path: Path
) -> None:
    target = tmp_path / "out.mp4"

    def press(event: Progress) -> None:
        if event.stage == "upscaling" and event.done >= 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_job(clip, target, tiny, on_progress=press)
    assert names(tmp_path / "out.mp4.dossr" / "segments") == ["000000.mp4", "000001.mp4"]
    assert run_job(clip, target, tiny).resumed == 2
    assert content(target) == whole


@pytest.mark.parametrize("part", ["segment", "plan"])
def test_a_flipped_bit_in_what_is_finished_is_said_and_mended(
    part: str, clip: Path, tiny: Settings, content: Content, whole: dict[str, Any], tmp_path: Path
) -> None:
    target = tmp_path / "out.mp4"
    interrupted(clip, target, tiny)
    folder = tmp_path / "out.mp4.dossr"
    files = sorted((folder / "segments").iterdir()) if part == "segment" else [folder / "plan.json"]
    for number, file in enumerate(files, start=1):
        data = bytearray(file.read_bytes())
        data[len(data) * number // 4] ^= 1
        file.write_bytes(data)
    events: list[Progress] = []
    report = run_job(clip, target, tiny, on_progress=events.append)
    assert report.resumed == (0 if part == "segment" else 3)
    assert report.warnings == tuple(warning for event in events for warning in event.warnings)
    assert sum("is not what was written" in warning for warning in report.warnings) == len(files)
    assert content(target) == whole


@pytest.mark.parametrize("lost", ["000001.mp4", "plan.json", "000001.mp4 unreadable"])
def test_what_is_missing_is_made_again(
    lost: str, clip: Path, tiny: Settings, content: Content, whole: dict[str, Any], tmp_path: Path
) -> None:
    target = tmp_path / "out.mp4"
    interrupted(clip, target, tiny)
    [file] = (tmp_path / "out.mp4.dossr").rglob(lost.split()[0])
    file.unlink()
    if "unreadable" in lost:
        file.symlink_to(file.name)
    report = run_job(clip, target, tiny)
    assert report.resumed == (3 if lost == "plan.json" else 2)
    assert content(target) == whole


@pytest.mark.parametrize("stage", ["analysing", "upscaling"])
def test_stopped_before_the_first_segment_leaves_nothing_behind(
    stage: str, clip: Path, tiny: Settings, tmp_path: Path
) -> None:
    def press(event: Progress) -> None:
        if event.stage == stage and event.done >= 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_job(clip, tmp_path / "out.mp4", tiny, on_progress=press)
    assert names(tmp_path) == []


def test_another_chunk_length_and_thread_count_may_finish_the_job(
    clip: Path, tiny: Settings, content: Content, whole: dict[str, Any], tmp_path: Path
) -> None:
    target = tmp_path / "out.mp4"
    interrupted(clip, target, tiny)
    report = run_job(clip, target, tiny.model_copy(update={"chunk": 5, "threads": 2}))
    assert report.resumed == 3
    assert content(target) == whole


def test_two_workers_on_this_machine_give_what_one_gives(
    clip: Path, tiny: Settings, content: Content, whole: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "devices", lambda name: ["cpu", "cpu"])
    target, counts = tmp_path / "out.mp4", list[Progress]()
    run_job(clip, target, tiny, on_progress=lambda event: counts.append(event))
    assert [event.done for event in counts if event.stage == "upscaling"][-1] == 54
    assert content(target) == whole


@pytest.mark.parametrize("stop", [RuntimeError, KeyboardInterrupt])
def test_what_ends_one_of_two_workers_ends_both(
    stop: type[BaseException], clip: Path, tiny: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "devices", lambda name: ["cpu", "cpu"])

    def end(event: Progress) -> None:
        if event.stage == "upscaling" and event.done > 8:
            raise stop

    with pytest.raises(stop):
        run_job(clip, tmp_path / "out.mp4", tiny, on_progress=end)
    assert not list(tmp_path.rglob("*.part*"))
    run_job(clip, tmp_path / "out.mp4", tiny)


@pytest.mark.parametrize(
    "options", [{"model": "compact"}, {"model": str(DOSSR), "steps": 2, "blend": "latent", "noise": "warped"}]
)
def test_a_model_that_remembers_is_resumed_exactly(
    make_clip: Callable[..., Path],
    tiny: Settings,
    content: Content,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any],
) -> None:
    """With everything that passes from frame to frame, over the join of two pieces of one shot."""
    monkeypatch.setattr(plan, "PIECE", 16)
    settings = tiny.model_copy(update=options)
    source = make_clip(tmp_path / "in.mp4", [5, 26])
    run_job(source, tmp_path / "whole.mp4", settings)
    interrupted(source, tmp_path / "out.mp4", settings, frames=12)
    # The full model's batched kernels round differently; compact works frame by frame.
    changed = {"chunk": 7, "threads": 2} if settings.model == "compact" else {}
    report = run_job(source, tmp_path / "out.mp4", settings.model_copy(update=changed))
    assert (report.resumed, report.segments) == (2, 3)
    assert content(tmp_path / "out.mp4") == content(tmp_path / "whole.mp4")


def test_other_settings_are_refused_with_the_difference_until_restart(
    clip: Path, tiny: Settings, tmp_path: Path
) -> None:
    target = tmp_path / "out.mp4"
    interrupted(clip, target, tiny)
    other = tiny.model_copy(update={"crf": 30.0, "seed": 5})
    with pytest.raises(JobError, match=r"crf: 16\.0 -> 30\.0; seed: 0 -> 5") as refusal:
        run_job(clip, target, other)
    assert "--restart" in refusal.value.hint
    assert run_job(clip, target, other, restart=True).resumed == 0
    assert names(tmp_path) == ["out.mp4"]


def test_a_changed_input_is_refused_with_the_difference(clip: Path, tiny: Settings, tmp_path: Path) -> None:
    source, target = tmp_path / "in.mp4", tmp_path / "out.mp4"
    source.write_bytes(clip.read_bytes())
    interrupted(source, target, tiny)
    source.write_bytes(clip.read_bytes() + b"\0" * 8)
    with pytest.raises(JobError, match=r"input size: \d+ bytes -> \d+ bytes; input modified: "):
        run_job(source, target, tiny)


def test_a_new_date_or_a_copy_is_the_same_input(
    clip: Path, tiny: Settings, content: Content, whole: dict[str, Any], tmp_path: Path
) -> None:
    source, target = tmp_path / "in.mp4", tmp_path / "out.mp4"
    source.write_bytes(clip.read_bytes())
    interrupted(source, target, tiny)
    os.utime(source, (1, 1))
    report = run_job(source, target, tiny)
    assert report.resumed == 3
    assert "another date" in report.warnings[0]
    assert content(target) == whole


def test_an_input_that_was_edited_in_place_is_refused(
    clip: Path, tiny: Settings, edit: Callable[[Path], None], tmp_path: Path
) -> None:
    source, target = tmp_path / "in.mp4", tmp_path / "out.mp4"
    source.write_bytes(clip.read_bytes() + bytes(4_000_000))
    interrupted(source, target, tiny)
    edit(source)
    with pytest.raises(JobError, match=r"finished segments of another run \(input modified: .*; input content: "):
        run_job(source, target, tiny)
    assert run_job(source, target, tiny, restart=True).resumed == 0


def test_a_job_that_another_process_holds_is_refused(clip: Path, tiny: Settings, tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"
    with locked(tmp_path / "out.mp4.dossr" / "lock"), pytest.raises(HeldError, match=f"process {os.getpid()}"):
        run_job(clip, target, tiny)
    run_job(clip, target, tiny)


def test_of_two_that_start_together_one_is_refused(
    clip: Path, tiny: Settings, content: Content, whole: dict[str, Any], tmp_path: Path
) -> None:
    target, errors = tmp_path / "out.mp4", []

    def start() -> None:
        try:
            run_job(clip, target, tiny)
        except (HeldError, TargetError) as error:
            errors.append(error)

    threads = [threading.Thread(target=start) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(errors) == 1
    assert content(target) == whole


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("call", [1, 4, 9, 24])
def test_a_disk_that_is_full_or_fails_costs_one_segment(
    code: int,
    call: int,
    clip: Path,
    tiny: Settings,
    content: Content,
    whole: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The system call that first learns of it fails: call 1 is the lock's, 4 and 9 are a segment's, 24 the report's."""
    target, calls, fsync = tmp_path / "out.mp4", 0, os.fsync

    def fail(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls == call:
            raise OSError(code, os.strerror(code))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(TargetError, match="cannot be written") as refusal:
        run_job(clip, target, tiny)
    assert "same command" in refusal.value.hint
    assert not target.exists()
    monkeypatch.undo()
    run_job(clip, target, tiny)
    assert content(target) == whole
    assert names(tmp_path) == ["out.mp4"]


def test_a_defect_in_a_worker_keeps_what_is_finished(
    clip: Path, tiny: Settings, content: Content, whole: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, run_segment = tmp_path / "out.mp4", worker.run_segment

    def fail(segment: Any, **options: Any) -> Any:
        if segment.index == 2:
            raise RuntimeError("defect")
        return run_segment(segment, **options)

    monkeypatch.setattr(worker, "run_segment", fail)
    with pytest.raises(RuntimeError, match="defect"):
        run_job(clip, target, tiny)
    monkeypatch.undo()
    assert run_job(clip, target, tiny).resumed == 2
    assert content(target) == whole


def test_a_file_with_an_unreadable_middle_is_resumed_exactly(
    clip: Path, tiny: Settings, content: Content, tmp_path: Path
) -> None:
    source, data = tmp_path / "in.mp4", bytearray(clip.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 400] = bytes(400)
    source.write_bytes(data)
    report = run_job(source, tmp_path / "whole.mp4", tiny)
    assert report.damage
    interrupted(source, tmp_path / "out.mp4", tiny)
    assert run_job(source, tmp_path / "out.mp4", tiny).resumed > 0
    assert content(tmp_path / "out.mp4") == content(tmp_path / "whole.mp4")


def test_pieces_of_a_long_shot_join_without_a_seam(
    make_clip: Callable[..., Path], tiny: Settings, content: Content, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "PIECE", 20)
    source = make_clip(tmp_path / "long.mp4", [45])
    report = run_job(source, tmp_path / "out.mp4", tiny)
    assert (report.shots, report.segments) == (1, 2)
    assert content(tmp_path / "out.mp4")["seconds"] == content(source)["seconds"]


def test_a_finished_job_whose_folder_was_not_removed_is_only_cleared(
    clip: Path, tiny: Settings, whole: dict[str, Any], content: Content, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out.mp4"
    monkeypatch.setattr("dossr_video.jobs.run.JobFolder.clear", lambda folder: None)
    first = run_job(clip, target, tiny)
    monkeypatch.undo()
    before = target.stat().st_mtime_ns
    report = tmp_path / "out.mp4.dossr" / "report.json"
    content_of_report = report.read_bytes()
    report.write_text('{"version": "0"}')  # of a version with another report: the target is there, and is kept
    with pytest.raises(TargetError, match="exists"):
        run_job(clip, target, tiny)
    report.write_bytes(content_of_report)
    assert run_job(clip, target, tiny) == first
    assert target.stat().st_mtime_ns == before
    assert names(tmp_path) == ["out.mp4"]


@pytest.mark.parametrize("other", ["source", "settings"])
def test_the_folder_of_a_finished_job_is_not_the_result_of_another(
    other: str, clip: Path, tiny: Settings, make_clip: Callable[..., Path], tmp_path: Path, monkeypatch: Any
) -> None:
    target = tmp_path / "out.mp4"
    monkeypatch.setattr("dossr_video.jobs.run.JobFolder.clear", lambda folder: None)
    run_job(clip, target, tiny)
    monkeypatch.undo()
    before = target.read_bytes()
    source = make_clip(tmp_path / "in.mp4", [6], seed=3) if other == "source" else clip
    settings = tiny.model_copy(update={"crf": 30.0}) if other == "settings" else tiny
    with pytest.raises(TargetError, match="exists"):
        run_job(source, target, settings)
    assert target.read_bytes() == before
    report = run_job(source, target, settings, force=True)
    assert report.resumed == 0
    assert target.read_bytes() != before


def test_a_target_that_appears_meanwhile_is_not_replaced(clip: Path, tiny: Settings, tmp_path: Path) -> None:
    target = tmp_path / "out.mp4"

    def appear(event: Progress) -> None:
        if event.stage == "joining":
            target.write_bytes(b"mine")

    with pytest.raises(TargetError, match="has appeared while the work went on"):
        run_job(clip, target, tiny, on_progress=appear)
    assert target.read_bytes() == b"mine"
    target.unlink()
    assert run_job(clip, target, tiny).resumed == 6


def test_refusals_leave_nothing_behind(clip: Path, tiny: Settings, tmp_path: Path) -> None:
    (tmp_path / "there.mp4").write_bytes(b"mine")
    (tmp_path / "in.mp4").write_bytes(clip.read_bytes())
    before = names(tmp_path)
    with pytest.raises(TargetError, match="exists"):
        run_job(clip, tmp_path / "there.mp4", tiny)
    with pytest.raises(TargetError, match="is an input itself"):
        run_job(tmp_path / "in.mp4", tmp_path / "in.mp4", tiny, force=True)
    with pytest.raises(TargetError, match="does not exist"):
        run_job(clip, tmp_path / "no" / "out.mp4", tiny)
    with pytest.raises(SourceError, match="does not exist"):
        run_job(tmp_path / "no.mp4", tmp_path / "out.mp4", tiny)
    with pytest.raises(SourceError, match="is not a video"):
        run_job(tmp_path / "there.mp4", tmp_path / "out.mp4", tiny)
    assert names(tmp_path) == before
    assert (tmp_path / "there.mp4").read_bytes() == b"mine"
    run_job(clip, tmp_path / "there.mp4", tiny, force=True)
    assert (tmp_path / "there.mp4").stat().st_size > 4


def test_what_the_encoder_refuses_is_told_before_the_analysis(clip: Path, tiny: Settings, tmp_path: Path) -> None:
    stages: list[str] = []
    settings = tiny.model_copy(update={"speed": "warp"})
    with pytest.raises(SettingsError, match=r"libx264 refuses .* crf=16, preset=warp"):
        run_job(clip, tmp_path / "out.mp4", settings, on_progress=lambda event: stages.append(event.stage))
    assert set(stages) <= {"probing"}
    assert names(tmp_path) == []


def test_a_disk_without_room_for_the_rest_stops_the_job_early(
    clip: Path, tiny: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("usage", (), {"free": 1000})
    monkeypatch.setattr("shutil.disk_usage", lambda path: usage)
    with pytest.raises(TargetError, match=r"needs about .* more in .*; 1\.0 kB are free"):
        run_job(clip, tmp_path / "out.mp4", tiny)
    monkeypatch.undo()
    assert run_job(clip, tmp_path / "out.mp4", tiny).resumed == 1


def test_a_name_is_given_only_to_a_file_that_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    happened: list[str] = []
    inodes = {tmp_path.stat().st_ino: "folder"}
    fsync, replace = os.fsync, Path.replace
    monkeypatch.setattr(os, "fsync", lambda d: (happened.append(inodes.get(os.fstat(d).st_ino, "file")), fsync(d))[1])
    monkeypatch.setattr(Path, "replace", lambda a, b: (happened.append("name"), replace(a, b))[1])
    durable.write(tmp_path / "x", b"content")
    assert happened == ["file", "name", "folder"]
    assert (tmp_path / "x").read_bytes() == b"content"


def test_a_source_that_is_edited_in_place_while_it_is_worked_on_gives_no_result(
    clip: Path, tiny: Settings, edit: Callable[[Path], None], tmp_path: Path
) -> None:
    source = tmp_path / "in.mp4"
    source.write_bytes(clip.read_bytes() + bytes(4_000_000))

    def change(event: Progress) -> None:
        if event.stage == "joining" and event.done == 0:
            edit(source)

    with pytest.raises(SourceError, match=r"changed while it was worked on: input modified: .*; input content: "):
        run_job(source, tmp_path / "out.mp4", tiny, on_progress=change)


def test_a_source_that_changes_while_it_is_worked_on_gives_no_result(
    clip: Path, tiny: Settings, content: Content, whole: dict[str, Any], tmp_path: Path
) -> None:
    source = tmp_path / "in.mp4"
    source.write_bytes(clip.read_bytes())

    def grow(event: Progress) -> None:
        if event.stage == "joining" and event.done == 0:
            source.write_bytes(clip.read_bytes() + b"more")

    with pytest.raises(SourceError, match="changed while it was worked on: input size: ") as refusal:
        run_job(source, tmp_path / "out.mp4", tiny, on_progress=grow)
    assert "--restart" in refusal.value.hint
    assert not (tmp_path / "out.mp4").exists()
    source.write_bytes(clip.read_bytes())
    assert run_job(source, tmp_path / "out.mp4", tiny).resumed == 6  # nothing that was computed is lost
    assert content(tmp_path / "out.mp4") == whole


def test_a_run_killed_before_its_first_segment_was_whole_need_not_analyse_again(
    clip: Path, tiny: Settings, content: Content, whole: dict[str, Any], tmp_path: Path
) -> None:
    executor, target = LocalExecutor(worker_spec(tiny)), tmp_path / "out.mp4"
    source = probe(clip)
    spec = resolve(tiny, source, analyse(source, tiny, target=target), target, worker=executor.info, workers=1)
    made = plan.make_plan(source, spec, on_frame=lambda frames: None)

    def stages_after_a_kill(settings: Settings) -> set[str]:
        folder = JobFolder.beside(target, suffix=".mp4")
        folder.segments.mkdir(parents=True)
        folder.plan.write_bytes(made.dumps())
        stages: set[str] = set()
        run_job(clip, target, settings, force=True, on_progress=lambda event: stages.add(event.stage))
        return stages

    assert "analysing" in stages_after_a_kill(tiny.model_copy(update={"crf": 30.0}))  # nothing is lost: not refused
    assert "analysing" not in stages_after_a_kill(tiny)
    assert content(target) == whole


class Greedy(Bicubic):
    """An accelerator that holds so many frames at once, and no more."""

    room = 2

    def restore(self, frames: Tensor, motion: Motion, hidden: HiddenState) -> Restored:
        if len(frames) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return super().restore(frames, motion, hidden)


@pytest.fixture
def greedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dossr_video.models.bicubic.Bicubic", Greedy)


@pytest.mark.usefixtures("greedy")
def test_where_memory_runs_out_the_run_goes_on_with_less_and_says_so_once(
    clip: Path, tiny: Settings, content: Content, whole: dict[str, Any], tmp_path: Path
) -> None:
    warnings: list[str] = []
    report = run_job(clip, tmp_path / "out.mp4", tiny, on_progress=lambda event: warnings.extend(event.warnings))
    assert report.warnings == ("memory ran out at frame 0: going on with 2 at a time",)
    assert warnings == list(report.warnings)
    assert content(tmp_path / "out.mp4") == whole


def test_memory_that_runs_out_elsewhere_is_an_error_and_the_job_goes_on_later(
    clip: Path, tiny: Settings, content: Content, whole: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    count, resize = 0, stages.resize

    def full(*inputs: Any) -> Tensor:
        nonlocal count
        count += 1
        if count > 5:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return resize(*inputs)

    monkeypatch.setattr(stages, "resize", full)
    with pytest.raises(ModelError, match="memory ran out on cpu") as refusal:
        run_job(clip, tmp_path / "out.mp4", tiny)
    assert "give the same command again; finished segments are kept" in refusal.value.hint
    monkeypatch.undo()
    report = run_job(clip, tmp_path / "out.mp4", tiny)
    assert report.resumed > 0
    assert content(tmp_path / "out.mp4") == whole


ACCELERATOR = Footprint(Part(0, 5_000), Part(2 * 10**8, 25_000), Part(25 * 10**8, 5_500), kept=10**8, picture_bytes=192)


def test_tiles_follow_from_the_memory_of_the_accelerator_and_are_part_of_the_job(
    sample: Path, tiny: Settings, tmp_path: Path
) -> None:
    """Of 208x88 pixels."""
    source, target = probe(sample), tmp_path / "out.mp4"
    info = LocalExecutor(worker_spec(tiny)).info
    processing_plan = analyse(source, tiny, target=target)

    def resolved(gigabytes: float, **options: Any) -> MachineSpec:
        card = replace(info, device="cuda:0", footprint=ACCELERATOR, memory=round(gigabytes * 10**9))
        wanted = tiny.model_copy(update=options)
        spec = resolve(wanted, source, processing_plan, target, worker=card, workers=1)
        assert lasting(spec)["codec_tile"] == spec.machine.codec_tile
        return spec.machine

    assert (resolved(8).tile, resolved(8).codec_tile) == (None, None)
    assert (resolved(3.8).tile, resolved(3.8).codec_tile) == (None, None)  # one part at a time
    assert (resolved(3.95, offload="off").tile, resolved(3.95, offload="off").codec_tile) == (None, 64)
    assert (resolved(8, tile=64).tile, resolved(8, tile=64).codec_tile) == (64, None)
    with pytest.raises(ModelError, match=r"in tiles of 64; the accelerator has 3\.0 GB") as refusal:
        resolved(3)
    assert refusal.value.hint == "use --device cpu or a smaller model"
    with pytest.raises(ModelError, match=r"in tiles of 208; the accelerator has 3\.8 GB") as refusal:
        resolved(3.8, tile=256, offload="off")
    assert refusal.value.hint == "leave --offload off away, or use --device cpu or a smaller model"


@pytest.mark.usefixtures("greedy")
def test_a_frame_that_never_fits_is_an_error_that_leaves_nothing(
    clip: Path, tiny: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Greedy, "room", 0)
    with pytest.raises(ModelError, match="fits into memory"):
        run_job(clip, tmp_path / "out.mp4", tiny)
    assert names(tmp_path) == []


def test_a_result_that_is_not_what_was_promised_gets_no_name(
    clip: Path, tiny: Settings, content: Content, whole: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out.mp4"
    broken = Proof((Check("frames", False, "53 of 54"),), "kept: nothing", ())
    monkeypatch.setattr("dossr_video.jobs.proving.prove", lambda *arguments, **options: broken)
    with pytest.raises(ProofError, match="53 of 54"):
        run_job(clip, target, tiny)
    kept = ["out.failed-proof.mp4", "out.failed-proof.mp4.json"]
    assert names(tmp_path) == [*kept, "out.mp4.dossr"]
    (job,) = status(tmp_path).jobs
    assert (job.state, job.kept) == ("failed", tmp_path / "out.failed-proof.mp4")
    told = CliRunner().invoke(app, ["status", str(target)], standalone_mode=False, catch_exceptions=False).stdout
    assert told == f"failed its proof: {target}: kept as {job.kept}\n0 in work, 0 done, 1 failed\n"
    assert content(tmp_path / "out.failed-proof.mp4") == whole
    with pytest.raises(ProofError, match="failed-proof"):
        run_job(clip, target, tiny)
    assert names(tmp_path) == [*kept, "out.mp4.dossr"]
    accepted = run_job(clip, target, tiny.model_copy(update={"proof": "warn"}))
    assert (accepted.resumed, accepted.proof.passed) == (6, False)
    assert any("53 of 54" in warning for warning in accepted.warnings)
    assert content(target) == whole
    monkeypatch.undo()
    report = run_job(clip, tmp_path / "other.mp4", tiny)
    assert report.proof.passed


@pytest.mark.parametrize(
    ("name", "options"),
    [("o.mkv", {}), ("o.mp4", {}), ("o.mov", {}), ("o.mxf", {"speed": None}), ("o_%03d.png", {"speed": None}),
     ("o.webm", {"speed": None, "encoder": "libvpx-vp9"})],
)  # fmt: skip
def test_the_same_work_gives_the_same_bytes(
    name: str, options: dict[str, Any], sample: Path, tiny: Settings, tmp_path: Path
) -> None:
    settings = Settings(**{**tiny.model_dump(exclude_unset=True), "end": 0.2, **options})
    contents = []
    for folder in (tmp_path / "one", tmp_path / "other"):
        folder.mkdir()
        run_job(sample, folder / name, settings)
        contents.append({path.name: path.read_bytes() for path in folder.iterdir()})
    assert contents[0] == contents[1]
    assert len(contents[0]) == (6 if "%" in name else 1)
