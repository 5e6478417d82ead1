"""A job: one file, from probing to the finished result. Segments that an earlier run finished are kept."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

from dossr_video.errors import DossrError, Interrupted, SettingsError, SourceError, TargetError
from dossr_video.jobs import durable
from dossr_video.jobs.attempts import Attempt, Attempts
from dossr_video.jobs.dirt import dust_by_shot
from dossr_video.jobs.estimate import SHORT, computed_frames, cost_of, measure
from dossr_video.jobs.execute.executor import Executor, Task
from dossr_video.jobs.execute.local import LocalExecutor
from dossr_video.jobs.figures import ProofFigures
from dossr_video.jobs.fingerprint import SourceMark, added_file, lasting, sha256
from dossr_video.jobs.folder import JobFolder
from dossr_video.jobs.join import join_segments
from dossr_video.jobs.naming import completed, discard, give_name, kept_name, require_numbers, resume_naming
from dossr_video.jobs.plan import Plan
from dossr_video.jobs.progress import OnProgress, Progress, Reporter, no_progress
from dossr_video.jobs.record import Record
from dossr_video.jobs.report import FileRecord, Report, machine, report_of, versions
from dossr_video.jobs.resolve import resolve, worker_spec
from dossr_video.jobs.resources import least_bytes, require_space, write_errors
from dossr_video.jobs.resume import agreed_plan
from dossr_video.jobs.source import source_of
from dossr_video.jobs.upload import check_url, uploaded
from dossr_video.jobs.upscaling import Upscaling
from dossr_video.jobs.urls import cached, fetched, local, shown_url
from dossr_video.names import shown
from dossr_video.runspec import RunSpec
from dossr_video.segments import Segment, SegmentResult
from dossr_video.settings import Settings
from dossr_video.video.files import require_place
from dossr_video.video.info import SourceInfo, fps
from dossr_video.video.inspect.processing import TOLD, ProcessingPlan, analyse
from dossr_video.video.mux.inventory import side_data_losses
from dossr_video.video.mux.numbered import file_beside
from dossr_video.video.mux.proof import Proof
from dossr_video.video.mux.remux import JoinReport
from dossr_video.video.mux.streams import has_file_beside
from dossr_video.video.read.probe import probe
from dossr_video.video.sequence import exists, is_numbered
from dossr_video.video.write.containers import container_named, container_of
from dossr_video.video.write.writer import check_target


def run_job(
    source: str | Path,
    target: str | Path,
    settings: Settings,
    *,
    force: bool = False,
    restart: bool = False,
    on_progress: OnProgress = no_progress,
    record: Record = Record(),  # noqa: B008 - it holds nothing
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
        record: Told of the course of the job.
        cancelled: Asked now and then; once it says so, the running segments are finished, or kept where they
            are slow, and Interrupted is raised.
        executor: Runs the segments; made for the same model and machine settings, it serves several jobs and loads the
            model once. None: this machine.

    Raises:
        SourceError, TargetError, ModelError, SettingsError, ProofError, Interrupted: As their docstrings say.
        JobError: Another process works on the target (HeldError), or what an earlier run finished belongs to other
            settings or another input.
    """
    source_url, target_url = (None if local(name) else str(name) for name in (source, target))
    if target_url:
        if is_numbered(Path(target_url)):
            raise TargetError(
                f"{shown_url(target_url)}: pictures cannot be put behind a URL",
                hint="name a folder of this machine, and copy them from there",
            )
        check_url(target_url, force=force)

    def fetching(done: int, total: int | None) -> None:
        if cancelled():
            raise Interrupted("stopped while the file was fetched", hint="nothing is left behind")
        on_progress(Progress("fetching", done, total, unit="bytes"))

    here = local(source) or fetched(str(source), fetching)
    there = local(target) or cached(str(target))
    request = _Request(
        here, there, settings, force, restart, on_progress, record, cancelled, executor, source_url, target_url
    )
    with _copies({url: path for url, path in ((source_url, here), (target_url, there)) if url}, there):
        return request.run()


@contextmanager
def _copies(copies: Mapping[str, Path], target: Path) -> Iterator[None]:
    """Files behind URLs: those here go away with the job, also where it fails and there is nothing to go on with."""
    try:
        yield
    except Interrupted:  # the next run goes on with them
        raise
    except DossrError as error:
        if not os.path.lexists(JobFolder.beside(target, suffix="").path):
            _remove(copies.values())
        for url, path in copies.items():  # the user knows no other name
            error.message = error.message.replace(str(path), shown_url(url))
        error.args = (error.message,)
        raise
    _remove(copies.values())


def _remove(copies: Iterable[Path]) -> None:
    for path in copies:
        shutil.rmtree(path.parent, ignore_errors=True)


@dataclass(frozen=True)
class _Request:
    """What `run_job` was asked for, with the local files of what lies behind URLs."""

    source: Path
    target: Path
    settings: Settings
    force: bool
    restart: bool
    on_progress: OnProgress
    record: Record
    cancelled: Callable[[], bool]
    executor: Executor | None
    source_url: str | None  # for machines that do not see `source`
    target_url: str | None  # where the whole result goes; None: it gets the name `target`
    began: float = field(default_factory=time.monotonic)
    started: str = field(default_factory=lambda: _now())

    def run(self) -> Report:
        begun = os.path.lexists(JobFolder.beside(self.target, suffix="").path)  # False for a name that is too long
        unloaded = self.executor is None  # what is refused in the end is refused before a model is loaded
        force = self.force or begun or not unloaded
        check_target(self.target, self.settings, source=self.source, force=force)
        source = source_of(self.source, self.settings)
        probed = time.monotonic()
        executor = self.executor or LocalExecutor(worker_spec(self.settings))
        loading = time.monotonic() - probed
        processing = analyse(
            source, self.settings, target=self.target, model_scale=executor.info.scale, on_frame=self._look
        )
        assert processing.video is not None
        if processing.lost:
            warnings = tuple(f"not kept: {loss}" for loss in processing.lost)
            self.on_progress(Progress("probing", warnings=warnings))
        folder = JobFolder.beside(self.target, suffix=processing.video.segment_suffix)
        with write_errors(self.target.parent), folder.held():
            if self.restart:
                folder.clear()
            resume_naming(folder, self.target, force=self.force)
            report = completed(folder, self.target)
            if report is None:
                self._check_place(source)
            job = self._job(folder, source, processing, executor, loading)
            if report is None or not job.made(report):
                if report is not None:  # of another job, which is complete: only its folder is in the way
                    folder.clear()
                    self._check_place(source)
                report = job.run()
                self.record.is_whole(report)
                self._name(folder.joined(self.target))
            result = self.target if self.target_url is None else folder.joined(self.target)
            self.record.is_named(report, self.source, result)
            folder.remove()
        return report

    def _check_place(self, source: SourceInfo) -> None:
        """TargetError where the result, or what goes beside its pictures, is there already."""
        check_target(self.target, self.settings, force=self.force)
        if has_file_beside(source, container_of(self.target)):
            require_place(file_beside(self.target), force=self.force)

    def _name(self, joined: Path) -> None:
        """Give the whole result its name."""
        if self.target_url is not None:
            uploaded(joined, self.target_url, force=self.force)
        else:
            give_name(joined, self.target, force=self.force)

    def _look(self, frames: int) -> None:
        if self.cancelled():
            raise Interrupted("stopped while the file was probed", hint="nothing is left behind")
        self.on_progress(Progress("probing", frames))

    def _job(
        self, folder: JobFolder, source: SourceInfo, processing: ProcessingPlan, executor: Executor, loading: float
    ) -> _Job:
        before = {"probing": time.monotonic() - self.began - loading, "loading": loading}
        spec = resolve(self.settings, source, processing, self.target, worker=executor.info, workers=executor.workers)
        progress = Reporter(folder.progress, self.on_progress, before)
        return _Job(self, folder, source, processing, spec, executor, progress)


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


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
    resumed: list[int] = field(default_factory=list)  # segments that an earlier run had finished, by attempt
    warnings: list[str] = field(default_factory=list)  # about what an earlier run left

    def made(self, report: Report) -> bool:
        """Whether that is the report of this job: of this source and these settings."""
        now = (lasting(self.spec), version("dossr-video"))
        if (lasting(report.settings), report.versions["dossr-video"]) != now:
            return False
        return report.source.sha256 == sha256(self.source.path)

    def run(self) -> Report:
        """Make the result in the folder, and the report beside it."""
        plan = agreed_plan(self.folder, self.source, self.spec, warn=self._warn, on_frame=self._analyse)
        if found := self._lost_later(plan):
            if self.request.settings.strict:
                raise SettingsError(f"--strict: {found[0]}", hint="leave out --strict")
            self.progress(Progress("analysing", plan.frames, warnings=tuple(f"not kept: {loss}" for loss in found)))
        if self.spec.start_number is not None:
            require_numbers(self.request.target, self.spec.start_number, plan.frames)
        attempts = Attempts(plan, self.spec)
        attempts.run(lambda attempt: self._finish(attempt, plan))
        return self._join(plan, attempts)

    def _lost_later(self, plan: Plan) -> tuple[str, ...]:
        """Losses that only the analysis of all frames has found."""
        video, container = self.spec.video, container_named(self.spec.container)
        found = side_data_losses(plan.side_data, self.source.video, video.encoding)
        if container.one_rate and (count := plan.off_rate(float(1 / (video.frame_rate * video.time_base)))):
            rate = fps(video.frame_rate)
            found += (f"times of {count} frames: {container.format} has {rate} throughout; .mkv and .mov keep them",)
        return tuple(loss for loss in found if loss not in self.processing.lost)

    def _warn(self, *warnings: str) -> None:
        if warnings:
            self.warnings.extend(warnings)
            self.progress(Progress("checking", warnings=warnings))

    def _analyse(self, frames: int) -> None:
        if self.request.cancelled():
            raise Interrupted("stopped while the file was analysed", hint="nothing is left behind")
        self.progress(Progress("analysing", frames))

    def _finish(self, attempt: Attempt, plan: Plan) -> None:
        """Run what an earlier run has left of an attempt."""
        folder, progress = self.folder, self.progress
        if folder.finished():
            progress(Progress("checking"))
        found, wrong = folder.ledger(attempt.number).checked(attempt.keys(plan))
        attempt.results.update(found)
        self.resumed.append(len(found))
        self._warn(*wrong)
        tasks = [
            Task(
                segment,
                self.source,
                folder.file_of(segment.index, attempt.number),
                attempt.specs[segment.shot],
                self.request.source_url,
            )
            for segment in attempt.segments(plan)
            if segment.index not in found
        ]
        notes = self._notes(plan, attempt, len(found))
        cost = () if attempt.number else self._cost(plan, [task.segment for task in tasks])
        work = Upscaling(folder, plan, attempt, progress, self.request.cancelled)
        work.tell((*notes, *cost))
        # A bound from below before hours of work; what the result really takes is known from the first segment on.
        frames = work.frames - work.done + plan.frames
        require_space(folder.path, least_bytes(self.spec.video, frames), what="the job")
        work.run(tasks, self.executor)
        if work.recorded < work.frames:
            raise Interrupted(
                f"stopped with {work.done} of {work.frames} frames finished",
                hint="give the same command again to go on",
            )

    def _notes(self, plan: Plan, attempt: Attempt, finished: int) -> tuple[str, ...]:
        """What is about to be done, told before hours of work."""
        before = f", {finished} of {len(attempt.segments(plan))} segments from an earlier run" if finished else ""
        if attempt.number:
            return (f"qc: {len(attempt.specs)} of {plan.shots} shots are done again{before}", *attempt.notes())
        checked = ("qc: every shot is measured; one with faults is done again, at most twice",) if self.spec.qc else ()
        return (
            f"{self.source.describe_picture()} -> {self.spec.describe()}",
            f"{self.spec.describe_model()}; {plan.frames} frames, shots: {plan.shots}{before}",
            *checked,
            *(str(finding) for finding in self.processing.findings if finding.topic in TOLD),
        )

    def _cost(self, plan: Plan, left: Sequence[Segment]) -> tuple[str, ...]:
        """What is left takes so long; nothing is said of what is over soon."""
        computed, source = computed_frames(left), self.source
        if computed * source.video.width * source.video.height < SHORT:
            return ()
        self.progress(Progress("measuring"))
        speed = measure(
            left[len(left) // 2],
            source,
            self.spec,
            self.executor,
            url=self.request.source_url,
            cancelled=self.request.cancelled,
        )
        if speed is None:
            return ()
        return (cost_of(speed, source, self.spec, frames=plan.frames, computed=computed).describe(),)

    def _joining(self, event: Progress) -> None:
        if self.request.cancelled():
            raise Interrupted(
                "stopped while the result was put together",
                hint="give the same command again; all segments are finished",
            )
        self.progress(event)

    def _join(self, plan: Plan, attempts: Attempts) -> Report:
        results, files = zip(*attempts.chosen(self.folder), strict=True)
        joined = self.folder.joined(self.request.target)
        record = self.request.record
        figures = ProofFigures(self.source.video, self.spec.video) if record.wants_figures else None
        outcome, proof = join_segments(
            files, plan, self.source, joined, spec=self.spec, figures=figures, on_progress=self._joining
        )
        if figures is not None and (measured := figures.measured(plan.segments)) is not None:
            record.is_measured(measured)
        before, now = plan.fingerprint.source, SourceMark.of(self.source.path)
        if before != now:
            discard(joined)
            raise SourceError(
                f"{self.source.path} changed while it was worked on: {'; '.join(before.changes_to(now))}",
                hint="wait until it is complete, then begin anew with --restart",
            )
        for file in self.spec.tracks:
            if added_file(Path(file.path), file.kind) != file:
                joined.unlink()
                raise SourceError(
                    f"{file.path} changed while it was worked on",
                    hint="wait until it is complete, then begin anew with --restart",
                )
        if before.modified != now.modified:
            self._warn(f"{shown(self.source.path)} has another date than when the job began, and the same content")
        report = self._report(plan, attempts, results, outcome, proof)
        if not proof.passed and self.request.settings.proof == "refuse":
            self._keep_failed(joined, report)
        durable.write(self.folder.report, report.dumps().encode())
        return report

    def _report(
        self, plan: Plan, attempts: Attempts, results: Sequence[SegmentResult], outcome: JoinReport, proof: Proof
    ) -> Report:
        """Of the whole result, before it has its name."""
        request = self.request
        return Report(
            source=FileRecord.of(
                self.source, shown_url(request.source_url) if request.source_url else shown(self.source.path)
            ),
            target=FileRecord.of(
                probe(self.folder.joined(request.target), choice=outcome.choice),
                shown_url(request.target_url) if request.target_url else shown(request.target),
            ),
            tracks=tuple(FileRecord.of_tracks(self.source, file) for file in self.source.track_files),
            settings=self.spec,
            versions=versions(),
            machine=machine(self.spec.machine.device),
            started=request.started,
            finished=_now(),
            seconds=time.monotonic() - request.began,
            stages=self.progress.seconds(),
            work_seconds=sum(result.seconds for result in results),
            processing=(*self.spec.model.describe(), *self.processing.explain()),
            frames=plan.frames,
            duplicates=plan.duplicates,
            shots=plan.shots,
            **dust_by_shot(plan, results),
            segments=len(plan.segments),
            resumed=self.resumed[0],
            qc=attempts.records() if self.spec.qc else None,
            kept=proof.summary,
            joined=outcome,
            proof=proof,
            lost=(*self.processing.lost, *self._lost_later(plan)),
            damage=plan.damage,
            warnings=(
                *self.warnings,
                *outcome.warnings,
                *(() if proof.passed else (f"the result failed its proof and was accepted: {proof.summary}",)),
                *(warning for result in results for warning in result.warnings),
                *(f"qc: {record}" for record in attempts.records() if not record.mended),
            ),
        )

    def _keep_failed(self, joined: Path, report: Report) -> None:
        """Put a result that failed its proof beside its target with its report, and raise ProofError."""
        target, number = self.request.target, 1
        while True:
            kept = kept_name(target, number)
            if not exists(kept):
                give_name(joined, kept, force=False)
                durable.write(report_of(kept), report.dumps().encode())
            elif sha256(kept) != report.target.sha256:
                number += 1
                continue
            durable.write(self.folder.failed, os.fsencode(kept))
            report.proof.require(kept)
