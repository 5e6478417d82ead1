"""Frames of a clip in any order: each as `upscale_stream` gives it, and what is near is not done again."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from dossr_video.arrays import Layout, kind_of
from dossr_video.errors import FramesError
from dossr_video.streaming import Picture, Recipe, Upscaler, read_picture, small_luma
from dossr_video.temporal.shots import LOOK_AHEAD, LOOK_BACK, Luma, is_cut

RESULTS = 32  # kept, for those who go back a little
LUMAS = 4096  # kept, of 4 kB each, by which cuts are found

T = TypeVar("T")


class RandomAccess:
    """The results of a clip by their numbers.

    What a frame becomes depends on the frames before it in its shot. One after another each is done once; whoever jumps
    waits until the shot is done from its start to that frame. Threads wait for each other.

    Attributes:
        size: Height and width of the results.
    """

    def __init__(self, read: Callable[[int], Any], length: int, recipe: Recipe, *, layout: Layout | None) -> None:
        """`read` gives the frame of a number below `length`. Raises FramesError where there is none."""
        if length < 1:
            raise FramesError("a clip without frames has nothing to upscale", hint="check how it was cut")
        self._read, self._length = read, length
        kind = kind_of(read(0), layout)
        self._kind = kind
        self._upscaler = Upscaler.of(recipe, kind, [self._picture(n) for n in range(min(recipe.ahead, length))])
        self.size = self._upscaler.size
        self._lumas: OrderedDict[int, Luma] = OrderedDict()
        self._cuts: dict[int, bool] = {0: True}
        self._results: OrderedDict[int, Any] = OrderedDict()
        self._shot, self._next = -1, 0  # the shot that is being done, -1: none, and the frame that comes next
        self._running: Iterator[Any] = iter(())
        self._lock = threading.Lock()

    def __getitem__(self, number: int) -> Any:
        """The result of a frame, of its kind."""
        with self._lock:
            if number in self._results:
                return self._results[number]
            start = self._start_of(number)
            if start != self._shot or number < self._next:
                self._running = self._upscaler.shot(self._pictures(start), start)
                self._shot = self._next = start
            try:
                while self._next <= number:
                    _keep(self._results, self._next, next(self._running), RESULTS)
                    self._next += 1
            except BaseException:  # of a frame that cannot be read: what was running has ended
                self._shot = -1
                raise
            return self._results[number]

    def _start_of(self, number: int) -> int:
        """The first frame of the shot of a frame."""
        while not self._is_start(number):
            number -= 1
        return number

    def _is_start(self, number: int) -> bool:
        if number not in self._cuts:
            around = range(number - LOOK_BACK, number + LOOK_AHEAD + 1)
            self._cuts[number] = is_cut([self._luma(n) if 0 <= n < self._length else None for n in around])
        return self._cuts[number]

    def _luma(self, number: int) -> Luma:
        if number not in self._lumas:
            _keep(self._lumas, number, small_luma(self._picture(number)), LUMAS)
        return self._lumas[number]

    def _pictures(self, start: int) -> Iterator[Picture]:
        """Those of the shot that starts there."""
        number = start
        while number < self._length and (number == start or not self._is_start(number)):
            yield self._picture(number)
            number += 1

    def _picture(self, number: int) -> Picture:
        return read_picture(self._kind, self._read(number))


def _keep(kept: OrderedDict[int, T], number: int, value: T, most: int) -> None:
    kept[number] = value
    while len(kept) > most:
        kept.popitem(last=False)
