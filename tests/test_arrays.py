"""Frames of every kind are read as RGB in [0, 1] and written back as they were."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from dossr_video.arrays import as_frames, kind_of
from dossr_video.errors import DossrError, FramesError

RGB = np.random.default_rng(1).integers(0, 256, (6, 8, 3), np.uint8)
RGBA = np.dstack([RGB, RGB[..., :1]])

KINDS: dict[str, Any] = {
    "uint8 HWC": RGB,
    "uint8 CHW": RGB.transpose(2, 0, 1),
    "uint16": RGB.astype(np.uint16) * 257,
    "big-endian uint16": (RGB.astype(np.uint16) * 257).astype(">u2"),
    "float32": RGB.astype(np.float32) / 255,
    "float64": RGB / 255,
    "reversed channels": RGB[..., ::-1],
    "upside down": RGB[::-1],
    "RGBA": RGBA,
    "grey": RGB[..., 0],
    "grey with an axis": RGB[..., :1],
    "torch uint8": torch.from_numpy(RGB),
    "torch float": torch.from_numpy(RGB).permute(2, 0, 1).float() / 255,
    "torch half": (torch.from_numpy(RGB).permute(2, 0, 1).float() / 255).half(),
    "PIL": Image.fromarray(RGB),
    "PIL RGBA": Image.fromarray(RGBA),
    "PIL grey": Image.fromarray(RGB[..., 0]),
}


@pytest.mark.parametrize("name", KINDS)
def test_a_frame_comes_back_as_it_was(name: str) -> None:
    frame = KINDS[name]
    kind = kind_of(frame)
    picture, alpha = kind.read(frame)
    assert picture.shape == (3, 6, 8)
    assert (alpha is not None) == ("RGBA" in name)
    back = kind.write(picture, alpha)
    assert type(back) is type(frame)
    if isinstance(frame, torch.Tensor):
        assert back.dtype == frame.dtype
        assert torch.equal(back, frame)
        return
    assert np.asarray(back).dtype.name == np.asarray(frame).dtype.name
    np.testing.assert_allclose(np.asarray(back, np.float64), np.asarray(frame, np.float64), rtol=0, atol=1e-6)


def test_values_are_those_of_the_type() -> None:
    white = np.full((5, 6, 3), 65535, np.uint16)
    assert kind_of(white).read(white)[0].min() == 1


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (RGB.astype(np.int32), "int32 must be uint8"),
        (RGB[..., :2], r"shape \(6, 8, 2\) must be"),
        (np.zeros((3, 5, 3), np.uint8), "first or last"),
        ("frame.png", "type str must be a numpy array"),
        (Image.new("CMYK", (4, 4)), "mode CMYK"),
        (RGB[None], r"shape \(1, 6, 8, 3\) must be"),
    ],
)
def test_what_is_no_frame_is_refused(frame: Any, message: str) -> None:
    with pytest.raises(FramesError, match=message) as caught:
        kind_of(frame)
    assert isinstance(caught.value, DossrError)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("frame", [RGB.astype(np.float32), np.full((5, 6, 3), np.nan, np.float32)])
def test_floats_beyond_the_range_are_refused(frame: Any) -> None:
    with pytest.raises(FramesError, match=r"must be in \[0, 1\]"):
        kind_of(frame).read(frame)


def test_a_layout_settles_a_shape_that_may_be_read_both_ways() -> None:
    frame = np.zeros((3, 5, 3), np.uint8)
    assert kind_of(frame, "CHW").read(frame)[0].shape == (3, 5, 3)
    assert kind_of(frame, "HWC").read(frame)[0].shape == (3, 3, 5)
    with pytest.raises(FramesError, match="must be"):
        kind_of(np.zeros((9, 5, 3), np.uint8), "CHW")


def test_a_frame_of_another_kind_among_them_is_refused() -> None:
    with pytest.raises(FramesError, match="follows one of"):
        kind_of(RGB).read(RGBA)


@pytest.mark.parametrize(
    ("frames", "held", "count"),
    [
        (RGB, "one", 1),
        (RGB[..., 0], "one", 1),
        (Image.fromarray(RGB), "one", 1),
        (np.stack([RGB, RGB]), "array", 2),
        (np.zeros((7, 6, 8), np.uint8), "array", 7),
        (torch.zeros(2, 3, 6, 8), "array", 2),
        ([RGB, RGB], "list", 2),
        ((frame for frame in [RGB]), "list", 1),
        ([], "list", 0),
    ],
)
def test_one_frame_an_array_or_a_list(frames: Any, held: str, count: int) -> None:
    single, found = as_frames(frames, None)
    assert found == held
    assert len(list(single)) == count


def test_what_holds_no_frames_is_refused() -> None:
    with pytest.raises(FramesError, match="type int"):
        as_frames(5, None)
