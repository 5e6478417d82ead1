"""Numbered pictures that are one video: `scan_%06d.dpx`, or a folder that holds nothing else that is numbered."""

from __future__ import annotations

import contextlib
import os
import re
from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate, pairwise
from pathlib import Path

from dossr_video.errors import SourceError

PICTURES = frozenset({".bmp", ".dpx", ".exr", ".j2c", ".j2k", ".jp2", ".jpeg", ".jpg", ".png", ".tif", ".tiff"})
"""Extensions of the pictures that are read; FFmpeg's demuxer image2 finds the decoder by them."""

_NUMBERED = re.compile(r"(?P<prefix>.*?)(?P<number>\d+)(?P<suffix>\.\w+)")
_PATTERN = re.compile(r"(?P<prefix>.*)%(?:0(?P<digits>\d+))?d(?P<suffix>\.\w+)")
_NAMED = 3  # missing numbers that an error lists


@dataclass(frozen=True)
class PictureFile:
    number: int
    path: Path
    size: int  # bytes
    modified: int  # nanoseconds since 1970


@dataclass(frozen=True)
class PictureSequence:
    """The pictures that a pattern such as `scan_%06d.dpx` names, in the order of their numbers, none missing."""

    pattern: Path
    files: tuple[PictureFile, ...]

    @classmethod
    def of(cls, pattern: Path) -> PictureSequence | None:
        """The pictures of a pattern; None for any other path, also of a file whose name looks like a pattern.

        Raises SourceError where there are none, where numbers are missing, and where a picture is empty.
        """
        if (parts := _PATTERN.fullmatch(pattern.name)) is None or pattern.exists():
            return None
        if parts["suffix"].lower() not in PICTURES:
            raise SourceError(
                f"{pattern} names files that are no pictures",
                hint=f"a picture sequence ends in one of {' '.join(sorted(PICTURES))}",
            )
        found = []
        for number, path in pictures_of(pattern).items():
            status = path.stat()
            found.append(PictureFile(number, path, status.st_size, status.st_mtime_ns))
        sequence = cls(pattern, tuple(found))
        sequence._check()
        return sequence

    @property
    def first(self) -> int:
        """Number of the first picture."""
        return self.files[0].number

    @property
    def escaped(self) -> str:
        """The absolute pattern as FFmpeg takes it: any other % is doubled."""
        parts = _PATTERN.fullmatch(self.pattern.name)
        assert parts is not None
        folder, number = str(self.pattern.absolute().parent), f"%0{parts['digits']}d" if parts["digits"] else "%d"
        before, after = (text.replace("%", "%%") for text in (f"{folder}/{parts['prefix']}", parts["suffix"]))
        return before + number + after

    @cached_property
    def offsets(self) -> list[int]:
        """Where each picture begins, and the last ends, when all of them are read as one file."""
        return [0, *accumulate(file.size for file in self.files)]

    @property
    def size(self) -> int:
        """Bytes of all pictures."""
        return self.offsets[-1]

    def at(self, offset: int) -> int:
        """Index of the picture that holds a byte."""
        return bisect_right(self.offsets, offset) - 1

    def _check(self) -> None:
        if not self.files:
            raise SourceError(f"{self.pattern} names no picture that exists", hint="check the folder and the pattern")
        missing = [
            number for before, after in pairwise(self.files) for number in range(before.number + 1, after.number)
        ]
        if missing:
            listed = ", ".join(str(number) for number in missing[:_NAMED]) + (", ..." if len(missing) > _NAMED else "")
            raise SourceError(
                f"{self.pattern}: {len(missing)} of {len(missing) + len(self.files)} pictures are missing: {listed}",
                hint="put them there, a copy of a neighbour for each that is lost; or name each part by its own folder",
            )
        if empty := next((file for file in self.files if file.size == 0), None):
            raise SourceError(f"{empty.path} is empty", hint="copy it again, or put a copy of its neighbour there")


def is_pattern(path: Path) -> bool:
    """Whether a path names numbered pictures, which need not exist."""
    return _PATTERN.fullmatch(path.name) is not None and not os.path.lexists(path)


def is_numbered(path: Path) -> bool:
    """Whether a name is that of pictures by their number."""
    return _PATTERN.fullmatch(path.name) is not None and path.suffix.lower() in PICTURES


def name_of_number(pattern: Path, number: int) -> Path:
    """The picture of a number: `out_000012.png` of `out_%06d.png`."""
    parts = _PATTERN.fullmatch(pattern.name)
    assert parts is not None
    return pattern.with_name(f"{parts['prefix']}{number:0{int(parts['digits'] or 1)}d}{parts['suffix']}")


def plain_name(path: Path) -> str:
    """A name for what belongs to a result: its own; of a pattern with # for each digit, `out_######.png`."""
    parts = _PATTERN.fullmatch(path.name)
    if parts is None or not is_numbered(path):
        return path.name
    return f"{parts['prefix']}{'#' * int(parts['digits'] or 1)}{parts['suffix']}"


def path_beside(target: Path, ending: str) -> Path:
    """Where a file of that ending lies that goes with a result."""
    return target.with_name(plain_name(target) + ending)


def pictures_of(pattern: Path) -> dict[int, Path]:
    """The files that a pattern names now by their numbers, in that order; gaps are no error."""
    parts = _PATTERN.fullmatch(pattern.name)
    assert parts is not None
    found = sorted(_numbered(pattern.parent, parts["prefix"], parts["suffix"]))
    return {number: path for number, path in found if path.name == name_of_number(pattern, number).name}


def exists(path: Path) -> bool:
    """Whether a file, or a picture of a pattern, is there."""
    return bool(pictures_of(path)) if is_numbered(path) else path.is_file()


def prefix_of(pattern: Path) -> str:
    """What stands before the numbers, without what sets it off from them: `scan` of `scan_%06d.dpx`."""
    parts = _PATTERN.fullmatch(pattern.name)
    return parts["prefix"].rstrip("._- ") if parts is not None else pattern.stem


def pattern_in(folder: Path) -> Path:
    """The pattern of the one picture sequence in a folder; SourceError where there is none, or more than one."""
    patterns = patterns_in(folder)
    if len(patterns) == 1:
        return patterns[0]
    if not patterns and (alone := next((path for path in sorted(folder.iterdir()) if _is_picture(path)), None)):
        raise SourceError(
            f"{folder} holds no two pictures that are numbered alike; a sequence has at least two",
            hint=f"name the picture itself: {alone}",
        )
    if not patterns:
        raise SourceError(
            f"{folder} is a folder without numbered pictures",
            hint="name a video file, a folder of pictures, or `dossr-video batch` for a folder of videos",
        )
    names = ", ".join(pattern.name for pattern in patterns)
    raise SourceError(f"{folder} holds {len(patterns)} picture sequences: {names}", hint="name one of them")


def patterns_in(folder: Path) -> list[Path]:
    """The patterns of a folder's picture sequences, of two pictures or more; in the order of their names."""
    groups: dict[tuple[str, str], list[str]] = defaultdict(list)
    for path in folder.iterdir():
        parts = _NUMBERED.fullmatch(path.name)
        if parts is not None and _is_picture(path):
            groups[parts["prefix"], parts["suffix"]].append(parts["number"])
    patterns = []
    for (prefix, suffix), numbers in sorted(groups.items()):
        if len(numbers) > 1:
            shortest, longest = min(map(len, numbers)), max(map(len, numbers))
            digits = f"0{longest}" if shortest == longest > 1 else ""
            patterns.append(folder / f"{prefix}%{digits}d{suffix}")
    return patterns


def _is_picture(path: Path) -> bool:
    return not path.name.startswith(".") and path.suffix.lower() in PICTURES and path.is_file()


def _numbered(folder: Path, prefix: str, suffix: str) -> list[tuple[int, Path]]:
    if not folder.is_dir():
        return []
    pattern = re.compile(re.escape(prefix) + r"(\d+)" + re.escape(suffix))
    return [(int(parts[1]), path) for path in folder.iterdir() if (parts := pattern.fullmatch(path.name))]


def is_part_of(path: Path, pattern: Path) -> bool:
    """Whether a path is one of the files that a pattern, or a folder of pictures, names, whether it exists or not."""
    if pattern.is_dir():
        with contextlib.suppress(OSError):  # who reads it says why it cannot be read
            return any(is_part_of(path, inner) for inner in patterns_in(pattern))
    parts = _PATTERN.fullmatch(pattern.name)
    if parts is None:
        return False
    if re.fullmatch(re.escape(parts["prefix"]) + r"\d+" + re.escape(parts["suffix"]), path.name) is None:
        return False
    return path.parent == pattern.parent or path.parent.resolve() == pattern.parent.resolve()


def sequence_around(path: Path) -> Path | None:
    """The pattern of the sequence that a picture belongs to; None where it is the only one, or no picture."""
    if path.suffix.lower() not in PICTURES:
        return None
    return next((pattern for pattern in patterns_in(path.parent) if is_part_of(path, pattern)), None)
