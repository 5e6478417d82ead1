"""Dust and specks: what one frame has and neither neighbour shows along the motion, found and replaced from them.

Spike detection after Kokaram (Motion Picture Restoration, 1998): a speck lies outside the range of both neighbours
(rank-ordered difference), by more than the noise there. What moves, flickers or cannot be followed is no dust.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dossr_video.temporal.flow import FlowEstimator, luma, warp

Plane = NDArray[np.float32]  # (H, W), in [0, 1]
Mask = NDArray[np.bool_]  # (H, W)

STEP = 9 / 255  # least difference of a speck at a sensitivity of 0.5
NOISE = 3.0  # times the mean difference around it that a speck's must exceed
NEAR = 17  # pixels a side of what is around
LIGHT = 33  # pixels a side over which an exposure is evened out
SPREAD = 6  # pixels that a speck pulls the flow with it
LARGEST = 0.004  # of the picture that one speck may cover
CROWD = 0.03  # of the picture; more, and the flow has failed
REACH = 20  # pixels that a thing may move from frame to frame
ALIKE = 0.8  # correlation with what lies along a straight path: a thing that flies
SAME = 0.6  # of its contrast that it must have there
ACTIVE = 0.02  # of the pixels around that spiked in the frames before: water, fire, rain, a lamp
LOST = 1.5 * STEP  # difference of the neighbours all around a place that says that its motion was not found
ROUGH = 2.0  # pixels that the motion around a place may deviate: limbs that swing uncover what one frame shows
SMALL = 60  # pixels of a speck that may lie there all the same
MOST = 0.6  # of the picture must be followed, or nothing is dust
FORGET = 0.6  # of that activity is left after a frame


@dataclass(frozen=True, eq=False)
class DustState:
    """What a chunk leaves to the next of its shot; the default begins a shot."""

    previous: Tensor | None = None  # the last frame (3, H, W), mended
    activity: Plane | None = None  # share of the pixels around each that spiked lately


@dataclass(frozen=True, eq=False)
class Aligned:
    """A neighbour moved onto the frame, in the frame's exposure."""

    picture: Tensor  # (3, H, W)
    grey: Plane
    rough: Plane  # deviation of the motion around each pixel, pixels


def mend(
    frame: Tensor, after: Tensor | None, state: DustState, flow: FlowEstimator, *, sensitivity: float
) -> tuple[Tensor, Mask, DustState]:
    """One frame without its dust.

    Args:
        frame: (3, H, W) in [0, 1].
        after: The frame after it; None at the end of a shot, whose last frame stays as it is, like the first.
        state: What the call for the frame before it returned.
        flow: Motion between two frames.
        sensitivity: In [0, 1]; 0.5 finds what differs by STEP.

    Returns:
        The frame, what was replaced in it, and the state after it.
    """
    nothing = np.zeros(frame.shape[-2:], bool)
    if state.previous is None or after is None:
        return frame, nothing, DustState(frame, state.activity)
    before_to, after_to = _aligned(frame, state.previous, after, flow, sensitivity)
    spikes, differences = _spikes(frame, before_to, after_to), _differences(frame, before_to, after_to)
    limit = _limit(np.abs(differences), sensitivity)
    around = cv2.blur((np.abs(spikes) > limit).astype(np.float32), (NEAR, NEAR))
    activity = around if state.activity is None else np.maximum(around, FORGET * state.activity)
    if state.activity is not None:
        spikes = np.where(state.activity > ACTIVE, np.float32(0), spikes)
    # Where the neighbours differ all around, the motion could not be followed.
    followed = cv2.blur(np.minimum(np.abs(before_to.grey - after_to.grey), 4 * STEP), (NEAR, NEAR)) < LOST
    rough = np.maximum(before_to.rough, after_to.rough)
    spikes, differences = spikes * followed, differences * followed
    grey, *others = (luma(picture[None])[0, 0].numpy() for picture in (frame, state.previous, after))
    pairs = ((before_to.grey, after_to.grey), (others[0], others[1]))
    mask = nothing
    for sign in (1, -1) if followed.mean() > MOST else ():
        mask = mask | _specks(sign * spikes, sign * differences, limit, rough, grey, pairs)
    mask = cv2.dilate(mask.astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    if mask.mean() > CROWD:
        mask = nothing
    result = _filled(frame, mask, before_to, after_to) if mask.any() else frame
    return result, mask, DustState(result, activity)


def specks_in(mask: Mask) -> int:
    """How many separate specks a mask shows."""
    return cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)[0] - 1


def _aligned(
    frame: Tensor, before: Tensor, after: Tensor, flow: FlowEstimator, sensitivity: float
) -> tuple[Aligned, Aligned]:
    """Both neighbours along the motion; where something may be a speck, along the motion around it."""
    flows = [flow(frame[None], other[None]).cpu() for other in (before, after)]
    first = [_moved(frame, other, moved) for other, moved in zip((before, after), flows, strict=True)]
    grey = luma(frame[None])[0, 0].numpy()
    differs = np.minimum(np.abs(grey - first[0].grey), np.abs(grey - first[1].grey))
    doubtful = (differs > _limit(differs, sensitivity)).astype(np.uint8)
    doubtful = cv2.dilate(
        cv2.morphologyEx(doubtful, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8)), np.ones((9, 9), np.uint8)
    )
    sure = (1 - doubtful).astype(np.float32)
    share = cv2.GaussianBlur(sure, (0, 0), SPREAD) + 1e-4
    for moved in flows:
        for part in moved[0].numpy():
            part[:] = np.where(doubtful, cv2.GaussianBlur(part * sure, (0, 0), SPREAD) / share, part)
    one, two = (_moved(frame, other, moved) for other, moved in zip((before, after), flows, strict=True))
    return one, two


def _moved(frame: Tensor, other: Tensor, flow: Tensor) -> Aligned:
    picture = warp(other[None], flow)[0]
    difference = (frame - picture).numpy().transpose(1, 2, 0)
    # Its exposure, from small differences alone: a speck is none.
    middle = np.median(difference[::4, ::4].reshape(-1, 3), axis=0).astype(np.float32)
    light = cv2.blur((difference - middle).clip(-STEP, STEP), (LIGHT, LIGHT)) + middle
    picture = picture + torch.from_numpy(light.transpose(2, 0, 1))
    return Aligned(picture, luma(picture[None])[0, 0].numpy(), _rough(flow[0].numpy()))


def _rough(flow: NDArray[np.float32]) -> Plane:
    """How far the motion (2, H, W) around each pixel is from its mean there."""
    spread = [cv2.blur(part * part, (LIGHT, LIGHT)) - cv2.blur(part, (LIGHT, LIGHT)) ** 2 for part in flow]
    rough: Plane = np.sqrt(np.maximum(spread[0] + spread[1], 0))
    return rough


def _limit(differs: Plane, sensitivity: float) -> Plane:
    noise = cv2.blur(np.minimum(differs, 2 * STEP), (NEAR, NEAR))
    limit: Plane = (STEP + NOISE * noise) * np.float32(1.5 - sensitivity)
    return limit


def _spikes(frame: Tensor, before: Aligned, after: Aligned) -> Plane:
    """How far each pixel lies above (or below: negative) the range of the 3 x 3 pixels there in both neighbours."""
    grey = luma(frame[None])[0, 0].numpy()
    square = np.ones((3, 3), np.uint8)
    above = grey - np.maximum(cv2.dilate(before.grey, square), cv2.dilate(after.grey, square))
    below = np.minimum(cv2.erode(before.grey, square), cv2.erode(after.grey, square)) - grey
    return np.maximum(above, 0) - np.maximum(below, 0)


def _differences(frame: Tensor, before: Aligned, after: Aligned) -> Plane:
    """How far each pixel lies above (or below: negative) both neighbours."""
    grey = luma(frame[None])[0, 0].numpy()
    above = np.minimum(grey - before.grey, grey - after.grey)
    below = np.minimum(before.grey - grey, after.grey - grey)
    return np.maximum(above, 0) - np.maximum(below, 0)


def _specks(
    spikes: Plane,
    differences: Plane,
    limit: Plane,
    rough: Plane,
    grey: Plane,
    pairs: Sequence[tuple[Plane, Plane]],
) -> Mask:
    """Connected spikes of one sign that pass for dust; `pairs`: the frames around, aligned and as they are."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(
        (differences > limit / 2).astype(np.uint8), connectivity=8
    )
    flat = labels.ravel()
    area = np.maximum(stats[:, cv2.CC_STAT_AREA], 1)
    peak = np.zeros(count, bool)
    peak[np.unique(labels[spikes > limit])] = True
    contrast = np.bincount(flat, differences.ravel(), count) / area
    apart = np.bincount(flat, np.abs(pairs[0][0] - pairs[0][1]).ravel(), count) / area
    good = peak & (apart < 0.6 * contrast) & (area < LARGEST * limit.size)
    good &= (area < SMALL) | (np.bincount(flat, rough.ravel(), count) / area < ROUGH)
    good[0] = False
    for label in np.flatnonzero(good):
        x, y, width, height = (int(value) for value in stats[label, :4])
        good[label] = not any(_flies(grey, *pair, x, y, width, height) for pair in pairs)
    mask: Mask = good[labels]
    return mask


def _flies(grey: Plane, before: Plane, after: Plane, x: int, y: int, width: int, height: int) -> bool:
    """Whether the same thing lies on one side in the frame before and on the other in the frame after."""
    rows, columns = grey.shape
    left, top, right, bottom = max(x - 2, 0), max(y - 2, 0), min(x + width + 2, columns), min(y + height + 2, rows)
    thing = grey[top:bottom, left:right]
    reach = REACH + max(width, height)
    own = float(thing.size * thing.var()) + 1e-9
    found = []
    for other in (before, after):
        around = cv2.copyMakeBorder(other, reach, reach, reach, reach, cv2.BORDER_REPLICATE)
        part = around[top : bottom + 2 * reach, left : right + 2 * reach]
        alike = cv2.matchTemplate(part, thing, cv2.TM_CCOEFF_NORMED)
        shared = cv2.matchTemplate(part, thing, cv2.TM_CCOEFF) / own
        alike[(shared < SAME) | (shared > 1 / SAME)] = 0
        found.append(cv2.dilate(alike, np.ones((5, 5), np.uint8)))
    return bool((np.minimum(found[0], found[1][::-1, ::-1]) > ALIKE).any())


def _filled(frame: Tensor, mask: Mask, before: Aligned, after: Aligned) -> Tensor:
    """The frame with the masked places taken from the mean of its neighbours where they agree, else from around."""
    mean = ((before.picture + after.picture) / 2).clamp(0, 1)
    agree = cv2.blur(np.abs(before.grey - after.grey), (5, 5)) < 2 * STEP
    result = torch.where(torch.from_numpy(mask & agree), mean, frame)
    rest = mask & ~agree
    if rest.any():
        whole = cv2.inpaint(
            result.mul(255).round().byte().permute(1, 2, 0).contiguous().numpy(),
            rest.astype(np.uint8),
            3,
            cv2.INPAINT_TELEA,
        )
        result = torch.where(torch.from_numpy(rest), torch.from_numpy(whole).permute(2, 0, 1).float() / 255, result)
    return result
