"""Interlacing: measuring it in decoded frames, and the filters for deinterlacing and inverse telecine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from dataclasses import fields as dataclass_fields
from fractions import Fraction
from functools import reduce
from itertools import pairwise
from math import gcd
from typing import Any, Literal

import av
import numpy as np
from numpy.typing import NDArray

from dossr_video.video.info import VideoInfo
from dossr_video.video.read.graphs import graph_of

Luma = NDArray[Any]

COLUMNS = 4  # every n-th column is measured
COMBED = 0.8  # combing over the detail of one field: 0.4..0.7 measured on progressive clips, 0.9..2.9 on interlaced
REPEATED = 1.8  # ratio of change between the fields: 2.3 and up measured on pulldown, 1.1 and less elsewhere
NOISE = 0.25  # of 255; a smaller mean change is not motion
LEAST_LINES = 8  # of a frame that can be measured
FILM_SHARE = Fraction(4, 5)  # 3:2 pulldown makes five frames of four
WARM_UP = 4  # frames until a filter's output does not depend on where it started


@dataclass(frozen=True)
class FieldPlan:
    """How interlaced or telecined frames are made progressive."""

    mode: Literal["field", "frame", "film"]  # deinterlaced to one frame per field, or per frame; or inverse telecine
    order: Literal["tff", "bff"]  # field order

    @property
    def seekable(self) -> bool:
        """Whether an output frame depends on its neighbours only; inverse telecine counts from the first frame."""
        return self.mode != "film"


@dataclass(frozen=True)
class FieldSpan:
    """Frames with one FieldPlan, up to the start of the next span."""

    start: int | None = None  # pts of its first frame, in the stream's time base; None: the first of the file
    plan: FieldPlan | None = None  # None: progressive, not filtered


@dataclass(frozen=True)
class FieldCounts:
    """Interlacing measured in the content of frames. Frames without motion are counted in `frames` only."""

    frames: int = 0
    tff: int = 0  # frames with fields of two moments, top field first
    bff: int = 0
    progressive: int = 0
    repeated: int = 0  # frames with a repeated field, as 3:2 pulldown has
    flagged: int = 0  # frames flagged as interlaced

    @property
    def moving(self) -> int:
        return self.tff + self.bff + self.progressive

    def __add__(self, other: FieldCounts) -> FieldCounts:
        return FieldCounts(*(getattr(self, f.name) + getattr(other, f.name) for f in dataclass_fields(self)))


class FieldFilter:
    """A filter graph over the frames of one span, in order."""

    def __init__(self, plan: FieldPlan, video: VideoInfo) -> None:
        self._plan = plan
        self.time_base, self.frame_rate = clock_after(plan, video)
        self._graph: Any = None
        self._video = video
        self._first = 0  # pts of the first frame, in time_base
        self._count = 0

    def __call__(self, frame: Any) -> Iterator[Any]:
        """Filter one av.VideoFrame (None: flush); yields frames with pts in `time_base`."""
        if self._graph is None:
            if frame is None:
                return
            self._graph = graph_of(
                frame, self._filters(), time_base=self._video.time_base, frame_rate=self._video.frame_rate
            )
            self._first = int(frame.pts * self._video.time_base / self.time_base)
        self._graph.vpush(frame)
        while (picture := _pull(self._graph)) is not None:
            if self._plan.mode == "film":  # decimate makes timestamps of its own
                step = 1 / (self.frame_rate * self.time_base)
                picture.pts = self._first + round(self._count * step)
                picture.duration = round(step)
            picture.time_base = self.time_base
            self._count += 1
            yield picture

    def _filters(self) -> list[tuple[str, str]]:
        order = self._plan.order
        match self._plan.mode:
            case "film":
                return [("fieldmatch", f"order={order}:combmatch=full"), ("decimate", "")]
            case "field":
                return [("bwdif", f"mode=send_field:parity={order}:deint=all")]
            case "frame":
                return [("bwdif", f"mode=send_frame:parity={order}:deint=all")]


def clock_after(plan: FieldPlan, video: VideoInfo) -> tuple[Fraction, Fraction]:
    """Time base and frame rate after the filter of a plan."""
    match plan.mode:
        case "field":
            return video.time_base / 2, video.frame_rate * 2
        case "frame":
            return video.time_base / 2, video.frame_rate  # bwdif halves its unit in both modes
        case "film":
            rate = video.frame_rate * FILM_SHARE
            return _common_unit(video.time_base, 1 / rate), rate


def clock_of(spans: Sequence[FieldSpan], video: VideoInfo) -> tuple[Fraction, Fraction]:
    """Time base that holds the times of all spans, and the highest of their frame rates."""
    clocks = [
        (video.time_base, video.frame_rate) if span.plan is None else clock_after(span.plan, video) for span in spans
    ] or [(video.time_base, video.frame_rate)]
    return reduce(_common_unit, (unit for unit, _ in clocks)), max(rate for _, rate in clocks)


def measure(frames: Sequence[Luma], *, flagged: int = 0) -> FieldCounts:
    """Measure interlacing in the content of consecutive luma frames (H, W), uint8.

    The fields of one frame are woven with those of the next, both ways. Progressive frames comb in both weaves and not
    as they are. With top field first, the top field of the next frame fits the bottom field of this one as well as its
    own, but not the other way round. Vertical motion by a line per frame looks alike: only frames that comb more than
    the detail within one field explains count as interlaced.
    """
    pairs = (measure_pair(thinned(now), thinned(after)) for now, after in pairwise(frames))
    return sum(pairs, FieldCounts(frames=len(frames), flagged=flagged))


def thinned(frame: Luma) -> Luma:
    """The samples of a frame (H, W) that are measured."""
    return np.asarray(frame[: frame.shape[0] // 4 * 4, ::COLUMNS], np.int16)


def measure_pair(now: Luma, after: Luma) -> FieldCounts:
    """Counts for the first of two successive frames (as `thinned` returns them); `frames` stays 0."""
    if now.shape[0] < LEAST_LINES:
        return FieldCounts()
    counts = _judge(now, after)
    return counts if counts.moving else _judge(*_busiest(now, after))  # perhaps only a small part moves


def _busiest(now: Luma, after: Luma) -> tuple[Luma, Luma]:
    """The tile, a sixteenth of the frame, where the two differ most."""
    height, width = now.shape[0] // 16 * 4, now.shape[1] // 4
    if height < LEAST_LINES or not width:
        return now, after
    tiles = [
        (slice(top, top + height), slice(left, left + width))
        for top in range(0, 4 * height, height)
        for left in range(0, 4 * width, width)
    ]
    place = max(tiles, key=lambda tile: _distance(now[tile], after[tile]))
    return now[place], after[place]


def _judge(now: Luma, after: Luma) -> FieldCounts:
    own = _combing(now[0::2], now[1::2])
    next_upper, next_lower = _combing(after[0::2], now[1::2]), _combing(now[0::2], after[1::2])
    moved = max(next_upper, next_lower) - own
    upper, lower = _distance(now[0::2], after[0::2]), _distance(now[1::2], after[1::2])
    repeated = max(upper, lower) > NOISE and min(upper, lower) * REPEATED < max(upper, lower)
    detail = _combing(now[0::4], now[2::4])  # within one field
    whole = min(next_upper, next_lower) - own > moved / 3 or own < COMBED * detail
    return FieldCounts(
        repeated=int(repeated),
        progressive=int(moved > NOISE and whole),
        tff=int(moved > NOISE and not whole and next_upper < next_lower),
        bff=int(moved > NOISE and not whole and next_upper > next_lower),
    )


def _combing(upper: Luma, lower: Luma) -> float:
    """Mean distance of the lower lines from the mean of the upper lines around them, 0..255."""
    between = upper[:-1] + upper[1:] - 2 * lower[:-1]
    return float(np.abs(between).mean()) / 2


def _distance(a: Luma, b: Luma) -> float:
    return float(np.abs(a - b).mean())


def _pull(graph: Any) -> Any:
    try:
        return graph.vpull()
    except (av.BlockingIOError, av.EOFError):
        return None


def _common_unit(a: Fraction, b: Fraction) -> Fraction:
    """The largest time base of which both are multiples."""
    return Fraction(gcd(a.numerator * b.denominator, b.numerator * a.denominator), a.denominator * b.denominator)
