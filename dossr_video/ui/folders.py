"""The folders that the page may see: everything that a browser names is found through here."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote_to_bytes

from dossr_video.errors import SourceError, TargetError
from dossr_video.library.files import VIDEO_SUFFIXES
from dossr_video.names import possible, problem_on_windows, shown
from dossr_video.system import WINDOWS
from dossr_video.video.sequence import is_pattern, patterns_in


class OutsideError(SourceError):
    """A path that lies in none of the folders."""


@dataclass(frozen=True)
class Listing:
    """What a folder holds that people can choose, by name."""

    folders: tuple[Path, ...]
    videos: tuple[Path, ...]
    scans: tuple[Path, ...]  # patterns of numbered pictures, such as scan_%06d.dpx, none of them a link


@dataclass(frozen=True)
class Folders:
    """The folders given on the command line, without links."""

    roots: tuple[Path, ...]

    @classmethod
    def of(cls, given: Iterable[Path]) -> Folders:
        """Raises SourceError for one that is no folder."""
        for folder in given:
            if not folder.is_dir():
                raise SourceError(f"{folder} is not a folder", hint="name the folder that holds the videos")
        return cls(tuple(dict.fromkeys(folder.resolve() for folder in given)))

    def find(self, address: str) -> Path:
        """The path, without links, of an address that `address_of` made or a browser made up; it need not exist.

        Raises OutsideError for one that lies outside of the folders, by `..` or a link, or is hidden; SettingsError as
        `possible`.
        """
        number, _, rest = address.partition("/")
        name = os.fsdecode(unquote_to_bytes(rest))
        if number not in map(str, range(len(self.roots))) or "\0" in name:
            raise _outside(address)
        path = possible(Path(os.path.realpath(self.roots[int(number)] / name.lstrip("/"))))
        if not self.holds(path):
            raise _outside(address)
        return path

    def holds(self, path: Path) -> bool:
        """Whether a path, its links followed, lies in one of the folders, in no hidden one."""
        real = Path(os.path.realpath(path))
        return any(
            real.is_relative_to(root) and not any(part.startswith(".") for part in real.relative_to(root).parts)
            for root in self.roots
        )

    def address_of(self, path: Path) -> str:
        """`0/films/caf%E9.mp4`: number of the folder, and the name's bytes below it."""
        for number, root in enumerate(self.roots):
            if path.is_relative_to(root):
                below = path.relative_to(root)
                return f"{number}/{quote(os.fsencode(below))}" if below.parts else f"{number}/"
        raise _outside(str(path))

    def listing(self, folder: Path) -> Listing:
        """Folders, videos and scans in a folder that `find` gave; hidden ones and links to the outside are left out.

        Raises SourceError when it cannot be read.
        """
        folders, videos, linked = [], [], set()
        try:
            with os.scandir(folder) as found:
                entries = sorted(found, key=lambda entry: entry.name.casefold())
            scans = patterns_in(folder)
        except OSError as error:
            raise SourceError(
                f"{shown(folder)} cannot be read: {error.strerror}", hint="check its permissions"
            ) from error
        for entry in entries:
            path = folder / entry.name
            if entry.is_symlink():
                linked.add(path.suffix)
            if entry.name.startswith(".") or (entry.is_symlink() and not self.holds(path)):
                continue
            kind = path if entry.is_symlink() else entry  # a path says no of a link that leads nowhere
            if kind.is_dir() and path.suffix != ".dossr":
                folders.append(path)
            elif kind.is_file() and is_video(entry.name):
                videos.append(path)
        return Listing(tuple(folders), tuple(videos), tuple(scan for scan in scans if scan.suffix not in linked))

    def is_scan(self, path: Path) -> bool:
        """Whether a path names numbered pictures that may be chosen."""
        return is_pattern(path) and path.parent.is_dir() and path in self.listing(path.parent).scans


def is_video(name: str) -> bool:
    """By its extension."""
    return Path(name).suffix.lower() in VIDEO_SUFFIXES


def plain_name(name: str) -> str:
    """A file name as a person typed or dropped it; TargetError when it is a path, hidden, empty, odd or too long."""
    if WINDOWS and (problem := problem_on_windows(name)) is not None:
        raise TargetError(f"{shown(name)!r} cannot be written: {problem}", hint="choose another name")
    if not name.isprintable() or not name or name[0] == "." or "/" in name or len(os.fsencode(name)) > 200:
        raise TargetError(f"{shown(name)!r} is no plain file name", hint="use a short name without /, such as film.mp4")
    return name


def _outside(address: str) -> OutsideError:
    return OutsideError(
        f"{shown(address)} lies outside the folders of this page",
        hint="start `dossr-video ui` with its folder too; hidden folders are left out",
    )
