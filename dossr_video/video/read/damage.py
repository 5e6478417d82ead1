"""Damage found while decoding, as a short list of time spans."""

from __future__ import annotations

from dataclasses import dataclass, replace

TOGETHER = 1.0  # seconds between two findings of a kind that are merged into one
STEADY = 10  # frames at constant rate before a gap is reported
UNSTEADY = 50  # times as many regular steps as others, or the frame rate is variable
GAP = 4.5  # times the frame duration


@dataclass(frozen=True)
class Damage:
    """Something in the file that could not be decoded as it was encoded."""

    seconds: float  # from the start of the file: the first place
    until: float  # the last place
    what: str

    def __str__(self) -> str:
        span = "" if self.until == self.seconds else f" to {self.until:.3f} s"
        return f"at {self.seconds:.3f} s{span}: {self.what}"


def note(found: list[Damage], seconds: float, what: str) -> None:
    """Add a finding, or extend the span of one of the same kind near it."""
    seconds = round(seconds, 3)
    for index, known in enumerate(found):
        if known.what == what and known.seconds - TOGETHER <= seconds <= known.until + TOGETHER:
            found[index] = replace(known, seconds=min(known.seconds, seconds), until=max(known.until, seconds))
            return
    found.append(Damage(seconds, seconds, what))


class Steps:
    """Finds missing frames in video of constant frame rate."""

    def __init__(self, usual: int) -> None:
        self._usual = max(usual, 1)  # ticks
        self._steady = self._other = 0

    def gap(self, step: int) -> bool:
        """Whether frames are missing before a frame that follows the last one after `step` ticks."""
        if abs(step - self._usual) <= max(1, self._usual // 20):
            self._steady += 1
            return False
        found = step > GAP * self._usual and self._steady >= STEADY and self._steady >= UNSTEADY * self._other
        self._other += not found
        return found
