"""Random access through decord, for previews.

decord upsamples chroma by nearest neighbour, so colour edges are coarser than PyAV's.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dossr_video.errors import SourceError
from dossr_video.video.files import name_of
from dossr_video.video.read.indexed import IndexedReader


class DecordReader(IndexedReader):
    """See IndexedReader."""

    name = "decord"

    def _open(self, path: Path) -> Any:
        try:
            import decord
        except ImportError as error:
            raise SourceError("decord is not installed", hint='pip install "dossr-video[decord]"') from error
        try:
            return decord.VideoReader(name_of(path), num_threads=1)
        except decord.DECORDError as error:
            raise self.refused(path, "it cannot open the file") from error

    def _picture(self, index: int) -> Any:
        return self._frames[index].asnumpy()
