"""Who is told of the course of a job."""

from __future__ import annotations

from pathlib import Path

from dossr_video.jobs.report import Report
from dossr_video.quality.track import Measured


class Record:
    """Told of the course of a job while its folder is held, so that nobody else works on it. This one takes no notes.

    What it raises ends the job.
    """

    wants_figures = False  # whether the result is to be measured beside its source

    def is_measured(self, measured: Measured) -> None:
        """The figures of the result, which its page shows; not of a result that an earlier run has finished."""

    def is_whole(self, report: Report) -> None:
        """The result is about to get its name."""

    def is_named(self, report: Report, source: Path, result: Path) -> None:
        """The result has its name; the folder is about to go. The files are those on this machine."""


class FiguresRecord(Record):
    """Keeps the figures of the result."""

    wants_figures = True
    measured: Measured | None = None

    def is_measured(self, measured: Measured) -> None:
        self.measured = measured
