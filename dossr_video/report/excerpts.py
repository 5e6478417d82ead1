"""Seconds of a source and its results side by side in one small film each, so that they play in step."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from PIL import Image

from dossr_video.quality.track import Measured
from dossr_video.report.moments import Picture
from dossr_video.report.picture import label
from dossr_video.report.plots import clock
from dossr_video.report.stills import resized, shape, upright
from dossr_video.video.read.pyav import VideoReader
from dossr_video.video.write.excerpt import write_excerpt

MOST = 3  # films of a page
SECONDS = 2.0  # of each
BYTES = 2_000_000  # of all films of a page
ACROSS = 1280, 640  # pixels, at most: of a film, of one picture in it
COLUMNS = 4  # pictures side by side, at most
LETTERS = 13  # pixels
GAP = 4  # pixels


@dataclass(frozen=True)
class Excerpt:
    """A film as it stands in the page."""

    caption: str
    film: str  # data: address


def play(
    names: Sequence[str],
    moments: Iterable[Sequence[Picture | None]],
    *,
    size: tuple[int, int],
    rate: float,
    caption: str,
) -> Excerpt:
    """One film.

    Args:
        names: Of the files.
        moments: The pictures (H, W, 3) of all files, one moment after the other; None where a file has ended.
        size: Width and height of the largest file as a player shows it.
        rate: Moments a second.
        caption: What it shows.
    """
    shrink = min(1.0, side_of(len(names)) / size[0])
    cell = max(2, round(size[0] * shrink / 2) * 2), max(2, round(size[1] * shrink / 2) * 2)
    film = write_excerpt((_sheet(names, moment, cell) for moment in moments), Fraction(rate).limit_denominator(1001))
    return Excerpt(caption, "data:video/webm;base64," + base64.b64encode(film).decode())


def excerpts(
    names: Sequence[str], measured: Measured, readers: Sequence[VideoReader], wanted: Sequence[int]
) -> list[Excerpt]:
    """Films around the first of the `wanted` frames, each of another shot, as many as fit into a page."""
    found: list[Excerpt] = []
    shots: set[int] = set()
    size = max((shape(reader.info.video) for reader in readers), key=lambda size: size[0] * size[1])
    for frame in wanted:
        shot, span = measured.shot_of(frame), _span(measured, frame)
        if shot in shots or len(span) < 2:
            continue
        shots.add(shot)
        times = measured.seconds[span.start : span.stop]
        first, last = (clock(float(times[end]), places=True) for end in (0, -1))
        pictures = [
            _pictures(reader, track.pts[span.start : span.stop].tolist(), side_of(len(names)))
            for reader, track in zip(readers, measured.tracks, strict=True)
        ]
        film = play(
            names,
            zip(*pictures, strict=True),
            size=size,
            rate=(len(span) - 1) / float(times[-1] - times[0]),
            caption=f"Shot {shot + 1}, {first} to {last}",
        )
        if sum(len(other.film) for other in [*found, film]) > BYTES:
            break
        found.append(film)
        if len(found) == MOST:
            break
    return found


def side_of(count: int) -> int:
    """Pixels across of each of so many pictures."""
    return min(ACROSS[1], ACROSS[0] // min(count, COLUMNS))


def _span(measured: Measured, frame: int) -> range:
    """The frames of SECONDS around a frame, within its shot."""
    shot = measured.shots[measured.shot_of(frame)]
    times = measured.seconds
    first = max(shot.start, int(np.searchsorted(times, times[frame] - SECONDS / 2)))
    first = min(first, max(shot.start, int(np.searchsorted(times, times[shot.stop - 1] - SECONDS))))
    return range(first, min(shot.stop, int(np.searchsorted(times, times[first] + SECONDS))))


def _pictures(reader: VideoReader, times: Sequence[int], side: int) -> Iterator[Picture | None]:
    """What a file shows at each of the times, small; None where it has ended."""
    video = reader.info.video
    shrink = min(1.0, side / max(video.width, video.height))
    size = max(2, round(video.width * shrink)), max(2, round(video.height * shrink))
    frames = iter(()) if times[0] < 0 else reader.frames(times[0])
    now = next(frames, None)
    for time in times:
        while now is not None and now.pts < time:
            now = next(frames, None)
        yield None if time < 0 or now is None else upright(now.small(size), video)


def _sheet(names: Sequence[str], moment: Sequence[Picture | None], cell: tuple[int, int]) -> Picture:
    """Side by side, all as large as a cell, with their names."""
    width, height = cell
    columns = min(COLUMNS, len(names))
    rows = -(-len(names) // columns)
    sheet = Image.new("RGB", (columns * (width + GAP) - GAP, rows * (height + GAP) - GAP))
    for number, (name, picture) in enumerate(zip(names, moment, strict=True)):
        corner = (number % columns * (width + GAP), number // columns * (height + GAP))
        if picture is not None:
            sheet.paste(Image.fromarray(resized(picture, cell)), corner)
        label(sheet, corner, name, size=LETTERS)
    return np.asarray(sheet)
