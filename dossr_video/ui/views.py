"""What templates show, as plain words."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import Environment

from dossr_video.html import environment
from dossr_video.jobs.estimate import duration
from dossr_video.jobs.resources import readable
from dossr_video.names import shown
from dossr_video.presets import Preset, preset_names, read_preset
from dossr_video.ui.form import stem_of
from dossr_video.ui.queue import Seen
from dossr_video.ui.store import Job
from dossr_video.video.sequence import is_pattern

STATES = {
    "waiting": "waits for its turn",
    "running": "is being worked on",
    "paused": "paused",
    "stopping": "stops after the segment that is being worked on",
    "done": "done",
    "failed": "failed",
    "stopped": "stopped",
}

# The page looks like the reports: one style sheet, and what only the page has.
_REPORT = files("dossr_video") / "report" / "templates"
_STATIC = files("dossr_video") / "ui" / "static"
STATIC = {
    "report.css": (_REPORT / "page.css", "text/css"),
    "ui.css": (_STATIC / "ui.css", "text/css"),
    "icon.svg": (_STATIC / "icon.svg", "image/svg+xml"),
    "ui.js": (_STATIC / "ui.js", "text/javascript"),
}


@cache
def templates() -> Environment:
    made = environment("dossr_video.ui")
    made.filters |= {
        "shown": shown,
        "duration": duration,
        "film": film,
        "readable": readable,
        "setting": _setting,
    }
    made.globals["STATES"] = STATES
    return made


def film(source: Path) -> str:
    """What a file is called on the page."""
    return f"{stem_of(source)} (numbered pictures)" if is_pattern(source) else source.name


@dataclass(frozen=True)
class Failure:
    """An error as its process worded it."""

    message: str
    hint: str


def failure_of(seen: Seen) -> Failure | None:
    """Why a job has failed or was stopped."""
    if seen.state != "failed" and not (seen.state == "stopped" and seen.job.kind == "upscale"):
        return None
    found = {
        word: line.removeprefix(f"{word}: ")
        for line in seen.lines
        for word in ("error", "hint")
        if line.startswith(f"{word}:")
    }
    if not found and seen.state == "stopped":
        return None
    message = found.get("error", "its process ended without a word")
    return Failure(message, found.get("hint", "go on with it; what is finished is kept"))


def result_lines(seen: Seen) -> list[str]:
    """What a process has said at its end, beside errors."""
    words = ("error:", "hint:", "result:", "page:", "sheet:", "warning:")
    return [line for line in seen.lines if not line.startswith(words)]


def printed(job: Job) -> list[str]:
    """What a probe or a preview has printed beside its events."""
    try:
        lines = job.output.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    return [line for line in lines if line and not line.startswith("{")]


def presets() -> list[Preset]:
    return [read_preset(name) for name in preset_names()]


def size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _setting(value: Any) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
