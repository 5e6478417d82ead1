"""Opening files for FFmpeg: as files on this machine, whatever their names and contents look like.

FFmpeg takes `12:30 interview.mp4` for a protocol, fetches `http:127.0.0.1:8765.mp4`, and follows lists to other files.
It also takes a disk that cannot be read for the end of the file; so files are read here, and FFmpeg gets their bytes.
"""

from __future__ import annotations

import os
import time
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av

from dossr_video.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from av.container import InputContainer, OutputContainer

LISTS = frozenset({"concat", "hls", "dash", "imf", "sdp", "rtsp", "webm_dash_manifest"})  # they name other files
_LOCAL = {"protocol_whitelist": "file"}
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


def open_input(path: Path, options: Mapping[str, str]) -> InputContainer:
    """Open a file for reading, and no other beside it.

    Raises what av raises, av.ArgumentError for a list of files; SourceError, then and later, where the disk fails.
    """
    allowed = {**_LOCAL, "format_whitelist": _formats(), **options}
    return av.open(SourceFile(path), "r", metadata_errors="replace", options=allowed)


def close_input(container: InputContainer) -> None:
    """Close what `open_input` opened, the file with it: av closes the container alone."""
    container.close()
    file: Any = container.file
    file.file.close()


def open_output(path: Path, muxer: str, options: Mapping[str, str] | None = None) -> OutputContainer:
    """Open a file for writing in FFmpeg's format `muxer`. Raises what av raises."""
    return av.open(name_of(path), "w", format=muxer, options=_LOCAL, container_options=dict(options or {}))


def name_of(path: Path) -> str:
    """The file's name as FFmpeg takes it for a file."""
    return f"file:{path.absolute()}"


def path_of(name: str) -> Path:
    """The path that `name_of` made a name of."""
    return Path(name.removeprefix("file:"))


@cache
def _formats() -> str:
    return ",".join(sorted(av.formats_available - LISTS))
