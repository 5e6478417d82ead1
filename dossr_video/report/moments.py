"""The same moments of a source and of its result."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import dropwhile
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from dossr_video.errors import TargetError
from dossr_video.video.info import ANY, Choice, SourceInfo
from dossr_video.video.read.frame import Frame
from dossr_video.video.read.probe import probe
from dossr_video.video.read.pyav import PyavReader, VideoReader
from dossr_video.video.read.reader import ReadSpec, open_reader

SPAN = 250  # frames from the start in which moments are chosen: a long film need not be decoded to its middle

Picture = NDArray[np.uint8]  # RGB (H, W, 3)


@dataclass(frozen=True, eq=False)
class Moment:
    """One frame, before and after."""

    seconds: float  # from the start of the result
    source: Picture  # as it was
    before: Picture  # the source enlarged (bicubic) to the result's size
    after: Picture


def moments(source: Path, target: Path, *, count: int, read: ReadSpec, choice: Choice = ANY) -> list[Moment]:
    """At most `count` moments, evenly spread over the first SPAN frames of the result.

    `read` is how the source was read for that result: where it begins and how fields became frames, `choice` which
    pictures of the result are meant. Raises SourceError when a file cannot be read, TargetError when the result has
    fewer frames than it declares: no moment can be chosen.
    """
    with PyavReader(probe(target, choice=choice)) as reader:
        length = min(frame_count(reader.info), SPAN)
        indices = sorted({(2 * i + 1) * length // (2 * count) for i in range(count)})
        results = list(_at(indices, reader.frames()))
        seconds = [float((frame.pts - reader.info.start / reader.time_base) * reader.time_base) for frame in results]
        pictures = [picture_of(frame) for frame in results]
    with open_reader(source, read) as reader:
        originals = [picture_of(frame) for frame in _at(indices, frames_from(read.start, reader))]
    if not pictures or not originals:
        raise TargetError(f"{target} has no frame to show beside {source}", hint="run the job again with --restart")
    return [
        Moment(time, original, enlarged(original, result), result)
        for time, original, result in zip(seconds, originals, pictures, strict=False)
    ]


def frame_count(info: SourceInfo) -> int:
    """Declared, or else from duration and rate; at least 1."""
    duration = info.video.duration or info.duration or 0
    return max(1, info.video.frames or int(duration * info.video.frame_rate))


def enlarged(picture: Picture, to: Picture) -> Picture:
    """`picture` in the size of `to`, bicubic."""
    return np.asarray(cv2.resize(picture, (to.shape[1], to.shape[0]), interpolation=cv2.INTER_CUBIC), np.uint8)


def frames_from(start: float, reader: VideoReader) -> Iterator[Frame]:
    """From `start` seconds after the first frame on."""
    # The decimal number that was given: the float nearest to 0.4 lies behind the frame at 0.4 s.
    wanted = Fraction(str(start))
    origin: list[int] = []

    def earlier(frame: Frame) -> bool:
        origin.append(frame.pts)
        return (frame.pts - origin[0]) * reader.time_base < wanted

    return dropwhile(earlier, reader.frames())


def _at(indices: Sequence[int], frames: Iterable[Frame]) -> Iterator[Frame]:
    for index, frame in enumerate(frames):
        if index in indices:
            yield frame
        if index == indices[-1]:
            return


def picture_of(frame: Frame) -> Picture:
    return np.asarray(frame.rgb().permute(1, 2, 0).mul(255).round().byte().numpy())
