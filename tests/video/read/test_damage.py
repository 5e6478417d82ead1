"""Damage is listed by time code, in spans; nothing that can be decoded is lost, and the sound goes along."""

from __future__ import annotations

import pytest

from dossr_video.video.read.damage import Damage, Steps, note
from dossr_video.video.read.pyav import PyavReader


def test_what_lies_together_is_one_entry():
    found: list[Damage] = []
    for seconds in (1.0, 1.04, 1.9, 9.0, 1.04):
        note(found, seconds, "missing data")
    note(found, 1.5, "another thing")
    assert list(map(str, found)) == [
        "at 1.000 s to 1.900 s: missing data",
        "at 9.000 s: missing data",
        "at 1.500 s: another thing",
    ]


def test_gaps_count_only_where_the_rate_is_constant():
    steady, uneven = Steps(40), Steps(40)
    assert not any(steady.gap(step) for step in [40, 41, 39] * 5)
    assert steady.gap(400)
    assert not any(uneven.gap(step) for step in [40, 90, 33] * 5)
    assert not uneven.gap(400)


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("truncated.mp4", "cut off"),
        ("truncated.mkv", "cut off"),
        ("truncated.avi", "cut off"),
        ("hole.mkv", "frames are missing for the next"),
        ("corrupt.mkv", "concealed"),
    ],
)
def test_damage_is_told_and_the_rest_is_kept(media, judged, segments_of, tmp_path, name, what):
    with PyavReader(media(name)) as reader:
        frames = sum(1 for _ in reader.frames())
        assert any(what in str(damage) for damage in reader.damage)
    assert frames == len(judged(media(name)))
    made = segments_of(media(name), tmp_path / "result.mp4")
    proof = made.prove(made.join())
    assert proof.passed, proof.summary


@pytest.mark.parametrize("name", ["plain.mp4", "vfr.mp4", "late.mp4", "plain.ts", "editlist.mp4", "reordered.avi"])
def test_sound_files_are_not_called_damaged(media, name):
    with PyavReader(media(name)) as reader:
        assert sum(1 for _ in reader.frames()) > 10
        assert reader.damage == []


def test_a_broken_packet_of_sound_is_left_out_and_told(media, segments_of, tmp_path):
    made = segments_of(media("corrupt.ts"), tmp_path / "result.mp4")
    joined = made.join()
    assert any("damaged audio packets of stream 1 are left out" in warning for warning in joined.warnings)
