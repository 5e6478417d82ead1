"""Held frames are known again after a codec; small motion is not taken for one."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from dossr_video.jobs.run import run_job
from dossr_video.settings import Settings
from dossr_video.temporal.duplicates import nearly_equal


def animation(frames: int) -> list[NDArray[np.uint8]]:
    """(240, 320): a disc that moves on every second frame, over a still background."""
    background = cv2.GaussianBlur(np.random.default_rng(0).random((240, 320), np.float32), (0, 0), 3)
    background = cv2.normalize(background, None, 0, 200, cv2.NORM_MINMAX).round().astype(np.uint8)
    return [cv2.circle(background.copy(), (200, 60 + t // 2), 3, 10, -1) for t in range(frames)]


def encoded(path: Path, frames: list[NDArray[np.uint8]], crf: int) -> list[NDArray[np.uint8]]:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=24, options={"crf": str(crf)})
        stream.height, stream.width = frames[0].shape
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="gray").reformat(format="yuv420p")))
        container.mux(stream.encode())
    with av.open(str(path)) as container:
        return [frame.reformat(format="gray").to_ndarray() for frame in container.decode(video=0)]


@pytest.mark.parametrize("crf", [18, 23])
def test_animation_on_twos(tmp_path: Path, crf: int) -> None:
    frames = encoded(tmp_path / "twos.mp4", animation(24), crf)
    assert not np.array_equal(frames[0], frames[1])  # the codec changed it: a hash would not do
    held = [nearly_equal([a], [b]) for a, b in pairwise(frames)]
    assert sum(held[0::2]) >= 11
    assert not any(held[1::2])


def test_a_slow_change_is_no_repeat_of_what_was_kept() -> None:
    kept = np.full((64, 64), 100, np.uint8)
    brighter = [np.full((64, 64), 100 + step, np.uint8) for step in (0, 1, 2)]
    assert [nearly_equal([kept], [luma]) for luma in brighter] == [True, False, False]


def test_a_few_pixels_that_move_are_seen() -> None:
    kept, luma = np.full((64, 64), 100, np.uint8), np.full((64, 64), 100, np.uint8)
    luma[10:12, 10:12] = 200
    assert not nearly_equal([kept], [luma])
    assert nearly_equal([kept[:5, :5]], [luma[:5, :5]])


def test_a_change_of_colour_alone_is_no_repeat(tmp_path: Path, tiny: Settings) -> None:
    """A red thing that becomes a blue one of the same luma, after ten frames."""
    with av.open(str(tmp_path / "in.mkv"), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "10"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        luma = np.random.default_rng(0).integers(60, 180, (12, 16), np.uint8).repeat(4, 0).repeat(4, 1)
        for number in range(20):
            chroma = np.full((2, 24, 32), 128, np.uint8)
            chroma[number // 10, 6:18, 8:24] = 190
            planes = np.concatenate([luma.reshape(48, 64), chroma.reshape(24, 64)])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(planes, format="yuv420p")))
        container.mux(stream.encode())
    report = run_job(
        tmp_path / "in.mkv", tmp_path / "out.mkv", Settings(**{**tiny.model_dump(exclude_unset=True), "dedupe": True})
    )
    assert report.proof.passed
    assert 10 <= report.duplicates < 19
