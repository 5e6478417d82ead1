"""The plan of a job: its segments, from the file and the RunSpec alone, so it is the same on every machine."""

from __future__ import annotations

import hashlib
import json
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import reduce
from itertools import pairwise
from operator import and_
from pathlib import Path
from typing import Any

from dossr_video.errors import JobError, SourceError
from dossr_video.frames import Area
from dossr_video.jobs.fingerprint import Fingerprint
from dossr_video.runspec import RunSpec
from dossr_video.segments import Segment
from dossr_video.temporal.duplicates import nearly_equal
from dossr_video.temporal.shots import Luma, find_shots
from dossr_video.video.info import SourceInfo, VideoInfo
from dossr_video.video.inspect.borders import Borders, black_borders, picture_area
from dossr_video.video.inspect.content import sample_content
from dossr_video.video.read.damage import Damage
from dossr_video.video.read.pyav import VideoReader
from dossr_video.video.read.reader import frames_within, open_reader

FORMAT = 10  # of plan.json; raised when an older program could not read it, or would have made other pictures

PIECE = 150
"""Frames per segment of a long shot, at most: above 100 the extra key frames cost less than 1 % of the size."""

LEAST = 48
"""Frames per segment of a long shot of any size: of shorter ones the frames of LEAD_IN would be too large a part."""

PIXELS = PIECE * 720 * 576
"""Of the frames of a segment, between these two: a larger picture takes longer, and a segment is what stopping waits
for. A function of the source alone, so that the result does not depend on the machine."""

LEAD_IN = 8
"""Frames computed again before a segment that begins inside a shot; at blending strength 0.5 older ones weigh 0.4 %."""


@dataclass(frozen=True)
class Plan:
    """The segments of a job, and what it depends on."""

    fingerprint: Fingerprint
    segments: tuple[Segment, ...]
    damage: tuple[Damage, ...] = ()  # found in the input while it was analysed, in the order of time
    side_data: tuple[str, ...] = ()  # names of the side data of its video, as in video/mux/inventory.py
    last: int = 0  # how long the last frame is shown, in ticks, as the input says; 0: it does not

    @property
    def frames(self) -> int:
        return sum(map(len, self.segments))

    @property
    def shots(self) -> int:
        return len({segment.shot for segment in self.segments})

    @property
    def duplicates(self) -> int:
        """Duplicate frames, which are not computed again."""
        return sum(segment.repeats for segment in self.segments)

    def off_rate(self, ticks: float) -> int:
        """Frames that are not where a rate of one in `ticks` puts them, by more than half of that."""
        first = self.segments[0].first_pts
        times = (time for s in self.segments for time in s.pts[s.lead_in : s.lead_in + len(s)])
        return sum(abs(time - first - number * ticks) > ticks / 2 for number, time in enumerate(times))

    def keys(self) -> dict[int, str]:
        """What is asked of each segment and of what, as a digest: by it a finished segment is known again."""
        whole = self.fingerprint.key()
        return {
            segment.index: hashlib.sha256(f"{whole} {json.dumps(segment.as_json())}".encode()).hexdigest()
            for segment in self.segments
        }

    def dumps(self) -> bytes:
        content = json.dumps(
            {
                "fingerprint": self.fingerprint.as_json(),
                "segments": [segment.as_json() for segment in self.segments],
                "damage": [asdict(damage) for damage in self.damage],
                "side_data": self.side_data,
                "last": self.last,
            }
        ).encode()
        header = {"format": FORMAT, "sha256": hashlib.sha256(content).hexdigest()}
        return json.dumps(header).encode() + b"\n" + content

    @classmethod
    def loads(cls, content: bytes, *, path: Path) -> Plan | None:
        """None when the file is not what was written; JobError when it is a plan of another version of the program."""
        first, _, rest = content.partition(b"\n")
        try:
            header: Mapping[str, Any] = json.loads(first)
            number = header["format"]
        except (ValueError, KeyError, TypeError):
            return None
        if number != FORMAT:
            raise JobError(
                f"{path} is not a plan of this version: format {number} must be {FORMAT}",
                hint="finish it with the version that began it, or begin anew with --restart",
            )
        if header.get("sha256") != hashlib.sha256(rest).hexdigest():
            return None
        data: Mapping[str, Any] = json.loads(rest)
        return cls(
            Fingerprint.of_json(data["fingerprint"]),
            tuple(map(Segment.of_json, data["segments"])),
            tuple(Damage(**damage) for damage in data["damage"]),
            tuple(data["side_data"]),
            data["last"],
        )


def make_plan(source: SourceInfo, spec: RunSpec, *, on_frame: Callable[[int], None]) -> Plan:
    """Decode the file once to find timestamps, cuts, duplicate frames, borders and damage.

    `on_frame` gets the count of frames so far, 0 while the file is read for its mark.

    Raises SourceError when the file cannot be read, or holds no frame between --start and --duration.
    """
    # First: a file that changes meanwhile is then noticed.
    fingerprint = Fingerprint.of(source.path, spec, told=lambda: on_frame(0))
    pts = array("q")
    duplicates, shown = bytearray(), [0]
    borders: list[Borders | None] = []

    def lumas(reader: VideoReader) -> Iterator[Luma]:
        before, kept = b"", None
        for frame in frames_within(reader, spec.read):
            digest = frame.digest()
            duplicate = digest == before
            if spec.temporal.dedupe and not duplicate:
                planes = frame.planes()
                duplicate = kept is not None and nearly_equal(kept, planes)
                kept = kept if duplicate else planes
            pts.append(frame.pts)
            shown[0] = frame.duration
            duplicates.append(duplicate)
            found = black_borders(frame.luma())
            borders.append(borders[-1] if borders and borders[-1] == found else found)  # one for a whole film, often
            before = digest
            yield frame.luma_small()
            on_frame(len(pts))

    with open_reader(source, spec.read) as reader:
        starts = list(find_shots(lumas(reader)))
        damage = tuple(sorted(reader.damage, key=lambda found: found.seconds))
        side_data = tuple(sorted(reader.side_data))
    if not pts:
        raise SourceError(f"{source.path} has no frames after {spec.read.start} s", hint="lower --start")
    video, switching = source.video, sample_content(source, max_pixels=spec.read.max_pixels).switching
    areas = [
        picture_area(_common(borders[start:stop]), switching, width=video.width, height=video.height)
        for start, stop in pairwise([*starts, len(pts)])
    ]
    return Plan(
        fingerprint,
        cut_into_segments(
            pts,
            duplicates,
            starts,
            areas,
            lead_in=LEAD_IN,
            piece=piece_length(video),
            look_ahead=spec.restoration.dust > 0,
        ),
        damage,
        side_data,
        shown[0],
    )


def _common(borders: Sequence[Borders | None]) -> Borders:
    """The borders that are black in every frame, but for frames that are all black."""
    found = [black for black in borders if black is not None]
    return reduce(and_, found) if found else Borders()


def cut_into_segments(
    pts: Sequence[int],
    duplicates: Sequence[int],
    starts: Sequence[int],
    areas: Sequence[Area | None],
    *,
    lead_in: int,
    piece: int,
    look_ahead: bool = False,
) -> tuple[Segment, ...]:
    """The segments of a file, of about `piece` frames. `starts`: first frame of each shot; `areas`: its picture.

    With `look_ahead` a segment that ends within a shot knows the next frame that is no duplicate.
    """
    bounds = [
        (shot, first, start, stop, last)
        for shot, (first, last) in enumerate(zip(starts, [*starts[1:], len(pts)], strict=True))
        for start, stop in _pieces(first, last, piece)
    ]
    segments = []
    for index, (shot, first, start, stop, last) in enumerate(bounds):
        lead = min(lead_in, start - first)
        fresh = (i for i in range(stop, last) if not duplicates[i])
        ahead = next(fresh, stop - 1) + 1 - stop if look_ahead else 0
        window = slice(start - lead, stop + ahead)
        again = bytes((False, *duplicates[window][1:]))
        segments.append(Segment(index, shot, start, stop, lead, array("q", pts[window]), again, areas[shot], ahead))
    return tuple(segments)


def piece_length(video: VideoInfo) -> int:
    """Frames per segment of a long shot."""
    return min(PIECE, max(LEAST, PIXELS // (video.width * video.height)))


def _pieces(first: int, last: int, length: int) -> Iterator[tuple[int, int]]:
    """A shot in nearly equal parts of about `length` frames; up to 1.5 times that it stays whole."""
    count = max(1, round((last - first) / length))
    cuts = [first + (last - first) * i // count for i in range(count + 1)]
    return pairwise(cuts)
