"""Whether the pictures of a result show what the source's show: place, order, colour and structure, frame by frame.

Both sides are looked at as small pictures (`Frame.small`), made alike. A restoring model changes detail and removes
noise; it does not move, mirror, exchange or flatten pictures. So each check asks whether another explanation fits the
result better than the frame that belongs there, and refuses only then. Limits of degree warn.
"""

from __future__ import annotations

from array import array
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from dossr_video.video.info import VideoInfo
from dossr_video.video.mux.check import Check

Small = NDArray[np.float32]  # (H, W, C), 0 ... 255: red, green, blue and perhaps opacity

SMALL = 40, 24  # columns and lines
LAGS = (-8, -1, 1, 8)  # frames: neighbours, and those that are told apart where things move slowly
EXCHANGED = 0.75  # of the way to another frame; denoised noise comes halfway, blending stays below that
RECENT = 250  # frames that are searched for one that is far from what belongs there
MOVED = 1.4  # of 255: difference to the other frame from which the two can be told apart
CONTRAST = 4.0  # of 255: deviation of a coarse picture; flatter ones have no structure to speak of
GAIN = 0.5  # of the source's light and dark areas in the result's; 0.92 ... 1.06 is usual, 0.6 seen after a flash
FLAT = 0.25  # of the source's contrast
TURNED = 0.6  # of the difference as it is, where the picture turned over fits the better; 1.3 and up is usual
SHIFT = 1.0, 1.75  # pixels of the source: of all frames, of one; 0.3 and less is usual, 0.8 in slow soft pictures
SLOPE = 0.5  # of 255, from one value of a small picture to the next: less is what rounding to whole codes leaves
EXPLAINED = 0.1, 0.3  # of the difference, by a shift, by another frame
MEAN = 6.0, 20.0  # of 255: warned and refused, mean colour of all frames; up to 2.3 is usual, 10 for neon signs
SINGLE = 6.0, 14.0  # of 255: the same of one frame against those around it; up to 2 is usual
AROUND = 4  # frames on each side of it


def small_size(source: VideoInfo) -> tuple[int, int]:
    """Columns and lines of the small pictures: enough to see where things are, each the mean of 16 pixels or more."""
    return min(SMALL[0], -(-source.width // 4)), min(SMALL[1], -(-source.height // 4))


@dataclass
class _Worst:
    """The frame that is farthest from what is expected."""

    value: float = 0.0
    frame: int = -1

    def take(self, value: float, frame: int) -> None:
        if value > self.value:
            self.value, self.frame = value, frame


@dataclass(frozen=True)
class _Normal:
    """A frame of both without its level and contrast, which --deflicker may change."""

    before: Small
    after: Small
    contrast: float  # of the source's
    apart: float  # deviation of the one from the other, of 255


class Likeness:
    """Takes the small pictures of source and result, frame by frame; then `checks` says what was found."""

    def __init__(self, source: VideoInfo, *, deflicker: bool = False) -> None:
        """`deflicker`: the light of single frames was changed on purpose."""
        width, height = small_size(source)
        self._pixels = np.array((source.width / width, source.height / height))  # in one value of a small picture
        self._deflicker = deflicker
        self._levels = array("f")  # mean difference of each channel, frame by frame
        self._channels = 3
        self._recent: deque[_Normal] = deque(maxlen=RECENT)
        self._count = 0
        self._turned, self._other, self._moved = _Worst(), _Worst(), _Worst()
        self._flat, self._lost = _Worst(), _Worst()
        self._areas = np.zeros(2)  # covariance of light and dark areas with the source's, and the source's own
        self._place = np.zeros((3, 3))  # sums for the shift of all frames together
        self._tint = np.zeros(3)  # covariance of colour with the source's, the source's own, the result's own

    def add(self, original: NDArray[np.uint8], made: NDArray[np.uint8]) -> None:
        """The next frame of both, (H, W, C) of one size; opacity counts where both have it."""
        channels = min(original.shape[2], made.shape[2])
        before, after = (picture[..., :channels].astype(np.float32) for picture in (original, made))
        self._channels = channels
        difference = after - before
        self._levels.extend(difference.mean((0, 1)).tolist())
        self._look_at_structure(before, after)
        self._look_at_place(before, difference)
        contrast, apart = _deviation(_centred(before)), _deviation(_centred(difference))
        self._recent.append(_Normal(_normal(before), _normal(after), contrast, apart))
        self._count += 1
        if len(self._recent) > max(LAGS):
            self._look_at_order(len(self._recent) - 1 - max(LAGS))

    def _look_at_structure(self, before: Small, after: Small) -> None:
        apart = _deviation(after - before)
        if apart > CONTRAST:
            turned = min(_deviation(after - flipped) for flipped in (before[::-1], before[:, ::-1], before[::-1, ::-1]))
            self._turned.take(apart / max(turned, 1.0), self._count)
        a, b = (_centred(_coarse(part[..., :3]).mean(-1)) for part in (before, after))
        contrast = _deviation(a)
        if contrast > CONTRAST:
            self._areas += (a * b).sum(), (a * a).sum()
            self._lost.take(1 - float((a * b).sum() / (a * a).sum()), self._count)
            self._flat.take(contrast / max(_deviation(b), 0.1), self._count)
        a, b = (part[..., :3] - part[..., :3].mean(-1, keepdims=True) for part in (_coarse(before), _coarse(after)))
        self._tint += (a * b).mean(), (a * a).mean(), (b * b).mean()

    def _look_at_place(self, before: Small, difference: Small) -> None:
        """Least squares: which shift of the source explains most of the difference."""
        grey, apart = before[..., :3].mean(-1), difference[..., :3].mean(-1)
        if min(grey.shape) < 3:
            return
        rows = np.stack([np.gradient(grey, axis=1), np.gradient(grey, axis=0), apart - apart.mean()])
        sums = np.tensordot(rows, rows, ((1, 2), (1, 2))) / grey.size
        self._place += sums
        self._moved.take(self._shift(sums), self._count)

    def _shift(self, sums: NDArray[np.float64]) -> float:
        """Pixels of the source; 0 where no shift explains the difference, or none could be seen."""
        slopes, ways = np.linalg.eigh(sums[:2, :2])
        ways = ways[:, slopes > SLOPE**2]  # along the others a shift changes nothing but what rounding does
        shift = ways @ (ways.T @ -sums[:2, 2] / slopes[slopes > SLOPE**2])
        explained = -float(shift @ sums[:2, 2]) / max(float(sums[2, 2]), 1e-6)
        return float(np.hypot(*(shift * self._pixels))) if explained > EXPLAINED[0] else 0.0

    def _look_at_order(self, here: int) -> None:
        """Whether the frame at `here` of the recent ones looks like another one of them."""
        frame = self._recent[here]
        if self._passes(here):
            return
        places = {here + lag for lag in LAGS if 0 <= here + lag < len(self._recent)}
        if frame.apart > 2 * min(other.apart for other in self._recent):
            places |= set(range(len(self._recent))) - {here}
        for place in places:
            other = self._recent[place]
            way = other.before - frame.before
            length = float((way * way).mean())
            if np.sqrt(length) * min(frame.contrast, other.contrast) >= MOVED:
                apart = frame.after - frame.before
                share = float((apart * way).mean()) / length
                if length * (2 * share - 1) > EXPLAINED[1] * float((apart * apart).mean()):
                    self._other.take(share, self._count - len(self._recent) + here)

    def _passes(self, here: int) -> bool:
        """Whether what a frame shows is gone in the next, as dirt on film is: a model may remove it."""
        if not 0 < here < len(self._recent) - 1:
            return False
        before, frame, after = (self._recent[i].before for i in (here - 1, here, here + 1))
        return _deviation(after - before) < min(_deviation(frame - before), _deviation(frame - after))

    def checks(self) -> Iterator[Check]:
        """What was found, after the last frame."""
        for here in range(max(0, len(self._recent) - max(LAGS)), len(self._recent)):
            self._look_at_order(here)
        yield self._structure()
        yield self._colour()

    def _structure(self) -> Check:
        found, film = "", self._shift(self._place / max(1, self._count))
        gain = self._areas[0] / self._areas[1] if self._areas[1] else 1.0
        if self._turned.value * TURNED > 1:
            found = f"frame {self._turned.frame} fits the source better when it is turned over"
        elif self._flat.value * FLAT > 1:
            found = f"frame {self._flat.frame} is flat where the source's is not"
        elif gain < -GAIN:
            found = "light and dark are exchanged"
        elif self._other.value > EXCHANGED:
            found = f"frame {self._other.frame} shows another frame of the source"
        elif gain < GAIN:  # with a model that was not trained for it, every picture is one of its own
            return Check("pictures", True, "light and dark areas are others than the source's", warning=True)
        elif self._lost.value > 1 - GAIN:
            found = f"frame {self._lost.frame} has not the light and dark areas of the source's"
        elif film > SHIFT[0]:
            found = f"the pictures lie {film:.1f} pixels of the source from where they belong"
        elif self._moved.value > SHIFT[1]:
            found = f"frame {self._moved.frame} lies {self._moved.value:.1f} pixels of the source from its place"
        elif self._recoloured:
            found = "the colours are not the source's"
        return Check("pictures", not found, found or "each frame shows the source's frame, in its place")

    @property
    def _recoloured(self) -> bool:
        """Whether red, green and blue are alike, or the other way round, where the source's differ."""
        both, before, after = self._tint
        return bool(before > self._count * CONTRAST and (both < 0 or after < FLAT * before))

    def _colour(self) -> Check:
        levels = np.asarray(self._levels, np.float32).reshape(-1, self._channels)
        mean = float(np.abs(levels.mean(0)).max()) if len(levels) else 0.0
        single = _Worst()
        for frame in range(len(levels)):
            usual = np.median(levels[max(0, frame - AROUND) : frame + AROUND + 1], 0)
            single.take(float(np.abs(levels[frame] - usual).max()), frame)
        found = f"mean colour {mean:.2f} of 255 from the source's, of a single frame at most {single.value:.2f}"
        refused = mean > MEAN[1] or (single.value > SINGLE[1] and not self._deflicker)
        if refused and single.value > SINGLE[1]:
            found += f" (frame {single.frame})"
        return Check("colour", not refused, found, mean > MEAN[0] or single.value > SINGLE[0])


def _coarse(picture: Small) -> Small:
    height, width = (max(1, round(side / 4)) for side in picture.shape[:2])
    return np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), np.float32)


def _centred(picture: Small) -> Small:
    return picture - picture.mean((0, 1))


def _deviation(picture: Small) -> float:
    """Root of the mean square."""
    return float(np.sqrt((picture * picture).mean()))


def _normal(picture: Small) -> Small:
    centred = _centred(picture)
    return centred / max(_deviation(centred), 1.0)
