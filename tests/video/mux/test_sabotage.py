"""Results that are wrong in one way each: the proof finds every one of them, and no good one wrong."""

from __future__ import annotations

import random
from collections.abc import Callable
from types import SimpleNamespace

import av
import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from dossr_video.jobs.run import run_job
from dossr_video.video.mux.likeness import Likeness, small_size

Pictures = list[Tensor]
CLIP = ["-f", "lavfi", "-i", "testsrc2=size=192x112:rate=25:duration=1"]


def each(change: Callable[[Tensor], Tensor]) -> Callable[[Pictures], Pictures]:
    return lambda pictures: [change(picture) for picture in pictures]


def in_order(order: Callable[[list[int]], list[int]]) -> Callable[[Pictures], Pictures]:
    return lambda pictures: [pictures[i] for i in order(list(range(len(pictures))))]


def one(change: Callable[[Tensor], Tensor]) -> Callable[[Pictures], Pictures]:
    return lambda pictures: [change(picture) if i == 11 else picture for i, picture in enumerate(pictures)]


def shifted(picture: Tensor) -> Tensor:
    return torch.cat((picture[..., :1].expand(-1, -1, 8), picture[..., :-8]), dim=-1)


def exchanged(order: list[int], a: int, b: int) -> list[int]:
    order[a], order[b] = order[b], order[a]
    return order


PICTURES = {
    "flat": each(lambda picture: picture.mean((1, 2), keepdim=True).expand_as(picture)),
    "upside down": each(lambda picture: picture.flip(1)),
    "mirrored": each(lambda picture: picture.flip(2)),
    "half turn": each(lambda picture: picture.flip(1, 2)),
    "negative": each(lambda picture: 1 - picture),
    "grey": each(lambda picture: picture.mean(0, keepdim=True).expand_as(picture)),
    "red for blue": each(lambda picture: picture.flip(0)),
    "shifted": each(shifted),
    "one shifted": one(shifted),
    "one mirrored": one(lambda picture: picture.flip(2)),
    "one lighter": one(lambda picture: picture + 25 / 255),
    "one black": one(torch.zeros_like),
    "shuffled": in_order(lambda order: random.Random(3).sample(order, len(order))),
    "backwards": in_order(lambda order: order[::-1]),
    "frozen": in_order(lambda order: [min(i, 11) for i in order]),
    "one frozen": in_order(lambda order: [11 if i == 12 else i for i in order]),
    "neighbours exchanged": in_order(lambda order: exchanged(order, 11, 12)),
    "far ones exchanged": in_order(lambda order: exchanged(order, 3, 20)),
    "a frame late": in_order(lambda order: [max(i - 1, 0) for i in order]),
}


@pytest.mark.parametrize("kind", PICTURES)
def test_wrong_pictures_are_found(media, segments_of, tmp_path, kind):
    clip = media.folder / "moving.mp4"
    if not clip.exists():
        media.ffmpeg(*CLIP, "-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", clip)
    made = segments_of(clip, tmp_path / "result.mp4", change=PICTURES[kind])
    failed = {check.name for check in made.prove(made.join()).checks if not check.passed}
    assert failed
    assert failed <= {"pictures", "colour"}


GOOD = {
    "saturated text on black": "color=black:size=160x96,drawgrid=w=9:h=7:c=0x00ff00",
    "thin blue lines": "color=white:size=160x96,drawgrid=w=5:h=5:c=blue",
    "neon": "color=0x101010:size=160x96,drawgrid=w=20:h=30:t=2:c=magenta",
    "noise on black": "color=black:size=160x96,noise=alls=60:allf=t",
    "noise on red": "color=red:size=160x96,noise=alls=40:allf=t",
    "black": "color=black:size=160x96",
    "tiny": "testsrc2=size=16x16",
    "fade": "testsrc2=size=160x96,fade=in:0:12",
    "flashes": "color=gray:size=160x96,geq=lum='if(eq(mod(N,7),3),235,40+X/4)':cb=128:cr=128",
    "bars": "smptehdbars=size=160x96",
    "fractal": "mandelbrot=size=160x96",
    "cells": "life=size=160x96:mold=10:ratio=0.1:death_color=#C83232:life_color=#00ff00",
    "slow": "gradients=size=160x96:speed=0.01",
}


COMPACT = ("saturated text on black", "noise on black", "flashes", "slow")


@pytest.mark.parametrize(("name", "model"), [(n, "bicubic") for n in GOOD] + [(n, "compact") for n in COMPACT])
def test_good_pictures_pass(media, tmp_path, tiny, name, model):
    clip = tmp_path / "clip.mkv"
    lossy = ["-c:v", "libx264", "-preset", "veryfast", "-crf", 20, "-pix_fmt", "yuv420p"]
    media.ffmpeg("-f", "lavfi", "-i", GOOD[name], "-frames:v", 6 if model == "compact" else 20, *lossy, clip)
    report = run_job(clip, tmp_path / "result.mkv", tiny.model_copy(update={"model": model}))
    assert report.proof.passed


@pytest.mark.parametrize("axis", [0, 1])
def test_a_ramp_has_no_place_along_its_lines(axis):
    """Only rounding differs from line to line: a step of one code, one line higher in the result."""
    ramp = np.broadcast_to(np.linspace(0, 200, 40)[:, None, None], (40, 8, 3)).round().astype(np.uint8)
    before, after = ramp.copy(), ramp.copy()
    before[:, 4:] += 1
    after[:, 3:] += 1
    if axis:
        before, after = before.transpose(1, 0, 2), after.transpose(1, 0, 2)
    likeness = Likeness(SimpleNamespace(width=before.shape[1] * 4, height=before.shape[0] * 4))
    for _ in range(4):
        likeness.add(before, after)
    assert next(iter(likeness.checks())).passed


@pytest.mark.parametrize("axis", [0, 1])
def test_a_shift_across_lines_is_found(axis):
    lines = np.broadcast_to(np.float32(127) + 100 * np.sin(np.arange(320) / 40)[:, None, None], (320, 192, 3))
    whole = lines if axis == 0 else lines.transpose(1, 0, 2)
    video = SimpleNamespace(width=whole.shape[1], height=whole.shape[0])
    for moved, passed in ((0, True), (6, False)):
        likeness = Likeness(video)
        for _ in range(4):
            pictures = (np.roll(whole, shift, axis) for shift in (0, moved))
            small = (cv2.resize(picture, small_size(video), interpolation=cv2.INTER_AREA) for picture in pictures)
            likeness.add(*(picture.round().astype(np.uint8) for picture in small))
        assert next(iter(likeness.checks())).passed == passed


def rewritten(
    path,
    *,
    packet=lambda packet: None,
    chapters=lambda found: found,
    metadata=None,
    turned=False,
    without=(),
    languages=None,
    plain=False,
):
    """The same packets once more, with other times, chapters or tags; `without` leaves out streams by their kind."""
    other = path.with_name("other" + path.suffix)
    options = {"avoid_negative_ts": "disabled"}
    with av.open(path) as given, av.open(other, "w", container_options=options) as made:
        streams = {}
        for stream in given.streams:
            if stream.type in without:
                continue
            if stream.type == "attachment":
                made.add_attachment(stream.name, stream.mimetype, stream.data)
                continue
            out = made.add_stream_from_template(stream, opaque=True)
            out.metadata.update({**stream.metadata, **({"language": languages} if languages else {})})
            out.disposition = 0 if plain else stream.disposition
            streams[stream.index] = out
        if turned:
            made.streams.video[0].set_display_rotation(90)
        made.metadata.update({**given.metadata, **(metadata or {})})
        made.set_chapters(chapters(given.chapters()))
        for item in given.demux([given.streams[index] for index in streams]):
            if item.size and packet(item) is not False:
                item.stream = streams[item.stream.index]
                made.mux(item)
    other.replace(path)


def of_kind(kind: str, change: Callable[[int], int]) -> Callable[[av.Packet], None]:
    def packet(packet: av.Packet) -> None:
        if packet.stream.type == kind:
            packet.pts, packet.dts = change(packet.pts), change(packet.dts)

    return packet


def nth(kind: str, number: int, change: Callable[[av.Packet], bool | None]) -> Callable[[av.Packet], bool | None]:
    """Changes one packet, or leaves it out where the change is False."""
    seen = 0

    def packet(packet: av.Packet) -> bool | None:
        nonlocal seen
        if packet.stream.type != kind:
            return None
        seen += 1
        return change(packet) if seen == number else None

    return packet


def moved(packet: av.Packet) -> None:
    packet.pts += 15


STREAMS = {
    "unchanged": {},
    "picture late": {"packet": of_kind("video", lambda time: time + 40)},
    "one picture late": {"packet": nth("video", 30, moved)},
    "a packet of sound missing": {"packet": nth("audio", 20, lambda packet: False)},
    "a subtitle missing": {"packet": nth("subtitle", 1, lambda packet: False)},
    "no sound": {"without": ("audio",)},
    "no subtitles": {"without": ("subtitle",)},
    "no attachments": {"without": ("attachment",)},
    "another language": {"languages": "fin"},
    "nothing is default": {"plain": True},
    "a chapter missing": {"chapters": lambda found: found[:-1]},
    "another title of a chapter": {"chapters": lambda found: [{**c, "metadata": {"title": "x"}} for c in found]},
    "sound late": {"packet": of_kind("audio", lambda time: time + 2000)},
    "sound stretched": {"packet": of_kind("audio", lambda time: time * 11 // 10)},
    "sound 50 ms late": {"packet": of_kind("audio", lambda time: time + 50)},
    "subtitles late": {"packet": of_kind("subtitle", lambda time: time + 300)},
    "chapter ends": {"chapters": lambda found: [{**c, "end": c["end"] - 100_000_000} for c in found]},
    "chapter starts": {"chapters": lambda found: [{**c, "start": c["start"] + 100_000_000} for c in found]},
    "rotation": {"turned": True},
    "a tag": {"metadata": {"comment": "not of the source"}},
}


@pytest.mark.parametrize("kind", STREAMS)
def test_wrong_streams_are_found(media, segments_of, tmp_path, kind):
    made = segments_of(media("full.mkv"), tmp_path / "result.mkv", last=50)
    joined = made.join()
    rewritten(made.target, **STREAMS[kind])
    assert made.prove(joined).passed == (kind == "unchanged"), made.prove(joined).summary
