"""The state of the jobs in a folder of results."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from dossr_video.errors import TargetError
from dossr_video.jobs.folder import JobFolder
from dossr_video.jobs.lock import Owner, holder
from dossr_video.jobs.progress import last_note
from dossr_video.library.catalogue import Catalogue, Entry, has_catalogue
from dossr_video.names import shown
from dossr_video.video.sequence import exists


@dataclass(frozen=True)
class JobStatus:
    """A job that is not complete."""

    target: Path
    state: Literal["running", "interrupted"]
    owner: Owner | None  # the process that runs it
    stage: str  # as the run last noted; "" where there is no note
    done: int  # frames; of an interrupted job those in finished segments
    total: int | None  # frames; None: not known yet
    seconds_left: float | None  # at the speed of this run; None: not known


@dataclass(frozen=True)
class Status:
    """A folder of results."""

    jobs: tuple[JobStatus, ...]
    done: tuple[Entry, ...]  # by the catalogue, or by the report beside a result of no library
    failed: tuple[Entry, ...]


def status(path: Path) -> Status:
    """The state of a folder of results, or of one result; TargetError when there is neither."""
    if not path.is_dir():
        folder = JobFolder.beside(path, suffix="").path
        if not exists(path) and not folder.exists():
            raise TargetError(f"{path} does not exist", hint="name a folder of results, or the result of a job")
        return _status((_job(folder),) if folder.exists() else (), _entries_of(path) or _by_report(path))
    entries = Catalogue(path).entries() if has_catalogue(path) else []
    return _status(tuple(map(_job, sorted(_job_folders(path)))), entries)


def _status(jobs: tuple[JobStatus, ...], entries: Sequence[Entry]) -> Status:
    done, failed = (
        tuple(entry for entry in entries if entry.state in states) for states in (("done",), ("failed", "crashed"))
    )
    return Status(jobs, done, failed)


def _entries_of(target: Path) -> list[Entry]:
    """What the catalogue of the library tells that the result belongs to, if it belongs to one."""
    target = target.absolute()
    library = next((folder for folder in target.parents if has_catalogue(folder)), None)
    return [] if library is None else Catalogue(library).of_target(shown(target.relative_to(library).as_posix()))


def _by_report(target: Path) -> list[Entry]:
    """What the report beside a result tells that belongs to no library."""
    from dossr_video.library.pages import read_report  # it draws plots, which take a second to import

    report = read_report(target)
    if report is None or not exists(target):
        return []
    began, ended = (datetime.fromisoformat(text).timestamp() for text in (report.started, report.finished))
    return [
        Entry(
            report.source.path,
            shown(target.name),
            "done",
            report.source.size,
            modified=0,
            sample="",
            settings="",
            started=began,
            finished=ended,
            frames=report.frames,
            result_size=report.target.size,
            result_sha256=report.target.sha256,
        )
    ]


def _job_folders(folder: Path) -> Iterator[Path]:
    for place, names, _ in os.walk(folder):  # passes by what may not be read, or goes away meanwhile
        yield from (Path(place, name) for name in names if name.endswith(".dossr"))


def _job(path: Path) -> JobStatus:
    folder = JobFolder(path, suffix="")
    owner, note = holder(folder.lock), last_note(folder.progress)
    done, total = (note.done, note.total) if note else (0, None)
    if owner is None:
        done = sum(result.frames for result in folder.finished().values())
    left = None
    if owner is not None and note is not None and note.total is not None and note.done > note.first:
        left = (note.total - note.done) * note.seconds / (note.done - note.first)
    return JobStatus(
        path.with_suffix(""),
        "interrupted" if owner is None else "running",
        owner,
        note.stage if note else "",
        done,
        total,
        left,
    )
