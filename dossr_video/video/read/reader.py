"""What is read of a file, and the reader that reads it so."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Literal

from dossr_video.video.info import ANY, Choice, SourceInfo
from dossr_video.video.read.decord import DecordReader
from dossr_video.video.read.deinterlace import FieldSpan, clock_of
from dossr_video.video.read.frame import Frame
from dossr_video.video.read.indexed import IndexedReader
from dossr_video.video.read.opening import MAX_PIXELS
from dossr_video.video.read.probe import probe
from dossr_video.video.read.pyav import PyavReader, VideoReader
from dossr_video.video.read.torchcodec import TorchcodecReader

INDEXED: Mapping[str, type[IndexedReader]] = {kind.name: kind for kind in (DecordReader, TorchcodecReader)}


@dataclass(frozen=True)
class ReadSpec:
    """How a source is read; as it stands here: all of it, frames as they are."""

    reader: Literal["pyav", "decord", "torchcodec"] = "pyav"
    fields: tuple[FieldSpan, ...] = ()  # how each part is deinterlaced; empty: frames are taken as they are
    start: float = 0.0  # seconds that are skipped
    duration: float | None = None  # seconds that are processed; None: to the end of the file
    max_pixels: int = MAX_PIXELS  # larger frames are refused
    choice: Choice = ANY  # which of its pictures are meant
    hwaccel: str | None = None  # the device of hardware.DEVICES that decodes; None: the CPU

    @property
    def is_cut(self) -> bool:
        """Whether a part of the file is left out."""
        return self.start > 0 or self.duration is not None


def open_reader(source: str | Path | SourceInfo, spec: ReadSpec) -> VideoReader:
    """The reader that `spec` names, of a file or of what `probe` found about it.

    Raises SourceError as `probe`, and where the reader would not be exact.
    """
    if not isinstance(source, SourceInfo):
        source = probe(source, max_pixels=spec.max_pixels, choice=spec.choice)
    if spec.reader == "pyav":
        return PyavReader(source, fields=spec.fields, max_pixels=spec.max_pixels, hwaccel=spec.hwaccel)
    kind = INDEXED[spec.reader]
    if spec.fields:
        raise kind.refused(source.path, "it must be deinterlaced")
    return kind(source, max_pixels=spec.max_pixels)


def frames_within(reader: VideoReader, spec: ReadSpec) -> Iterator[Frame]:
    """The frames that are processed: between --start and --duration, counted from the first frame of the file."""
    # As decimal numbers: the float nearest to 0.4 is larger than 0.4, and would skip the frame at 0.4 s.
    start = Fraction(str(spec.start))
    stop = None if spec.duration is None else start + Fraction(str(spec.duration))
    origin: int | None = None
    for frame in reader.frames():
        origin = frame.pts if origin is None else origin
        seconds = (frame.pts - origin) * reader.time_base
        if stop is not None and seconds >= stop:
            return
        if seconds >= start:
            yield frame


def expected_frames(source: SourceInfo, read: ReadSpec) -> int | None:
    """Frames of the result by what the file declares; None where it declares no length."""
    video = source.video
    seconds = video.duration or source.duration
    if seconds is None and video.frames is not None:
        seconds = video.frames / video.frame_rate
    if seconds is None:
        return None
    left = max(Fraction(0), seconds - Fraction(read.start))
    left = left if read.duration is None else min(left, Fraction(read.duration))
    _, rate = clock_of(read.fields, video)  # after deinterlacing or inverse telecine
    return round(left * rate)
