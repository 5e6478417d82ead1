"""The page of a run: its pictures and figures, and everything that its report tells."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from dossr_video.jobs.report import Report
from dossr_video.names import shown
from dossr_video.quality.track import Measured
from dossr_video.report.page import Details, Passed, Version, write_page
from dossr_video.report.plots import clock
from dossr_video.video.read.probe import probe
from dossr_video.video.read.pyav import PyavReader
from dossr_video.video.read.reader import open_reader

LONG = 200  # characters of a value
TITLES = {"read": "source", "temporal": "consistency in time", "video": "result"}  # of groups of settings
LABELS = {
    "choice video": "video stream",
    "pix fmt": "pixel format",
    "cfg scale": "guidance",
    "weights": "weights, SHA-256",
}
PREFIXES = ("choice ", "encoding ", "color ")  # of settings in a group within a group


def run_page(
    report: Report,
    source: Path,
    target: Path,
    page: Path,
    *,
    measured: Measured | None = None,
    on_frame: Callable[[int], None] = lambda count: None,
) -> None:
    """Write the page of a finished run.

    Args:
        report: What the run did.
        source: What it read.
        target: What it made.
        page: The HTML file; overwritten.
        measured: What the run measured; None: both files are read for it.
        on_frame: Called with the number of frames that are measured.

    Raises:
        SourceError: A file cannot be read.
        TargetError: The page cannot be written.
    """
    read = report.settings.read
    video = report.settings.video
    result = probe(target, max_pixels=video.width * video.height, choice=report.joined.choice)
    with open_reader(source, read) as before, PyavReader(result) as after:
        versions = [Version("source", before), Version("result", after)]
        details = _details(report)
        write_page(
            page,
            versions,
            title=shown(target.name),
            details=details,
            start=read.start,
            measured=measured,
            on_frame=on_frame,
        )


def _details(report: Report) -> Details:
    start = report.settings.read.start
    return Details(
        checks=[Passed(check.name, check.passed, check.found) for check in report.proof.checks],
        lost=report.lost,
        warnings=report.warnings,
        damage=[(damage.seconds - start, damage.what) for damage in report.damage],
        plan=(*report.processing, *_quality(report)),
        maps=_maps(report),
        tables={
            "Run": {
                "started": report.started,
                "finished": report.finished,
                "frames": f"{report.frames}, {report.duplicates} of them duplicates",
                "segments": f"{report.segments}, {report.resumed} of them from an earlier run",
                **{f"time {stage}": clock(seconds, places=True) for stage, seconds in report.stages.items()},
                "time in all": clock(report.seconds, places=True),
            },
            "Machine and versions": {**report.machine, **report.versions},
            **{
                f"Settings: {TITLES.get(name, name)}": _rows(group)
                for name, group in _groups(report.settings.as_json()).items()
            },
            "SHA-256": {"source": report.source.sha256, "result": report.target.sha256},
        },
    )


def _maps(report: Report) -> list[tuple[str, str]]:
    found = zip(report.specks, report.lines, report.dust_maps, strict=True) if report.dust_maps else ()
    return [
        (f"shot {shot}: {specks:,} specks, scratches in {lines:,} places of frames", where)
        for shot, (specks, lines, where) in enumerate(found, start=1)
        if where
    ]


def _quality(report: Report) -> tuple[str, ...]:
    if report.qc is None:
        return ()
    return tuple(f"qc: {record}" for record in report.qc) or ("qc: every shot was measured, and has no faults",)


def _groups(settings: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The settings' own groups; what stands alone joins the last."""
    groups = {name: value for name, value in settings.items() if isinstance(value, dict)}
    alone = {name: value for name, value in settings.items() if name not in groups}
    return {**groups, "other": alone} if alone else groups


def _rows(group: Mapping[str, Any], before: str = "") -> dict[str, str]:
    """Plain text; groups within take part in the names. What there is not is left out, and what the plan tells."""
    rows: dict[str, str] = {}
    for key, value in group.items():
        name = f"{before}{key.replace('_', ' ')}"
        if isinstance(value, dict):
            rows |= _rows(value, f"{name} ")
        elif value not in (None, "", []) and key != "fields":
            text = {True: "on", False: "off"}[value] if isinstance(value, bool) else str(value)
            rows[_label(name)] = text if len(text) <= LONG else text[:LONG] + " …"
    return rows


def _label(name: str) -> str:
    if name in LABELS:
        return LABELS[name]
    short = next((name.removeprefix(prefix) for prefix in PREFIXES if name.startswith(prefix)), name)
    return LABELS.get(short, short)
