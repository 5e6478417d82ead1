"""The source of a job as its settings want it: which of its pictures, and with which tracks beside them."""

from __future__ import annotations

from pathlib import Path

from dossr_video.settings import SourceSettings
from dossr_video.video.info import Choice, SourceInfo
from dossr_video.video.mux.tracks import with_tracks
from dossr_video.video.read.probe import probe


def source_of(path: Path, settings: SourceSettings) -> SourceInfo:
    """What `probe` finds, and the tracks that `settings` add. Raises SourceError as both do."""
    source = probe(path, max_pixels=settings.max_pixels, choice=Choice.of(settings))
    return with_tracks(source, audio=[*map(Path, settings.audio)], subtitles=[*map(Path, settings.subtitles)])
