"""What `upscale` writes beside a result: its page, records, captions and a picture of before and after."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dossr_video.cli.console import warn
from dossr_video.errors import SettingsError
from dossr_video.jobs.captions import require_captions, write_captions
from dossr_video.jobs.folder import JobFolder
from dossr_video.jobs.naming import completed
from dossr_video.jobs.outputs import check_outputs
from dossr_video.jobs.premis import premis_of
from dossr_video.jobs.record import FiguresRecord
from dossr_video.jobs.report import Report
from dossr_video.jobs.resources import write_errors, write_file
from dossr_video.jobs.source import source_of
from dossr_video.jobs.urls import local, shown_url
from dossr_video.settings import Settings
from dossr_video.video.info import SourceInfo
from dossr_video.video.sequence import pattern_in

OnFrame = Callable[[int, int], None]  # frames of the page so far, and in all


@dataclass(frozen=True)
class Outputs:
    """The files that were asked for, by their options."""

    page: Path | None = None
    json_report: Path | None = None
    premis: Path | None = None
    before_after: Path | None = None
    captions: tuple[Path, ...] = ()

    def given(self) -> list[tuple[str, Path]]:
        single = [
            ("--report", self.page),
            ("--json-report", self.json_report),
            ("--premis", self.premis),
            ("--before-after", self.before_after),
        ]
        return [(name, path) for name, path in single if path is not None] + [("--captions", p) for p in self.captions]


class OutputsRecord(FiguresRecord):
    """Writes them before the job's folder goes: where that fails, the same command goes on with them alone."""

    def __init__(
        self, outputs: Outputs, source: str, target: str, settings: Settings, *, force: bool, on_frame: OnFrame
    ) -> None:
        """What would leave a finished run without them is refused. Raises SettingsError, TargetError, SourceError."""
        self._outputs, self._on_frame = outputs, on_frame
        self.wants_figures = outputs.page is not None
        here, there = local(source), local(target)
        if here is not None and here.is_dir():
            here = pattern_in(here)
        given = outputs.given()
        for option in dict(given).keys() - {"--json-report", "--premis"}:
            for name, path in ((source, here), (target, there)):
                if path is None:
                    raise SettingsError(
                        f"{option} cannot look at {shown_url(name)}", hint=f"fetch it, or leave {option} away"
                    )
        # Some may be there, where a run was cut off while it wrote them.
        resumed = there is not None and completed(JobFolder.beside(there, suffix=""), there) is not None
        inputs = [*([] if here is None else [here]), *map(Path, settings.track_files)]
        check_outputs(given, inputs=inputs, target=there, force=force or resumed)
        self._here = here
        self._film: SourceInfo | None = None
        if here is not None and outputs.captions:
            self._film = source_of(here, settings)
            require_captions(self._film)

    def is_named(self, report: Report, source: Path, result: Path) -> None:
        outputs, source = self._outputs, self._here or source
        if outputs.page is not None:
            from dossr_video.report.run import run_page

            run_page(
                report,
                source,
                result,
                outputs.page,
                measured=self.measured,
                on_frame=lambda count: self._on_frame(count, report.frames),
            )
        if outputs.json_report is not None:
            write_file(outputs.json_report, report.dumps().encode())
        if outputs.premis is not None:
            write_file(outputs.premis, premis_of(report))
        if outputs.before_after is not None:
            from dossr_video.report import before_after as draw

            with write_errors(outputs.before_after.parent):
                draw(source, result, outputs.before_after, read=report.settings.read, choice=report.joined.choice)
        if self._film is not None:
            for line in write_captions(self._film, report, outputs.captions):
                warn(f"not in the captions: {line}")
