"""Reading frames with exact timestamps: in order, from any frame on, past damaged packets.

Every reader keeps the contract of `VideoReader`; tests/video/read/test_reader_contract.py runs it over all of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

import av

from dossr_video.errors import SourceError
from dossr_video.video import pixels
from dossr_video.video.info import SourceInfo
from dossr_video.video.read.damage import Damage
from dossr_video.video.read.decoding import DecodingPass
from dossr_video.video.read.deinterlace import WARM_UP, FieldSpan, clock_of
from dossr_video.video.read.frame import Frame
from dossr_video.video.read.hardware import accelerator_for
from dossr_video.video.read.opening import MAX_PIXELS, open_source, picture_stream
from dossr_video.video.read.probe import probe
from dossr_video.video.read.timeline import parts_of
from dossr_video.video.tags import ColorInfo

if TYPE_CHECKING:
    from typing_extensions import Self

SEEK_MARGINS = (0.0, 0.5, 2.0, 8.0, 32.0)  # seconds before the wanted frame


class VideoReader(Protocol):
    """Frames of one file in display order, each with its exact timestamp."""

    info: SourceInfo
    time_base: Fraction  # seconds per tick of the frames' pts
    frame_rate: Fraction  # frames per second, nominal
    damage: list[Damage]  # grows while frames are read
    side_data: set[str]  # names of the side data found, as in mux/inventory.py; grows likewise

    def frames(self, start_pts: int | None = None, stop_pts: int | None = None) -> Iterator[Frame]:
        """Frames from the one at `start_pts` (None: the first) up to before `stop_pts` (None: the last).

        pts rise strictly, and a frame has the same pts and pixels wherever reading started.
        Raises SourceError when no frame has `start_pts`.
        """
        ...

    def close(self) -> None: ...

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class PyavReader(VideoReader):
    """The default reader: everything FFmpeg decodes.

    It uses slice threads only: frame threads lose the last frames when the last packet is damaged, and make the pixels
    around damage depend on the number of cores.
    """

    def __init__(
        self,
        source: str | Path | SourceInfo,
        *,
        fields: Sequence[FieldSpan] = (),
        max_pixels: int = MAX_PIXELS,
        hwaccel: str | None = None,
    ) -> None:
        """`fields`: how each part is deinterlaced; empty: frames as they are. `hwaccel`: a device of hardware.DEVICES.

        Raises SourceError as `probe`.
        """
        self.info = source if isinstance(source, SourceInfo) else probe(source, max_pixels=max_pixels)
        self.fields = tuple(fields)
        self.time_base, self.frame_rate = clock_of(self.fields, self.info.video)
        self.damage: list[Damage] = []
        self.side_data: set[str] = set()
        self.max_pixels = max_pixels
        self.hwaccel = hwaccel
        self.parts = parts_of(self.info)
        self.converters: dict[ColorInfo, pixels.ToRgb] = {}
        self._pass: DecodingPass | None = None

    def close(self) -> None:
        if self._pass is not None:
            self._pass.close()
            self._pass = None

    def frames(self, start_pts: int | None = None, stop_pts: int | None = None) -> Iterator[Frame]:
        """See VideoReader.frames. Continuing where the last call stopped needs no seek."""
        decoding = self._pass
        if decoding is None or start_pts is None or not decoding.skip_to(start_pts, within=2.0):
            self.close()
            decoding = self._pass = self._open_at(start_pts)
        while (frame := decoding.peek()) is not None and (stop_pts is None or frame.pts < stop_pts):
            decoding.advance()
            yield frame

    def frames_near(self, seconds: float) -> Iterator[Frame]:
        """Frames from about `seconds` after the start of the file on, found fast, for previews.

        Where seeking fails it reads from the first frame. The first frames after a seek may lack what they refer to.
        """
        self.close()
        try:
            decoding = self._open(seek_to=round((Fraction(seconds) + self.info.start) / self.info.video.time_base))
        except av.FFmpegError:  # raw streams cannot seek
            decoding = self._open()
        if decoding.peek() is None or not decoding.begins_by(self._pts_at(seconds)):
            decoding.close()
            decoding = self._open()
        self._pass = decoding
        while (frame := decoding.peek()) is not None:
            decoding.advance()
            if frame.pts >= self._pts_at(seconds):
                yield frame

    def _pts_at(self, seconds: float) -> int:
        return round((Fraction(seconds) + self.info.start) / self.time_base)

    def _open_at(self, start_pts: int | None) -> DecodingPass:
        """A decoder whose next frame is the one at `start_pts`. Only one file is open at a time, to save memory."""
        if start_pts is None:
            return self._open()
        # Seeking lands too late in streams without an index (MPEG-PS, TS) and at leading pictures of open GOPs. Accept
        # only a pass that starts at or before the frame and returns it; else seek farther back, at last to the start.
        anchor = self._anchor(start_pts) if len(self.parts) < 2 else None  # positions are found by timestamps
        for margin in SEEK_MARGINS:
            if anchor is None or self._earliest is None:
                break
            target = anchor - int(margin / self.time_base)
            if target <= self._earliest:
                break
            try:
                attempt = self._open(seek_to=int(target * self.time_base / self.info.video.time_base))
            except av.FFmpegError:  # raw streams have nowhere to seek to
                break
            if attempt.begins_by(anchor) and attempt.skip_to(start_pts):
                return attempt
            attempt.close()
        whole = self._open()
        if not whole.skip_to(start_pts):
            whole.close()
            raise SourceError(
                f"{self.info.path} has no frame at {start_pts} ticks of {self.time_base} s",
                hint="the file changed since it was planned; start the job anew",
            )
        return whole

    @cached_property
    def _earliest(self) -> int | None:
        """Time of the first frame; None where there is none."""
        first = self._open()
        first.close()
        return first.first_pts

    def _anchor(self, start_pts: int) -> int | None:
        """pts where decoding must start for the frame at `start_pts` to be exact; None: at the first frame."""
        ticks = self.info.video.time_base / self.time_base
        begun = [span for span in self.fields if span.start is None or span.start * ticks <= start_pts]
        plan = begun[-1].plan if begun else None
        if plan is None:
            return start_pts
        if not plan.seekable:
            return None if begun[-1].start is None else round(begun[-1].start * ticks)
        return start_pts - round(2 * WARM_UP / (self.frame_rate * self.time_base))

    def _open(self, *, seek_to: int | None = None) -> DecodingPass:
        accelerator = accelerator_for(self.hwaccel, self.info.video.codec)
        container = open_source(self.info.path, max_pixels=self.max_pixels, hwaccel=accelerator)
        return DecodingPass(
            self,
            container,
            picture_stream(container, self.info.path, self.info.video.stream.index, max_pixels=self.max_pixels),
            seek_to,
        )
