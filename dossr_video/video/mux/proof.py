"""The finished file read back and held against the source: what a run promised, measured."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dossr_video.errors import ProofError
from dossr_video.video.info import SourceInfo, TrackFile, VideoInfo
from dossr_video.video.mux.check import Check
from dossr_video.video.mux.contents import StreamContent, StreamRecord, read_result, read_streams, records_of
from dossr_video.video.mux.languages import language_tag, same_language
from dossr_video.video.mux.likeness import Likeness, small_size
from dossr_video.video.mux.losses import lost_keys
from dossr_video.video.mux.others import place_of
from dossr_video.video.mux.packets import Clock, PacketSelector, in_window, window_of
from dossr_video.video.mux.remux import Cut, JoinReport, clock_of
from dossr_video.video.mux.streams import GPMD, StreamMapping, describe, is_cover, is_muxed, map_streams
from dossr_video.video.mux.subtitles import ONE_AT_A_TIME, OneAtATime
from dossr_video.video.mux.tags import is_technical, own_tags
from dossr_video.video.pixels import has_alpha
from dossr_video.video.read.frame import Frame
from dossr_video.video.read.pyav import PyavReader
from dossr_video.video.sequence import pictures_of
from dossr_video.video.write.containers import Container
from dossr_video.video.write.spec import VideoSpec

CREATOR = "dpx_creator"  # written where the source says none
MATROSKA_TICK = Fraction(1, 1000)  # seconds; mp4 and mov keep the source's time base


@dataclass(frozen=True)
class Proof:
    """All checks of one result."""

    checks: tuple[Check, ...]
    kept: str  # one line of the join's report
    streams: tuple[StreamRecord, ...]  # of the result, by which it is known again

    @property
    def passed(self) -> bool:
        return all(check.passed for check in self.checks)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What passed and is out of the ordinary, one line each."""
        return tuple(f"{check.name}: {check.found}" for check in self.checks if check.passed and check.warning)

    @property
    def summary(self) -> str:
        """The last line a person sees."""
        failed = [f"{check.name}: {check.found}" for check in self.checks if not check.passed]
        return f"{self.kept}; " + ("FAILED " + "; ".join(failed) if failed else self.checks[0].found)

    def require(self, target: Path) -> None:
        """ProofError naming the first promise that was broken."""
        for check in self.checks:
            if not check.passed:
                raise ProofError(
                    f"{target} was read back and differs from what was promised: {check.name}: {check.found}",
                    hint="look at it and at the report beside it; the same command with --proof warn accepts it",
                )

    def as_json(self) -> dict[str, Any]:
        return {"passed": self.passed, "checks": [asdict(check) for check in self.checks]}


def prove(
    target: Path,
    source: SourceInfo,
    joined: JoinReport,
    *,
    spec: VideoSpec,
    container: Container,
    originals: Iterable[tuple[int, NDArray[np.uint8]]],
    deflicker: bool = False,
    on_picture: Callable[[Frame], None] = lambda frame: None,
    on_frame: Callable[[int], None] = lambda count: None,
) -> Proof:
    """Read `target` back whole.

    Args:
        target: what was written, under any name.
        source: what it was made of.
        joined: what was promised.
        spec: how the picture was to be written.
        container: of the target.
        originals: of each frame of the source that was to be written its time and small picture, as `small_pictures`
            makes them.
        deflicker: whether the light of single frames was changed on purpose.
        on_picture: gets each frame of the result, after its original was taken.
        on_frame: gets the count of frames so far.
    """
    result, contents = read_result(target, joined, max_pixels=spec.width * spec.height)
    clock = clock_of(source, joined.cut)
    mappings = map_streams(source, container, cut=joined.cut is not None)
    planned = [mapping for mapping in mappings if is_muxed(mapping) and mapping.stream.index not in joined.empty]
    planned.sort(
        key=lambda mapping: mapping.stream.kind == "attachment" or is_cover(mapping.stream)
    )  # muxers put them last
    checks = [
        *_pictures(
            result,
            Likeness(source.video, deflicker=deflicker),
            originals,
            spec,
            container,
            clock,
            on_picture,
            on_frame,
        ),
        _tags(result, spec, container),
        _description(planned, result, container.others),
        _chapters(joined, result, container),
        _metadata(source, result, lost_keys(source, container), joined.added, tagged=container.tagged),
        *_packets(source, contents, planned, result, joined.cut, container),
    ]
    return Proof(tuple(checks), joined.kept, records_of(result, contents))


def small_pictures(frames: Iterable[Frame], source: VideoInfo) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    """What the proof looks at of each frame of the source: its time, and (H, W, 3), or (H, W, 4) with its opacity."""
    return ((frame.pts, frame.small(small_size(source), alpha=source.alpha)) for frame in frames)


def _pictures(
    info: SourceInfo,
    likeness: Likeness,
    originals: Iterable[tuple[int, NDArray[np.uint8]]],
    spec: VideoSpec,
    container: Container,
    clock: Clock,
    on_picture: Callable[[Frame], None],
    on_frame: Callable[[int], None],
) -> Iterator[Check]:
    """Frame count, every time, whether every frame decodes, what it shows, and how long the whole is."""
    tick = Fraction(0) if container.format in ("mp4", "mov") else MATROSKA_TICK
    late, moved, due, wanted, count, damaged, last = 0.0, 0.0, -1.0, 0, 0, 0, 0
    alpha = has_alpha(spec.encoding.pix_fmt)
    with PyavReader(info, max_pixels=spec.width * spec.height) as made:
        for result, given in zip_longest(made.frames(), originals):
            count += result is not None
            wanted += given is not None
            on_frame(count)
            if given is None:
                continue
            last, original = given
            if result is None:
                continue
            damaged += result.corrupt
            meant = float(last * spec.time_base - clock.start)
            if container.one_rate:
                meant = (wanted - 1) / float(spec.frame_rate)
            due = max(meant, due + float(tick))  # frames that Matroska gives one time are read a tick apart
            moved = max(moved, due - meant)
            late = max(late, abs(float(result.pts * made.time_base) - due))
            likeness.add(original, result.small((original.shape[1], original.shape[0]), alpha=alpha))
            on_picture(result)
    exact, crowded = late <= float(tick), moved > float(tick) / 2
    found = "timestamps exact" + (" to the millisecond" if tick else "") if exact else f"off by up to {late:.6f} s"
    if crowded:
        found += f", but for frames less than a millisecond apart, which are up to {moved:.3f} s late"
    if container.beside is None:
        yield Check("timestamps", exact and count == wanted, found, warning=crowded)
    else:
        numbers = sorted(pictures_of(info.path))
        yield Check("numbers", len(numbers) == wanted, f"pictures {numbers[0]} to {numbers[-1]}, none missing")
    yield Check("frames", count == wanted, f"{count} of {wanted}")
    yield Check("decoding", not damaged, f"{damaged} frames are damaged" if damaged else "every frame decodes")
    yield from likeness.checks()
    if container.beside is None:
        yield _duration(info, spec, container, float(last * spec.time_base - clock.start + 1 / spec.frame_rate))


def _duration(result: SourceInfo, spec: VideoSpec, container: Container, end: float) -> Check:
    """Whether it reaches the end of the picture, seconds: sound may go on after it."""
    # mp4 and mov count from where the first stream begins, Matroska and WebM from zero.
    begins = result.begins if container.format in ("mp4", "mov") else 0
    found = float((result.duration or 0) + begins)
    slack = 1 / float(spec.frame_rate) + 0.002
    return Check("duration", found >= end - slack, f"{found:.3f} s; the picture ends at {end:.3f} s")


def _tags(result: SourceInfo, spec: VideoSpec, container: Container) -> Check:
    video = result.video
    wrong = []
    for name in ("primaries", "transfer", "matrix", "range") if container.beside is None else ():
        wanted, found = getattr(spec.color, name), getattr(video.color, name)
        if wanted not in (None, found) and not (wanted == "tv" and found is None):  # limited is what no tag means
            wrong.append(f"{name} {found} in place of {wanted}")
    if (spec.sample_aspect_ratio or 1) != (video.sample_aspect_ratio or 1):
        wrong.append(f"pixel aspect {video.sample_aspect_ratio} in place of {spec.sample_aspect_ratio}")
    if video.display_matrix != spec.display_matrix:
        wrong.append("rotation")
    if spec.hdr.light_level is not None and video.hdr.light_level != spec.hdr.light_level:
        wrong.append("light level")
    if spec.hdr.mastering is not None and video.hdr.mastering is None:
        wrong.append("mastering display")
    return Check("tags", not wrong, ", ".join(wrong) or "colour, aspect, rotation and HDR tags as planned")


def _description(planned: Sequence[StreamMapping], result: SourceInfo, container: Container) -> Check:
    """Kinds, languages, titles and the dispositions that players act on; a muxer may add a default, not take one."""
    made = [stream for stream in result.streams if stream.kind != "data" or stream.codec == GPMD]
    wrong = []
    for mapping, found in zip_longest(planned, made):
        if mapping is None or found is None:
            wrong.append(f"{len(made)} in place of {len(planned)}")
            continue
        given = mapping.stream
        if given.kind != found.kind:
            wrong.append(f"{describe(given)} became {found.kind}")
        if not container.tagged:
            continue
        written = None if given.language is None else language_tag(container.format, given.language)
        if written not in (None, "und") and not same_language(written, found.language):
            wrong.append(f"language of {describe(given)} is {found.language}")
        if given.title not in (found.title, found.title or found.metadata.get("handler_name")):
            wrong.append(f"title of {describe(given)} is {found.title}")
        if container.stream_tags:
            there = {key.lower(): value for key, value in found.metadata.items()}
            gone = [key for key, value in own_tags(given).items() if there.get(key.lower()) != value]
            wrong += [f"metadata {key} of {describe(given)} is missing" for key in gone if given.kind != "attachment"]
        if "forced" in found.disposition and "forced" not in given.disposition:
            wrong.append(f"{describe(given)} is marked as forced")
        flags = container.flags & set(given.disposition) - set(found.disposition)
        if flags and given.kind not in ("attachment", "video"):
            wrong.append(f"{describe(given)} is no longer {' '.join(sorted(flags))}")
    return Check("streams", not wrong, "; ".join(wrong) or f"{len(made)} beside the picture, named as they were")


def _chapters(joined: JoinReport, result: SourceInfo, container: Container) -> Check:
    found = [(float(chapter.start), float(chapter.end), chapter.title or None) for chapter in result.chapters]
    wanted = list(joined.chapters)
    if container.format in ("mp4", "mov"):  # there a chapter ends where the next begins
        wanted = [(a, after[0] if after else b, t) for (a, b, t), after in zip_longest(wanted, wanted[1:])]
    wrong = [
        now
        for now, then in zip(found, wanted, strict=False)
        if abs(now[0] - then[0]) > 0.002 or abs(now[1] - then[1]) > 0.002 or now[2] != then[2]
    ]
    first = f"; one is {wrong[0][2]!r} from {wrong[0][0]:.3f} to {wrong[0][1]:.3f} s" if wrong else ""
    return Check("chapters", not wrong and len(found) == len(wanted), f"{len(found)} of {len(wanted)}{first}")


def _metadata(
    source: SourceInfo, result: SourceInfo, lost: frozenset[str], added: Mapping[str, str], *, tagged: bool
) -> Check:
    """`tagged`: whether the container holds metadata; else what is there is its own."""

    def plain(metadata: Any) -> dict[str, str]:
        return {key.lower(): value for key, value in metadata.items() if not is_technical(key)}

    found = plain(result.metadata)
    wanted = plain({key: value for key, value in source.metadata.items() if key not in lost}) | dict(added)
    found = {key: value for key, value in found.items() if key != CREATOR or key in wanted}
    missing = [f"{key} is missing" for key, value in wanted.items() if not _alike(key, value, found.get(key))]
    more = [f"{key} was not there" for key in found if key not in wanted and tagged]
    return Check("metadata", not missing + more, ", ".join(missing + more) or "all entries")


def _alike(key: str, wanted: str, found: str | None) -> bool:
    if key == "creation_time" and found is not None:  # muxers write dates their own way, to the second
        return found[:19].replace(" ", "T") == wanted[:19].replace(" ", "T")
    if key.startswith("location") and found is not None:  # ISO 6709, kept in 16.16 fixed point
        places = [[float(number) for number in re.findall(r"[+-][\d.]+", text)] for text in (wanted, found)]
        return len(places[0]) == len(places[1]) and all(abs(a - b) < 1e-4 for a, b in zip(*places, strict=True))
    return found == wanted


def _packets(
    source: SourceInfo,
    after: Mapping[int, StreamContent],
    planned: Sequence[StreamMapping],
    result: SourceInfo,
    cut: Cut | None,
    container: Container,
) -> Iterator[Check]:
    """Every packet of every copied stream, by hash; the count of subtitles where they were converted."""
    made = [stream for stream in result.streams if stream.kind != "data" or stream.codec == GPMD]
    before: dict[TrackFile | None, dict[int, StreamContent]] = {}
    for file in {mapping.file for mapping in planned}:
        clock = clock_of(source, cut, file=file)
        places = [place_of(mapping) for mapping in planned if mapping.file == file]
        path, selects = source.path if file is None else file.path, PacketSelector(source, clock, file=file)
        windows = {place_of(m): window_of(m, clock) for m in planned if m.file == file and in_window(m, container)}
        parts = {place_of(m): OneAtATime() for m in planned if m.file == file and m.codec == ONE_AT_A_TIME}
        before[file] = read_streams(path, places, selects=selects, clock=clock, windows=windows, parts=parts)
    for mapping, stream in zip(planned, made, strict=False):
        wanted = before[mapping.file][place_of(mapping)]
        found, name = after[stream.index], describe(mapping.stream)
        late = wanted.times.difference(found.times, every=mapping.action == "copy" or mapping.stream.kind == "subtitle")
        if late is not None and container.sample_rate is None:
            yield Check(f"times of {name}", False, late)
        if mapping.action == "copy":
            same = wanted.digest == found.digest
            unit = "bytes" if wanted.flows else "packets"
            yield Check(name, same, f"{found.count} of {wanted.count} {unit}, {'bit for bit' if same else 'changed'}")
        elif mapping.stream.kind == "subtitle":
            yield Check(name, found.count == wanted.count, f"{found.count} of {wanted.count} events, converted")
        else:
            yield Check(name, found.count > 0 or wanted.count == 0, f"{found.count} packets, converted")
