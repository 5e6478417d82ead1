"""The finished file read back and held against the source: what a run promised, measured."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from itertools import zip_longest
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from dossr_video.errors import ProofError
from dossr_video.video.info import SourceInfo, StreamInfo, VideoInfo
from dossr_video.video.mux.check import Check
from dossr_video.video.mux.languages import same_language, written_in_quicktime
from dossr_video.video.mux.likeness import Likeness, small_size
from dossr_video.video.mux.packets import Clock, PacketSelector, has_adts, has_start_codes, with_lengths, without_adts
from dossr_video.video.mux.remux import Cut, JoinReport, clock_of
from dossr_video.video.mux.streams import (
    GPMD,
    TECHNICAL_KEYS,
    StreamMapping,
    describe,
    is_cover,
    is_muxed,
    lost_keys,
    map_streams,
)
from dossr_video.video.mux.times import PacketTimes
from dossr_video.video.pixels import has_alpha
from dossr_video.video.read.frame import Frame
from dossr_video.video.read.probe import open_source, probe
from dossr_video.video.read.pyav import PyavReader
from dossr_video.video.write.containers import Container
from dossr_video.video.write.writer import VideoSpec

MATROSKA_TICK = Fraction(1, 1000)  # seconds; mp4 and mov keep the source's time base


@dataclass(frozen=True)
class Proof:
    """All checks of one result."""

    checks: tuple[Check, ...]
    kept: str  # one line of the join's report

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
    pts: Sequence[int],
    originals: Iterable[NDArray[np.uint8]],
    cut: Cut | None = None,
    deflicker: bool = False,
    on_frame: Callable[[int], None] = lambda count: None,
) -> Proof:
    """Read `target` back whole.

    Args:
        target: what was written, under any name.
        source: what it was made of.
        joined: what was promised.
        spec: how the picture was to be written.
        container: of the target.
        pts: times of the frames that were written, in ticks of the spec.
        originals: of each of these frames the source's small picture, as `small_pictures` makes them.
        cut: the part of the source that was upscaled; None: all.
        deflicker: whether the light of single frames was changed on purpose.
        on_frame: gets the count of frames so far.
    """
    result = probe(target, max_pixels=spec.width * spec.height)
    clock = clock_of(source, cut)
    mappings = map_streams(source, container, cut=cut is not None)
    planned = [mapping for mapping in mappings if is_muxed(mapping) and mapping.stream.index not in joined.empty]
    planned.sort(
        key=lambda mapping: mapping.stream.kind == "attachment" or is_cover(mapping.stream)
    )  # muxers put them last
    checks = [
        *_pictures(
            target, Likeness(source.video, deflicker=deflicker), originals, spec, container, pts, clock, on_frame
        ),
        _duration(result, spec, container, pts, clock),
        _tags(result, spec),
        _description(planned, result, container),
        _chapters(joined, result, container),
        _metadata(source, result, lost_keys(source, container), joined.added),
        *_packets(source, target, planned, result, clock),
    ]
    return Proof(tuple(checks), joined.kept)


def small_pictures(frames: Iterable[Frame], source: VideoInfo) -> Iterator[NDArray[np.uint8]]:
    """What the proof looks at of each frame of the source: (H, W, 3), or (H, W, 4) with its opacity."""
    return (frame.small(small_size(source), alpha=source.alpha) for frame in frames)


def _pictures(
    target: Path,
    likeness: Likeness,
    originals: Iterable[NDArray[np.uint8]],
    spec: VideoSpec,
    container: Container,
    pts: Sequence[int],
    clock: Clock,
    on_frame: Callable[[int], None],
) -> Iterator[Check]:
    """Frame count, every time, whether every frame decodes, and what it shows."""
    tick = Fraction(0) if container.format in ("mp4", "mov") else MATROSKA_TICK
    late, count, damaged = 0.0, 0, 0
    alpha = has_alpha(spec.encoding.pix_fmt)
    with PyavReader(target, max_pixels=spec.width * spec.height) as made:
        for wanted, result, original in zip_longest(pts, made.frames(), originals):
            count += result is not None
            on_frame(count)
            if wanted is None or result is None:
                continue
            damaged += result.corrupt
            late = max(late, abs(float(result.pts * made.time_base - (wanted * spec.time_base - clock.start))))
            if original is not None:
                likeness.add(original, result.small((original.shape[1], original.shape[0]), alpha=alpha))
    exact = late <= float(tick)
    yield Check(
        "timestamps",
        exact and count == len(pts),
        "timestamps exact" + (" to the millisecond" if tick else "") if exact else f"off by up to {late:.6f} s",
    )
    yield Check("frames", count == len(pts), f"{count} of {len(pts)}")
    yield Check("decoding", not damaged, f"{damaged} frames are damaged" if damaged else "every frame decodes")
    yield from likeness.checks()


def _duration(result: SourceInfo, spec: VideoSpec, container: Container, pts: Sequence[int], clock: Clock) -> Check:
    """The picture's share: sound may go on after it."""
    end = float(pts[-1] * spec.time_base - clock.start + 1 / spec.frame_rate)
    # mp4 and mov count from where the first stream begins, Matroska and WebM from zero.
    begins = result.begins if container.format in ("mp4", "mov") else 0
    found = float((result.duration or 0) + begins)
    slack = 1 / float(spec.frame_rate) + 0.002
    return Check("duration", found >= end - slack, f"{found:.3f} s; the picture ends at {end:.3f} s")


def _tags(result: SourceInfo, spec: VideoSpec) -> Check:
    video = result.video
    wrong = []
    for name in ("primaries", "transfer", "matrix", "range"):
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
    lasting = {"default"} if container.format == "mov" else {"default", "forced"}
    wrong = []
    for mapping, found in zip_longest(planned, made):
        if mapping is None or found is None:
            wrong.append(f"{len(made)} in place of {len(planned)}")
            continue
        given = mapping.stream
        if given.kind != found.kind:
            wrong.append(f"{describe(given)} became {found.kind}")
        if not _same_language(given.language, found.language, container):
            wrong.append(f"language of {describe(given)} is {found.language}")
        if given.title not in (found.title, found.title or found.metadata.get("handler_name")):
            wrong.append(f"title of {describe(given)} is {found.title}")
        if "forced" in found.disposition and "forced" not in given.disposition:
            wrong.append(f"{describe(given)} is marked as forced")
        flags = lasting & set(given.disposition) - set(found.disposition)
        if flags and given.kind not in ("attachment", "video"):
            wrong.append(f"{describe(given)} is no longer {' '.join(sorted(flags))}")
    return Check("streams", not wrong, "; ".join(wrong) or f"{len(made)} beside the picture, named as they were")


def _same_language(given: str | None, found: str | None, container: Container) -> bool:
    untold = given in (None, "und") or (container.format == "mov" and written_in_quicktime(str(given)) is None)
    return untold or same_language(given, found)


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


def _metadata(source: SourceInfo, result: SourceInfo, lost: frozenset[str], added: Mapping[str, str]) -> Check:
    def plain(metadata: Any) -> dict[str, str]:
        return {key.lower(): value for key, value in metadata.items() if key.lower() not in TECHNICAL_KEYS}

    found = plain(result.metadata)
    wanted = plain({key: value for key, value in source.metadata.items() if key not in lost}) | dict(added)
    missing = [f"{key} is missing" for key, value in wanted.items() if not _alike(key, value, found.get(key))]
    more = [f"{key} was not there" for key in found if key not in wanted]
    return Check("metadata", not missing + more, ", ".join(missing + more) or "all entries")


def _alike(key: str, wanted: str, found: str | None) -> bool:
    if key == "creation_time" and found is not None:  # muxers write dates their own way, to the second
        return found[:19].replace(" ", "T") == wanted[:19].replace(" ", "T")
    if key.startswith("location") and found is not None:  # ISO 6709, kept in 16.16 fixed point
        places = [[float(number) for number in re.findall(r"[+-][\d.]+", text)] for text in (wanted, found)]
        return len(places[0]) == len(places[1]) and all(abs(a - b) < 1e-4 for a, b in zip(*places, strict=True))
    return found == wanted


def _packets(
    source: SourceInfo, target: Path, planned: Sequence[StreamMapping], result: SourceInfo, clock: Clock
) -> Iterator[Check]:
    """Every packet of every copied stream, by hash; the count of subtitles where they were converted."""
    made = [stream for stream in result.streams if stream.kind != "data" or stream.codec == GPMD]
    before = _hashes(source.path, [mapping.stream for mapping in planned], PacketSelector(source, clock), clock)
    after = _hashes(target, made, lambda packet: True, Clock(Fraction(0), None, cut=False))
    for mapping, stream in zip(planned, made, strict=False):
        count, digest, times = before[mapping.stream.index]
        found, found_digest, found_times = after[stream.index]
        name = describe(mapping.stream)
        late = times.difference(found_times, every=mapping.action == "copy" or mapping.stream.kind == "subtitle")
        if late is not None:
            yield Check(f"times of {name}", False, late)
        if mapping.action == "copy":
            same = digest == found_digest
            yield Check(
                name,
                same,
                f"{found} of {count} {'bytes' if _flows(mapping.stream.codec) else 'packets'}"
                + (", bit for bit" if same else ", changed"),
            )
        elif mapping.stream.kind == "subtitle":
            yield Check(name, found == count, f"{found} of {count} events, converted")
        else:
            yield Check(name, found > 0 or count == 0, f"{found} packets, converted")


def _hashes(
    path: Path, streams: Iterable[StreamInfo], selects: Callable[[Any], bool], clock: Clock
) -> dict[int, tuple[int, bytes, PacketTimes]]:
    """Number of packets, one hash over all of them, and their times, by stream index; of the selected packets."""
    times = {stream.index: PacketTimes() for stream in streams}
    states = {stream.index: hashlib.blake2b() for stream in streams}
    counts = dict.fromkeys(states, 0)
    with open_source(path) as container:
        for stream in container.streams:
            if stream.index in states and stream.type == "attachment":
                attachment: Any = stream
                states[stream.index].update(attachment.data)
                counts[stream.index] = 1
        chosen = [s for s in container.streams if s.index in states and s.type != "attachment"]
        for packet in _readable(container, chosen):
            if not selects(packet):
                continue
            content = bytes(packet)
            if packet.stream.type == "subtitle" and len(content) <= 2:
                continue  # mov_text fills the time between two subtitles with empty ones
            if has_start_codes(packet.stream):
                content = with_lengths(content)
            if has_adts(packet.stream):
                bare = without_adts(content)
                if bare is None:
                    continue  # joining leaves it out and says so
                content = bare
            context = packet.stream.codec_context
            whole = context is None or not _flows(context.codec.canonical_name)
            times[packet.stream.index].add(packet, clock, flows=not whole)
            states[packet.stream.index].update(len(content).to_bytes(4, "little") + content if whole else content)
            counts[packet.stream.index] += 1 if whole else len(content)
    return {index: (counts[index], state.digest(), times[index]) for index, state in states.items()}


def _flows(codec: str | None) -> bool:
    """Whether muxers cut a codec's bytes into packets as they like: PCM, and the segments of Blu-ray subtitles."""
    return codec is not None and (codec.startswith("pcm_") or codec == "hdmv_pgs_subtitle")


def _readable(container: Any, streams: Sequence[Any]) -> Iterator[Any]:
    """Packets up to the first that cannot be read: joining stops there too, and says so."""
    if not streams:
        return
    try:
        yield from (packet for packet in container.demux(streams) if packet.size)
    except av.FFmpegError:
        return
