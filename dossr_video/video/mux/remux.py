"""Muxing: joins the finished segments and the other streams of the source into one file, with exact timestamps."""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from fractions import Fraction
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av

from dossr_video.errors import TargetError
from dossr_video.heap import give_back_memory
from dossr_video.video.files import DISK, open_input, open_output
from dossr_video.video.info import Choice, SourceInfo, TrackFile
from dossr_video.video.light import CODINGS
from dossr_video.video.mux.chapters import fitted_to_mp4, moved_chapters
from dossr_video.video.mux.losses import losses, lost_keys
from dossr_video.video.mux.numbered import Headers, file_beside
from dossr_video.video.mux.others import OtherStreams
from dossr_video.video.mux.packets import Clock, PacketSelector
from dossr_video.video.mux.picture import Picture, SegmentFile
from dossr_video.video.mux.streams import StreamMapping, describe, has_file_beside, is_cover, is_muxed, map_streams
from dossr_video.video.mux.tags import MOV_KEYS, MP4_KEYS, is_technical
from dossr_video.video.mux.timecode import first_timecode
from dossr_video.video.read.opening import open_source
from dossr_video.video.write.containers import Container
from dossr_video.video.write.formats import picture_losses
from dossr_video.video.write.pictures import write_pictures
from dossr_video.video.write.spec import VideoSpec

if TYPE_CHECKING:
    from av.container import InputContainer, OutputContainer
    from av.packet import Packet

_LARGEST_TIMESCALE = (1 << 31) - 1


@dataclass(frozen=True)
class Cut:
    """The part of the source that was upscaled; other streams are cut alike, chapters clipped."""

    start: Fraction  # seconds in the source's clock: of its first frame, zero in the result
    stop: Fraction  # seconds: when its last frame ends
    whole: bool = False  # whether that are all its frames: only sound is cut, where it must be as long


@dataclass(frozen=True)
class JoinReport:
    """What the joined file contains beside the video stream."""

    streams: Counter[str]  # kinds of streams and "chapter": how many
    chapters: tuple[tuple[float, float, str | None], ...]  # start and end in seconds of the result, title
    lost: tuple[str, ...]  # what the target cannot keep, one line each
    warnings: tuple[str, ...]  # streams that were converted or could not be read to the end, one line each
    added: Mapping[str, str] = field(default_factory=dict)  # metadata entries that the source does not have
    empty: frozenset[int] = frozenset()  # streams of the source left out because they have no packets in this part
    picture: int = 0  # number of the picture's stream in the result
    cut: Cut | None = None  # the part of the source that was upscaled; None: all
    beside: str | None = None  # name of the file beside pictures that holds all else; None: there is none
    fps: Fraction | None = None  # of pictures, which do not say their rate; None: of a film
    light: str = CODINGS["srgb"]  # the transfer function that light was coded with before it was written

    @property
    def choice(self) -> Choice:
        """How the picture of the result is found in it."""
        return Choice(video=self.picture, fps=self.fps, light=self.light)

    @property
    def kept(self) -> str:
        """One line: `kept: 2 audio, 1 subtitle, 12 chapters`."""
        names = [
            f"{count} {kind}{'s' if count != 1 and kind not in ('audio', 'data') else ''}"
            for kind, count in self.streams.items()
            if count
        ]
        where = f" in {self.beside}" if self.beside else ""
        return "kept: " + (", ".join(names) + where if names else "no other streams in the source")


def join(
    segments: Sequence[SegmentFile],
    source: SourceInfo,
    target: Path,
    *,
    spec: VideoSpec,
    container: Container,
    cut: Cut | None = None,
    on_frame: Callable[[int], None] = lambda count: None,
    packets: int | None = None,
    added: Mapping[str, str] | None = None,
    first_number: int = 1,
) -> JoinReport:
    """Write `target` (of the format of `container`) from the segments in order and the source's other streams.

    Of pictures, `target` is their pattern, `first_number` counts from there, and the other streams go beside them.

    The time of a frame is its pts plus first_pts, minus the start of the cut, or minus the start time of the source
    where that is arbitrary (MPEG-TS, MPEG-PS). Raises JobError for segments that do not belong together, and
    TargetError when the file cannot be written; a partial file is removed. `on_frame` gets the count of frames so far.
    `added` are metadata entries that the source does not have.
    """
    added = added or {}
    if container.beside is not None:
        parts = ((segment.path, segment.first_pts * spec.time_base) for segment in segments)
        finish = Headers(source, spec, added)
        write_pictures(parts, target, first=first_number, finish=finish, on_frame=on_frame)
        report = JoinReport(Counter(), (), losses(source, container, cut=cut is not None), ())
        if has_file_beside(source, container):
            other = file_beside(target)
            report = _Join((), source, spec, container.beside, cut, on_frame, packets, added).write(other)
            begin = segments[0].first_pts * spec.time_base - clock_of(source, cut).start
            told = (f"the first picture belongs at {float(begin):.3f} s of {other.name}",) if begin else ()
            report = replace(report, beside=other.name, warnings=(*report.warnings, *told))
        lost = losses(source, container, cut=cut is not None) + picture_losses(source.video, spec.encoding)
        coded = spec.color.transfer or "bt709"
        return replace(report, lost=lost, picture=0, cut=cut, fps=spec.frame_rate, light=coded)
    return _Join(segments, source, spec, container, cut, on_frame, packets, added).write(target)


def clock_of(source: SourceInfo, cut: Cut | None, *, file: TrackFile | None = None) -> Clock:
    """Maps timestamps to the result, whose zero is the cut or an arbitrary start time.

    Those of the source; or of a `file` whose tracks are added: its start is laid where the source begins.
    """
    shift = Fraction(0) if file is None else file.start - source.zero
    if cut is None:
        return Clock(source.start + shift, None, cut=False)
    return Clock(cut.start + shift, cut.stop + shift, cut=not cut.whole, whole=cut.whole)


class _Join:
    def __init__(
        self,
        segments: Sequence[SegmentFile],
        source: SourceInfo,
        spec: VideoSpec,
        container: Container,
        cut: Cut | None,
        on_frame: Callable[[int], None],
        packets: int | None,
        added: Mapping[str, str],
    ) -> None:
        self._segments = segments
        self._source = source
        self._spec = spec
        self._container = container
        self._on_frame = on_frame
        self._packets = packets
        self._added = added
        self._cut = cut
        self._clock = clock_of(source, cut)
        self._picture = Picture(segments, source, spec, container, self._clock)
        self._warnings: list[str] = []
        self._chapters: list[Any] = []

    def write(self, target: Path) -> JoinReport:
        """Write one file; without segments it has no picture."""
        options = _options(self._source, self._spec, self._container, self._added)
        try:
            with ExitStack() as stack:
                given = stack.enter_context(open_source(self._source.path))
                beside = {file: stack.enter_context(open_source(file.path)) for file in self._source.track_files}
                made = stack.enter_context(open_output(target, self._container.format, options))
                first = stack.enter_context(open_input(self._segments[0].path, {})) if self._segments else None
                return self._write(given, beside, made, first)
        except av.FFmpegError as error:
            target.unlink(missing_ok=True)
            failed = error.errno in DISK
            raise TargetError(
                f"{target} cannot be written: {error.strerror}",
                hint="check the disk and its space, then give the same command again; finished segments are kept"
                if failed
                else "name the target .mkv, which supports most, or report this",
            ) from error
        except BaseException:
            target.unlink(missing_ok=True)
            raise

    def _write(
        self,
        given: InputContainer,
        beside: Mapping[TrackFile, InputContainer],
        made: OutputContainer,
        first: InputContainer | None,
    ) -> JoinReport:
        """Add the streams in the source's order and those of the files beside it; interleave packets by time."""
        planned = map_streams(self._source, self._container, cut=self._clock.cut)
        own = self._others(given, None, planned)
        others = [own]
        picture: Any = None
        for stream in given.streams:
            if stream.index == self._source.video.stream.index:
                picture = None if first is None else self._picture.add_to(made, first)
            else:
                own.add(stream, made)
        for file, container in beside.items():
            others.append(self._others(container, file, planned))
            for stream in container.streams:
                others[-1].add(stream, made)
        self._add_container_data(given, made)
        made.start_encoding()
        packets = heapq.merge(*(one.packets() for one in others), key=itemgetter(0))
        pictures = iter(()) if picture is None else self._picture.packets(picture)
        self._mux(pictures, packets, made)
        for one in others:
            self._warnings += one.warnings
        self._warnings += [str(mapping) for mapping in planned if mapping.action == "convert"]
        for opened in (given, *beside.values()):
            opened.close()  # before the result's index is written, to save memory
        give_back_memory()
        made.close()
        # mp4 and mov cannot store a track without packets; Matroska can.
        strict = self._container.format in ("mp4", "mov")
        unfilled = [mapping.stream for one in others for mapping in one.unfilled()]
        left_out = [stream for stream in unfilled if strict and stream.kind != "subtitle"]
        self._warnings += [f"{describe(stream)}: no packets in this part, left out" for stream in left_out]
        empty = frozenset(stream.index for stream in left_out)
        return JoinReport(
            streams=self._count(mapping for mapping in planned if mapping.stream.index not in empty),
            chapters=tuple(
                (
                    float(c["start"] * (c["time_base"] or Fraction(1, 1000))),
                    float(c["end"] * (c["time_base"] or Fraction(1, 1000))),
                    c["metadata"].get("title") or None,
                )
                for c in self._chapters
            ),
            lost=losses(self._source, self._container, cut=self._clock.cut)
            + picture_losses(self._source.video, self._spec.encoding),
            warnings=tuple(self._warnings),
            empty=empty,
            added=self._added,
            picture=self._place(mapping for mapping in planned if mapping.stream.index not in empty),
            cut=self._cut,
        )

    def _add_container_data(self, given: InputContainer, made: OutputContainer) -> None:
        same = self._container.format == self._source.container
        dropped = lost_keys(self._source, self._container)
        kept = {
            key: value
            for key, value in self._source.metadata.items()
            if key not in dropped and (key.lower() not in ("encoder", "timecode") if same else not is_technical(key))
        }
        # With a picture it is the picture's own.
        code = None if self._segments else first_timecode(self._source, self._clock, self._spec.frame_rate)
        made.metadata.update({**kept, **self._added, **({} if code is None else {"timecode": code})})
        self._chapters = moved_chapters(given.chapters(), self._clock) if self._container.tagged else []
        if self._container.format in ("mp4", "mov"):
            self._chapters, changes = fitted_to_mp4(self._chapters)
            self._warnings += changes
        if self._chapters:
            made.set_chapters(self._chapters)

    def _mux(
        self, pictures: Iterator[tuple[float, Packet[Any]]], others: Iterator[tuple[float, Packet[Any]]], made: Any
    ) -> None:
        """Write both in order of time, so that the muxer buffers little."""
        count = 0
        picture, other = next(pictures, None), next(others, None)
        while picture is not None or other is not None:
            if other is None or (picture is not None and picture[0] <= other[0]):
                assert picture is not None
                made.mux(picture[1])
                count += 1
                self._on_frame(count)
                picture = next(pictures, None)
            else:
                made.mux(other[1])
                other = next(others, None)

    def _others(
        self, container: InputContainer, file: TrackFile | None, planned: Iterable[StreamMapping]
    ) -> OtherStreams:
        """Those of the source, or of a `file` beside it."""
        clock = clock_of(self._source, self._cut, file=file)
        return OtherStreams(
            container,
            (mapping for mapping in planned if mapping.file == file),
            selects=PacketSelector(self._source, clock, file=file),
            clock=clock,
            packets=self._packets,
        )

    def _place(self, written: Iterable[StreamMapping]) -> int:
        """How many streams come before the picture in the result; muxers put attachments and covers last."""
        before = (mapping.stream for mapping in written if is_muxed(mapping))
        streams = (stream for stream in before if stream.kind != "attachment" and not is_cover(stream))
        return sum(stream.index < self._source.video.stream.index for stream in streams)

    def _count(self, planned: Any) -> Counter[str]:
        counts = Counter(mapping.stream.kind for mapping in planned if is_muxed(mapping))
        counts["chapter"] = len(self._chapters)
        return counts


def _options(source: SourceInfo, spec: VideoSpec, container: Container, added: Mapping[str, str]) -> dict[str, str]:
    if container.format not in ("mp4", "mov"):
        # The muxer would shift all streams by the priming of AAC; Matroska can store negative timestamps.
        # Nor shall it number files and streams at random: the same work gives the same bytes.
        return {"avoid_negative_ts": "disabled", "fflags": "+bitexact"}
    flags = "+faststart"
    names = {key.lower() for key in (*source.metadata, *added) if not is_technical(key)}
    stored = MP4_KEYS if container.format == "mp4" else MOV_KEYS
    if not names <= stored and not lost_keys(source, container):
        flags += "+use_metadata_tags"
    # Edit lists use this timescale: it must express audio samples and video ticks.
    unit = math.lcm(spec.time_base.denominator, *source.sample_rates)
    if unit > _LARGEST_TIMESCALE:
        unit = spec.time_base.denominator
    return {"movflags": flags, "movie_timescale": str(max(unit, 1000))}
