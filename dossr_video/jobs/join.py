"""From finished segments to the whole result, with everything else of the source."""

from __future__ import annotations

from pathlib import Path

from dossr_video.jobs.folder import JobFolder
from dossr_video.jobs.plan import Plan
from dossr_video.settings import Settings
from dossr_video.video.remux import join
from dossr_video.video.writer import VideoSpec


def join_segments(
    folder: JobFolder, plan: Plan, source: Path, joined: Path, spec: VideoSpec, settings: Settings
) -> object:
    segments = [(folder.file_of(segment.index), segment.first_pts) for segment in plan.segments]
    return join(segments, source, joined)
