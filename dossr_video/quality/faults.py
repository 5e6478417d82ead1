"""Faults of a result: what its source does not explain.

No ground truth is needed: a result should be as bright, as steady and as much in motion as its source.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from dossr_video.quality.track import Plane, Track, Values
from dossr_video.segments import Fault, FaultKind

BLACK = 4.0  # of 255: a frame below is black
BRIGHTER = 8.0  # of 255: the source must be by more than this
MOVING, FROZEN = 0.7, 0.02  # of 255, mean change of the coarse picture: the source's at least, the result's at most
STEADY = 1.25, 0.3  # factor and codes of 255 by which a shot may flicker more than its source
LIGHT = 4.0  # of 255 by which a shot may be off
INVENTED = 4.0  # of 255, mean difference of the coarse pictures without their light: up to 1 is usual
LINE = 3.0, 4.0  # of 255, and times the picture's usual: light that steps across a line which the source has not
BESIDE = 8  # pixels on each side of such a line
SEAM = 1.5, 0.15  # of 255 in light, and share of sharpness, by which two parts of a shot may differ where they meet
ODD = 3.0, 5.0  # factor of the shot's median, and codes of 255, beyond which a frame differs too much


def held_frames(track: Track) -> NDArray[np.bool_]:
    """Where the file shows the frame before for longer, having fewer frames than the source."""
    return np.concatenate(([False], (np.diff(track.pts) == 0) & (track.pts[1:] >= 0)))


def faults_in(source: Track, result: Track, shot: range) -> Iterator[Fault]:
    """Of the frames of one shot; their frames are those of the tracks."""
    part = slice(shot.start, shot.stop)
    brightness, wanted = result.brightness[part], source.brightness[part]
    difference = result.difference[part]
    if np.isnan(difference).all():
        return
    held = held_frames(result)[part]
    black = (brightness < BLACK) & (wanted > brightness + BRIGHTER)
    frozen = (result.change[part] < FROZEN) & (source.change[part] > MOVING) & ~black & ~held
    usual = float(np.nanmedian(difference))
    odd = (difference > ODD[0] * usual + ODD[1]) & ~black & ~frozen
    runs: tuple[tuple[FaultKind, NDArray[np.bool_], str], ...] = (
        ("black", black, "is black, the source is not"),
        ("frozen", frozen, "stands still, the source moves"),
        ("odd", odd, "differs much more than in the rest of the shot"),
    )
    for kind, where, what in runs:
        for first, count in _runs(where):
            yield Fault(kind, shot.start + first, f"{what}: {count} frame{'s' if count > 1 else ''}")
    middle = (shot.start + shot.stop) // 2
    unrest, own = _median(result.flicker[part]), _median(source.flicker[part])
    if unrest > STEADY[0] * own + STEADY[1] and not held.any():  # motion in jumps is no flicker
        yield Fault("flicker", middle, f"flickers: {unrest:.2f} of 255 in this shot, the source {own:.2f}")
    shift = _median(brightness - wanted)
    if abs(shift) > LIGHT:
        light = "brighter" if shift > 0 else "darker"
        yield Fault("light", middle, f"is {abs(shift):.1f} of 255 {light} in this shot")


def invention_in(differences: Sequence[Plane]) -> Iterator[str]:
    """What the result shows and the source does not, grain and fine detail left out.

    Args:
        differences: Result minus source, coarse, of every frame of a shot.
    """
    departs = [float(np.abs(plane - plane.mean()).mean()) for plane in differences]
    if (usual := float(np.median(departs))) > INVENTED:
        yield f"shows what the source does not: {usual:.1f} of 255 apart when both are shrunk"


def line_in(difference: Plane) -> Iterator[str]:
    """Where light steps along a whole column or row, as at the border of a tile.

    Args:
        difference: Mean over a shot of result minus source, at one size.
    """
    for name, profile in (("column", difference.mean(0)), ("row", difference.mean(1))):
        if len(profile) < 2 * BESIDE + 1:
            continue
        sums = np.concatenate(([0.0], np.cumsum(profile, dtype=np.float64)))
        means = (sums[BESIDE:] - sums[:-BESIDE]) / BESIDE
        steps = np.abs(means[BESIDE:] - means[:-BESIDE])
        place = int(steps.argmax())
        if steps[place] > max(LINE[0], LINE[1] * float(np.median(steps))):
            share = (place + BESIDE) / len(profile)
            yield f"light steps by {steps[place]:.1f} of 255 at the {name} at {share:.0%} of the picture"


def seam_between(before: tuple[float, float], after: tuple[float, float]) -> str | None:
    """What differs where two parts of a shot meet: each (brightness, sharpness) of the same frame, done by either."""
    light, sharp = abs(after[0] - before[0]), abs(after[1] - before[1]) / max(*before[1:], *after[1:], 0.5)
    if light > SEAM[0]:
        return f"light steps by {light:.1f} of 255 where two segments meet"
    return f"sharpness steps by {sharp:.0%} where two segments meet" if sharp > SEAM[1] else None


def _runs(where: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First index and length of every run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], where, [False]))))
    return [(int(start), int(stop - start)) for start, stop in zip(edges[::2], edges[1::2], strict=True)]


def _median(values: Values) -> float:
    """Of what is known; 0 where nothing is. Single frames that are wrong do not change it."""
    known = values[~np.isnan(values)]
    return float(np.median(known)) if len(known) else 0.0
