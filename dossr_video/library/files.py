"""Which files of a folder are videos to be done, and where their results go."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path, PurePath, PurePosixPath
from urllib.parse import urlsplit
from zlib import crc32

from dossr_video.errors import SourceError, TargetError
from dossr_video.jobs.urls import BUCKETS, listed, local, mark_of, shown_url
from dossr_video.names import coded, shown
from dossr_video.video.files import FileStatus, status_of
from dossr_video.video.sequence import is_part_of, is_pattern, patterns_in, prefix_of
from dossr_video.video.write.containers import CONTAINERS, SEQUENCES

VIDEO_SUFFIXES = frozenset(
    {
        ".264", ".265", ".3g2", ".3gp", ".asf", ".avi", ".divx", ".dv", ".f4v", ".flv", ".gxf", ".h264", ".h265",
        ".hevc", ".ivf", ".m1v", ".m2t", ".m2ts", ".m2v", ".m4v", ".mjpeg", ".mkv", ".mov", ".mp4", ".mpe", ".mpeg",
        ".mpg", ".mts", ".mxf", ".nut", ".obu", ".ogm", ".ogv", ".qt", ".rm", ".rmvb", ".ts", ".vob", ".webm", ".wmv",
        ".y4m",
    }
)  # fmt: skip

SCAN_SUFFIXES = frozenset({".dpx", ".exr"})


Place = Path | str
"""A file or folder of this machine, or the URL of one in a bucket."""


@dataclass(frozen=True)
class Library:
    """A folder of sources and the folder that mirrors it; either may be in a bucket.

    Globs are matched against the path below the folder, with /, and against the name alone. Without `include`, files
    with a video's extension are taken, and picture sequences of DPX and EXR, also in a folder of their own; sequences
    of other pictures only where `include` names them, since those may be anything. Hidden files and folders are left
    out, and so is the results' folder.
    """

    sources: Place
    results: Place
    recursive: bool = False
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    suffix: str | None = None  # of all results, with its dot; None: each as its source
    catalogue: str | None = None  # address of a database that remembers; None: a file in the results' folder

    def __post_init__(self) -> None:
        for place, error in ((self.sources, SourceError), (self.results, TargetError)):
            if isinstance(place, str) and urlsplit(place).scheme not in BUCKETS:
                raise error(
                    f"{shown_url(place)} is not a folder, nor a place in a bucket",
                    hint="name a folder, or s3://BUCKET/FOLDER",
                )
        if isinstance(self.results, str) and self.suffix in SEQUENCES:
            raise TargetError(
                f"{shown_url(self.results)}: pictures cannot be put into a bucket",
                hint="name a folder of this machine, and copy them from there; or choose a film with --to",
            )
        if isinstance(self.sources, Path) and not self.sources.is_dir():
            raise SourceError(f"{self.sources} is not a folder", hint="name the folder that holds the videos")
        if isinstance(self.results, Path) and self.results.exists() and not self.results.is_dir():
            raise TargetError(f"{self.results} is not a folder", hint="name a folder for the results")
        if _whole(self.results) == _whole(self.sources):
            raise TargetError(
                f"{self.results} is the folder of the sources", hint="name another folder for the results"
            )

    def files(self) -> list[Place]:
        """The sources, in the order of their paths; a folder among them is one that cannot be read."""
        if isinstance(self.sources, str):
            return list(self._behind(self.sources))
        return sorted(self._walk(self.sources))

    def name_of(self, source: Place) -> str:
        """For the catalogue: no two sources have the same."""
        return coded(self._key(source))

    def old_name_of(self, source: Place) -> str:
        """As the catalogue of an older program calls it."""
        return shown(self._name(source).as_posix())

    def is_among_sources(self, target: Place) -> bool:
        """Where the sources lie below the results, a result could take the name of a source."""
        sources, results = _whole(self.sources), _whole(self.results)
        return _whole(target).is_relative_to(sources) and not results.is_relative_to(sources)

    def target_of(self, source: Place) -> Place:
        """The same path below the results; `.mkv` is added where the source's own format is not written.

        With a suffix of its own that is added; numbered pictures get a folder for each film.
        """
        name = self._target_name(source)
        return self.results / name if isinstance(self.results, Path) else f"{self.results}/{name.as_posix()}"

    def target_name_of(self, source: Place) -> str:
        """For the catalogue."""
        return coded(self._target_name(source).as_posix())

    def status_of(self, source: Place) -> FileStatus:
        """What changes when the file does; raises OSError or SourceError."""
        if isinstance(source, Path):
            return status_of(source)
        size, mark = mark_of(source)
        return FileStatus(size, crc32(mark.encode()))

    def _key(self, source: Place) -> str:
        """Below the folder of the sources; of `a//b` and `a/b` in a bucket each is another object."""
        if isinstance(source, str):
            return source[len(str(self.sources)) :].removeprefix("/")
        return source.relative_to(self.sources).as_posix()

    def _name(self, source: Place) -> PurePath:
        """The same as the path of a file."""
        return PurePosixPath(self._key(source).lstrip("/")) if isinstance(source, str) else Path(self._key(source))

    def _target_name(self, source: Place) -> PurePath:
        name = self._name(source)
        pattern = isinstance(source, Path) and is_pattern(source)
        if self.suffix is not None and self.suffix in SEQUENCES:
            if pattern:
                return name.with_suffix(self.suffix)
            return name / f"{name.stem.replace('%', '_')}_%06d{self.suffix}"
        if isinstance(source, Path) and pattern:
            name = name.with_name((prefix_of(source) or source.parent.name) + source.suffix)
        wanted = self.suffix or (name.suffix.lower() if name.suffix.lower() in CONTAINERS else ".mkv")
        return name if name.suffix.lower() == wanted else name.with_name(name.name + wanted)

    def _behind(self, sources: str) -> Iterator[str]:
        """Of pictures, which are not read from a bucket, the first of each folder: they are told, not left out."""
        told: set[PurePath] = set()
        for url in listed(sources, recursive=self.recursive):
            name = self._name(url)
            hidden = any(map(_is_hidden, name.parts))
            if hidden or (isinstance(self.results, str) and url.startswith(f"{self.results}/")):
                continue
            scan = not self.include and name.suffix.lower() in SCAN_SUFFIXES and name.parent not in told
            if scan or self._is_wanted(url):
                told |= {name.parent} if scan else set()
                yield url

    def _walk(self, folder: Path) -> Iterator[Path]:
        results = _whole(self.results)
        try:
            with os.scandir(folder) as found:
                entries = list(found)
        except OSError:
            yield folder
            return
        sequences = _sequences(folder)
        yield from filter(self._is_wanted, sequences)
        for entry in entries:
            path = folder / entry.name
            if _is_hidden(entry.name) or any(is_part_of(path, sequence) for sequence in sequences):
                continue
            if _is_file(entry):
                yield from filter(self._is_wanted, [path])
            elif entry.is_dir(follow_symlinks=False) and path.resolve() != results:
                yield from self._walk(path) if self.recursive else filter(self._is_wanted, _sequences(path))

    def _is_wanted(self, source: Place) -> bool:
        if self._matches(source, self.exclude):
            return False
        if self.include:
            return self._matches(source, self.include)
        suffixes = SCAN_SUFFIXES if isinstance(source, Path) and is_pattern(source) else VIDEO_SUFFIXES
        return self._name(source).suffix.lower() in suffixes

    def _matches(self, source: Place, globs: Sequence[str]) -> bool:
        return any(fnmatch(shown(self._key(source)), glob) or fnmatch(last_of(source), glob) for glob in globs)


def place_of(name: str) -> Place:
    """A folder of this machine or the URL of one, as the user writes it."""
    return local(name) or name.rstrip("/")


def last_of(source: Place) -> str:
    """The last part of its name."""
    return source.name if isinstance(source, Path) else source.rpartition("/")[2]


def _is_file(entry: os.DirEntry[str]) -> bool:
    """Also a link whose file is not there, and what cannot be looked at: they are told."""
    try:
        away = entry.is_symlink() and not entry.is_dir() and not Path(entry.path).exists()
        return away or entry.is_file()
    except OSError:
        return True


def _is_hidden(name: str) -> bool:
    return (name.startswith(".") and name != "..") or name.endswith(".dossr")  # `..` in a bucket is told


def _whole(place: Place) -> PurePath:
    return place.resolve() if isinstance(place, Path) else PurePosixPath(place)


def _sequences(folder: Path) -> list[Path]:
    try:
        return patterns_in(folder)
    except OSError:  # said where the folder itself is read
        return []
