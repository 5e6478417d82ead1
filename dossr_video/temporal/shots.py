"""Shot detection while frames are read."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate, chain, groupby, pairwise, repeat, tee
from operator import itemgetter
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")

Luma = NDArray[np.uint8]  # (48, 80)

SIZE = (48, 80)  # height and width of the compared luma
LOOK_AHEAD = 3  # frames; also the longest flash
LOOK_BACK = 9  # frames; two changes in animation on fours
LEAST = 6.0  # codes of mean absolute difference that a cut must exceed
RATIO = 3.0  # times the mean difference of the neighbours that a cut must exceed
REPEAT = 0.5  # codes; a smaller difference is a duplicate frame


def find_shots(lumas: Iterable[Luma]) -> Iterator[int]:
    """Index of the first frame of every shot, from the 48 x 80 luma of every frame; nothing for no frames."""
    return (index for index, starts in enumerate(shot_starts(lumas)) if starts)


def shot_starts(lumas: Iterable[Luma]) -> Iterator[bool]:
    """For every frame whether it starts a shot, LOOK_AHEAD frames after its luma was taken.

    Frame t starts a shot where it differs from t - 1 by more than LEAST codes and by more than RATIO times the mean of
    the two changes before and the two after it, which fades, dissolves, whip pans and animation on twos do not. A flash
    of up to LOOK_AHEAD frames belongs to the shot around it. Thirteen frames are held, three ahead.
    """
    length = LOOK_BACK + 1 + LOOK_AHEAD
    window: deque[Luma | None] = deque([None] * length, maxlen=length)
    ahead: Iterator[Luma | None] = chain(lumas, repeat(None, LOOK_AHEAD))
    for index, luma in enumerate(ahead, start=-LOOK_AHEAD):
        window.append(luma)
        if index >= 0:
            yield index == 0 or is_cut(list(window))


def split_shots(frames: Iterable[T], luma: Callable[[T], Luma]) -> Iterator[Iterator[T]]:
    """The frames of each shot in turn, as they stream by; each shot must be used up before the next is asked for."""
    ahead, behind = tee(frames)
    numbers = accumulate(map(int, shot_starts(map(luma, ahead))))
    for _, shot in groupby(zip(behind, numbers, strict=False), key=itemgetter(1)):
        yield (frame for frame, _ in shot)


def is_cut(window: list[Luma | None]) -> bool:
    """Whether frame t starts a shot; window is t - LOOK_BACK ... t + LOOK_AHEAD, None where the file has no frame."""
    now = LOOK_BACK
    before, frame = window[now - 1], window[now]
    if before is None or frame is None:
        return False
    jump = _difference(before, frame)
    if jump <= LEAST:
        return False
    neighbours = _changes(window[now - 1 :: -1]) + _changes(window[now:])
    if neighbours and jump <= RATIO * sum(neighbours) / len(neighbours):
        return False
    # A flash begins where the picture before it returns soon, and ends where the picture after it had been before.
    returns = [_difference(before, later) for later in window[now + 1 :] if later is not None]
    returns += [
        _difference(frame, earlier) for earlier in window[now - 1 - LOOK_AHEAD : now - 1] if earlier is not None
    ]
    return all(difference > jump / RATIO for difference in returns)


def _changes(frames: list[Luma | None]) -> list[float]:
    """The first two differences of successive frames, duplicates left out."""
    differences = [_difference(a, b) for a, b in pairwise(frames) if a is not None and b is not None]
    return [difference for difference in differences if difference > REPEAT][:2]


def _difference(a: Luma, b: Luma) -> float:
    """Mean absolute difference, codes."""
    return float(np.abs(a.astype(np.int16) - b).mean())
