"""Cuts, found while the frames stream by."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain, repeat

import numpy as np
from numpy.typing import NDArray

Luma = NDArray[np.uint8]  # (48, 80)

SIZE = (48, 80)  # height and width of what is compared
LOOK_AHEAD = 3  # frames; also the longest flash
LEAST = 6.0  # codes of mean absolute difference that a cut must exceed
RATIO = 3.0  # times the mean difference of the neighbours that a cut must exceed


def find_shots(lumas: Iterable[Luma]) -> Iterator[int]:
    """Index of the first frame of every shot, from the 48 x 80 luma of every frame; nothing for no frames.

    Frame t starts a shot where it differs from t - 1 by more than LEAST codes and by more than RATIO times the mean of
    the two differences before and the two after it, which fades, dissolves and whip pans do not. A flash, or up to
    LOOK_AHEAD frames of something else, belongs to the shot around it. Eight frames are held, three of them ahead.
    """
    window: deque[Luma | None] = deque([None] * (2 * LOOK_AHEAD + 2), maxlen=2 * LOOK_AHEAD + 2)
    ahead: Iterator[Luma | None] = chain(lumas, repeat(None, LOOK_AHEAD))
    for index, luma in enumerate(ahead, start=-LOOK_AHEAD):
        window.append(luma)
        if index == 0 or (index > 0 and _is_cut(list(window))):
            yield index


def _is_cut(window: list[Luma | None]) -> bool:
    """Whether frame t starts a shot; window is t - 4 ... t + 3, None where the file has no frame."""
    now = LOOK_AHEAD + 1
    jump = _difference(window[now - 1], window[now])
    if jump is None or jump <= LEAST:
        return False
    neighbours = [_difference(window[i - 1], window[i]) for i in (now - 2, now - 1, now + 1, now + 2)]
    known = [d for d in neighbours if d is not None]
    if known and jump <= RATIO * sum(known) / len(known):
        return False
    # A flash begins where the picture before it returns soon, and ends where the picture after it had been before.
    returns = [_difference(window[now - 1], later) for later in window[now + 1 :]]
    returns += [_difference(window[now], earlier) for earlier in window[: now - 1]]
    return all(d is None or d > jump / RATIO for d in returns)


def _difference(a: Luma | None, b: Luma | None) -> float | None:
    """Mean absolute difference, codes."""
    if a is None or b is None:
        return None
    return float(np.abs(a.astype(np.int16) - b).mean())
