"""The state of the jobs in a folder of results."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from dossr_video.errors import TargetError
from dossr_video.jobs.folder import JobFolder
from dossr_video.jobs.lock import Owner, holder
from dossr_video.jobs.progress import last_note
from dossr_video.jobs.report import report_of
from dossr_video.library.catalogue import ENDED, Catalogue, Entry
from dossr_video.library.files import Place
from dossr_video.library.opening import existing_catalogue, has_catalogue
from dossr_video.names import coded
from dossr_video.video.sequence import exists


@dataclass(frozen=True)
class JobStatus:
    """A job that is not complete."""

    target: Path
    state: Literal["running", "interrupted", "failed"]
    owner: Owner | None  # the process that runs it
    stage: str  # as the run last noted; "" where there is no note
    done: int  # frames; of an interrupted job those in finished segments
    total: int | None  # frames; None: not known yet
    seconds_left: float | None  # at the speed of this run; None: not known
    kept: Path | None = None  # of a failed job: the result that did not pass its proof


@dataclass(frozen=True)
class Status:
    """A folder of results."""

    jobs: tuple[JobStatus, ...]  # whose folders are among the results; what failed by the catalogue is there alone
    running: tuple[Entry, ...]  # that a worker of the library has, and whose job folder is elsewhere: of a bucket
    done: tuple[Entry, ...]  # by the catalogue, or by the report beside a result of no library
    failed: tuple[Entry, ...]


def status(path: Place, *, catalogue: str | None = None) -> Status:
    """The state of a folder of results, or of one result; TargetError when there is neither, or nothing known of it.

    Of a bucket only what the catalogue tells: the folders of the jobs are on the machines that do them.

    `catalogue` is the address of the database that remembers; None: a file in the folder.
    """
    if isinstance(path, str):
        found = existing_catalogue(path, catalogue)
        if found is None:
            raise TargetError(f"nothing was done into {path}", hint="name a folder of results in a bucket")
        return _status((), found.entries(), found)
    if path.is_dir():
        found = existing_catalogue(path, catalogue)
        jobs = tuple(map(_job, sorted(_job_folders(path))))
        return _status(jobs, found.entries() if found else [], found)
    folder = JobFolder.beside(path, suffix="").path
    if not exists(path) and not folder.exists():
        raise TargetError(f"{path} does not exist", hint="name a folder of results, or the result of a job")
    target = path.absolute()
    library = next((folder for folder in target.parents if has_catalogue(folder)), None)
    found = existing_catalogue(library, catalogue) if library else None
    entries = found.of_target(coded(target.relative_to(library).as_posix())) if found and library else []
    jobs = (_job(folder),) if folder.exists() else ()
    entries = entries or _by_report(path)
    if not jobs and not entries:
        raise TargetError(
            f"{path} has neither a job nor a report beside it",
            hint="name a folder of results; a single run that is done is known where it had "
            f"--json-report {report_of(path)}",
        )
    return _status(jobs, entries, found)


def _status(jobs: tuple[JobStatus, ...], entries: Sequence[Entry], catalogue: Catalogue | None) -> Status:
    now = catalogue.now() if catalogue is not None and any(entry.worker for entry in entries) else 0.0
    failed = tuple(entry for entry in entries if entry.state in ENDED)
    return Status(
        tuple(job for job in jobs if job.state == "running" or not any(_makes(job, entry) for entry in failed)),
        running=tuple(e for e in entries if e.is_held(now) and not any(_makes(job, e) for job in jobs)),
        done=tuple(entry for entry in entries if entry.state == "done"),
        failed=failed,
    )


def _makes(job: JobStatus, entry: Entry) -> bool:
    return coded(job.target).endswith(f"/{entry.target}")


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
            coded(target.name),
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
    kept = None
    if owner is None:
        with suppress(FileNotFoundError):
            kept = Path(os.fsdecode(folder.failed.read_bytes()))
    return JobStatus(
        path.with_suffix(""),
        "running" if owner else "failed" if kept else "interrupted",
        owner,
        note.stage if note else "",
        done,
        total,
        left,
        kept,
    )
