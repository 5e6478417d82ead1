"""Specks: what one frame has and neither neighbour shows along the motion.

Rank-ordered differences and the spike detection index after Kokaram (Motion Picture Restoration, 1998) give the
candidates; what a speck is like, against what moves, is weighed by a logistic regression. In numpy, so that `probe`
need not wait for torch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from dossr_video.frames import LUMA

Picture = NDArray[np.float32]  # (H, W, 3) RGB or (H, W, 1) luma, in [0, 1]
Flow = NDArray[np.float32]  # (2, H, W), x and y in pixels
FindFlow = Callable[[Picture, Picture], Flow]  # what the first shows at p, the second shows at p + flow
Plane = NDArray[np.float32]  # (H, W), in [0, 1]
Mask = NDArray[np.bool_]  # (H, W)

STEP = 9 / 255  # least difference of a speck at a sensitivity of 0.5
NOISE = 3.0  # times the mean difference around it that a speck's must exceed
LEAST = 6 / 255  # that a pixel of a speck must differ
CORE = 1 / 255  # that one of its pixels must lie outside of the range of the 3 x 3 pixels there in both neighbours
NEAR = 17  # pixels a side of what is around
LIGHT = 33  # pixels a side over which an exposure is evened out
SPREAD = 6  # pixels that a speck pulls the flow with it
LARGEST = 0.004  # of the picture that one speck may cover; a ball is larger
WHOLE = 0.5  # of what differs in one piece that a speck must be; less is a part of a thing that moves
TINY = 1 / 255

# Of the traits in `Specks.traits`, for which the sum must exceed 0 at a sensitivity of 0.5.
WEIGHTS = (2.75, 2.4, 2.1, -5.2, -3.0, -1.05)
BIAS = -12.2
SPAN = 8.0  # what a sensitivity of 1 adds over one of 0


@dataclass(frozen=True, eq=False)
class Neighbour:
    """A frame beside this one."""

    picture: Picture  # moved onto this frame and in its exposure
    flow: Flow  # to it
    still: Plane  # its luma in this frame's exposure, not moved
    found: Plane  # the same, moved as the flow was found
    grey: Plane  # the same, moved as `picture` is: past what may be a speck
    rough: Plane  # deviation of the motion around each pixel, pixels


@dataclass(frozen=True, eq=False)
class Specks:
    """Connected places of one frame that differ from both neighbours alike."""

    labels: NDArray[np.int32]  # (H, W); 0: none
    boxes: NDArray[np.int32]  # (N, 4): left, top, width, height
    traits: NDArray[np.float64]  # (N, 6): logarithms of area, difference, spike, unrest around, length and roughness


def neighbours(frame: Picture, before: Picture, after: Picture, find: FindFlow) -> tuple[Neighbour, Neighbour]:
    """Both, along the motion; where something may be a speck, along the motion around it."""
    others = (before, after)
    flows = [find(frame, other) for other in others]
    grey = grey_of(frame)
    found = [grey_of(_moved(frame, other, moved)) for other, moved in zip(others, flows, strict=True)]
    differs = np.minimum(*(np.abs(grey - other) for other in found))
    doubtful = cv2.morphologyEx((differs > limit(differs)).astype(np.uint8), cv2.MORPH_CLOSE, _square(5))
    doubtful = cv2.dilate(doubtful, _square(9))
    sure = (1 - doubtful).astype(np.float32)
    share = cv2.GaussianBlur(sure, (0, 0), SPREAD) + 1e-4
    result = []
    for other, moved, first in zip(others, flows, found, strict=True):
        past = [np.where(doubtful, cv2.GaussianBlur(part * sure, (0, 0), SPREAD) / share, part) for part in moved]
        along = np.stack(past)
        picture = _moved(frame, other, along)
        still = grey_of(other)
        still = still + np.median((grey - still)[::4, ::4])
        result.append(Neighbour(picture, along, still, first, grey_of(picture), _rough(along)))
    return result[0], result[1]


def _moved(frame: Picture, other: Picture, flow: Flow) -> Picture:
    """`other` moved onto `frame` along `flow`, at its exposure."""
    picture = remapped(other, flow, cv2.INTER_CUBIC)
    difference = frame - picture
    # Its exposure, from small differences alone: a speck is none.
    middle = np.median(difference[::4, ::4].reshape(-1, frame.shape[2]), axis=0).astype(np.float32)
    light = cv2.blur((difference - middle).clip(-STEP, STEP), (LIGHT, LIGHT)).reshape(frame.shape) + middle
    result: Picture = picture + light
    return result


def remapped(image: NDArray[np.float32], flow: Flow, how: int) -> NDArray[np.float32]:
    """A picture or plane sampled at p + flow; its edges go on."""
    height, width = image.shape[:2]
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    moved = cv2.remap(image, columns + flow[0], rows + flow[1], how, borderMode=cv2.BORDER_REPLICATE)
    return moved.reshape(image.shape)


def grey_of(picture: Picture) -> Plane:
    """Luma."""
    if picture.shape[2] == 1:
        return picture[..., 0]
    grey: Plane = picture @ np.array(LUMA, np.float32)
    return grey


def limit(differs: Plane) -> Plane:
    """What a difference must exceed where such differences are around."""
    noise = cv2.blur(np.minimum(differs, 2 * STEP), (NEAR, NEAR))
    over: Plane = STEP + np.float32(NOISE) * noise
    return over


def differences(grey: Plane, before: Neighbour, after: Neighbour) -> Plane:
    """How far each pixel lies above (or below: negative) both neighbours, however they are moved.

    A speck differs from them whether they stand still, are moved as the flow was found, or as things around move; what
    is not followed in one way, such as a stroke on an even ground, often is in another.
    """
    ways = [(getattr(before, way), getattr(after, way)) for way in ("still", "found", "grey")]
    above = np.minimum.reduce([grey - other for pair in ways for other in pair])
    below = np.minimum.reduce([other - grey for pair in ways for other in pair])
    return np.maximum(above, 0) - np.maximum(below, 0)


def spikes(grey: Plane, before: Neighbour, after: Neighbour) -> Plane:
    """How far each pixel lies above (or below: negative) the range of the 3 x 3 pixels there in both neighbours."""
    square = _square(3)
    above = grey - np.maximum(*(cv2.dilate(other.grey, square) for other in (before, after)))
    below = np.minimum(*(cv2.erode(other.grey, square) for other in (before, after))) - grey
    return np.maximum(above, 0) - np.maximum(below, 0)


def candidates(grey: Plane, difference: Plane, before: Neighbour, after: Neighbour) -> Specks:
    """Every connected place of one sign, with its traits; `difference` as from `differences`."""
    spike = spikes(grey, before, after)
    over = np.maximum(limit(np.abs(difference)) / 2, np.float32(LEAST))
    labels, stats = _components(difference, over)
    count = len(stats)
    seeds = np.unique(labels[np.abs(spike) > CORE])
    area = np.maximum(stats[:, cv2.CC_STAT_AREA], 1)
    nearer = np.minimum(np.abs(grey - before.grey), np.abs(grey - after.grey))
    whole, pieces = _pieces(nearer > limit(np.abs(difference)))
    largest = np.zeros(count)
    np.maximum.at(largest, labels.ravel(), pieces[whole].ravel())
    good = np.zeros(count, bool)
    good[seeds] = True
    good &= (area < LARGEST * labels.size) & (area >= WHOLE * largest)
    good[0] = False
    labels = np.where(good, np.cumsum(good), 0).astype(np.int32)[labels]
    stats, area = stats[good], area[good].astype(np.float64)
    rough = np.maximum(before.rough, after.rough)
    inside = labels.ravel()

    def mean(plane: Plane) -> NDArray[np.float64]:
        return np.bincount(inside, plane.ravel(), len(area) + 1)[1:] / area

    traits = np.stack(
        [
            np.log(area),
            np.log(mean(np.abs(difference)) + TINY),
            np.log(mean(np.abs(spike)) + TINY),
            np.log(mean(_unrest(grey, before, after)) + TINY),
            np.log(_length(labels, len(area))),
            np.log(mean(rough) + 0.1),
        ],
        1,
    )
    return Specks(labels, stats[:, :4], traits)


def _components(difference: Plane, over: Plane) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Labels and statistics of what lies above and below; those of label 0 mean nothing."""
    parts = [
        cv2.connectedComponentsWithStats((sign * difference > over).astype(np.uint8), connectivity=8)
        for sign in (1, -1)
    ]
    (count, above, stats, _), (_, below, others, _) = parts
    labels = np.where(below > 0, below + count - 1, above).astype(np.int32)
    return labels, np.concatenate([stats, others[1:]])


def _pieces(mask: Mask) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """Labels of the connected places of a mask, and the area of each; 0 for what is not in it."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    area = stats[:, cv2.CC_STAT_AREA].astype(np.float64)
    area[0] = 0
    return labels.astype(np.int32), area


def _unrest(grey: Plane, before: Neighbour, after: Neighbour) -> Plane:
    """How far the pixels around each are from the nearer of both neighbours."""
    nearer = np.minimum(np.abs(grey - before.grey), np.abs(grey - after.grey))
    unrest: Plane = cv2.blur(np.minimum(nearer, 2 * STEP), (NEAR, NEAR))
    return unrest


def _length(labels: NDArray[np.int32], count: int) -> NDArray[np.float64]:
    """Ratio of the longer axis of each place to the shorter one."""
    rows, columns = np.nonzero(labels)
    where = labels[rows, columns]
    x, y = columns.astype(np.float64), rows.astype(np.float64)
    number = np.maximum(np.bincount(where, minlength=count + 1), 1)

    def mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.bincount(where, values, count + 1) / number

    # A pixel is a square with a variance of 1/12.
    across = mean(x * x) - mean(x) ** 2 + 1 / 12
    down = mean(y * y) - mean(y) ** 2 + 1 / 12
    both = mean(x * y) - mean(x) * mean(y)
    half, spread = (across + down) / 2, np.sqrt(((across - down) / 2) ** 2 + both**2)
    ratio: NDArray[np.float64] = np.sqrt((half + spread) / np.maximum(half - spread, 1 / 12))[1:]
    return ratio


def scores(specks: Specks, sensitivity: float) -> NDArray[np.float64]:
    """Above 0: like dust."""
    found: NDArray[np.float64] = specks.traits @ np.array(WEIGHTS) + BIAS + SPAN * (sensitivity - 0.5)
    return found


def _rough(flow: Flow) -> Plane:
    """How far the motion (2, H, W) around each pixel is from its mean there."""
    spread = [cv2.blur(part * part, (LIGHT, LIGHT)) - cv2.blur(part, (LIGHT, LIGHT)) ** 2 for part in flow]
    rough: Plane = np.sqrt(np.maximum(spread[0] + spread[1], 0))
    return rough


def _square(side: int) -> NDArray[np.uint8]:
    return np.ones((side, side), np.uint8)
