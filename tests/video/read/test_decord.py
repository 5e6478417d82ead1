"""decord: any frame at once, and refused where it would break the contract of test_reader_contract.py."""

from __future__ import annotations

import subprocess
import sys

import pytest

from dossr_video.errors import SourceError
from dossr_video.video.read.pyav import PyavReader

pytest.importorskip("decord", reason="the optional backend decord is not installed: pip install 'dossr-video[decord]'")

from dossr_video.video.read.decord import DecordReader


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
        ("untagged_hd.mp4", "another matrix"),
        ("rotated.mp4", "display matrix"),
    ],
)
def test_refused_with_the_reason_where_it_is_not_exact(media, name, reason):
    with pytest.raises(SourceError, match=reason):
        DecordReader(media(name))


def test_the_command_line_refuses_or_obeys(media, tmp_path):
    command = [sys.executable, "-m", "dossr_video", "--reader", "decord", "--model", "bicubic", "--duration", "0.2"]
    target = tmp_path / "result.mp4"
    refused = subprocess.run([*command, media("pal_tff.mpg"), target], capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert "error: decord does not read" in refused.stderr
    assert "must be deinterlaced" in refused.stderr
    assert "hint: leave out --reader decord" in refused.stderr
    assert list(tmp_path.iterdir()) == []
    obeyed = subprocess.run([*command, media("plain.mp4"), target], capture_output=True, text=True, check=False)
    assert obeyed.returncode == 0, obeyed.stderr
    assert "timestamps exact" in obeyed.stderr
