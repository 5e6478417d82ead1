"""From finished segments to the whole result, with everything else of the source, and the proof of it."""

from __future__ import annotations

from array import array
from fractions import Fraction
from pathlib import Path

from dossr_video.heap import give_back_memory
from dossr_video.jobs.folder import JobFolder
from dossr_video.jobs.plan import Plan
from dossr_video.settings import Settings
from dossr_video.video.inspect.processing import open_reader
from dossr_video.video.mux.proof import Proof, prove
from dossr_video.video.mux.remux import Cut, JoinReport, SegmentFile, join
from dossr_video.video.write.containers import container_of
from dossr_video.video.write.writer import VideoSpec


def join_segments(
    folder: JobFolder, plan: Plan, source: Path, target: Path, *, spec: VideoSpec, settings: Settings
) -> tuple[JoinReport, Proof]:
    """Write the whole result to `target` and read it back; see remux.join for the errors.

    Raises ProofError when the two differ; the file stays then, to be looked at.
    """
    segments = [SegmentFile(folder.file_of(segment.index), segment.first_pts) for segment in plan.segments]
    container, cut = container_of(target), _cut(plan, spec, settings)
    give_back_memory()  # what the pictures took, for the index of the result
    with open_reader(source, settings) as reader:
        report = join(segments, reader.info, target, spec=spec, container=container, cut=cut)
        pts = array("q", (pts for segment in plan.segments for pts in segment.pts[segment.lead_in :]))
        proof = prove(target, reader, report, spec=spec, container=container, pts=pts, cut=cut)
    proof.require(target)
    return report, proof


def _cut(plan: Plan, spec: VideoSpec, settings: Settings) -> Cut | None:
    """What --start and --duration left of the source; None when they were not given."""
    if settings.start == 0 and settings.duration is None:
        return None
    first, last = plan.segments[0].first_pts, plan.segments[-1].pts[-1]
    return Cut(Fraction(first * spec.time_base), last * spec.time_base + 1 / spec.frame_rate)
