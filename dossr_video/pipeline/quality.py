"""Measures the frames of a segment while they are made: the result against its source, small, without ground truth."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from dossr_video.quality.faults import faults_in, invention_in, line_in
from dossr_video.quality.track import SIDE, Columns, Plane, coarse, sharpness
from dossr_video.segments import Fault, Quality
from dossr_video.video.info import VideoInfo
from dossr_video.video.mux.likeness import Likeness, small_size

Picture = NDArray[np.float32]  # (H, W, 3) RGB, 0 ... 255

LUMA = np.array([0.299, 0.587, 0.114], np.float32)


class QualityWatch:
    """Takes the frames of one segment as they are decoded and as they are written; then `quality` says what was found.

    What it finds does not depend on how the frames were cut into chunks.
    """

    def __init__(self, video: VideoInfo, *, deflicker: bool) -> None:
        """`deflicker`: the light of single frames is changed on purpose."""
        shrink = min(1.0, SIDE / max(video.width, video.height))
        self._size = max(1, round(video.width * shrink)), max(1, round(video.height * shrink))
        self._least = small_size(video)
        self._deflicker = deflicker
        self._likeness = Likeness(video, deflicker=deflicker)
        self._waiting: deque[tuple[int, Picture]] = deque()  # noted on the reader's thread, taken on the writer's
        self._source, self._result = Columns(), Columns()
        self._frames: list[int] = []
        self._lead_in = 0
        self._coarse: list[Plane] = []  # result minus source
        self._difference = np.zeros(self._size[::-1], np.float64)  # sum of result minus source

    def note(self, frames: Tensor, indices: Sequence[int]) -> None:
        """Decoded frames (T, 3, H, W) RGB in [0, 1], and which of the file they are."""
        self._waiting.extend((index, _small(frame, self._size)) for index, frame in zip(indices, frames, strict=True))

    def take(self, pictures: Tensor, written: Sequence[bool]) -> None:
        """The results of the next noted frames, (T, 3, H', W'); of the lead-in nothing is written."""
        for picture, shown in zip(pictures, written, strict=True):
            index, source = self._waiting.popleft()
            result = _small(picture, self._size)
            before, after = source @ LUMA, result @ LUMA
            self._source.add(index, before, None, sharpness=sharpness(before))
            self._result.add(index, after, before, sharpness=sharpness(after))
            self._frames.append(index)
            if shown:
                self._difference += after - before
                self._coarse.append(coarse(after - before))
                self._likeness.add(*(_least(part, self._least) for part in (source, result)))
            else:
                self._lead_in += 1

    def quality(self) -> Quality:
        """After the last frame."""
        source, result = (columns.track([0]) for columns in (self._source, self._result))
        lead_in, count = self._lead_in, len(self._frames)
        written = self._frames[lead_in:]
        middle = written[len(written) // 2]
        faults = [
            Fault(fault.kind, self._frames[fault.frame], fault.what)
            for fault in faults_in(source, result, range(lead_in, count))
            if not (self._deflicker and fault.kind in ("light", "odd"))
        ]
        for check in self._likeness.checks():
            if not check.passed or (check.name == "colour" and check.warning):
                found = re.sub(r"(?<=frame )\d+", lambda number: str(written[int(number[0])]), check.found)
                what = f"is not like its source: {found}"
                faults.append(Fault("colour" if check.name == "colour" else "pictures", middle, what))
        difference: Plane = (self._difference / len(written)).astype(np.float32)
        faults += [Fault("seam", middle, what) for what in line_in(difference)]
        faults += [Fault("invention", middle, what) for what in invention_in(self._coarse)]
        edges = list(zip(result.brightness.tolist(), result.sharpness.tolist(), strict=True))
        return Quality(tuple(faults), edges[lead_in - 1] if lead_in else None, edges[-1])


def _small(picture: Tensor, size: tuple[int, int]) -> Picture:
    """(3, H, W) in [0, 1] at `size` (width, height), each the mean of its area."""
    planes = [cv2.resize(plane, size, interpolation=cv2.INTER_AREA) for plane in picture.numpy()]
    return np.stack(planes, -1) * np.float32(255)


def _least(picture: Picture, size: tuple[int, int]) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA).round().clip(0, 255), np.uint8)
