"""Content analysis of decoded frames: samples from a few places, or shot by shot over the whole file."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from dossr_video.restoration.detail import measure_detail
from dossr_video.restoration.dirt import RUN, DustMeasure, measure_dust
from dossr_video.restoration.grain_profile import AFTER, GrainProfile, measure_grain
from dossr_video.temporal.shots import find_shots
from dossr_video.video import pixels
from dossr_video.video.files import FileStatus, status_of
from dossr_video.video.info import SourceInfo
from dossr_video.video.inspect.borders import Borders, HeadSwitching, black_borders
from dossr_video.video.read.changes import color_of
from dossr_video.video.read.cropping import CropFilter
from dossr_video.video.read.decoding import decoder_of
from dossr_video.video.read.deinterlace import FieldCounts, measure_pair, thinned
from dossr_video.video.read.frame import luma_of
from dossr_video.video.read.opening import has_free_clock, open_source, picture_stream
from dossr_video.video.read.pyav import PyavReader
from dossr_video.video.read.side_data import frame_side_data, packet_side_data
from dossr_video.video.tags import ColorInfo

SAMPLE_PLACES = 3  # places of the file that are sampled, spread evenly
SAMPLE_FRAMES = 48  # consecutive frames at each
QUICK_FRAMES = 24  # consecutive frames at one of the places, where only the frame rate is asked for
STILL_EVERY = 24  # frames; those that detail is measured in
MIDDLE = 960  # pixels a side, at most, that it is measured in
SHORT = 10  # seconds; shorter files are sampled from the beginning
TONES = range(40, 236)  # codes that are neither black nor white
COMMON = 16  # tones of 256, the most common ones
DRAWN = 0.6  # of the picture that they fill in drawn animation; filmed clips measure up to 0.4
NORMAL = 0.826  # median of |x1 - (x0 + x2) / 2| for independent normal x of deviation 1


@dataclass(frozen=True)
class ContentAnalysis:
    """Result of the analysis of sample frames."""

    fields: FieldCounts
    borders: Borders  # black in every frame that is not all black
    switching: int  # lines of head-switching noise at the bottom
    flicker: float  # relative deviation of a frame's exposure from its neighbours'
    side_data: frozenset[str]  # names, as in mux/inventory.py
    aspect_changes: bool  # whether sample frames differ in pixel aspect (MPEG-TS and MPEG-PS)
    color_changes: bool  # whether they differ in matrix or range
    grain: GrainProfile | None  # None: nothing flat to measure it in
    detail: float | None  # share of the pixel grid that holds detail; None: too little to tell
    dust: DustMeasure | None  # None: too few frames to tell
    drawn: bool  # whether most of the picture is a few even tones, as in drawn animation


@dataclass(frozen=True)
class ShotFields:
    """Interlacing measured in one shot."""

    start: int  # pts of its first frame, in the stream's time base
    fields: FieldCounts


def sample_content(source: SourceInfo, *, max_pixels: int) -> ContentAnalysis:
    """Analyse up to SAMPLE_PLACES * SAMPLE_FRAMES frames. The result is cached until the file changes."""
    key = (source.path, status_of(source.path), source.video.stream.index)
    if key not in _SAMPLED:
        _SAMPLED[key] = _sample(source, max_pixels)
    return _SAMPLED[key]


def quick_fields(source: SourceInfo, *, max_pixels: int) -> FieldCounts:
    """Interlacing in QUICK_FRAMES frames: what an estimate for thousands of files has time for."""
    length = source.duration or Fraction(0)
    place = source.start + length / SAMPLE_PLACES if length > SHORT else Fraction(0)
    fields, before = FieldCounts(), None
    for frame in _frames_at(source, place, QUICK_FRAMES, max_pixels, set(), set()):
        if (frame.width, frame.height) == (source.video.width, source.video.height):
            thin = thinned(luma_of(frame))
            fields += _fields_of(frame, before, thin)
            before = thin
    return fields


def _fields_of(frame: Any, before: Any, thin: Any) -> FieldCounts:
    """Of a frame and the thinned one before it; None: it is the first."""
    counts = FieldCounts(frames=1, flagged=int(frame.interlaced_frame))
    return counts if before is None else counts + measure_pair(before, thin)


def analyse_shots(source: SourceInfo, *, max_pixels: int, on_frame: Callable[[int], None]) -> tuple[ShotFields, ...]:
    """Analyse all frames, shot by shot; `on_frame` gets the count so far. Cached until the file changes."""
    key = (source.path, status_of(source.path), source.video.stream.index)
    if key not in _ANALYSED:
        _ANALYSED[key] = tuple(_shots(source, max_pixels, on_frame))
    return _ANALYSED[key]


_SAMPLED: dict[tuple[Path, FileStatus, int], ContentAnalysis] = {}
_ANALYSED: dict[tuple[Path, FileStatus, int], tuple[ShotFields, ...]] = {}


def _sample(source: SourceInfo, max_pixels: int) -> ContentAnalysis:
    length = source.duration or Fraction(0)
    if length <= SHORT:
        places, count = [Fraction(0)], SAMPLE_PLACES * SAMPLE_FRAMES
    else:
        places = [
            source.start + length * place / SAMPLE_PLACES if place else Fraction(0) for place in range(SAMPLE_PLACES)
        ]
        count = SAMPLE_FRAMES
    fields, borders, switching = FieldCounts(), None, HeadSwitching()
    exposures: list[list[float]] = []  # of each place
    side_data: set[str] = set()
    aspects: set[Fraction] = set()
    colors: set[ColorInfo] = set()
    stills: list[NDArray[np.float32]] = []
    after: list[list[NDArray[np.float32]]] = []  # the frames after each
    drawn: list[bool] = []
    runs: list[list[NDArray[np.uint8]]] = []  # of different frames, in which dust is looked for
    for place in places:
        before = None
        exposures.append([])
        for i, frame in enumerate(_frames_at(source, place, count, max_pixels, side_data, aspects)):
            if (frame.width, frame.height) != (source.video.width, source.video.height):
                continue  # the reader scales it to the first size
            colors.add(color_of(frame, source.video.resolved_color))
            luma = luma_of(frame)
            thin = thinned(luma)
            if i % SAMPLE_FRAMES == 0:
                runs.append([])
            if runs and i % SAMPLE_FRAMES < RUN and not (runs[-1] and np.array_equal(runs[-1][-1], luma)):
                runs[-1].append(luma)
            if i % STILL_EVERY == 0:
                stills.append(_middle(luma))
                after.append([])
            elif after and i % STILL_EVERY <= AFTER:
                after[-1].append(_middle(luma))
            if i % STILL_EVERY == 0:
                drawn.append(is_drawn(luma))
            exposures[-1].append(float(luma.mean()))
            fields += _fields_of(frame, before, thin)
            black = black_borders(luma)
            if black is not None:
                borders = black if borders is None else borders & black
                switching.add(luma[: luma.shape[0] - black.bottom])
            before = thin
    return ContentAnalysis(
        fields,
        borders or Borders(),
        switching.lines,
        flicker(exposures),
        frozenset(side_data),
        len(aspects) > 1,
        len(colors) > 1,
        measure_grain(stills, after),
        measure_detail(stills),
        measure_dust(runs),
        sum(drawn) * 2 > len(drawn),
    )


def is_drawn(luma: NDArray[np.uint8]) -> bool:
    """Whether most of a frame (H, W) that is neither black nor white is a few even tones."""
    inner = luma[:-1, :-1]
    gray = (inner > TONES.start) & (inner < TONES.stop)
    if gray.mean() < 0.5:
        return False
    even = (np.abs(np.diff(luma[:-1].astype(np.int16), axis=1)) <= 1) & (
        np.abs(np.diff(luma[:, :-1].astype(np.int16), axis=0)) <= 1
    )
    codes = np.sort(np.bincount(inner[gray], minlength=256))
    return bool(even[gray].mean() >= DRAWN and codes[-COMMON:].sum() / gray.sum() >= DRAWN)


def _middle(luma: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(1, h, w) in [0, 1]: the middle of a frame's luma, where it is large."""
    top, left = (max(0, (side - MIDDLE) // 2) for side in luma.shape)
    return luma[None, top : top + MIDDLE, left : left + MIDDLE].astype(np.float32) / np.float32(255)


def flicker(exposures: Iterable[Sequence[float]]) -> float:
    """Relative deviation of a frame's exposure from its neighbours', from runs of mean luma in codes of 255.

    The median of second differences: fades have none, and cuts and flashes are rare.
    """
    logs = (np.log(np.asarray(run) + 1) for run in exposures)  # plus one code: black has no exposure
    unrest = np.concatenate([np.abs(log[1:-1] - (log[:-2] + log[2:]) / 2) for log in logs] or [np.zeros(0)])
    return float(np.median(unrest)) / NORMAL if len(unrest) else 0.0


def _frames_at(
    source: SourceInfo, start: Fraction, count: int, max_pixels: int, side_data: set[str], aspects: set[Fraction]
) -> Iterator[Any]:
    """Up to `count` consecutive frames, from about `start` seconds of the file's clock on.

    Names of their side data are added to `side_data`; their pixel aspects, where the stream alone says them, to
    `aspects`.
    """
    with open_source(source.path, max_pixels=max_pixels) as container:
        stream = picture_stream(container, source.path, source.video.stream.index, max_pixels=max_pixels)
        decoder, crop = decoder_of(stream), CropFilter(source.video.cropping)
        # Damage is reported when the whole file is read.
        with contextlib.suppress(av.FFmpegError):
            if start:
                container.seek(round(start / source.video.time_base), stream=stream)
            for packet in container.demux(stream):
                decoded: list[Any] = []
                with contextlib.suppress(av.FFmpegError):
                    decoded = decoder.decode(packet)
                if decoded and has_free_clock(container) and decoder.sample_aspect_ratio:
                    aspects.add(decoder.sample_aspect_ratio)
                side_data |= packet_side_data(packet).union(*map(frame_side_data, decoded))
                for frame in decoded[:count]:
                    yield pixels.unpacked(crop(frame), source.video.color.transfer)
                count -= len(decoded)
                if count <= 0:
                    return


def _shots(source: SourceInfo, max_pixels: int, on_frame: Callable[[int], None]) -> Iterator[ShotFields]:
    pts: list[int] = []
    counts: list[FieldCounts] = []  # of each frame with the one after it

    def lumas(reader: PyavReader) -> Iterator[Any]:
        before = None
        for frame in reader.frames():
            thin = thinned(frame.luma())
            if before is not None:
                counts[-1] += measure_pair(before, thin)
            pts.append(frame.pts)
            counts.append(FieldCounts(frames=1, flagged=int(frame.interlaced)))
            before = thin
            yield frame.luma_small()
            on_frame(len(pts))

    with PyavReader(source, max_pixels=max_pixels) as reader:
        starts = list(find_shots(lumas(reader)))
    for start, stop in pairwise([*starts, len(pts)]):
        # The last frame of a shot was compared with the first of the next.
        last = FieldCounts(frames=1, flagged=counts[stop - 1].flagged)
        yield ShotFields(pts[start], sum([*counts[start : stop - 1], last], FieldCounts()))
