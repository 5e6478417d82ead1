"""The frames of a segment, read as they were planned and put together in chunks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby, islice

import torch
from torch import Tensor

from dossr_video.errors import SourceError
from dossr_video.frames import Area, Chunk
from dossr_video.segments import Segment
from dossr_video.video.read.frame import Frame
from dossr_video.video.read.pyav import VideoReader

# pts and duration of a frame and of its duplicates; () within the lead-in and the look-ahead
DisplayTimes = tuple[tuple[int, int], ...]


@dataclass(frozen=True, eq=False)
class Uncropped:
    """Whole frames of which only a part is restored: what is left by a letterbox."""

    pictures: Tensor  # (T, 3, H, W) RGB float32 in [0, 1]
    area: Area


Read = tuple[Chunk, tuple[DisplayTimes, ...], Tensor | None, Uncropped | None]  # the third: opacity (T, 1, H, W)


def read_chunks(
    segment: Segment, reader: VideoReader, length: int, *, only_area: bool, skip: int = 0
) -> Iterator[Read]:
    """Chunks of `length` different frames, after the first `skip` of them; duplicates are only noted.

    The look-ahead is a chunk by itself.
    """
    frames = _planned_frames(segment, reader, skip)
    for batch in _batches(frames, length, segment.stop):
        indices, display_times, decoded = zip(*batch, strict=True)
        pictures = torch.stack([frame.rgb() for frame in decoded])
        uncropped = None if segment.area is None or only_area else Uncropped(pictures, segment.area)
        inner = pictures if segment.area is None else segment.area.of(pictures)
        opacity = [alpha for frame in decoded if (alpha := frame.alpha()) is not None]
        if only_area and segment.area is not None:
            opacity = [segment.area.of(alpha) for alpha in opacity]
        chunk = Chunk(inner, tuple(frame.pts for frame in decoded), indices)
        yield chunk, display_times, torch.stack(opacity) if opacity else None, uncropped


Planned = tuple[int, DisplayTimes, Frame]


def _batches(frames: Iterable[Planned], length: int, stop: int) -> Iterator[list[Planned]]:
    for _, part in groupby(frames, key=lambda frame: frame[0] >= stop):
        while batch := list(islice(part, length)):
            yield batch


def _planned_frames(segment: Segment, reader: VideoReader, skip: int) -> Iterator[Planned]:
    """Index, times to show at, and the frame, for every frame that is no duplicate, but the first `skip` of them.

    The look-ahead is the last, at no times.
    """
    fresh = [i for i, duplicate in enumerate(segment.duplicates) if not duplicate][skip:]
    if not fresh:
        return
    decoded = reader.frames(segment.pts[fresh[0]])
    for first, after in zip(fresh, [*fresh[1:], len(segment.pts)], strict=True):
        run = list(islice(decoded, after - first))
        if [frame.pts for frame in run] != segment.pts[first:after].tolist():
            raise SourceError(
                f"{reader.info.path} no longer holds the frames that were planned",
                hint="the file changed; run again with --restart",
            )
        written = run[max(segment.lead_in - first, 0) : max(segment.lead_in + len(segment) - first, 0)]
        yield segment.start - segment.lead_in + first, tuple((f.pts, f.duration) for f in written), run[0]
