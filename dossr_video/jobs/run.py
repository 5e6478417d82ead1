"""Running a job, from probing to the result under its name; what lies behind URLs is fetched before and put there."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from dossr_video.errors import Interrupted, TargetError
from dossr_video.jobs.copies import held_copies
from dossr_video.jobs.execute.executor import Executor
from dossr_video.jobs.execute.local import LocalExecutor
from dossr_video.jobs.folder import JobFolder
from dossr_video.jobs.job import Job
from dossr_video.jobs.naming import completed, give_name, resume_naming
from dossr_video.jobs.outputs import is_same
from dossr_video.jobs.progress import OnProgress, Progress, Reporter, no_progress
from dossr_video.jobs.record import Record
from dossr_video.jobs.report import Report
from dossr_video.jobs.request import Request
from dossr_video.jobs.resolve import resolve, worker_spec
from dossr_video.jobs.resources import write_errors
from dossr_video.jobs.source import source_of
from dossr_video.jobs.upload import check_url, uploaded
from dossr_video.jobs.urls import cached, fetched, local, shown_url
from dossr_video.names import shown
from dossr_video.settings import Settings
from dossr_video.video.files import require_place
from dossr_video.video.info import SourceInfo
from dossr_video.video.inspect.processing import analyse
from dossr_video.video.mux.numbered import file_beside
from dossr_video.video.mux.streams import has_file_beside
from dossr_video.video.sequence import is_numbered
from dossr_video.video.write.containers import container_of
from dossr_video.video.write.spec import check_target


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

    here, there = local(source), local(target) or cached(str(target))
    given = (there, settings, force, restart, on_progress, record, cancelled, source_url, target_url)
    if source_url is None and target_url is None:
        assert here is not None
        return _run(Request(here, *given), executor)
    if target_url is None:  # refused before the source is fetched
        _check_begun(there, settings, force=force or executor is not None)
    with held_copies(there, source_url, target_url) as folder:
        return _run(Request(here or fetched(str(source), folder, fetching), *given), executor)


def _run(request: Request, given: Executor | None) -> Report:
    target, settings = request.target, request.settings
    # What is refused in the end is refused before a model is loaded.
    _check_begun(target, settings, inputs=request.inputs, force=request.force or given is not None)
    source = source_of(request.source, settings)
    probed = time.monotonic()
    executor = given or LocalExecutor(worker_spec(settings))
    loading = time.monotonic() - probed

    def look(frames: int) -> None:
        request.raise_if_cancelled("the file was probed")
        request.on_progress(Progress("probing", frames))

    processing = analyse(source, settings, target=target, model_scale=executor.info.scale, on_frame=look)
    assert processing.video is not None
    if processing.lost:
        warnings = tuple(f"not kept: {loss}" for loss in processing.lost)
        request.on_progress(Progress("probing", warnings=warnings))
    folder = JobFolder.beside(target, suffix=processing.video.segment_suffix)
    with write_errors(target.parent), folder.held():
        if request.restart:
            folder.clear()
        resume_naming(folder, target, force=request.force)
        report = completed(folder, target)
        if report is None:
            _check_place(request, source)
        spec = resolve(settings, source, processing, target, worker=executor.info, workers=executor.workers)
        before = {"probing": time.monotonic() - request.began - loading, "loading": loading}
        progress = Reporter(folder.progress, request.on_progress, before)
        job = Job(request, folder, source, processing, spec, executor, progress)
        if report is None or not job.made(report):
            if report is not None:  # of another job, which is complete: only its folder is in the way
                folder.clear()
                _check_place(request, source)
            report = job.run()
            request.record.is_whole(report)
            _give_name(request, folder.joined(target))
        request.record.is_named(report, request.source, target if request.target_url is None else folder.joined(target))
        folder.clear()
        if foreign := folder.foreign():
            warning = f"{shown(folder.path)} stays: {shown(foreign[0].relative_to(folder.path))} is not of the job"
            request.on_progress(Progress("verifying", report.frames, report.frames, warnings=(warning,)))
    return report


def _check_begun(target: Path, settings: Settings, *, inputs: tuple[Path, ...] = (), force: bool) -> None:
    """As check_target; a job that goes on looks again once it holds its folder."""
    begun = os.path.lexists(JobFolder.beside(target, suffix="").path)  # False for a name that is too long
    check_target(target, settings, inputs=inputs, force=force or begun)


def _check_place(request: Request, source: SourceInfo) -> None:
    """TargetError where the result, or what goes beside its pictures, is there already."""
    check_target(request.target, request.settings, force=request.force)
    if has_file_beside(source, container_of(request.target)):
        require_place(beside := file_beside(request.target), force=request.force)
        if any(is_same(beside, path) for path in request.inputs):
            raise TargetError(f"{beside}, which goes beside the pictures, is an input", hint="give them another name")


def _give_name(request: Request, joined: Path) -> None:
    """Put the whole result where it was asked for."""
    if request.target_url is not None:
        uploaded(joined, request.target_url, force=request.force)
    else:
        give_name(joined, request.target, force=request.force)
