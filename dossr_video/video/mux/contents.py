"""What the streams of a file hold, packet by packet: by it two files are compared, and one is known again later."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from dossr_video.video.info import SourceInfo
from dossr_video.video.mux.packets import Clock
from dossr_video.video.mux.pcm import PcmWindow
from dossr_video.video.mux.remux import JoinReport
from dossr_video.video.mux.stored import stored
from dossr_video.video.mux.streams import describe
from dossr_video.video.mux.subtitles import Event, OneAtATime, read_event
from dossr_video.video.mux.times import PacketTimes
from dossr_video.video.read.opening import open_source
from dossr_video.video.read.probe import probe, probe_streams

WHOLE = Clock(Fraction(0), None, cut=False)


@dataclass(frozen=True)
class StreamContent:
    """The packets of one stream."""

    count: int  # packets; bytes where `flows`
    digest: str  # of their bytes
    times: PacketTimes
    flows: bool  # whether muxers cut the codec's bytes into packets as they like


@dataclass(frozen=True)
class StreamRecord:
    """The same as text, for a report."""

    stream: str  # as people read it
    count: int  # packets; bytes of PCM and the like
    digest: str  # of the bytes of all packets
    times: str  # digest of the times of all packets


def records_of(info: SourceInfo, contents: Mapping[int, StreamContent]) -> tuple[StreamRecord, ...]:
    """Of all streams of a file, the picture first; `contents`: as `read_streams` gives them."""
    return tuple(
        StreamRecord(describe(stream), content.count, content.digest, content.times.digest())
        for stream in (info.video.stream, *info.streams)
        for content in (contents[stream.index],)
    )


def read_result(target: Path, joined: JoinReport, *, max_pixels: int) -> tuple[SourceInfo, dict[int, StreamContent]]:
    """What a result is, and what each of its streams holds.

    Those of a file beside pictures count as the picture's own, numbered after it.
    """
    info = probe(target, max_pixels=max_pixels, choice=joined.choice)
    if joined.beside is None:
        return info, read_streams(target, [stream.index for stream in (info.video.stream, *info.streams)])
    other = target.with_name(joined.beside)
    streams, chapters, metadata = probe_streams(other)
    found = {index + 1: content for index, content in read_streams(other, [stream.index for stream in streams]).items()}
    numbered = tuple(replace(stream, index=stream.index + 1) for stream in streams)
    whole = replace(info, streams=numbered, chapters=chapters, metadata=metadata)
    return whole, read_streams(target, [info.video.stream.index]) | found


def read_streams(
    path: Path,
    streams: Iterable[int],
    *,
    selects: Callable[[Any], bool] = lambda packet: True,
    clock: Clock = WHOLE,
    windows: Mapping[int, PcmWindow] | None = None,
    parts: Mapping[int, OneAtATime] | None = None,
) -> dict[int, StreamContent]:
    """The content of some streams of a file, by their index in it.

    Of the selected packets, with times by the clock; of those with a window what it leaves of them. Of subtitles with
    `parts` those are counted and timed.
    """
    windows, parts = windows or {}, parts or {}
    times = {index: PacketTimes() for index in streams}
    states = {index: hashlib.blake2b(digest_size=32) for index in times}
    counts, flows = dict.fromkeys(times, 0), dict.fromkeys(times, False)
    with open_source(path) as container:
        for stream in container.streams:
            if stream.index in states and stream.type == "attachment":
                attachment: Any = stream
                states[stream.index].update(attachment.data)
                counts[stream.index] = 1
        chosen = [s for s in container.streams if s.index in states and s.type != "attachment"]
        flows |= {s.index: _flows(s) for s in chosen}
        for packet in _readable(container, chosen):
            if not selects(packet) or (content := stored(packet)) is None:
                continue
            index = packet.stream.index
            if index in parts:
                counts[index] += times[index].add_events(_parts(packet, parts[index], clock))
                continue
            times[index].add(packet, clock, flows=flows[index])
            if index in windows:
                unit, stamp = packet.stream.time_base, packet.pts if packet.pts is not None else packet.dts
                content = windows[index].take((stamp - clock.ticks(unit)) * unit, content)
            states[index].update(content if flows[index] else len(content).to_bytes(4, "little") + content)
            counts[index] += len(content) if flows[index] else 1
    for index, shown in parts.items():
        counts[index] += times[index].add_events(shown.rest())
    for index, window in windows.items():
        silence = window.rest()
        states[index].update(silence)
        counts[index] += len(silence)
    return {
        index: StreamContent(counts[index], state.hexdigest(), times[index], flows[index])
        for index, state in states.items()
    }


def _parts(packet: Any, parts: OneAtATime, clock: Clock) -> Iterator[Event]:
    try:
        event = read_event(packet, packet.stream.codec_context, clock)
    except av.FFmpegError:  # joining leaves it out too, and says so
        return
    if event is not None:
        yield from parts.add(event)


def _flows(stream: Any) -> bool:
    """Whether muxers cut a codec's bytes into packets as they like: PCM, and the segments of Blu-ray subtitles."""
    codec = None if stream.codec_context is None else stream.codec_context.codec.canonical_name
    return codec is not None and (codec.startswith("pcm_") or codec == "hdmv_pgs_subtitle")


def _readable(container: Any, streams: Sequence[Any]) -> Iterator[Any]:
    """Packets up to the first that cannot be read: joining stops there too, and says so."""
    if not streams:
        return
    try:
        yield from (packet for packet in container.demux(streams) if packet.size)
    except av.FFmpegError:
        return
