"""From finished segments to the whole result, with everything else of the source."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

from dossr_video.jobs.folder import JobFolder
from dossr_video.jobs.plan import Plan
from dossr_video.settings import Settings
from dossr_video.video.containers import container_of
from dossr_video.video.probe import SourceInfo
from dossr_video.video.remux import Cut, JoinReport, SegmentFile, join
from dossr_video.video.writer import VideoSpec


def join_segments(
    folder: JobFolder, plan: Plan, source: SourceInfo, target: Path, *, spec: VideoSpec, settings: Settings
) -> JoinReport:
    """Write the whole result to `target`; see remux.join for the errors."""
    segments = [SegmentFile(folder.file_of(segment.index), segment.first_pts) for segment in plan.segments]
    return join(segments, source, target, spec=spec, container=container_of(target), cut=_cut(plan, spec, settings))


def _cut(plan: Plan, spec: VideoSpec, settings: Settings) -> Cut | None:
    """What --start and --duration left of the source; None when they were not given."""
    if settings.start == 0 and settings.duration is None:
        return None
    first, last = plan.segments[0].first_pts, plan.segments[-1].pts[-1]
    return Cut(Fraction(first * spec.time_base), last * spec.time_base + 1 / spec.frame_rate)
