"""Places that a person should look at: damage of the source, and what in a result its source does not explain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from dossr_video.quality.faults import faults_in, held_frames
from dossr_video.quality.track import Measured

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
        held = held_frames(track)
        if held.any():
            counts = f"{len(held) - int(held.sum()) - len(missing)} frames for the source's {len(held) - len(missing)}"
            places.append(Place(int(held.argmax()), "look", f"{name} has {counts}"))
        for shot in measured.shots:
            places += [Place(fault.frame, "look", f"{name} {fault.what}") for fault in faults_in(source, track, shot)]
    return sorted(places, key=lambda place: place.frame)[:MOST]
