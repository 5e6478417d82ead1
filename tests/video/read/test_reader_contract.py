"""What every VideoReader promises: ffmpeg's frames at ffmpeg's times, the same wherever reading starts."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest
import torch

from dossr_video.errors import SourceError
from dossr_video.video.read.pyav import VideoReader
from dossr_video.video.read.reader import ReadSpec, open_reader

CLEAN = ["plain.mp4", "plain.mkv", "vfr.mp4", "late.mp4", "opengop.mp4"]
Open = Callable[[Path], VideoReader]


def loads(name: str) -> bool:
    try:
        import_module(name.replace("pyav", "av"))
    except (ImportError, OSError, RuntimeError):  # the last two of a library that it needs
        return False
    return True


@pytest.fixture(params=["pyav", "decord", "torchcodec"])
def open_file(request: pytest.FixtureRequest) -> Open:
    name = request.param
    if not loads(name):
        pytest.skip(f"the optional backend {name} is not installed or does not load: pip install 'dossr-video[{name}]'")
    return lambda path: open_reader(path, ReadSpec(reader=request.param))


@pytest.mark.parametrize("name", CLEAN)
def test_every_frame_comes_at_the_time_that_ffmpeg_says(media, judged, open_file: Open, name):
    with open_file(media(name)) as reader:
        assert [frame.pts for frame in reader.frames()] == [row.pts for row in judged(media(name))]
        assert reader.damage == []


@pytest.mark.parametrize("name", CLEAN)
def test_a_frame_is_the_same_wherever_reading_starts(media, open_file: Open, name):
    with open_file(media(name)) as reader:
        whole = [(frame.pts, frame.digest()) for frame in reader.frames()]
    assert len({digest for _, digest in whole}) == len(whole)
    for start, stop in ((len(whole) // 3, len(whole) // 2), (1, 3), (len(whole) - 1, len(whole))):
        with open_file(media(name)) as reader:
            end = whole[stop][0] if stop < len(whole) else None
            part = [(frame.pts, frame.digest()) for frame in reader.frames(whole[start][0], end)]
        assert part == whole[start:stop]


def test_reading_on_continues_and_going_back_works(media, open_file: Open):
    with open_file(media("vfr.mp4")) as reader:
        whole = [(frame.pts, frame.digest()) for frame in reader.frames()]
        pts = [time for time, _ in whole]
        parts = [
            [(frame.pts, frame.digest()) for frame in reader.frames(pts[start], pts[stop])]
            for start, stop in ((0, 10), (10, 20), (5, 10))
        ]
    assert parts == [whole[0:10], whole[10:20], whole[5:10]]


def test_a_time_without_a_frame_is_refused(media, open_file: Open):
    with open_file(media("plain.mp4")) as reader, pytest.raises(SourceError, match="no frame at 17 ticks"):
        next(reader.frames(17))


def test_pixels_arrive_as_rgb_in_range(media, open_file: Open):
    with open_file(media("plain.mp4")) as reader:
        frame = next(reader.frames())
        assert frame.rgb().shape == (3, 96, 160)
        assert frame.rgb().dtype == torch.float32
        assert 0 <= frame.rgb().min() < 0.1
        assert 0.9 < frame.rgb().max() <= 1
        assert frame.luma_small().shape == (48, 80)
        assert frame.alpha() is None


@pytest.mark.parametrize("name", CLEAN)
def test_all_show_the_same_colours(media, open_file: Open, name):
    with open_reader(media(name), ReadSpec()) as usual, open_file(media(name)) as reader:
        for wanted, found in zip(usual.frames(), reader.frames(), strict=True):
            assert abs(wanted.small((1, 1)).astype(int) - found.small((1, 1))).max() <= 2
