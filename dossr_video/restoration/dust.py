"""Dust: specks of single frames, replaced from the frame before and the one after, and scratches of many frames.

What is like a speck (`specks`) is none where such things come in frame after frame (water, fire, sparks), where it
blinks in one place, and where it moves: flies on a straight path, alone or among others (balls, rain, snow), or is
elsewhere in one of the frames beside. To erase a real thing is worse than to leave a speck.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from dossr_video.restoration.lines import Lines, scratches, stripes, without_lines
from dossr_video.restoration.specks import (
    LEAST,
    NEAR,
    STEP,
    FindFlow,
    Mask,
    Neighbour,
    Picture,
    Plane,
    Specks,
    candidates,
    differences,
    grey_of,
    neighbours,
    remapped,
    scores,
)

CROWD = 0.03  # of the picture; more, and the flow has failed
LOST = 1.5 * STEP  # difference of the neighbours all around a place that says that its motion was not found
MOST = 0.6  # of the picture must be followed, or nothing is dust
REACH = 24  # pixels that a thing may move from frame to frame
STRAIGHT = 5  # pixels a side of where it may be, for its path to be straight
UNLIKE = 0.6  # of its energy, by which it may have changed
ALIKE = 0.2  # of its contrast, squared, by which a thing that a frame beside shows elsewhere may have changed
NEW = 0.5  # of its contrast, squared, that must not be there in this frame
SIZE = 2.0  # times what is new in its outline, how much may be new there and around
MARGIN = 2  # pixels around it that are compared too
FLOCK, FEW = 0.07, 3  # of what was like dust lately flew, and no fewer: rain or snow, and nothing is dust
AGES = 6  # frames that are remembered
BUSY = 3  # of them, the last ones: where each had a speck nearby, more of them come
AGAIN = 0.5  # of a speck that was seen here in a remembered frame


@dataclass(frozen=True, eq=False)
class DustState:
    """What a chunk leaves to the next of its shot; the default begins a shot."""

    previous: Picture | None = None  # the last frame, as it came
    seen: tuple[Plane, ...] = ()  # what was like dust in the last AGES frames, the newest first
    moved: tuple[Plane, ...] = ()  # the same, moved onto the last frame
    flown: tuple[tuple[int, int], ...] = ()  # how many of them flew, and how many there were, in the last BUSY frames
    stripes: tuple[Lines, ...] = ()  # of the next frame and the last AGES ones, the newest first


@dataclass(frozen=True, eq=False)
class Mended:
    """A frame without its dust."""

    picture: Picture
    specks: Mask  # what was replaced from the frames around
    lines: Lines  # columns of the scratches that were evened out


def mend(
    frame: Picture, after: Picture | None, state: DustState, find: FindFlow, *, sensitivity: float
) -> tuple[Mended, DustState]:
    """One frame without its dust.

    The result depends on the frames from AGES + 1 before to one after alone. The first and the last frame of a shot
    keep their specks, for they have one neighbour only; not their scratches.

    Args:
        frame: (H, W, 3) RGB or (H, W, 1) luma, float32 in [0, 1].
        after: The frame after it; None at the end of a shot.
        state: What the call for the frame before it returned.
        find: Motion between two frames.
        sensitivity: In [0, 1]; 0.5 takes what is more likely dust than not.

    Returns:
        The frame and what was done, and the state after it.
    """
    grey = grey_of(frame)
    now, *earlier = state.stripes or (stripes(grey, sensitivity),)
    coming = None if after is None else stripes(grey_of(after), sensitivity)
    remembered = (coming or (), now, *earlier[: AGES - 1])
    mask = np.zeros(grey.shape, bool)
    if state.previous is None or after is None:
        other = after if state.previous is None else state.previous
        moved = np.zeros((2, *grey.shape), np.float32) if other is None or not now else find(frame, other)
        picture, state = frame, DustState(frame, stripes=remembered)
    else:
        neighbour, later = neighbours(frame, state.previous, after, find)
        mask, state = _specks(grey, frame, neighbour, later, state, remembered, sensitivity)
        picture = _filled(frame, mask, neighbour, later) if mask.any() else frame
        moved = neighbour.flow
    lines = scratches(grey, now, earlier, coming, moved)
    return Mended(without_lines(picture, lines) if lines else picture, mask, lines), state


def _specks(
    grey: Plane,
    frame: Picture,
    before: Neighbour,
    after: Neighbour,
    state: DustState,
    remembered: tuple[Lines, ...],
    sensitivity: float,
) -> tuple[Mask, DustState]:
    """Where the specks of the frame are, and the state after it."""
    moved = tuple(remapped(plane, before.flow, cv2.INTER_NEAREST) for plane in state.moved)
    difference = differences(grey, before, after)
    # Where the neighbours differ all around, the motion could not be followed.
    followed = _alike(before.grey - after.grey)
    difference = difference * followed
    specks = candidates(grey, difference, before, after)
    like = scores(specks, sensitivity) > 0
    now = np.where(_marked(specks, like), difference, np.float32(0))
    good, flying = _dust(specks, like, grey, difference, state.seen, moved, before, after)
    flown = ((flying, int(like.sum())), *state.flown)
    some, of = (sum(counts) for counts in zip(*flown, strict=True))
    good &= some < max(FEW, FLOCK * of)
    mask = _grown(_marked(specks, good), difference)
    # A frame that is unlike both (a strobe, a flash) as a whole has nothing in common with what would be put into it.
    known = _alike(np.minimum(np.abs(grey - before.grey), np.abs(grey - after.grey)))
    if mask.mean() > CROWD or min(followed.mean(), known.mean()) <= MOST:
        mask = np.zeros(grey.shape, bool)
    seen, along = (now, *state.seen[: AGES - 1]), (now, *moved[: AGES - 1])
    return mask, DustState(frame, seen, along, flown[:BUSY], remembered)


def _alike(difference: Plane) -> Mask:
    """Where there is little difference all around."""
    mask: Mask = cv2.blur(np.minimum(np.abs(difference), 4 * STEP), (NEAR, NEAR)) < LOST
    return mask


def specks_in(mask: Mask) -> int:
    """How many separate specks a mask shows."""
    return cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)[0] - 1


def _marked(specks: Specks, chosen: NDArray[np.bool_]) -> Mask:
    mask: Mask = np.concatenate([[False], chosen])[specks.labels]
    return mask


def _dust(
    specks: Specks,
    like: NDArray[np.bool_],
    grey: Plane,
    difference: Plane,
    seen: Sequence[Plane],
    moved: Sequence[Plane],
    before: Neighbour,
    after: Neighbour,
) -> tuple[NDArray[np.bool_], int]:
    """Which of those that are like dust do not come again, blink or fly; and how many fly."""
    good = like.copy()
    busy = [cv2.dilate((plane != 0).astype(np.uint8), np.ones((NEAR, NEAR), np.uint8)) for plane in seen[:BUSY]]
    often = np.minimum.reduce(busy) > 0 if len(busy) == BUSY else np.zeros(grey.shape, bool)
    flying = 0
    others = (before.grey, after.grey), (before.still, after.still)
    pairs = [(one - grey, two - grey) for one, two in others]
    changes = [(other, (other - grey) ** 2) for pair in others for other in pair]
    for i in np.flatnonzero(like):
        x, y, width, height = (int(value) for value in specks.boxes[i])
        box = slice(y, y + height), slice(x, x + width)
        place = specks.labels[box] == i + 1
        grown = _cut(difference, y - MARGIN, x - MARGIN, height + 2 * MARGIN, width + 2 * MARGIN) * cv2.dilate(
            np.pad(place.astype(np.uint8), MARGIN), np.ones((3, 3), np.uint8)
        )
        earlier = [old[box] for old in (*seen, *moved)]
        good[i] = not often[box][place].any() and not _blinks(difference[box] * place, earlier)
        # On one side is enough: it may turn, or be outside of the picture or before something like it in the other.
        good[i] = good[i] and not any(_shows(grey, other, change, place, x, y) for other, change in changes)
        if any(_flies(grown, *pair, x - MARGIN, y - MARGIN) for pair in pairs):
            good[i] = False
            flying += 1
    return good, flying


def _blinks(thing: Plane, seen: Sequence[Plane]) -> bool:
    """Whether a remembered frame showed the same in the same place."""
    own = float((thing * thing).sum())
    return any(float((thing * old).sum()) > AGAIN * own for old in seen)


def _shows(grey: Plane, other: Plane, change: Plane, place: Mask, x: int, y: int) -> bool:
    """Whether a frame beside shows elsewhere a thing like the one at x, y, in brightness and size, and not this one.

    `change`: the square of how the two frames differ.
    """
    rows, columns = place.shape
    box = slice(y, y + rows), slice(x, x + columns)
    inside = place.astype(np.float32)
    around = cv2.dilate(np.pad(inside, MARGIN), np.ones((2 * MARGIN + 1, 2 * MARGIN + 1), np.uint8))
    part = _cut(other, y - REACH, x - REACH, rows + 2 * REACH, columns + 2 * REACH)
    away = cv2.matchTemplate(part, grey[box], cv2.TM_SQDIFF, mask=inside)
    reach = REACH + MARGIN
    part = _cut(change, y - reach, x - reach, rows + 2 * reach, columns + 2 * reach)
    whole = cv2.matchTemplate(part, around, cv2.TM_CCORR)
    new = cv2.matchTemplate(part[MARGIN:-MARGIN, MARGIN:-MARGIN], inside, cv2.TM_CCORR)
    own = float((change[box] * inside).sum())
    return bool(((away < ALIKE * own) & (new > NEW * own) & (whole < SIZE * new)).any())


def _flies(thing: Plane, before: Plane, after: Plane, x: int, y: int) -> bool:
    """Whether the thing at x, y lies on one side in the frame before and on the other in the frame after.

    `before` and `after` are what those frames have and this one has not.
    """
    rows, columns = thing.shape
    reach = REACH + 2 * max(rows, columns)
    own = float((thing * thing).sum())
    found = []
    for other in (before, after):
        part = _cut(other, y - reach, x - reach, rows + 2 * reach, columns + 2 * reach)
        away = cv2.matchTemplate(part, thing, cv2.TM_SQDIFF)
        found.append(cv2.erode(away, np.ones((STRAIGHT, STRAIGHT), np.uint8)))
    return bool((np.maximum(found[0], found[1][::-1, ::-1]) < UNLIKE * own).any())


def _cut(plane: Plane, top: int, left: int, height: int, width: int) -> Plane:
    """A part of a plane, which may go beyond it: there it is 0."""
    part = np.zeros((height, width), np.float32)
    rows, columns = plane.shape
    first, last = max(top, 0), min(top + height, rows)
    begin, end = max(left, 0), min(left + width, columns)
    part[first - top : last - top, begin - left : end - left] = plane[first:last, begin:end]
    return part


def _grown(mask: Mask, difference: Plane) -> Mask:
    """The specks with their soft edges: one pixel around, and one more where the difference goes on."""
    square = np.ones((3, 3), np.uint8)
    near = cv2.dilate(mask.astype(np.uint8), square)
    edge = cv2.dilate(near, square) & (np.abs(difference) > LEAST / 2)
    return (near | edge).astype(bool)


def _filled(frame: Picture, mask: Mask, before: Neighbour, after: Neighbour) -> Picture:
    """The frame with the masked places taken from the mean of its neighbours where they agree, else from around."""
    mean = ((before.picture + after.picture) / 2).clip(0, 1)
    agree = cv2.blur(np.abs(before.grey - after.grey), (5, 5)) < 2 * STEP
    result = np.where((mask & agree)[..., None], mean, frame)
    rest = mask & ~agree
    if rest.any():
        codes = (255 * result).round().astype(np.uint8)
        whole = cv2.inpaint(codes, rest.astype(np.uint8), 3, cv2.INPAINT_TELEA).reshape(frame.shape)
        result = np.where(rest[..., None], whole.astype(np.float32) / 255, result)
    return result
