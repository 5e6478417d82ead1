"""The jobs of the page on the disk: a folder each, which holds what was asked for and what the process has said."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal

from platformdirs import user_state_path

from dossr_video.jobs import durable
from dossr_video.jobs.lock import Owner
from dossr_video.jobs.resources import write_errors

Kind = Literal["probe", "preview", "upscale"]
Wanted = Literal["go", "pause", "stop"]


def state_folder() -> Path:
    """Where the page keeps its queue, previews and secret: for the user alone; TargetError when it cannot be made."""
    folder = user_state_path("dossr-video", appauthor=False) / "ui"
    with write_errors(folder):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


@dataclass(frozen=True)
class Job:
    """A process of the command `kind`: what was asked for, and the process that does it."""

    folder: Path  # of this job; its name is the job's number
    kind: Kind
    source: Path
    target: Path | None  # the result; None: of a preview, or a probe of the file alone
    options: tuple[str, ...]  # as on the command line
    wanted: Wanted = "go"
    owner: Owner | None = None  # the process that does it or did; None: it has not begun

    @property
    def id(self) -> str:
        return self.folder.name

    @property
    def output(self) -> Path:
        """What the process writes to stdout: events as lines of JSON, or the words of a probe."""
        return self.folder / "out"

    @property
    def errors(self) -> Path:
        """What it writes to stderr: lines for a person."""
        return self.folder / "err"

    @property
    def report(self) -> Path:
        """There when an upscale is done."""
        return self.folder / "report.json"

    @property
    def page(self) -> Path:
        """The page with pictures that is there when it is done."""
        if self.target is None:
            return self.folder / "preview.html"
        return self.target.with_name(self.target.name + ".html")

    @property
    def sheet(self) -> Path:
        """Of a preview: one picture of all details."""
        return self.page.with_suffix(".png")

    def arguments(self) -> list[str]:
        """Of the command dossr-video."""
        source = os.fspath(self.source)
        if self.kind == "probe":
            return ["probe", source, *([os.fspath(self.target)] if self.target else []), *self.options]
        if self.kind == "preview":
            return ["preview", source, "--page", os.fspath(self.page), "--force", "--progress", "json", *self.options]
        files = ["--report", os.fspath(self.page), "--json-report", os.fspath(self.report)]
        return ["upscale", source, os.fspath(self.target or ""), *files, "--progress", "json", *self.options]


class Store:
    """Reads and writes the jobs; whoever changes them holds the queue's lock."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)

    def add(self, kind: Kind, source: Path, target: Path | None, options: tuple[str, ...]) -> Job:
        """TargetError when the disk is full."""
        number = max((int(folder.name) for folder in self._folders()), default=0) + 1
        folder = self.folder / f"{number:06d}"
        with write_errors(self.folder):
            folder.mkdir()
        return self.put(Job(folder, kind, source, target, options))

    def put(self, job: Job) -> Job:
        content = {name: value for name, value in asdict(job).items() if name != "folder"}
        with write_errors(job.folder):
            durable.write(job.folder / "job.json", json.dumps(content, default=os.fspath).encode())
        return job

    def get(self, number: str) -> Job | None:
        folder = self.folder / number
        return _read(folder) if number.isdecimal() and folder.is_dir() else None

    def jobs(self) -> list[Job]:
        """In the order in which they were asked for."""
        return [job for folder in sorted(self._folders()) if (job := _read(folder)) is not None]

    def remove(self, job: Job) -> None:
        """The record goes first: what is left after a crash is no job."""
        (job.folder / "job.json").unlink(missing_ok=True)
        shutil.rmtree(job.folder, ignore_errors=True)

    def _folders(self) -> list[Path]:
        return [path for path in self.folder.iterdir() if path.name.isdecimal()]


def _read(folder: Path) -> Job | None:
    """None where there is no whole record: the page was ended while it made or removed the job."""
    try:
        data = json.loads((folder / "job.json").read_bytes())
        job = Job(folder, **data)
        target = None if job.target is None else Path(job.target)
        owner = None if data["owner"] is None else Owner(**data["owner"])
        return replace(job, source=Path(job.source), target=target, options=tuple(job.options), owner=owner)
    except (OSError, ValueError, TypeError, KeyError):
        return None
