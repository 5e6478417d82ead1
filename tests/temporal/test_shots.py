"""Cuts are found, and what only looks like one is not."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from dossr_video.temporal.shots import LOOK_AHEAD, SIZE, Luma, find_shots, split_shots

REAL = Path(__file__).parents[1] / "data" / "shots"


def scene(seed: int, frames: int, *, speed: float = 0.5, mean: float = 110) -> NDArray[np.float32]:
    """(frames, 48, 80): a texture that slides by `speed` pixels a frame."""
    texture = cv2.GaussianBlur(np.random.default_rng(seed).random((SIZE[0], 4096), np.float32), (0, 0), 2)
    texture = (texture - texture.mean()) / texture.std() * 35 + mean
    steps = [int(t * speed) for t in range(frames)]
    return np.stack([texture[:, step : step + SIZE[1]] for step in steps])


def lumas(*parts: NDArray[np.float32]) -> list[Luma]:
    return list(np.concatenate(parts).round().clip(0, 255).astype(np.uint8))


def mixed(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    weight = np.linspace(0, 1, len(a), dtype=np.float32)[:, None, None]
    return (1 - weight) * a + weight * b


def test_hard_cuts() -> None:
    clip = lumas(scene(1, 20), scene(2, 5), scene(3, 30, mean=60), scene(4, 10))
    assert list(find_shots(clip)) == [0, 20, 25, 55]


def test_a_cut_to_a_scene_of_the_same_brightness_in_fast_motion() -> None:
    assert list(find_shots(lumas(scene(1, 20, speed=1), scene(2, 20, speed=1)))) == [0, 20]


@pytest.mark.parametrize("length", [1, 2, 3])
def test_a_flash_is_no_cut(length: int) -> None:
    clip = scene(1, 40)
    clip[20 : 20 + length] = clip[20 : 20 + length] * 0.3 + 180
    assert list(find_shots(lumas(clip))) == [0]


def test_a_flash_at_a_cut_leaves_one_cut() -> None:
    before, after = scene(1, 20), scene(2, 20)
    after[0] = 250
    assert len(list(find_shots(lumas(before, after)))) <= 2


def test_fades_and_dissolves_are_no_cuts() -> None:
    a, b = scene(1, 60), scene(2, 60)
    black = np.full_like(a[:12], 16)
    assert list(find_shots(lumas(mixed(black, a[:12]), a[12:40], mixed(a[40:52], black), black))) == [0]
    assert list(find_shots(lumas(a[:30], mixed(a[30:40], b[:10]), b[10:40]))) == [0]


def test_a_whip_pan_is_no_cut() -> None:
    texture = scene(1, 1)[0]
    wide = cv2.resize(texture, (2400, SIZE[0]))
    places = np.concatenate([np.zeros(20), np.cumsum(np.r_[4, 12, 30, 60, 60, 60, 60, 30, 12, 4]), np.full(20, 332)])
    assert list(find_shots(lumas(np.stack([wide[:, int(x) : int(x) + SIZE[1]] for x in places])))) == [0]


@pytest.mark.parametrize("held", [2, 3, 4])
def test_drawings_held_for_some_frames_are_no_cuts(held: int) -> None:
    drawings = np.repeat(scene(1, 20, speed=4), held, axis=0)
    # The first change after a long hold has no neighbours to be compared with, so it may count.
    assert set(find_shots(lumas(drawings))) <= {0, held}


@pytest.mark.parametrize(
    ("name", "starts"), [("bikes", [0, 30, 76, 137, 187, 242]), ("roadtrip", [0, 42, 69]), ("nasa", [0, 17])]
)
def test_real_clips(name: str, starts: list[int]) -> None:
    with av.open(str(REAL / f"{name}.mp4")) as container:
        clip = [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]
    assert list(find_shots(clip)) == starts


def test_the_ends_of_a_file() -> None:
    assert list(find_shots([])) == []
    assert list(find_shots(lumas(scene(1, 1)))) == [0]
    assert list(find_shots(lumas(scene(1, 1), scene(2, 1)))) == [0, 1]
    assert list(find_shots(lumas(scene(1, 10), scene(2, 1)))) == [0, 10]


def test_a_cut_is_known_three_frames_later() -> None:
    read = 0

    def stream() -> Iterator[Luma]:
        nonlocal read
        for luma in lumas(scene(1, 20), scene(2, 80)):
            read += 1
            yield luma

    shots = find_shots(stream())
    assert (next(shots), read) == (0, 1 + LOOK_AHEAD)
    assert (next(shots), read) == (20, 21 + LOOK_AHEAD)


def test_shots_are_split_as_their_frames_stream_by() -> None:
    pictures = [np.full((48, 80), code, np.uint8) for code in [20] * 8 + [120] * 9 + [220] * 7]
    taken = 0

    def frames():
        nonlocal taken
        for picture in pictures:
            taken += 1
            yield picture

    lengths, ahead = [], []
    for shot in split_shots(frames(), lambda picture: picture):
        lengths.append(0)
        for _ in shot:
            lengths[-1] += 1
            ahead.append(taken - sum(lengths))
    assert lengths == [8, 9, 7]
    assert max(ahead) <= 4  # never a whole shot
