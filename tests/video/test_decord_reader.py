"""decord keeps the reader's contract where it is accepted, and is refused where it would not."""

from __future__ import annotations

import pytest

from dossr_video.errors import SourceError
from dossr_video.video.reader import PyavReader

pytest.importorskip("decord", reason="the optional backend decord is not installed: pip install 'dossr-video[decord]'")

from dossr_video.video.decord_reader import DecordReader


@pytest.mark.parametrize("name", ["plain.mp4", "plain.mkv", "vfr.mp4", "late.mp4", "opengop.mp4"])
def test_the_same_times_and_pictures_as_pyav(media, name):
    with PyavReader(media(name)) as pyav, DecordReader(media(name)) as decord:
        for ours, theirs in zip(pyav.frames(), decord.frames(), strict=True):
            assert ours.pts == theirs.pts
            assert (ours.rgb().mean((1, 2)) - theirs.rgb().mean((1, 2))).abs().max() < 2 / 255


def test_any_frame_at_once(media):
    with DecordReader(media("vfr.mp4")) as decord, PyavReader(media("vfr.mp4")) as pyav:
        frames = list(pyav.frames())
        assert len(decord) == len(frames)
        assert decord[40].pts == frames[40].pts
        part = [frame.pts for frame in decord.frames(frames[7].pts, frames[11].pts)]
        assert part == [frame.pts for frame in frames[7:11]]
        with pytest.raises(SourceError, match="no frame at"):
            decord.frames(frames[7].pts + 1)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("plain.ts", "lose frames"),
        ("pal_tff.mpg", "lose frames"),
        ("hdr10.mp4", "8 bits"),
        ("editlist.mp4", "edit list"),
        ("h264_bff.mkv", "interlaced"),
        ("ffv1_422p10.mkv", "not tried with ffv1"),
        ("alpha.webm", "no alpha"),
        ("rotated.mp4", "turns pictures"),
    ],
)
def test_refused_with_the_reason_where_it_is_not_exact(media, name, reason):
    with pytest.raises(SourceError, match=reason):
        DecordReader(media(name))
