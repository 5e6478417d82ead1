"""The job folder beside the output: plan, finished segments, ledger, lock."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from dossr_video.errors import JobError
from dossr_video.jobs.ledger import Ledger
from dossr_video.jobs.lock import is_lock, locked
from dossr_video.segments import SegmentResult
from dossr_video.system import WINDOWS
from dossr_video.video.sequence import PICTURES, is_numbered, plain_name

FOLDERS = {
    "segments": re.compile(r"\d{6,}(-\d+)?(\.[0-9a-f]{8})?(\.part)?\.(mkv|mov|mp4|nut|webm|frames|state|part)"),
    "joined": re.compile(rf".*({'|'.join(map(re.escape, sorted(PICTURES)))}|\.mka)", re.IGNORECASE),
}
"""What a job leaves in its folder in folders of their own, and the files in these."""

FILES = re.compile(
    r"lock(\..*)?|plan\.json|ledger.*\.jsonl|report\.json|failed|outputs\.json|progress\.(json|part)|joined\..*|dossr-video\..*\.part"
)
"""What it leaves there beside them; nothing else is removed."""


@dataclass(frozen=True)
class JobFolder:
    """`OUT.dossr/` of the output OUT; there only while the job is not complete."""

    path: Path
    suffix: str  # of the segments' files

    @classmethod
    def beside(cls, target: Path, *, suffix: str) -> JobFolder:
        return cls(target.parent / f"{plain_name(target)}.dossr", suffix)  # also of `.`, which has no name

    @property
    def lock(self) -> Path:
        return self.path / "lock"

    @property
    def plan(self) -> Path:
        return self.path / "plan.json"

    @property
    def report(self) -> Path:
        """Written when the result is whole, before it gets its name."""
        return self.path / "report.json"

    @property
    def failed(self) -> Path:
        """The path of the result that has failed its proof, until the next run begins."""
        return self.path / "failed"

    @property
    def outputs(self) -> Path:
        """SHA-256 of the files beside the result that this run has written, by their paths."""
        return self.path / "outputs.json"

    @property
    def progress(self) -> Path:
        """Where the run is, for `status`."""
        return self.path / "progress.json"

    @property
    def segments(self) -> Path:
        return self.path / "segments"

    def ledger(self, attempt: int = 0) -> Ledger:
        """Of the segments as they were done first, or of those that were done again."""
        return Ledger(self.path / (f"ledger-{attempt}.jsonl" if attempt else "ledger.jsonl"), self.segments)

    def file_of(self, index: int, attempt: int = 0) -> Path:
        """Where a finished segment lies."""
        return self.segments / f"{index:06d}{f'-{attempt}' if attempt else ''}{self.suffix}"

    def finished(self) -> dict[int, SegmentResult]:
        """Results of the segments whose files are there, by index; see Ledger.checked for whether they can be used."""
        return self.ledger().finished()

    def has_work(self) -> bool:
        """Whether a segment is finished, or begun and kept."""
        return bool(self.finished()) or any(self.segments.glob("*.state"))

    def joined(self, target: Path) -> Path:
        """The whole result before it gets its name: a file, or the pattern of pictures in a folder of their own."""
        return self.path / "joined" / target.name if is_numbered(target) else self.path / f"joined{target.suffix}"

    def discard_joined(self) -> None:
        """Remove the pictures of a whole result, those that have got no name."""
        _remove_ours(self.path / "joined")
        with suppress(OSError):  # there is none, or something else in it
            (self.path / "joined").rmdir()

    def foreign(self) -> list[Path]:
        """What lies in it that no job has left."""
        inside = (path for name in FOLDERS for path in _in(self.path / name) if not _is_ours(path))
        return sorted([*(path for path in _in(self.path) if not _is_ours(path)), *inside])

    @contextmanager
    def held(self) -> Iterator[None]:
        """The folder for this process alone; removed at the end when no segment in it is finished.

        Raises JobError when something is there that no job has left, or a link.
        """
        self._require_ours()
        with locked(self.lock):
            try:
                self._sweep()
                yield
            finally:
                if self.segments.exists() and not self.has_work():
                    self._remove()
        self._remove_rest()

    def clear(self) -> None:
        """Forget everything but who holds the folder; last that the result is complete, if it is."""
        _remove_ours(self.segments)
        self.discard_joined()
        for path in sorted(self.path.iterdir(), key=lambda path: path == self.report):
            if path.name not in FOLDERS and path != self.lock and _is_ours(path):
                path.unlink()

    def _remove(self) -> None:
        """The lock goes last, so that nobody else begins in a folder that is going."""
        self.clear()
        with suppress(OSError):  # something else lies in it
            self.segments.rmdir()
        if WINDOWS:  # it removes nothing that is open: see `held`
            return
        self.lock.unlink()
        with suppress(OSError):  # somebody else has begun again here
            self.path.rmdir()

    def _remove_rest(self) -> None:
        """Of a folder that is going, what is left once its lock is free; nothing where anything else lies in it."""
        with suppress(OSError):
            if WINDOWS and [*self.path.iterdir()] == [self.lock]:  # refused while somebody else holds it
                self.lock.unlink()
            self.path.rmdir()

    def _require_ours(self) -> None:
        """A folder of that name may hold anything, or be a link to it."""
        try:
            mode = self.path.lstat().st_mode
            if not stat.S_ISDIR(mode):
                raise self._foreign("a link" if stat.S_ISLNK(mode) else "a file")
            entries = list(self.path.iterdir())
        except FileNotFoundError:  # nothing there, or gone just now: another process has finished
            return
        if any(entry.is_symlink() for entry in entries):
            raise self._foreign("a folder with links in it")
        for entry in filter(_is_ours, [*entries, *_in(self.segments)]):
            if entry.is_dir() != (entry.name in FOLDERS):
                raise self._foreign("a folder" if entry.is_dir() else "no folder", entry)
        # A run that was killed before its lock had its content has left nothing else.
        if not all(map(_is_ours, entries)) and not is_lock(self.lock):
            raise self._foreign("a folder of somebody else")

    def _foreign(self, what: str, path: Path | None = None) -> JobError:
        return JobError(
            f"{path or self.path} is needed for the work, and is {what}",
            hint="move it away, or give the result another name",
        )

    def _sweep(self) -> None:
        """Drop what a killed run was writing."""
        self.segments.mkdir(exist_ok=True)
        joined = list(self.path.glob("joined.*"))
        # Without another name for the same file, the report was written too early to be believed.
        if any(path.stat().st_nlink == 1 for path in joined):
            self.report.unlink(missing_ok=True)
        for path in [*joined, *self.path.glob("*.part"), *self.segments.glob("*.part*")]:
            if _is_ours(path):
                path.unlink()
        self.failed.unlink(missing_ok=True)
        if not self.report.exists():  # else pictures of a whole result are among them; see naming.resume_naming
            self.discard_joined()


def _is_ours(path: Path) -> bool:
    """By its name and the folder that it lies in."""
    if path.parent.name in FOLDERS:
        return FOLDERS[path.parent.name].fullmatch(path.name) is not None
    return path.name in FOLDERS or FILES.fullmatch(path.name) is not None


def _in(folder: Path) -> list[Path]:
    """What lies in a folder; nothing where there is none."""
    return [*folder.iterdir()] if folder.is_dir() else []


def _remove_ours(folder: Path) -> None:
    for path in filter(_is_ours, _in(folder)):
        path.unlink()
