"""Places that a person should look at: damage of the source, and what in a result its source does not explain.

No ground truth is needed: a result should be as bright, as steady and as much in motion as its source.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dossr_video.report.measure import Measured, Track, Values

BLACK = 4.0  # of 255: a frame below is black
BRIGHTER = 8.0  # of 255: the source must be by more than this
MOVING, FROZEN = 0.7, 0.02  # of 255, mean change of the coarse picture: the source's at least, the result's at most
STEADY = 1.25, 0.3  # factor and codes of 255 by which a shot may flicker more than its source
LIGHT = 4.0  # of 255 by which a shot may be off
ODD = 3.0, 5.0  # factor of the shot's median, and codes of 255, beyond which a frame differs too much
MOST = 60  # places told; a result that is wrong everywhere need not be listed frame by frame


@dataclass(frozen=True)
class Place:
    """A frame, and why it should be looked at."""

    frame: int  # of the source
    kind: Literal["damage", "look"]  # found in the source, or in a result
    what: str


def find_places(measured: Measured, names: Sequence[str], damage: Sequence[tuple[float, str]]) -> list[Place]:
    """In the order of time.

    Args:
        measured: The figures.
        names: Of the files, the source's first.
        damage: Of the source: seconds from the first frame, and what.
    """
    places = [Place(measured.frame_at(seconds), "damage", f"source: {what}") for seconds, what in damage]
    source = measured.tracks[0]
    for name, track in zip(names[1:], measured.tracks[1:], strict=True):
        missing = np.flatnonzero(track.pts < 0)
        if len(missing):
            seconds = measured.seconds[-1] - measured.seconds[missing[0]]
            places.append(Place(int(missing[0]), "look", f"{name} ends {seconds:.2f} s before the source"))
        held = _held(track)
        if held.any():
            counts = f"{len(held) - int(held.sum()) - len(missing)} frames for the source's {len(held) - len(missing)}"
            places.append(Place(int(held.argmax()), "look", f"{name} has {counts}"))
        for shot in measured.shots:
            places += [Place(frame, "look", f"{name} {what}") for frame, what in _in_shot(source, track, shot)]
    return sorted(places, key=lambda place: place.frame)[:MOST]


def _held(track: Track) -> NDArray[np.bool_]:
    """Where the file shows the frame before for longer, having fewer frames than the source."""
    return np.concatenate(([False], (np.diff(track.pts) == 0) & (track.pts[1:] >= 0)))


def _in_shot(source: Track, result: Track, shot: range) -> Iterator[tuple[int, str]]:
    part = slice(shot.start, shot.stop)
    brightness, wanted = result.brightness[part], source.brightness[part]
    difference = result.difference[part]
    if np.isnan(difference).all():
        return
    held = _held(result)[part]
    black = (brightness < BLACK) & (wanted > brightness + BRIGHTER)
    frozen = (result.change[part] < FROZEN) & (source.change[part] > MOVING) & ~black & ~held
    usual = float(np.nanmedian(difference))
    odd = (difference > ODD[0] * usual + ODD[1]) & ~black & ~frozen
    for where, what in (
        (black, "is black, the source is not"),
        (frozen, "stands still, the source moves"),
        (odd, "differs much more than in the rest of the shot"),
    ):
        for first, count in _runs(where):
            yield shot.start + first, f"{what}: {count} frame{'s' if count > 1 else ''}"
    middle = (shot.start + shot.stop) // 2
    unrest, own = _median(result.flicker[part]), _median(source.flicker[part])
    if unrest > STEADY[0] * own + STEADY[1] and not held.any():  # motion in jumps is no flicker
        yield middle, f"flickers: {unrest:.2f} of 255 in this shot, the source {own:.2f}"
    shift = _median(brightness - wanted)
    if abs(shift) > LIGHT:
        yield middle, f"is {abs(shift):.1f} of 255 {'brighter' if shift > 0 else 'darker'} in this shot"


def _runs(where: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First index and length of every run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], where, [False]))))
    return [(int(start), int(stop - start)) for start, stop in zip(edges[::2], edges[1::2], strict=True)]


def _median(values: Values) -> float:
    """Of what is known; 0 where nothing is. Single frames that are wrong do not change it."""
    known = values[~np.isnan(values)]
    return float(np.median(known)) if len(known) else 0.0
