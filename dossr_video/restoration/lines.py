"""Line scratches: thin upright lines over the whole height that stay in their place while the picture moves.

Found by the statistics of columns after Kokaram and after Joyeux and others (2001): a column stands out to one side in
nearly all bands of rows. Unlike a bar, a scratch lets the picture through, and does not move with it.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from dossr_video.restoration.specks import Flow, Picture, Plane

BANDS = 12  # of rows
SIDE = 3  # pixels from a line to what is beside it
WIDE = 2  # pixels on either side of its middle that a line may cover
CONTRAST = 2.5 / 255  # least, at a sensitivity of 0.5
SHARE = 0.65  # of the bands must show it
EVEN = 0.6  # of its contrast that this may change by from band to band
STAYS = 2.0  # pixels that a line may move from frame to frame
KNOWN = 2  # of the frames around must show it too
THROUGH = 0.5  # of the change along a column beside it that a scratch must show
TELLS = 0.3  # slope of a column against what is beside it below which nothing can be told of a line there
MOVES = 0.75  # pixels a frame from which the motion of the picture tells
MOST = 12  # lines in a frame; more are a fence
FAINT = 0.3  # of the contrast of the line; a column with less is none of it
ALIKE = 0.5  # of the height, over which the contrast of a line is taken to be alike

Lines = tuple[int, ...]  # columns


def stripes(grey: Plane, sensitivity: float) -> Lines:
    """Columns of one frame that stand out along the height."""
    height, width = grey.shape
    if height < 2 * BANDS or width < 8 * SIDE:
        return ()
    bands = np.stack([band.mean(0) for band in np.array_split(grey, BANDS)])
    padded = np.pad(bands, ((0, 0), (SIDE, SIDE)), mode="edge")
    left, right = bands - padded[:, : -2 * SIDE], bands - padded[:, 2 * SIDE :]
    # Nearer to both sides than this is a step, or nothing.
    out = np.maximum(np.minimum(left, right), 0) - np.maximum(np.minimum(-left, -right), 0)
    contrast = np.median(out, 0)
    shows = (np.sign(out) == np.sign(contrast)).mean(0)
    strength = np.abs(contrast)
    even = np.median(np.abs(out - contrast), 0) < EVEN * strength
    top = strength >= cv2.dilate(strength[None].astype(np.float32), np.ones((1, 2 * SIDE + 1), np.uint8))[0]
    inside = np.arange(width)
    known = (inside >= 2 * SIDE) & (inside < width - 2 * SIDE)
    strong = strength > CONTRAST * 2 ** (1 - 2 * sensitivity)
    found = np.flatnonzero(top & strong & even & (shows >= SHARE) & known)
    return tuple(int(x) for x in found)


def scratches(grey: Plane, now: Lines, before: Sequence[Lines], after: Lines | None, flow: Flow) -> Lines:
    """Those of `now` that are scratches.

    Args:
        grey: The frame's luma.
        now: Its `stripes`.
        before: Those of the frames before it, the newest first.
        after: Those of the frame after it; None at the end of a shot.
        flow: (2, H, W): to the frame before it, or at a shot's start to the one after it.
    """
    good: list[int] = []
    around = [*before, *([] if after is None else [after])]
    for x in now if around else ():
        known = sum(any(abs(x - other) <= STAYS for other in lines) for lines in around)
        if known >= min(KNOWN, len(around)) and _lets_through(grey, x) and not _goes_along(x, around[0], flow):
            good.append(x)
    return tuple(good) if len(good) <= MOST else ()


def without_lines(frame: Picture, lines: Lines) -> Picture:
    """The frame with its lines evened out to both sides; what shows through them is kept."""
    picture = frame.copy()
    rows = int(ALIKE * len(picture)) // 2 * 2 + 1
    share = np.linspace(0, 1, 2 * WIDE + 3, dtype=np.float32)[1:-1, None]
    for x in lines:
        place = slice(x - WIDE, x + WIDE + 1)
        sides = picture[:, [x - WIDE - 1]] * (1 - share) + picture[:, [x + WIDE + 1]] * share
        over = picture[:, place] - sides
        profile = np.abs(over.mean((0, 2)))  # what is beside the line has no such contrast
        over[:, profile < FAINT * profile.max()] = 0
        picture[:, place] -= cv2.blur(over, (1, rows), borderType=cv2.BORDER_REFLECT).reshape(over.shape)
    return picture.clip(0, 1)


def _lets_through(grey: Plane, x: int) -> bool:
    """Whether the column changes along the height as what is beside it does."""
    there, left, right = (_slope(grey, place) for place in (x, x - SIDE, x + SIDE))
    usual = max(left, right)
    return usual > TELLS and there > THROUGH * usual


def _slope(grey: Plane, x: int) -> float:
    """Of a column against the mean of those beside it."""
    beside = (grey[:, x - SIDE] + grey[:, x + SIDE]) / 2
    beside = beside - beside.mean()
    return float((grey[:, x] * beside).sum() / ((beside * beside).sum() + 1e-9))


def _goes_along(x: int, other: Lines, flow: Flow) -> bool:
    """Whether the picture around moves, and the line with it."""
    left, right = max(x - 8 * SIDE, 0), x + 8 * SIDE
    motion = float(np.median(flow[0, :, left:right]))
    if abs(motion) < MOVES or not other:
        return False
    return min(abs(line - x - motion) for line in other) < min(abs(line - x) for line in other)
