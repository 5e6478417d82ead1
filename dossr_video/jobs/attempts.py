"""Every shot of a plan done, and with --qc what was measured of it: one with faults is done again by milder settings.

What a shot is done with follows from the plan and from what was measured before alone, and both are in the ledgers,
one for each attempt: a job that was killed ends with the same result.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from dossr_video.jobs.folder import JobFolder
from dossr_video.jobs.plan import Plan
from dossr_video.quality.faults import seam_between
from dossr_video.runspec import RunSpec
from dossr_video.segments import Fault, Segment, SegmentResult

MOST = 3  # attempts at a shot
TOLD = 5  # shots that are told before they are done again
STEADIEST = 0.85  # blending strength: above it the first frame of a segment's lead-in would weigh more than a quarter


class AttemptRecord(BaseModel):
    """One time that a shot was done."""

    model_config = ConfigDict(frozen=True)

    blend_strength: float
    strength: float
    faults: tuple[str, ...]  # one line each; empty: none was found


class ShotRecord(BaseModel):
    """A shot that was done again."""

    model_config = ConfigDict(frozen=True)

    shot: int  # from 1
    start: int  # first frame
    stop: int  # one past the last
    attempts: tuple[AttemptRecord, ...]
    kept: int  # which of the attempts is in the result, from 1

    @property
    def mended(self) -> bool:
        return not self.attempts[self.kept - 1].faults

    def __str__(self) -> str:
        first, kept = self.attempts[0], self.attempts[self.kept - 1]
        more = f" and {len(first.faults) - 1} more" if len(first.faults) > 1 else ""
        ways = _ways(kept.blend_strength, kept.strength)
        if self.mended:
            end = f"done again with {ways}"
        elif len(self.attempts) == 1:
            end = "no milder settings are left to try"
        else:
            end = f"done again {len(self.attempts) - 1} times without success; kept with {ways}"
        return f"shot {self.shot} (frames {self.start} to {self.stop - 1}) {first.faults[0]}{more}: {end}"


@dataclass(frozen=True)
class Attempt:
    """What is done in one pass over the shots that are left."""

    number: int
    specs: Mapping[int, RunSpec]  # by shot
    why: Mapping[int, str] = field(default_factory=dict)  # what a shot showed that is done again, by shot
    results: dict[int, SegmentResult] = field(default_factory=dict)  # of the segments that are done, by index

    def segments(self, plan: Plan) -> list[Segment]:
        return [segment for segment in plan.segments if segment.shot in self.specs]

    def keys(self, plan: Plan) -> dict[int, str]:
        """What is asked of each segment, as in Plan.keys."""
        keys = plan.keys()
        if not self.number:
            return keys
        return {s.index: f"{keys[s.index]} {_ways_of(self.specs[s.shot])}" for s in self.segments(plan)}

    def notes(self) -> Iterator[str]:
        """What is done again, why and how, a line for each shot."""
        for shot, why in list(self.why.items())[:TOLD]:
            yield f"qc: shot {shot + 1} {why}; again with {_ways_of(self.specs[shot])}"
        if len(self.why) > TOLD:
            yield f"qc: and {len(self.why) - TOLD} more, see the report"

    def faults(self, segments: Sequence[Segment]) -> tuple[Fault, ...]:
        """Of a shot that is done: of its segments, and between them."""
        found = [(segment, self.results[segment.index].quality) for segment in segments]
        faults = [fault for _, quality in found if quality is not None for fault in quality.faults]
        for (_, before), (segment, after) in pairwise(found):
            if before is not None and after is not None and after.before is not None:
                seam = seam_between(before.last, after.before)
                faults += [Fault("seam", segment.start, seam)] if seam else []
        return tuple(faults)


class Attempts:
    """All attempts of a job."""

    def __init__(self, plan: Plan, spec: RunSpec) -> None:
        self._plan = plan
        self._shots: dict[int, list[Segment]] = {}
        for segment in plan.segments:
            self._shots.setdefault(segment.shot, []).append(segment)
        self._made = [Attempt(0, dict.fromkeys(self._shots, spec))]

    def run(self, do: Callable[[Attempt], None]) -> None:
        """`do` fills in the results of an attempt; called until no shot is left to be done again."""
        do(self._made[0])
        while len(self._made) < MOST and (again := self._again()).specs:
            self._made.append(again)
            do(again)

    def _again(self) -> Attempt:
        """The shots that have faults, each by milder settings, where there are any."""
        last, specs, why = self._made[-1], {}, {}
        for shot, spec in last.specs.items():
            faults = last.faults(self._shots[shot]) if spec.qc else ()
            if faults and (milder := milder_than(spec, faults)) != spec:
                specs[shot], why[shot] = milder, faults[0].what
        return Attempt(len(self._made), specs, why)

    def chosen(self, folder: JobFolder) -> list[tuple[SegmentResult, Path]]:
        """What goes into the result, segment by segment."""
        kept = {shot: self._kept(shot) for shot in self._made[0].specs}
        return [
            (self._made[number].results[segment.index], folder.file_of(segment.index, number))
            for segment in self._plan.segments
            for number in [kept[segment.shot]]
        ]

    def _kept(self, shot: int) -> int:
        """The attempt with the fewest faults; of equal ones the first."""
        if not self._made[0].specs[shot].qc:
            return 0
        made = [attempt for attempt in self._made if shot in attempt.specs]
        return min(made, key=lambda attempt: len(attempt.faults(self._shots[shot]))).number

    def records(self) -> tuple[ShotRecord, ...]:
        """Of the shots in which faults were found."""
        return tuple(self._records())

    def _records(self) -> Iterator[ShotRecord]:
        for shot, spec in self._made[0].specs.items():
            if not spec.qc or not self._made[0].faults(self._shots[shot]):
                continue
            segments = self._shots[shot]
            attempts = [
                AttemptRecord(
                    blend_strength=attempt.specs[shot].temporal.blend_strength,
                    strength=attempt.specs[shot].restoration.strength,
                    faults=tuple(dict.fromkeys(fault.what for fault in attempt.faults(self._shots[shot]))),
                )
                for attempt in self._made
                if shot in attempt.specs
            ]
            yield ShotRecord(
                shot=shot + 1,
                start=segments[0].start,
                stop=segments[-1].stop,
                attempts=tuple(attempts),
                kept=self._kept(shot) + 1,
            )


def milder_than(spec: RunSpec, faults: Sequence[Fault]) -> RunSpec:
    """What a shot with these faults is done with next; the same where nothing is left to try.

    Flicker is answered with more blending first. Frames that stand still are blended less. All else comes from what the
    model makes of the frames: half of it, then none.
    """
    kinds = {fault.kind for fault in faults}
    blend, strength = spec.temporal.blend_strength, spec.restoration.strength
    if kinds == {"flicker"} and spec.temporal.blend != "off" and blend < STEADIEST:
        blend = STEADIEST
    else:
        strength = strength / 2 if strength > 0.5 else 0.0
        blend = round(blend / 2, 3) if "frozen" in kinds else blend
    return replace(
        spec,
        temporal=replace(spec.temporal, blend_strength=blend),
        restoration=replace(spec.restoration, strength=strength),
    )


def _ways(blend_strength: float, strength: float) -> str:
    return f"blend strength {blend_strength:g}, strength {strength:g}"


def _ways_of(spec: RunSpec) -> str:
    return _ways(spec.temporal.blend_strength, spec.restoration.strength)
