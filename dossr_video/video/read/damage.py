"""What was wrong with a file, by time code: listed in spans, however many frames they are."""

from __future__ import annotations

from dataclasses import dataclass, replace

TOGETHER = 1.0  # seconds between two findings of a kind that count as one
STEADY = 10  # steps of one length, before a longer one is told
UNSTEADY = 50  # steps of one length to each other one, or the rate varies anyway
GAP = 4.5  # times the usual step


@dataclass(frozen=True)
class Damage:
    """Something in the file that could not be read as it was written."""

    seconds: float  # from the start of the result: the first place
    until: float  # the last place
    what: str

    def __str__(self) -> str:
        span = "" if self.until == self.seconds else f" to {self.until:.3f} s"
        return f"at {self.seconds:.3f} s{span}: {self.what}"


def note(found: list[Damage], seconds: float, what: str) -> None:
    """Add a finding; one that lies near others of its kind, or is known, widens their span."""
    seconds = round(seconds, 3)
    for index, known in enumerate(found):
        if known.what == what and known.seconds - TOGETHER <= seconds <= known.until + TOGETHER:
            found[index] = replace(known, seconds=min(known.seconds, seconds), until=max(known.until, seconds))
            return
    found.append(Damage(seconds, seconds, what))


class Steps:
    """Watches the time from frame to frame, for gaps in a file of constant rate."""

    def __init__(self, usual: int) -> None:
        self._usual = max(usual, 1)  # ticks
        self._steady = self._other = 0

    def gap(self, step: int) -> bool:
        """Whether pictures are missing before the frame that comes `step` ticks after the one before."""
        if abs(step - self._usual) <= max(1, self._usual // 20):
            self._steady += 1
            return False
        found = step > GAP * self._usual and self._steady >= STEADY and self._steady >= UNSTEADY * self._other
        self._other += not found
        return found
