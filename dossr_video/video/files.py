"""Opening files for FFmpeg: as files on this machine, whatever their names and contents look like.

FFmpeg takes `12:30 interview.mp4` for a protocol, fetches `http:127.0.0.1:8765.mp4`, and follows lists to other files.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import av

if TYPE_CHECKING:
    from collections.abc import Mapping

    from av.container import InputContainer, OutputContainer

LISTS = frozenset({"concat", "hls", "dash", "imf", "sdp", "rtsp", "webm_dash_manifest"})  # they name other files
_LOCAL = {"protocol_whitelist": "file"}


def open_input(path: Path, options: Mapping[str, str]) -> InputContainer:
    """Open a file for reading, and no other beside it. Raises what av raises, av.ArgumentError for a list of files."""
    allowed = {**_LOCAL, "format_whitelist": _formats(), **options}
    return av.open(name_of(path), metadata_errors="replace", options=allowed)


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
