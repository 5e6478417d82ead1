"""PyAV on what only it reads: the contract's promises on awkward files, damage, alpha."""

from __future__ import annotations

import gc
import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch

from dossr_video.video.read.opening import open_source
from dossr_video.video.read.pyav import PyavReader

EXACT = [
    "full.mkv", "vfr.mp4", "plain.ts", "hour.ts", "editlist.mp4", "late.mp4", "opengop.mp4", "hdr10.mp4", "mjpeg.avi",
    "ffv1_422p10.mkv", "ffv1_rgb.mkv", "odd.mkv", "pal_tff.mpg", "rotated.mp4", "anim.gif", "reordered.avi",
]  # fmt: skip


def md5(frame) -> str:
    state = hashlib.md5()
    for memory in frame._frame.planes:
        lines = np.frombuffer(memory, np.uint8).reshape(-1, memory.line_size)
        width = av_line(frame._frame, memory)
        state.update(np.ascontiguousarray(lines[: memory.height, :width]))
    return state.hexdigest()


def av_line(frame, memory) -> int:
    packed = len(frame.planes) == 1
    bits = frame.format.padded_bits_per_pixel if packed else frame.format.components[0].bits
    return memory.width * ((bits + 7) // 8)


@pytest.mark.parametrize("name", EXACT)
def test_every_frame_and_time_is_what_ffmpeg_says(media, judged, name):
    path = media(name)
    with PyavReader(path) as reader:
        mine = [(frame.pts, md5(frame)) for frame in reader.frames()]
    assert mine == [(row.pts, row.md5) for row in judged(path)]
    assert reader.damage == []


@pytest.mark.parametrize("name", ["full.mkv", "vfr.mp4", "plain.ts", "editlist.mp4", "opengop.mp4", "pal_tff.mpg"])
def test_a_frame_is_the_same_wherever_reading_starts(media, name):
    with PyavReader(media(name)) as reader:
        whole = [(frame.pts, frame.digest()) for frame in reader.frames()]
    for start, stop in ((len(whole) // 3, len(whole) // 2), (1, 3), (len(whole) - 1, len(whole))):
        with PyavReader(media(name)) as reader:
            end = whole[stop][0] if stop < len(whole) else None
            part = [(frame.pts, frame.digest()) for frame in reader.frames(whole[start][0], end)]
        assert part == whole[start:stop]


def test_the_file_is_open_once_at_a_time(media, monkeypatch):
    """An open container holds the index: 16 MB of a two-hour film."""
    path = media("full.mkv")

    def open_counted(path: Path, **options: int) -> object:
        assert not any(link.samefile(path) for link in Path("/proc/self/fd").iterdir() if link.exists())
        return open_source(path, **options)

    gc.collect()  # readers that other tests have left
    with PyavReader(path) as reader:
        pts = [frame.pts for frame in reader.frames()]
        monkeypatch.setattr("dossr_video.video.read.pyav.open_source", open_counted)
        for start in (20, 5, 40, 1):
            assert next(reader.frames(pts[start])).pts == pts[start]


@pytest.mark.parametrize("name", ["truncated.mp4", "truncated.mkv"])
def test_truncated_file_gives_what_is_left_and_says_so(media, judged, name):
    with PyavReader(media(name)) as reader:
        pts = [frame.pts for frame in reader.frames()]
    assert pts == [row.pts for row in judged(media(name))]
    assert reader.damage[-1].what.startswith("the file is cut off")


def test_a_raw_stream_that_cannot_be_sought_is_read_from_its_start(media):
    with PyavReader(media("raw.264")) as reader:
        whole = [(frame.pts, frame.digest()) for frame in reader.frames()]
    assert len(whole) == 25
    with PyavReader(media("raw.264")) as reader:
        assert [(frame.pts, frame.digest()) for frame in reader.frames(whole[15][0])] == whole[15:]


def test_sound_longer_than_the_picture_is_no_damage(media):
    with PyavReader(media("long_sound.mp4")) as reader:
        assert sum(1 for _ in reader.frames()) == 10
    assert reader.damage == []


def test_corruption_inside_loses_no_frame_and_is_listed_by_time(media, judged):
    with PyavReader(media("corrupt.mkv")) as reader:
        pts = [frame.pts for frame in reader.frames()]
    assert len(pts) == len(judged(media("corrupt.mkv")))
    assert all(0 < damage.seconds < 2.1 for damage in reader.damage)
    assert reader.damage


@pytest.mark.parametrize("name", ["alpha.webm", "alpha.mov"])
def test_alpha_is_decoded(media, name):
    with PyavReader(media(name)) as reader:
        alpha = next(reader.frames()).alpha()
    assert alpha is not None
    ramp = torch.arange(160) / 160
    assert (alpha[0].mean(0) - ramp).abs().max() < 0.02
