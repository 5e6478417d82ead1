"""Opening files for FFmpeg: as files on this machine, whatever their names and contents look like.

FFmpeg takes `12:30 interview.mp4` for a protocol, fetches `http:127.0.0.1:8765.mp4`, and follows lists to other files.
It also takes a disk that cannot be read for the end of the file; so files are read here, and FFmpeg gets their bytes.
"""

from __future__ import annotations

import errno
import os
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av

from dossr_video.errors import SourceError, TargetError
from dossr_video.names import problem_on_windows
from dossr_video.system import WINDOWS
from dossr_video.video.sequence import PictureSequence, is_numbered, pictures_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from av.codec.hwaccel import HWAccel
    from av.container import InputContainer, OutputContainer

LISTS = frozenset({"concat", "hls", "dash", "imf", "sdp", "rtsp", "webm_dash_manifest"})  # they name other files
_LOCAL = {"protocol_whitelist": "file"}
DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})  # errors of a disk, not of a container
_PAUSES = 0.1, 0.5, 2.0  # seconds before reading again: a network drive or a loose cable comes back


class SourceFile:
    """A file opened for reading. Reading again is tried; then SourceError names the place, and nothing is cut short."""

    def __init__(self, path: Path) -> None:
        """Raises OSError where the file cannot be opened."""
        self.name = name_of(path)
        self._path = path
        self._descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))

    def read(self, count: int) -> bytes:
        """Up to `count` bytes; none at the end of the file."""
        for pause in (*_PAUSES, None):
            try:
                return os.read(self._descriptor, count)
            except OSError as error:
                if pause is None:
                    raise SourceError(
                        f"{self._path} cannot be read at byte {self.tell()}: {error.strerror}",
                        hint="check the disk or the network, then give the same command again;"
                        " finished segments are kept",
                    ) from error
                time.sleep(pause)
        raise AssertionError

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        return os.lseek(self._descriptor, offset, whence)

    def tell(self) -> int:
        return os.lseek(self._descriptor, 0, os.SEEK_CUR)

    def close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def __del__(self) -> None:  # of containers that `with` closes: av keeps the file, and does not close it
        if hasattr(self, "_descriptor"):
            self.close()


class JoinedFiles:
    """The pictures of a sequence, one after the other, as a SourceFile."""

    def __init__(self, sequence: PictureSequence) -> None:
        self._sequence = sequence
        self._offset = 0
        self._open: tuple[int, SourceFile] | None = None

    def read(self, count: int) -> bytes:
        """Up to `count` bytes; fewer at the end of the last picture only."""
        content = b""
        while len(content) < count and self._offset < self._sequence.size:
            index = self._sequence.at(self._offset)
            if self._open is None or self._open[0] != index:
                self.close()
                self._open = index, SourceFile(self._sequence.files[index].path)
            file = self._open[1]
            file.seek(self._offset - self._sequence.offsets[index])
            piece = file.read(min(count - len(content), self._sequence.offsets[index + 1] - self._offset))
            if not piece:
                raise SourceError(f"{self._sequence.files[index].path} became shorter", hint="copy it again")
            content += piece
            self._offset += len(piece)
        return content

    def seek(self, offset: int) -> None:
        self._offset = offset

    def close(self) -> None:
        if self._open is not None:
            self._open[1].close()
            self._open = None


@dataclass(frozen=True)
class FileStatus:
    """What changes when a file, or a picture of a sequence, does."""

    size: int  # bytes
    modified: int  # nanoseconds since 1970


def status_of(path: Path) -> FileStatus:
    """Size and date of a file or of all pictures of a sequence. Raises OSError, and SourceError as PictureSequence."""
    if (sequence := PictureSequence.of(path)) is not None:
        # The mean changes with each of them; the latest not when a picture becomes an older one.
        return FileStatus(sequence.size, sum(file.modified for file in sequence.files) // len(sequence.files))
    status = path.stat()
    return FileStatus(status.st_size, status.st_mtime_ns)


def open_file(path: Path) -> SourceFile | JoinedFiles:
    """The bytes of a file or of all pictures of a sequence. Raises OSError, and SourceError as PictureSequence."""
    sequence = PictureSequence.of(path)
    return SourceFile(path) if sequence is None else JoinedFiles(sequence)


def open_input(path: Path, options: Mapping[str, str], hwaccel: HWAccel | None = None) -> InputContainer:
    """Open a file for reading, and no other beside it; or the pictures of a sequence, one tick for each.

    `hwaccel` decodes its video where it can. Raises what av raises, av.ArgumentError for a list of files; SourceError,
    then and later, where the disk fails.
    """
    if (sequence := PictureSequence.of(path)) is not None:
        return _open_pictures(sequence, options)
    allowed = {**_LOCAL, "format_whitelist": _formats(), **options}
    return av.open(SourceFile(path), "r", metadata_errors="replace", options=allowed, hwaccel=hwaccel)


def close_input(container: InputContainer) -> None:
    """Close what `open_input` opened, the file with it: av closes the container alone."""
    container.close()
    file: Any = container.file
    if file is not None:  # of a sequence each picture is closed when it is read
        file.file.close()


def open_output(path: Path, muxer: str, options: Mapping[str, str] | None = None) -> OutputContainer:
    """Open a file for writing in FFmpeg's format `muxer`. Raises what av raises."""
    return av.open(name_of(path), "w", format=muxer, options=_LOCAL, container_options=dict(options or {}))


def require_place(path: Path, *, option: str = "", force: bool) -> None:
    """TargetError where no file can be made, or one is there and `force` does not say that it may be overwritten.

    `option` is put before the path in messages.
    """
    if WINDOWS and (problem := problem_on_windows(path.name)) is not None:
        raise TargetError(f"{option}{path} cannot be written: {problem}", hint="choose another name")
    if path.is_dir():
        raise TargetError(
            f"{option}{path} is a folder; a file is written", hint="name a file in it, or pictures: FOLDER/out_%06d.png"
        )
    if not path.parent.is_dir():
        raise TargetError(
            f"{option}{path}: the folder {path.parent} does not exist", hint="make it first, or check the path"
        )
    if not os.access(path.parent, os.W_OK):
        raise TargetError(
            f"{option}{path}: the folder {path.parent} may not be written to", hint="choose another folder"
        )
    if is_numbered(path) and (found := pictures_of(path)) and not force:
        first = next(iter(found.values()))
        raise TargetError(
            f"{option}{path}: {len(found)} such pictures exist, the first is {first.name}",
            hint="choose another name or folder, or overwrite them with --force",
        )
    if os.path.lexists(path) and not force:  # also a link to nothing
        raise TargetError(f"{option}{path} exists", hint="choose another name, or overwrite it with --force")


def name_of(path: Path) -> str:
    """The file's name as FFmpeg takes it for a file."""
    return f"file:{path.absolute()}"


def _open_pictures(sequence: PictureSequence, options: Mapping[str, str]) -> InputContainer:
    numbered = {**_LOCAL, **options, "pattern_type": "sequence", "start_number": str(sequence.first)}
    return av.open(f"file:{sequence.escaped}", "r", format="image2", options=numbered, io_open=_open_picture)


def _open_picture(name: str, flags: int, options: Mapping[str, str]) -> SourceFile:
    """As PyAV calls it for each picture; an error is raised where the demuxer asked."""
    try:
        return SourceFile(path_of(name))
    except OSError as error:
        raise SourceError(
            f"{path_of(name)} cannot be read: {error.strerror}",
            hint="check the disk or the network, then give the same command again; finished segments are kept",
        ) from error


def path_of(name: str) -> Path:
    """The path that `name_of` made a name of."""
    return Path(name.removeprefix("file:"))


@cache
def _formats() -> str:
    return ",".join(sorted(av.formats_available - LISTS))
