"""Which files of a folder are videos to be done, and where their results go."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from dossr_video.errors import SourceError, TargetError
from dossr_video.names import shown
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


@dataclass(frozen=True)
class Library:
    """A folder of sources and the folder that mirrors it.

    Globs are matched against the path below the folder, with /, and against the name alone. Without `include`, files
    with a video's extension are taken, and picture sequences of DPX and EXR, also in a folder of their own; sequences
    of other pictures only where `include` names them, since those may be anything. Hidden files and folders are left
    out, and so is the results' folder.
    """

    sources: Path
    results: Path
    recursive: bool = False
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    suffix: str | None = None  # of all results, with its dot; None: each as its source
    catalogue: str | None = None  # address of a database that remembers; None: a file in the results' folder

    def __post_init__(self) -> None:
        if not self.sources.is_dir():
            raise SourceError(f"{self.sources} is not a folder", hint="name the folder that holds the videos")
        if self.results.exists() and not self.results.is_dir():
            raise TargetError(f"{self.results} is not a folder", hint="name a folder for the results")
        if self.results.resolve() == self.sources.resolve():
            raise TargetError(
                f"{self.results} is the folder of the sources", hint="name another folder for the results"
            )

    def files(self) -> list[Path]:
        """The sources, in the order of their paths; a folder among them is one that cannot be read."""
        return sorted(path for path in self._walk(self.sources) if path.is_dir() or self._is_wanted(path))

    def name_of(self, source: Path) -> str:
        """For the catalogue."""
        return shown(source.relative_to(self.sources).as_posix())

    def is_among_sources(self, target: Path) -> bool:
        """Where the sources lie below the results, a result could take the name of a source."""
        sources, results = self.sources.resolve(), self.results.resolve()
        return target.resolve().is_relative_to(sources) and not results.is_relative_to(sources)

    def target_of(self, source: Path) -> Path:
        """The same path below the results; `.mkv` is added where the source's own format is not written.

        With a suffix of its own that is added; numbered pictures get a folder for each film.
        """
        name = source.relative_to(self.sources)
        if self.suffix is not None and self.suffix in SEQUENCES:
            if is_pattern(source):
                return self.results / name.with_suffix(self.suffix)
            return self.results / name / f"{name.stem.replace('%', '_')}_%06d{self.suffix}"
        if is_pattern(source):
            name = name.with_name((prefix_of(source) or source.parent.name) + source.suffix)
        wanted = self.suffix or (name.suffix.lower() if name.suffix.lower() in CONTAINERS else ".mkv")
        if name.suffix.lower() != wanted:
            name = name.with_name(name.name + wanted)
        return self.results / name

    def _walk(self, folder: Path) -> Iterator[Path]:
        results = self.results.resolve()
        try:
            entries = list(folder.iterdir())
        except OSError:
            yield folder
            return
        sequences = _sequences(folder)
        yield from sequences
        for path in entries:
            if any(is_part_of(path, sequence) for sequence in sequences):
                continue
            if path.name.startswith(".") or path.name.endswith(".dossr"):
                continue
            if path.is_file():
                yield path
            elif path.is_dir() and not path.is_symlink() and path.resolve() != results:
                yield from self._walk(path) if self.recursive else _sequences(path)

    def _is_wanted(self, path: Path) -> bool:
        if self._matches(path, self.exclude):
            return False
        if self.include:
            return self._matches(path, self.include)
        suffixes = SCAN_SUFFIXES if is_pattern(path) else VIDEO_SUFFIXES
        return path.suffix.lower() in suffixes

    def _matches(self, path: Path, globs: Sequence[str]) -> bool:
        return any(fnmatch(self.name_of(path), glob) or fnmatch(path.name, glob) for glob in globs)


def _sequences(folder: Path) -> list[Path]:
    try:
        return patterns_in(folder)
    except OSError:  # said where the folder itself is read
        return []
