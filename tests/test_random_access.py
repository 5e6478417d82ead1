"""Frames of a clip in any order are what the stream gives."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

import dossr_video
from dossr_video import vapoursynth
from dossr_video.api import settings_and_model
from dossr_video.errors import DossrError, FramesError
from dossr_video.random_access import RandomAccess
from dossr_video.streaming import Recipe

COUNT = 24


@pytest.fixture(scope="module")
def clip() -> list[np.ndarray[Any, Any]]:
    """Three shots of 8 frames, with grain."""
    rng = np.random.default_rng(3)
    frames = []
    for number in range(COUNT):
        if number % 8 == 0:
            texture = np.kron(rng.integers(40, 200, (4, 6, 3), np.uint8), np.ones((8, 8, 1), np.uint8))
        frames.append(np.roll(texture, number, 1) + rng.integers(0, 5, texture.shape, np.uint8))
    return frames


def access(clip: list[Any], **options: Any) -> tuple[RandomAccess, list[int]]:
    """And the frames that are read, in their order."""
    seen: list[int] = []

    def read(number: int) -> Any:
        seen.append(number)
        return clip[number]

    settings, model = settings_and_model(None, options, None)
    return RandomAccess(read, len(clip), Recipe.of(settings, model), layout=None), seen


@pytest.mark.parametrize(
    "options",
    [
        {"model": "compact", "engine": "torch", "scale": 2, "grain": "keep"},
        {"model": "bicubic", "scale": 2, "dust": "0.5", "chunk": 3, "grain": "keep"},
    ],
)
def test_any_order_gives_what_the_stream_gives(clip: list[Any], options: dict[str, Any]) -> None:
    stream = list(dossr_video.upscale_stream(clip, **options))
    frames, _ = access(clip, **options)
    assert frames.size == stream[0].shape[:2]
    order = [*range(3, 7), 17, 2, *reversed(range(COUNT)), *np.random.default_rng(0).permutation(COUNT).tolist()]
    for number in order:
        assert np.array_equal(frames[number], stream[number]), number


def test_one_after_another_each_is_done_once(clip: list[Any]) -> None:
    frames, seen = access(clip, model="bicubic")
    for number in range(COUNT):
        frames[number]
    assert len(seen) < 3 * COUNT  # once for its cut, once for its result, a few to measure
    before = len(seen)
    frames[COUNT - 1]
    frames[COUNT - 5]
    assert len(seen) == before


def test_after_a_jump_a_shot_is_done_from_its_start(clip: list[Any]) -> None:
    frames, seen = access(clip, model="bicubic", dust="off")
    seen.clear()
    frames[18]
    assert min(seen) >= 16 - 9  # what is looked at to find the cut at 16


def test_threads_wait_for_each_other(clip: list[Any]) -> None:
    frames, _ = access(clip, model="bicubic")
    stream = list(dossr_video.upscale_stream(clip, model="bicubic"))
    found: dict[int, Any] = {}
    threads = [threading.Thread(target=lambda n=n: found.update({n: frames[n]})) for n in reversed(range(COUNT))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(np.array_equal(found[number], stream[number]) for number in range(COUNT))


def test_a_frame_that_could_not_be_read_may_be_asked_for_again(clip: list[Any]) -> None:
    spoilt = list(clip)
    frames, _ = access(spoilt, model="bicubic", dust="off")
    spoilt[4] = None
    for _ in range(2):
        with pytest.raises(FramesError):
            frames[5]
    spoilt[4] = clip[4]
    assert np.array_equal(frames[5], list(dossr_video.upscale_stream(clip, model="bicubic", dust="off"))[5])


def test_no_frames() -> None:
    with pytest.raises(FramesError, match="without frames"):
        access([], model="bicubic")


class Frame(list[Any]):
    """Planes, as a frame of VapourSynth has them."""


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_planes_are_read_and_written(dtype: type) -> None:
    frame = Frame(np.full((4, 6), number, dtype) for number in range(3))
    planes = vapoursynth.planes_of(frame)
    assert planes.shape == (3, 4, 6)
    if dtype == np.float32:
        assert planes.max() == 1  # conversions from YUV go beyond
    large = Frame(np.zeros((8, 12), dtype) for _ in range(3))
    vapoursynth.write_planes(large, planes.repeat(2, 1).repeat(2, 2))
    assert [plane[0, 0] for plane in large] == planes[:, 0, 0].tolist()


def test_a_clip_of_vapoursynth(clip: list[Any]) -> None:
    vs = pytest.importorskip("vapoursynth")
    blank = vs.core.std.BlankClip(format=vs.RGB24, width=48, height=32, length=COUNT)

    def made(n: int, f: Any) -> Any:
        frame = f.copy()
        vapoursynth.write_planes(frame, clip[n].transpose(2, 0, 1))
        frame.props["_Combed"] = n
        return frame

    source = blank.std.ModifyFrame(blank, made)
    large = vapoursynth.upscale(source, model="bicubic", scale=2, grain="keep")
    stream = list(dossr_video.upscale_stream(clip, model="bicubic", scale=2, grain="keep"))
    assert (large.width, large.height, large.num_frames, large.format.name) == (96, 64, COUNT, "RGB24")
    for number in (20, 3, 4, *range(COUNT)):
        frame = large.get_frame(number)
        assert np.array_equal(vapoursynth.planes_of(frame), stream[number].transpose(2, 0, 1))
        assert frame.props["_Combed"] == number
    for number, frame in enumerate(large.frames()):  # several at a time
        assert np.array_equal(vapoursynth.planes_of(frame), stream[number].transpose(2, 0, 1))
    yuv = vs.core.std.BlankClip(format=vs.YUV420P8, width=48, height=32, length=2)
    with pytest.raises(FramesError, match="YUV420P8 must be RGB") as error:
        vapoursynth.upscale(yuv, model="bicubic")
    assert "resize.Bicubic" in error.value.hint
    with pytest.raises(DossrError):
        vapoursynth.upscale(source, model="missing.pth")
