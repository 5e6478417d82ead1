from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from dossr_video.errors import SourceError
from dossr_video.video.read.probe import probe


def test_a_rich_file_is_described(media):
    info = probe(media("full.mkv"))
    assert info.container == "matroska,webm"
    assert [(s.kind, s.codec, s.language) for s in info.streams] == [
        ("audio", "aac", "eng"),
        ("audio", "ac3", "fra"),
        ("subtitle", "subrip", "eng"),
        ("subtitle", "ass", None),
        ("attachment", None, None),
    ]
    assert [chapter.title for chapter in info.chapters] == ["Intro", "Main é"]
    assert info.chapters[1].end == 2
    assert "forced" in info.streams[2].disposition
    assert info.metadata["title"] == "A title"
    video = info.video
    assert (video.width, video.height, video.frame_rate, video.time_base) == (160, 96, 25, Fraction(1, 1000))
    assert (video.color.primaries, video.color.transfer, video.color.matrix, video.color.range) == (
        "bt709", "bt709", "bt709", "tv",
    )  # fmt: skip


def test_hdr_data_is_read(media):
    hdr = probe(media("hdr10.mp4")).video.hdr
    assert hdr.light_level == (1000, 400)
    assert hdr.mastering is not None
    assert hdr.mastering[:2] == (Fraction(34000, 50000), Fraction(16000, 50000))
    assert hdr.mastering[8:] == (Fraction(50, 10000), 1000)


@pytest.mark.parametrize(
    ("name", "field_order", "aspect"),
    [("pal_tff.mpg", "tff", Fraction(16, 15)), ("h264_bff.mkv", "bff", Fraction(16, 15))],
)
def test_interlacing_and_aspect(media, name, field_order, aspect):
    video = probe(media(name)).video
    assert video.interlaced
    assert video.field_order == field_order
    assert video.sample_aspect_ratio == aspect


def test_rotation_is_kept_apart_from_the_stored_size(media):
    video = probe(media("rotated.mp4")).video
    assert (video.width, video.height, video.rotation) == (160, 96, 90)
    assert video.display_matrix is not None


@pytest.mark.parametrize("name", ["alpha.webm", "alpha.mov"])
def test_alpha_is_seen(media, name):
    assert probe(media(name)).video.alpha


def test_arbitrary_clocks_begin_at_zero(media):
    assert probe(media("hour.ts")).start > 3600
    assert probe(media("late.mp4")).start == 0


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_index.mp4", "cut before its index"),
        ("sound_only.mka", "no video stream"),
    ],
)
def test_what_cannot_be_read_is_refused_with_the_reason(media, name, message):
    with pytest.raises(SourceError, match=message):
        probe(media(name))


def test_no_file_a_folder_an_empty_file_and_no_video(tmp_path: Path):
    with pytest.raises(SourceError, match="does not exist"):
        probe(tmp_path / "none.mp4")
    with pytest.raises(SourceError, match="is a folder"):
        probe(tmp_path)
    empty = tmp_path / "empty.mp4"
    empty.touch()
    with pytest.raises(SourceError, match="is empty"):
        probe(empty)
    text = tmp_path / "text.mp4"
    text.write_text("not a video\n" * 100)
    with pytest.raises(SourceError, match="is not a video"):
        probe(text)


def test_frames_larger_than_allowed_are_refused_before_they_are_decoded(media):
    with pytest.raises(SourceError, match="160x96; at most 1000 pixels"):
        probe(media("plain.mp4"), max_pixels=1000)
