"""What `upscale` writes beside a result: its page, records, captions and a picture of before and after."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from dossr_video.cli.console import warn
from dossr_video.errors import SettingsError, TargetError
from dossr_video.jobs import durable
from dossr_video.jobs.captions import caption_texts, require_captions
from dossr_video.jobs.fingerprint import sha256
from dossr_video.jobs.folder import JobFolder
from dossr_video.jobs.outputs import check_outputs
from dossr_video.jobs.premis import premis_of
from dossr_video.jobs.record import FiguresRecord
from dossr_video.jobs.report import Report
from dossr_video.jobs.resources import write_errors
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
        inputs = [*([] if here is None else [here]), *map(Path, settings.track_files)]
        self._notes = None if there is None else JobFolder.beside(there, suffix="").outputs
        self._noted, self._force = _read(self._notes), force
        # Where a run was cut off while it wrote them, some are there.
        self._own = {path for _, path in given if path.is_file() and sha256(path) == self._noted.get(_name(path))}
        check_outputs(given, inputs=inputs, target=there, force=force, own=self._own)
        self._here = here
        self._film: SourceInfo | None = None
        if here is not None and outputs.captions:
            self._film = source_of(here, settings)
            require_captions(self._film)

    def is_named(self, report: Report, source: Path, result: Path) -> None:
        outputs, source = self._outputs, self._here or source
        if outputs.page is not None:
            from dossr_video.report.run import run_page

            def count(frames: int) -> None:
                self._on_frame(frames, report.frames)

            with self._part(outputs.page) as part:
                run_page(report, source, result, part, measured=self.measured, on_frame=count)
        if outputs.json_report is not None:
            with self._part(outputs.json_report) as part:
                part.write_bytes(report.dumps().encode())
        if outputs.premis is not None:
            with self._part(outputs.premis) as part:
                part.write_bytes(premis_of(report))
        if outputs.before_after is not None:
            from dossr_video.report import before_after as draw

            with self._part(outputs.before_after) as part:
                draw(source, result, part, read=report.settings.read, choice=report.joined.choice)
        if self._film is not None:
            texts, left = caption_texts(self._film, report, [path.suffix.lower() for path in outputs.captions])
            for path, text in zip(outputs.captions, texts, strict=True):
                with self._part(path) as part:
                    part.write_bytes(text)
            for line in left:
                warn(f"not in the captions: {line}")

    @contextmanager
    def _part(self, path: Path) -> Iterator[Path]:
        """A file to write, which then gets the name of an output: not over one that came while the work went on."""
        part = durable.part_of(path)
        try:
            with write_errors(path.parent):
                yield part
                if self._notes is not None:
                    self._noted[_name(path)] = sha256(part)
                    durable.write(self._notes, json.dumps(self._noted).encode())
                try:
                    (durable.settle if self._force or path in self._own else durable.settle_new)(part, path)
                except FileExistsError as error:
                    raise TargetError(
                        f"{path} has appeared while the work went on",
                        hint="move it away and give the same command again; the result is finished, and kept",
                    ) from error
        finally:
            part.unlink(missing_ok=True)


def _name(path: Path) -> str:
    return str(path.absolute())


def _read(notes: Path | None) -> dict[str, str]:
    """By the paths of outputs their SHA-256; empty where there are none, or not readable ones."""
    with suppress(OSError, ValueError):
        noted = json.loads(notes.read_bytes()) if notes is not None else {}
        return noted if isinstance(noted, dict) else {}
    return {}
