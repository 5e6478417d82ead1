"""Readers that give any frame at once, by its number in display order; refused where frames or times would be wrong."""

from __future__ import annotations

import contextlib
from abc import abstractmethod
from bisect import bisect_left
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
from av.codec.context import Flags

from dossr_video.errors import SourceError
from dossr_video.video import pixels
from dossr_video.video.info import SourceInfo
from dossr_video.video.read.damage import Damage
from dossr_video.video.read.frame import Frame
from dossr_video.video.read.opening import MAX_PIXELS, open_source, picture_stream
from dossr_video.video.read.probe import probe
from dossr_video.video.read.pyav import VideoReader
from dossr_video.video.tags import ColorInfo

CONTAINERS = ("mp4", "matroska")  # frames of MPEG-PS and TS are lost
CODECS = ("h264", "hevc", "vp9", "av1", "mpeg4")
FORMATS = ("yuv420p", "yuvj420p")  # they give 8-bit RGB; only these come out as PyAV has them


class IndexedReader(VideoReader):
    """A VideoReader over a library that numbers frames from zero. Times come from the packets."""

    name: str  # of the library, as --reader has it

    def __init__(self, source: str | Path | SourceInfo, *, max_pixels: int = MAX_PIXELS) -> None:
        """Raises SourceError where the library is not exact, or not installed."""
        self.info = source if isinstance(source, SourceInfo) else probe(source, max_pixels=max_pixels)
        path = self.info.path
        self.time_base = self.info.video.time_base
        self.frame_rate = self.info.video.frame_rate
        self.damage: list[Damage] = []
        self.side_data: set[str] = set()  # none is given
        self._pts, hidden = _packet_times(self.info)
        reason = refusal(self.info) or ("an edit list hides part of it" if hidden else None)
        if reason is None and not _crops_alike(self.info):
            reason = "it shows columns that the codec crops at the left"
        if reason is not None:
            raise self.refused(path, reason)
        self._frames: Any = self._open(path)
        self._to_rgb = pixels.ToRgb(ColorInfo(matrix="gbr", range="pc"))
        if len(self._frames) != len(self._pts):
            raise self.refused(path, f"it finds {len(self._frames)} frames, the file has {len(self._pts)}")
        if self._picture(0).shape != (self.info.video.height, self.info.video.width, 3):
            raise self.refused(path, "it returns frames of another size")

    @abstractmethod
    def _open(self, path: Path) -> Any:
        """The library's own reader, which has a length. Raises SourceError."""

    @abstractmethod
    def _picture(self, index: int) -> Any:
        """Frame `index` as an array (H, W, 3) of bytes, RGB."""

    @classmethod
    def refused(cls, path: str | Path, reason: str) -> SourceError:
        return SourceError(f"{cls.name} does not read {path} exactly: {reason}", hint=f"leave out --reader {cls.name}")

    def __len__(self) -> int:
        return len(self._pts)

    def __getitem__(self, index: int) -> Frame:
        """The frame with this index in display order."""
        picture = av.VideoFrame.from_ndarray(self._picture(index), format="rgb24")
        after = self._pts[index + 1] if index + 1 < len(self._pts) else None
        return Frame(picture, self._pts[index], 0 if after is None else after - self._pts[index], self._to_rgb)

    def frames(self, start_pts: int | None = None, stop_pts: int | None = None) -> Iterator[Frame]:
        """See VideoReader.frames."""
        first = 0 if start_pts is None else bisect_left(self._pts, start_pts)
        if start_pts is not None and (first == len(self._pts) or self._pts[first] != start_pts):
            raise SourceError(
                f"{self.info.path} has no frame at {start_pts} ticks of {self.time_base} s",
                hint="the file changed since it was planned; start the job anew",
            )
        stop = len(self._pts) if stop_pts is None else bisect_left(self._pts, stop_pts)
        return (self[index] for index in range(first, stop))

    def close(self) -> None:
        self._frames = None


def refusal(info: SourceInfo) -> str | None:
    """Why such a reader must not read a file; None where it is exact."""
    video = info.video
    if not any(name in info.container for name in CONTAINERS):
        return f"{info.container} files lose frames in it"
    if video.codec not in CODECS:
        return f"it was not tried with {video.codec}"
    if video.pix_fmt not in FORMATS:
        return f"it gives 8 bits and no alpha; the file is {video.pix_fmt}"
    if video.resolved_color.matrix not in ("smpte170m", "bt470bg") and video.color.matrix != "bt709":
        return "it converts its colours with another matrix"
    if len(info.videos) > 1:
        return "it chooses among video streams by itself"
    if video.cropping:
        return "it does not crop"
    if video.rotation:
        return "it applies the display matrix"
    if video.interlaced or video.field_order in ("tff", "bff"):
        return "the file is interlaced"
    return None


def _packet_times(info: SourceInfo) -> tuple[list[int], bool]:
    """pts of all frames in display order, and whether an edit list hides some."""
    with open_source(info.path) as container:
        stream = picture_stream(container, info.path, info.video.stream.index, max_pixels=MAX_PIXELS)
        packets = [packet for packet in container.demux(stream) if packet.size]
    hidden = any(packet.is_discard for packet in packets)
    return sorted(packet.pts for packet in packets if packet.pts is not None), hidden


def _crops_alike(info: SourceInfo) -> bool:
    """Whether the codec's own cropping is exact in a decoder that is not told to care for it, as libraries open it."""
    with open_source(info.path) as container:
        stream = picture_stream(container, info.path, info.video.stream.index, max_pixels=MAX_PIXELS)
        stream.codec_context.flags &= ~Flags.unaligned
        with contextlib.suppress(av.FFmpegError):
            for frame in container.decode(stream):
                return (frame.width, frame.height) == (info.video.width, info.video.height)
    return True
