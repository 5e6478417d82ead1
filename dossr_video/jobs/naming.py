"""The whole result gets its name, or its pictures theirs one after the other; a run that is cut off there goes on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from pydantic import ValidationError

from dossr_video.errors import TargetError
from dossr_video.jobs import durable
from dossr_video.jobs.fingerprint import sha256
from dossr_video.jobs.folder import JobFolder
from dossr_video.jobs.report import Report
from dossr_video.video.files import SourceFile
from dossr_video.video.mux.numbered import file_beside
from dossr_video.video.sequence import exists, is_numbered, name_of_number, pictures_of


def give_name(joined: Path, target: Path, *, force: bool) -> None:
    """Give a whole result its name; of pictures each its own, after the file beside them.

    Raises TargetError where a name was taken since the work began and `force` does not say that it may be.
    """
    pairs = list(_names(joined, target))
    try:
        for made, final in pairs:
            if force:
                durable.settle(made, final)
            else:
                durable.settle_new(made, final)
    except FileExistsError as error:
        raise TargetError(
            f"{error.filename2 or error.filename or target} has appeared while the work went on",
            hint="move it away and give the same command again, or overwrite it with --force; "
            "the finished segments are kept",
        ) from error


def _names(joined: Path, target: Path) -> Iterator[tuple[Path, Path]]:
    if not is_numbered(target):
        yield joined, target
        return
    if file_beside(joined).exists():
        yield file_beside(joined), file_beside(target)
    for number, picture in pictures_of(joined).items():
        yield picture, name_of_number(target, number)


def require_numbers(target: Path, first: int, count: int) -> None:
    """TargetError where pictures would stay among those of the result that it does not overwrite."""
    others = [path for number, path in pictures_of(target).items() if not first <= number < first + count]
    if others:
        raise TargetError(
            f"{target}: {len(others)} pictures would stay among those of the result, the first is {others[0].name}",
            hint="remove them, or choose another name or folder",
        )


def resume_naming(folder: JobFolder, target: Path, *, force: bool) -> None:
    """Give the rest of a result's pictures their names, where a run was cut off between two of them."""
    joined = folder.joined(target)
    if not is_numbered(target) or not joined.parent.is_dir():
        return
    report = read_report(folder.report)
    if report is not None and _sha256(joined, target) == report.target.sha256:
        for made, final in _names(joined, target):
            if final.exists() and final.samefile(made):  # cut off before its first name was gone
                made.unlink()
        give_name(joined, target, force=force)
    folder.discard_joined()


def _sha256(joined: Path, target: Path) -> str:
    """Of all pictures one after the other, those that have their name and those that do not."""
    digest = hashlib.sha256()
    for _, path in sorted({**pictures_of(target), **pictures_of(joined)}.items()):
        with closing(SourceFile(path)) as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def completed(folder: JobFolder, target: Path) -> Report | None:
    """The report of a run that was cut off after its result had its name and before its folder was gone."""
    if not exists(target) or (report := read_report(folder.report)) is None:
        return None
    return report if sha256(target) == report.target.sha256 else None


def read_report(path: Path) -> Report | None:
    """None where there is none of this version."""
    try:
        return Report.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):  # of another version: the target stays, and is refused as existing
        return None


def kept_name(target: Path, number: int) -> Path:
    """What a result that failed its proof is called."""
    mark = f"failed-proof{'' if number == 1 else f'-{number}'}"
    if is_numbered(target):
        return target.with_name(f"{mark}.{target.name}")
    return target.with_name(f"{target.stem}.{mark}{target.suffix}")


def discard(joined: Path) -> None:
    """Remove a whole result that gets no name."""
    for path in [*pictures_of(joined).values(), file_beside(joined)] if is_numbered(joined) else [joined]:
        path.unlink(missing_ok=True)
