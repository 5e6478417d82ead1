"""A job: one file, from probing to the finished result. Segments that an earlier run finished are kept."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from pydantic import ValidationError

from dossr_video.errors import Interrupted, JobError, SettingsError, SourceError, TargetError
from dossr_video.jobs import durable
from dossr_video.jobs.execute.executor import Callbacks, Executor, Task
from dossr_video.jobs.execute.local import LocalExecutor
from dossr_video.jobs.fingerprint import Fingerprint, SourceMark
from dossr_video.jobs.folder import JobFolder
from dossr_video.jobs.join import join_segments
from dossr_video.jobs.plan import Plan, make_plan
from dossr_video.jobs.progress import OnProgress, Progress, Reporter, no_progress
from dossr_video.jobs.report import FileRecord, Report, machine, versions
from dossr_video.jobs.resolve import resolve, worker_spec
from dossr_video.jobs.resources import least_bytes, require_space, write_errors
from dossr_video.jobs.urls import cached, exists, fetched, is_url, uploaded
from dossr_video.names import shown
from dossr_video.runspec import RunSpec
from dossr_video.segments import SegmentResult
from dossr_video.settings import Settings
from dossr_video.video.info import SourceInfo
from dossr_video.video.inspect.processing import ProcessingPlan, analyse
from dossr_video.video.mux.inventory import side_data_losses
from dossr_video.video.read.probe import probe
from dossr_video.video.write.writer import check_target


def run_job(
    source: str | Path,
    target: str | Path,
    settings: Settings,
    *,
    force: bool = False,
    restart: bool = False,
    on_progress: OnProgress = no_progress,
    cancelled: Callable[[], bool] = lambda: False,
    executor: Executor | None = None,
) -> Report:
    """Upscale a file. After an interruption, the same call resumes the job.

    Work in progress lies in `TARGET.dossr/`, which is removed with the last step, and also when no segment in it is
    finished. It grows to the size of the result, and while the segments are joined to twice that. A source behind a URL
    is fetched into the user's cache (XDG_CACHE_HOME), and the job of a result behind one is done there, so an
    interrupted job goes on where its cache is; that part of the cache goes away with the last step.

    Args:
        source: A path or URL.
        target: A path or URL. It gets its name when everything is complete, never before.
        settings: What the user asked for.
        force: Whether a target that exists is overwritten.
        restart: Whether to drop what an earlier run finished.
        on_progress: Called with each Progress event, from one thread at a time.
        cancelled: Asked now and then; once it says so, the running segments are finished and Interrupted is raised.
        executor: Runs the segments; made for the same model and machine settings, it serves several jobs and loads the
            model once. None: this machine.

    Raises:
        SourceError, TargetError, ModelError, SettingsError, ProofError, Interrupted: As their docstrings say.
        JobError: Another process works on the target (HeldError), or what an earlier run finished belongs to other
            settings or another input.
    """
    source_url, target_url = (str(name) if is_url(str(name)) else None for name in (source, target))
    here = fetched(source_url) if source_url else Path(source)
    there = cached(target_url) if target_url else Path(target)
    if target_url and not force and exists(target_url):
        raise TargetError(f"{target_url} exists", hint="choose another name, or overwrite it with --force")
    request = _Request(here, there, settings, force, restart, on_progress, cancelled, executor, source_url, target_url)
    report = request.run()
    for url, path in ((source_url, here), (target_url, there)):
        if url is not None:
            shutil.rmtree(path.parent, ignore_errors=True)
    return report


@dataclass(frozen=True)
class _Request:
    """What `run_job` was asked for, with the local files of what lies behind URLs."""

    source: Path
    target: Path
    settings: Settings
    force: bool
    restart: bool
    on_progress: OnProgress
    cancelled: Callable[[], bool]
    executor: Executor | None
    source_url: str | None  # for machines that do not see `source`
    target_url: str | None  # where the whole result goes; None: it gets the name `target`
    began: float = field(default_factory=time.monotonic)
    started: str = field(default_factory=lambda: _now())

    def run(self) -> Report:
        check_target(self.target, self.settings, source=self.source, force=True)
        source = probe(self.source, max_pixels=self.settings.max_pixels)
        processing = analyse(source, self.settings, target=self.target, on_frame=self._look)
        assert processing.video is not None
        if processing.lost:
            warnings = tuple(f"not kept: {loss}" for loss in processing.lost)
            self.on_progress(Progress("probing", warnings=warnings))
        folder = JobFolder.beside(self.target, suffix=processing.video.segment_suffix)
        with write_errors(self.target.parent), folder.held():
            if self.restart:
                folder.clear()
            report = _completed(folder, self.target)
            if report is None:
                check_target(self.target, self.settings, force=self.force)
                report = self._job(folder, source, processing).run()
                if self.target_url is None:
                    durable.settle(folder.joined(self.target), self.target)
                else:
                    uploaded(folder.joined(self.target), self.target_url)
            folder.remove()
        return report

    def _look(self, frames: int) -> None:
        if self.cancelled():
            raise Interrupted("stopped while the file was probed", hint="nothing is left behind")
        self.on_progress(Progress("probing", frames))

    def _job(self, folder: JobFolder, source: SourceInfo, processing: ProcessingPlan) -> _Job:
        probed = time.monotonic() - self.began
        executor = self.executor or LocalExecutor(worker_spec(self.settings))
        before = {"probing": probed, "loading": time.monotonic() - self.began - probed}
        spec = resolve(self.settings, source, processing, self.target, worker=executor.info, workers=executor.workers)
        progress = Reporter(folder.progress, self.on_progress, before)
        return _Job(self, folder, source, processing, spec, executor, progress)


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


def _completed(folder: JobFolder, target: Path) -> Report | None:
    """The report of a run that was cut off after its result had its name and before its folder was gone."""
    if folder.report.exists() and not folder.joined(target).exists() and target.exists():
        with suppress(ValidationError):  # of another version: the target stays, and is refused as one that exists
            return Report.model_validate_json(folder.report.read_bytes())
    return None


@dataclass(frozen=True)
class _Job:
    """A job whose folder is held."""

    request: _Request
    folder: JobFolder
    source: SourceInfo
    processing: ProcessingPlan
    spec: RunSpec
    executor: Executor
    progress: Reporter

    def run(self) -> Report:
        """Make the result in the folder, and the report beside it."""
        plan = self._agreed_plan()
        if found := self._lost_later(plan):
            if self.request.settings.strict:
                raise SettingsError(f"--strict: {found[0]}", hint="leave out --strict")
            self.progress(Progress("analysing", plan.frames, warnings=tuple(f"not kept: {loss}" for loss in found)))
        resumed = len(self.folder.finished())
        self._finish_segments(plan)
        return self._join(plan, resumed=resumed)

    def _lost_later(self, plan: Plan) -> tuple[str, ...]:
        """Losses that only the analysis of all frames has found."""
        found = side_data_losses(plan.side_data, self.source.video.codec, self.spec.video.encoding)
        return tuple(loss for loss in found if loss not in self.processing.lost)

    def _agreed_plan(self) -> Plan:
        """The plan of an earlier run where it is still the one to follow, else a new one."""
        folder = self.folder
        if folder.plan.exists():
            try:
                plan = Plan.loads(folder.plan.read_bytes(), path=folder.plan)
            except JobError:
                if folder.finished():
                    raise
            else:
                changes = plan.fingerprint.changes_to(Fingerprint.of(self.source.path, self.spec))
                if not changes:
                    return plan
                if folder.finished():
                    raise JobError(
                        f"{folder.path} holds finished segments of another run ({'; '.join(changes)})",
                        hint="give the same input and options as before, or begin anew with --restart",
                    )
        folder.clear()
        plan = make_plan(self.source, self.spec, on_frame=self._analyse)
        durable.write(folder.plan, plan.dumps())
        return plan

    def _analyse(self, frames: int) -> None:
        if self.request.cancelled():
            raise Interrupted("stopped while the file was analysed", hint="nothing is left behind")
        self.progress(Progress("analysing", frames))

    def _finish_segments(self, plan: Plan) -> None:
        """Run what is left of the plan."""
        folder, video = self.folder, self.spec.video
        finished = folder.finished()
        tasks = [
            Task(segment, self.source, folder.file_of(segment.index), self.spec, self.request.source_url)
            for segment in plan.segments
            if segment.index not in finished
        ]
        done = recorded = plan.frames - sum(len(task.segment) for task in tasks)
        written = sum(folder.file_of(index).stat().st_size for index in finished)
        self.progress(Progress("upscaling", done, plan.frames, notes=self._notes(plan, len(finished))))
        # A bound from below before hours of work; what the result really takes is known from the first segment on.
        require_space(folder.path, least_bytes(video, 2 * plan.frames - done), what="the job")

        def record(result: SegmentResult) -> None:
            nonlocal recorded, written
            file = folder.file_of(result.index)
            folder.ledger.record(result, file)
            recorded += result.frames
            written += file.stat().st_size
            if result.warnings:
                self.progress(Progress("upscaling", done, plan.frames, warnings=result.warnings))
            # What is left of the segments, and then all of it once more: the joined result.
            frames = (plan.frames - recorded) + plan.frames
            require_space(folder.path, round(written / recorded * frames), what="the rest of the job")

        def count(frames: int) -> None:
            nonlocal done
            done += frames
            self.progress(Progress("upscaling", done, plan.frames))

        self.executor.run(tasks, Callbacks(on_done=record, on_frames=count, stopping=self.request.cancelled))
        if recorded < plan.frames:
            raise Interrupted(
                f"stopped with {recorded} of {plan.frames} frames finished", hint="give the same command again to go on"
            )

    def _notes(self, plan: Plan, finished: int) -> tuple[str, ...]:
        """What is about to be done, told before hours of work."""
        before = f", {finished} of {len(plan.segments)} segments from an earlier run" if finished else ""
        return (
            f"{self.source.video.describe()} -> {self.spec.describe()}",
            f"{self.spec.describe_model()}; {plan.frames} frames in {plan.shots} shots{before}",
        )

    def _join(self, plan: Plan, *, resumed: int) -> Report:
        results = [result for _, result in sorted(self.folder.finished().items())]
        joined = self.folder.joined(self.request.target)
        outcome, proof = join_segments(
            self.folder, plan, self.source, joined, spec=self.spec, on_progress=self.progress
        )
        before, now = plan.fingerprint.source, SourceMark.of(self.source.path)
        if before != now:
            joined.unlink()
            raise SourceError(
                f"{self.source.path} changed while it was worked on: {'; '.join(before.changes_to(now))}",
                hint="wait until it is complete, then begin anew with --restart",
            )
        request = self.request
        report = Report(
            source=FileRecord.of(self.source, request.source_url or shown(self.source.path)),
            target=FileRecord.of(probe(joined), request.target_url or shown(request.target)),
            settings=self.spec,
            versions=versions(),
            machine=machine(self.spec.machine.device),
            started=request.started,
            finished=_now(),
            seconds=time.monotonic() - request.began,
            stages=self.progress.seconds(),
            work_seconds=sum(result.seconds for result in results),
            processing=(f"model: {self.spec.model.name} ({self.spec.model.reason})", *self.processing.explain()),
            frames=plan.frames,
            duplicates=plan.duplicates,
            shots=plan.shots,
            specks=_specks(plan, results),
            segments=len(plan.segments),
            resumed=resumed,
            kept=proof.summary,
            proof=proof,
            lost=(*self.processing.lost, *self._lost_later(plan)),
            damage=plan.damage,
            warnings=(*outcome.warnings, *(warning for result in results for warning in result.warnings)),
        )
        durable.write(self.folder.report, report.dumps().encode())
        return report


def _specks(plan: Plan, results: Iterable[SegmentResult]) -> tuple[int, ...]:
    """Specks of dust by shot."""
    found = [0] * plan.shots
    shots = {segment.index: segment.shot for segment in plan.segments}
    for result in results:
        found[shots[result.index]] += result.specks
    return tuple(found)
