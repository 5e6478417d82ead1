"""One file from beginning to end: plan, segments, join; whatever an earlier run finished is not done again."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

from dossr_video.errors import Interrupted, JobError, SourceError
from dossr_video.jobs import durable
from dossr_video.jobs.execute.local import Executor, LocalExecutor
from dossr_video.jobs.execute.worker import Task
from dossr_video.jobs.fingerprint import Fingerprint, SourceMark
from dossr_video.jobs.folder import JobFolder
from dossr_video.jobs.join import join_segments
from dossr_video.jobs.names import shown
from dossr_video.jobs.plan import Plan, make_plan
from dossr_video.jobs.progress import OnProgress, Progress
from dossr_video.jobs.report import Report
from dossr_video.jobs.resources import least_bytes, require_space, write_errors
from dossr_video.segments import SegmentResult
from dossr_video.settings import Settings
from dossr_video.video.info import SourceInfo
from dossr_video.video.inspect.processing import ProcessingPlan, analyse, open_reader, output_size
from dossr_video.video.read.probe import probe
from dossr_video.video.write.writer import VideoSpec, check_target, make_spec, try_encoder


def run_job(
    source: Path,
    target: Path,
    settings: Settings,
    *,
    force: bool = False,
    restart: bool = False,
    on_progress: OnProgress = lambda stage, done, total: None,
    cancelled: Callable[[], bool] = lambda: False,
    executor: Executor | None = None,
    source_url: str | None = None,
    publish: Callable[[Path], None] | None = None,
) -> Report:
    """Upscale a file; called again after any interruption, go on where it stopped.

    `on_progress` gets the stage, the frames done and the frames in all (0: not known yet). Once `cancelled` says so,
    the running segments are finished and Interrupted is raised. `force` overwrites the target; `restart` drops what an
    earlier run finished. `executor`, made for the same model and machine settings, serves several jobs and loads the
    model once. `source_url` is where `source` was fetched from, for machines that do not see it. `publish` puts the
    whole result in its place; None: it gets the name `target`.

    Work in progress lies in `TARGET.dossr/`, which is removed with the last step, and also when no segment in it is
    finished. It grows to the size of the result, and while the segments are joined to twice that.

    Raises SourceError, TargetError, ModelError, ProofError, Interrupted; JobError when another process works on the
    target (HeldError), or when what an earlier run finished belongs to other settings or another input.
    """
    began = time.monotonic()
    check_target(target, settings, source=source, force=True)

    def look(frames: int) -> None:
        if cancelled():
            raise Interrupted("stopped while the file was looked at", hint="nothing is left behind")
        on_progress("looking", frames, 0)

    job = _describe(source, target, settings, look)
    folder = JobFolder.beside(target, suffix=job.spec.segment_suffix)
    with write_errors(target.parent), folder.held():
        if restart:
            folder.clear()
        if (report := _completed(folder, target)) is None:
            check_target(target, settings, force=force)
            executor = executor or LocalExecutor(settings)
            job = replace(job, settings=settings.model_copy(update={"dtype": executor.dtype}))
            progress = Progress(folder.progress, on_progress)
            plan = _agreed_plan(folder, job, executor.weights, progress, cancelled)
            resumed = len(folder.finished())
            tasks = _tasks(folder, plan, job, source_url)
            _finish_segments(folder, plan, job, tasks, executor, progress, cancelled)
            progress.show("joining", plan.frames, plan.frames)
            report = _join(folder, plan, job, resumed=resumed, began=began)
            if publish is None:
                durable.settle(folder.joined(target), target)
            else:
                publish(folder.joined(target))
        folder.remove()
    return report


@dataclass(frozen=True)
class _Job:
    """What is read, how it is treated and what is written."""

    source: SourceInfo
    processing: ProcessingPlan
    target: Path
    spec: VideoSpec
    settings: Settings


def _describe(source: Path, target: Path, settings: Settings, on_frame: Callable[[int], None]) -> _Job:
    """Options that do not fit the input are refused here, before hours of work."""
    info = probe(source, max_pixels=settings.max_pixels)
    processing = analyse(info, settings, target=target, on_frame=on_frame)
    with open_reader(source, settings, fields=processing.fields) as reader:
        width, height = output_size(reader.info.video, settings, target)
        spec = make_spec(reader, settings, target, width=width, height=height)
        try_encoder(spec)
        return _Job(reader.info, processing, target, spec, settings)


def _completed(folder: JobFolder, target: Path) -> Report | None:
    """The report of a run that was cut off after its result had its name and before its folder was gone."""
    if folder.report.exists() and not folder.joined(target).exists() and target.exists():
        return Report.model_validate_json(folder.report.read_bytes())
    return None


def _agreed_plan(
    folder: JobFolder,
    job: _Job,
    weights: str,
    progress: Progress,
    cancelled: Callable[[], bool],
) -> Plan:
    """The plan of an earlier run where it is still the one to follow, else a new one."""
    if folder.plan.exists():
        try:
            plan = Plan.loads(folder.plan.read_bytes(), path=folder.plan)
        except JobError:
            if folder.finished():
                raise
        else:
            changes = plan.fingerprint.changes_to(Fingerprint.of(job.source.path, job.settings, weights))
            if not changes:
                return plan
            if folder.finished():
                raise JobError(
                    f"{folder.path} holds finished segments of another run ({'; '.join(changes)})",
                    hint="give the same input and options as before, or begin anew with --restart",
                )
    folder.clear()

    def count(frames: int) -> None:
        if cancelled():
            raise Interrupted("stopped while the file was analysed", hint="nothing is left behind")
        progress.show("analysing", frames, 0)

    plan = make_plan(job.source.path, job.settings, weights=weights, on_frame=count)
    durable.write(folder.plan, plan.dumps())
    return plan


def _tasks(folder: JobFolder, plan: Plan, job: _Job, url: str | None) -> list[Task]:
    """What is left of the plan."""
    finished, fields = folder.finished(), job.processing.fields
    return [
        Task(segment, job.source.path, folder.file_of(segment.index), job.spec, fields, url)
        for segment in plan.segments
        if segment.index not in finished
    ]


def _finish_segments(
    folder: JobFolder,
    plan: Plan,
    job: _Job,
    tasks: Sequence[Task],
    executor: Executor,
    progress: Progress,
    cancelled: Callable[[], bool],
) -> None:
    """Run the tasks, which are what is left of the plan."""
    done = plan.frames - sum(len(task.segment) for task in tasks)
    written = sum(folder.file_of(index).stat().st_size for index in folder.finished())
    recorded = done
    progress.show("upscaling", done, plan.frames)
    # A bound from below before hours of work; what the result really takes is known from the first segment on.
    least = least_bytes(job.spec.width, job.spec.height, 2 * plan.frames - done, job.spec.encoding.encoder)
    require_space(folder.path, least, what="the job")

    def record(result: SegmentResult) -> None:
        nonlocal recorded, written
        file = folder.file_of(result.index)
        folder.ledger.record(result, file)
        recorded += result.frames
        written += file.stat().st_size
        # What is left of the segments, and then all of it once more: the joined result.
        frames = (plan.frames - recorded) + plan.frames
        require_space(folder.path, round(written / recorded * frames), what="the rest of the job")

    def count(frames: int) -> None:
        nonlocal done
        done += frames
        progress.show("upscaling", done, plan.frames)

    executor.run(tasks, on_done=record, on_frames=count, stopping=cancelled)
    if recorded < plan.frames:
        raise Interrupted(
            f"stopped with {recorded} of {plan.frames} frames finished", hint="give the same command again to go on"
        )


def _join(
    folder: JobFolder,
    plan: Plan,
    job: _Job,
    *,
    resumed: int,
    began: float,
) -> Report:
    """Make the result in the folder, and the report beside it."""
    results = folder.finished()
    joined = folder.joined(job.target)
    outcome, proof = join_segments(folder, plan, job.source.path, joined, spec=job.spec, settings=job.settings)
    before, now = plan.fingerprint.source, SourceMark.of(job.source.path)
    if before != now:
        joined.unlink()
        raise SourceError(
            f"{job.source.path} changed while it was worked on: {'; '.join(before.changes_to(now))}",
            hint="wait until it is complete, then begin anew with --restart",
        )
    report = Report(
        source=shown(job.source.path),
        target=shown(job.target),
        version=version("dossr-video"),
        settings=job.settings,
        weights=plan.fingerprint.weights,
        processing=tuple(job.processing.explain()),
        frames=plan.frames,
        duplicates=plan.duplicates,
        shots=plan.shots,
        segments=len(plan.segments),
        resumed=resumed,
        size=joined.stat().st_size,
        seconds=time.monotonic() - began,
        work_seconds=sum(result.seconds for result in results.values()),
        kept=proof.summary,
        proof=proof,
        lost=outcome.lost,
        damage=plan.damage,
        warnings=(*outcome.warnings, *(w for _, r in sorted(results.items()) for w in r.warnings)),
    )
    durable.write(folder.report, report.dumps().encode())
    return report
