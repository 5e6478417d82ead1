"""Segments: the units of work that are scheduled, retried and resumed. A segment is a shot or a part of a long one."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from operator import add
from typing import Any, Literal

from dossr_video.frames import Area


@dataclass(frozen=True)
class Segment:
    """Consecutive frames of one shot that are encoded to one file.

    Indices count the frames that the reader returns. Noise and state depend on `Settings.seed`, `shot` and the frame
    index, so the result does not depend on which worker computes a segment, or when.
    """

    index: int  # of the segment in the plan; names its file
    shot: int  # index of the shot in the file
    start: int  # first frame that is written
    stop: int  # one past the last
    lead_in: int  # frames before start that are computed to build up state and not written
    # Packed: as tuples of numbers the frames of a long film take tens of megabytes.
    pts: array[int]  # 'q': of the frames start - lead_in .. stop + look_ahead, in VideoInfo.time_base, strictly rising
    duplicates: bytes  # of the same frames: 1 where a frame duplicates the one before it; the first: 0
    area: Area | None = None  # without black borders and head-switching noise; None: the whole frame
    look_ahead: int = 0  # frames after stop, of the same shot, that are read to mend the last one and not written

    def __post_init__(self) -> None:
        window = self.stop - self.start + self.lead_in + self.look_ahead
        if not (0 <= self.lead_in <= self.start < self.stop and self.look_ahead >= 0):
            raise ValueError(f"segment {self.start}..{self.stop} with {self.lead_in} lead-in frames is not possible")
        if len(self.pts) != window or len(self.duplicates) != window:
            raise ValueError(f"{len(self.pts)} time stamps and {len(self.duplicates)} duplicates for {window} frames")

    def __len__(self) -> int:
        """Frames that are written."""
        return self.stop - self.start

    @property
    def repeats(self) -> int:
        """Frames that are written and duplicate the one before."""
        return sum(self.duplicates[self.lead_in : self.lead_in + len(self)])

    @property
    def first_pts(self) -> int:
        """pts of the first frame that is written; zero in the segment's file."""
        return self.pts[self.lead_in]

    def as_json(self) -> dict[str, Any]:
        """JSON with timestamps run-length coded and duplicates as indices, to keep plans of long films small."""
        duplicates = [i for i, duplicate in enumerate(self.duplicates) if duplicate]
        return {**asdict(self), "pts": _runs(self.pts), "duplicates": duplicates}

    @classmethod
    def of_json(cls, data: Mapping[str, Any]) -> Segment:
        area = None if data["area"] is None else Area(**data["area"])
        pts = array("q", (start + i * step for start, step, count in data["pts"] for i in range(count)))
        duplicates = bytearray(len(pts))
        for i in data["duplicates"]:
            duplicates[i] = 1
        return cls(**{**data, "pts": pts, "duplicates": bytes(duplicates), "area": area})


def _runs(times: array[int]) -> list[tuple[int, int, int]]:
    """Run-length code of `times`: (first, step, count) of each run of equal steps."""
    runs: list[tuple[int, int, int]] = []
    for time in times:
        first, step, count = runs[-1] if runs else (0, 0, 0)
        if count == 1:
            runs[-1] = (first, time - first, 2)
        elif count and time == first + step * count:
            runs[-1] = (first, step, count + 1)
        else:
            runs.append((time, 0, 1))
    return runs


FaultKind = Literal["black", "frozen", "odd", "flicker", "light", "invention", "pictures", "colour", "seam"]


@dataclass(frozen=True)
class Fault:
    """What a result shows and its source does not explain."""

    kind: FaultKind
    frame: int  # where it is seen first or best
    what: str  # to be read after the result's name


@dataclass(frozen=True)
class Quality:
    """What was measured of a segment, without ground truth."""

    faults: tuple[Fault, ...]  # their frames are those of the file
    before: tuple[float, float] | None  # brightness and sharpness of the last frame of the lead-in; None: it has none
    last: tuple[float, float]  # the same of the last frame that is written

    @classmethod
    def of_json(cls, data: Mapping[str, Any]) -> Quality:
        before = None if data["before"] is None else tuple(data["before"])
        return cls(tuple(Fault(**fault) for fault in data["faults"]), before, tuple(data["last"]))


CELLS = (18, 32)  # rows and columns of the map of what was mended


@dataclass(frozen=True)
class Dirt:
    """What was mended in some frames, or found in them."""

    frames: int = 0
    specks: int = 0
    lines: int = 0  # scratches: one for each frame that shows it
    area: float = 0.0  # share of a frame that was specks, summed over the frames
    cells: tuple[int, ...] = ()  # in how many frames each cell, row by row, had some; (): nowhere

    def __add__(self, other: Dirt) -> Dirt:
        return Dirt(
            self.frames + other.frames,
            self.specks + other.specks,
            self.lines + other.lines,
            round(self.area + other.area, 6),  # as of one frame: the same sum in any order
            tuple(map(add, self.cells, other.cells)) if self.cells and other.cells else self.cells or other.cells,
        )

    @classmethod
    def of_json(cls, data: Mapping[str, Any]) -> Dirt:
        return cls(**{**data, "cells": tuple(data["cells"])})


@dataclass(frozen=True)
class SegmentResult:
    """What a worker reports about a finished segment."""

    index: int
    frames: int  # written
    first_pts: int  # in VideoInfo.time_base; added to the timestamps of the file when joining
    computed: int  # frames that went through the model, lead-in included, duplicates not
    seconds: float  # of work
    warnings: tuple[str, ...] = ()  # one line each, for the report
    dirt: Dirt = Dirt()  # mended in the frames that are written
    quality: Quality | None = None  # None: not measured

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of_json(cls, data: Mapping[str, Any]) -> SegmentResult:
        quality = None if data["quality"] is None else Quality.of_json(data["quality"])
        return cls(
            **{**data, "warnings": tuple(data["warnings"]), "quality": quality, "dirt": Dirt.of_json(data["dirt"])}
        )
