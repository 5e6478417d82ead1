"""A job: one file, from the analysis to the proven result. Segments that an earlier run finished are kept."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from dossr_video.errors import Interrupted, SettingsError, SourceError
from dossr_video.jobs import durable
from dossr_video.jobs.attempts import Attempt, Attempts
from dossr_video.jobs.dirt import dust_by_shot
from dossr_video.jobs.estimate import SHORT, computed_frames, cost_of, measure
from dossr_video.jobs.execute.executor import Executor, Task
from dossr_video.jobs.figures import ProofFigures
from dossr_video.jobs.fingerprint import SourceMark, added_file, lasting, sha256
from dossr_video.jobs.folder import JobFolder
from dossr_video.jobs.join import join_segments
from dossr_video.jobs.naming import discard, give_name, kept_name, require_numbers
from dossr_video.jobs.plan import Plan
from dossr_video.jobs.progress import Progress, Reporter
from dossr_video.jobs.report import FileRecord, Report, machine, report_of, versions
from dossr_video.jobs.request import Request, utc_now
from dossr_video.jobs.resources import least_bytes, require_space
from dossr_video.jobs.resume import agreed_plan
from dossr_video.jobs.upscaling import Upscaling
from dossr_video.jobs.urls import shown_url
from dossr_video.names import shown
from dossr_video.runspec import RunSpec
from dossr_video.segments import Segment, SegmentResult
from dossr_video.video.info import SourceInfo, fps
from dossr_video.video.inspect.processing import TOLD, ProcessingPlan
from dossr_video.video.mux.inventory import side_data_losses
from dossr_video.video.mux.proof import Proof
from dossr_video.video.mux.remux import JoinReport
from dossr_video.video.read.probe import probe
from dossr_video.video.sequence import exists
from dossr_video.video.write.containers import container_named


@dataclass(frozen=True)
class Job:
    """A job whose folder is held."""

    request: Request
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
        self.request.raise_if_cancelled("the file was analysed")
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
        self.request.raise_if_cancelled(
            "the result was put together", hint="give the same command again; all segments are finished"
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
        before = plan.fingerprint.source
        now = SourceMark.of(self.source.path, before)
        changed = [f"{self.source.path} changed while it was worked on: {'; '.join(before.changes_to(now))}"]
        if before == now:
            changed = [
                f"{file.path} changed while it was worked on"
                for file in self.spec.tracks
                if added_file(Path(file.path), file.kind) != file
            ]
        if changed:
            discard(joined)
            raise SourceError(changed[0], hint="wait until it is complete, then begin anew with --restart")
        if before.glance != now.glance:
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
                self.source,
                shown_url(request.source_url) if request.source_url else shown(self.source.path),
                digest=plan.fingerprint.source.sha256,
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
            finished=utc_now(),
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
