"""Joins the finished segments, muxes them with the other streams of the source and verifies the result."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from dossr_video.heap import give_back_memory
from dossr_video.jobs.figures import ProofFigures
from dossr_video.jobs.plan import Plan
from dossr_video.jobs.progress import OnProgress, Progress
from dossr_video.jobs.proving import proven
from dossr_video.runspec import RunSpec
from dossr_video.video.info import SourceInfo
from dossr_video.video.mux.picture import SegmentFile
from dossr_video.video.mux.proof import Proof
from dossr_video.video.mux.remux import Cut, JoinReport, join
from dossr_video.video.mux.tags import provenance_entry
from dossr_video.video.write.containers import container_named, container_of


def join_segments(
    files: Sequence[Path],
    plan: Plan,
    source: SourceInfo,
    target: Path,
    *,
    spec: RunSpec,
    figures: ProofFigures | None,
    on_progress: OnProgress,
) -> tuple[JoinReport, Proof]:
    """Write the whole result to `target` and read it back; see remux.join for the errors.

    `files` are those of the plan's segments. The proof says whether the two are the same; the file stays in any case.
    """
    pairs = zip(files, plan.segments, strict=True)
    segments = [SegmentFile(file, segment.first_pts) for file, segment in pairs]
    segments[-1] = replace(segments[-1], last=plan.last or None)
    video, container, cut = spec.video, container_of(target), _cut(plan, spec)

    def count(stage: str, total: int) -> Callable[[int], None]:
        on_progress(Progress(stage, 0, total))
        return lambda frames: on_progress(Progress(stage, frames, total))

    provenance = spec.provenance if container.tagged else None
    added = provenance_entry(source, provenance)
    give_back_memory()  # what the pictures took, for the index of the result
    report = join(
        segments,
        source,
        target,
        spec=video,
        container=container,
        cut=cut,
        on_frame=count("joining", plan.frames),
        added=added,
        first_number=spec.start_number or 0,
    )
    if provenance is not None and not added:
        unwritten = f"no metadata entry is free for the note: {provenance}"
        report = replace(report, warnings=(*report.warnings, unwritten))
    if report.warnings:
        on_progress(Progress("joining", plan.frames, plan.frames, warnings=report.warnings))
    proof = proven(
        target,
        source,
        report,
        spec=spec,
        frames=plan.frames,
        figures=figures,
        on_frame=count("verifying", plan.frames),
    )
    return replace(report, warnings=(*report.warnings, *proof.warnings)), proof


def _cut(plan: Plan, spec: RunSpec) -> Cut | None:
    """The part of the source between --start and --duration, or of the pictures, where sound must not be longer.

    None: all of it.
    """
    if not (spec.read.is_cut or container_named(spec.container).sample_rate):
        return None
    video = spec.video
    first, last = plan.segments[0].first_pts, plan.segments[-1].pts[-1]
    end = last * video.time_base + 1 / video.frame_rate
    return Cut(Fraction(first * video.time_base), end, whole=not spec.read.is_cut)
