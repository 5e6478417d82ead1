"""From a source through segments to a finished file, judged by ffmpeg and the proof."""

from __future__ import annotations

from fractions import Fraction

import av
import pytest

from dossr_video.errors import JobError, ProofError, TargetError
from dossr_video.video.mux.proof import _alike
from dossr_video.video.mux.remux import Cut
from dossr_video.video.read.probe import probe
from dossr_video.video.read.pyav import PyavReader

CASES = [
    ("full.mkv", ".mp4"), ("full.mkv", ".mkv"), ("vfr.mp4", ".mp4"), ("vfr.mp4", ".mkv"), ("plain.ts", ".mp4"),
    ("hour.ts", ".mkv"), ("editlist.mp4", ".mp4"), ("late.mp4", ".mp4"), ("late.mp4", ".mkv"), ("rotated.mp4", ".mp4"),
    ("hdr10.mp4", ".mp4"), ("mjpeg.avi", ".mp4"), ("odd.mkv", ".mp4"), ("anim.gif", ".mp4"), ("truncated.mp4", ".mp4"),
    ("corrupt.mkv", ".mkv"), ("pal_tff.mpg", ".mp4"), ("telecine.mpg", ".mkv"), ("mixed.mp4", ".mp4"),
    ("three_clocks.ts", ".mp4"), ("three_clocks.ts", ".mkv"), ("two_sizes.ts", ".mp4"), ("two_programs.ts", ".mp4"),
    ("empty_text.mkv", ".mp4"), ("late_chapter.mkv", ".mkv"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "suffix"), CASES)
def test_everything_is_kept_and_proved(media, segments_of, tmp_path, name, suffix):
    made = segments_of(media(name), tmp_path / f"result{suffix}")
    joined = made.join()
    proof = made.prove(joined)
    assert proof.passed, proof.summary
    assert "timestamps exact" in proof.summary


@pytest.mark.parametrize(
    ("name", "suffix", "encoder"),
    [
        ("plain.mp4", ".mkv", "ffv1"),
        ("ffv1_rgb.mkv", ".mkv", "ffv1"),
        ("ffv1_grey.mkv", ".mkv", "ffv1"),
        ("alpha.mov", ".mkv", "ffv1"),
        ("alpha.mov", ".mov", "prores_ks"),
        ("alpha.webm", ".webm", "libvpx-vp9"),
        ("hdr10.mp4", ".mkv", "libx265"),
        ("vfr.mp4", ".mp4", "libsvtav1"),
    ],
)
def test_every_encoder_keeps_times_tags_and_alpha(media, segments_of, tmp_path, name, suffix, encoder):
    made = segments_of(media(name), tmp_path / f"result{suffix}", encoder=encoder)
    joined = made.join()
    proof = made.prove(joined)
    assert proof.passed, proof.summary
    with PyavReader(made.target) as result:
        alpha = next(result.frames()).alpha()
    assert (alpha is not None) == made.reader.info.video.alpha


def test_ffmpeg_sees_the_same_sound_subtitles_and_chapters(media, segments_of, tmp_path, packet_hashes):
    made = segments_of(media("full.mkv"), tmp_path / "result.mkv")
    made.join()
    for streams in ("a:0", "a:1", "s:0", "s:1"):
        assert packet_hashes(made.target, streams) == packet_hashes(media("full.mkv"), streams)
    source, result = probe(media("full.mkv")), probe(made.target)
    assert result.chapters == source.chapters
    assert [s.language for s in result.streams] == [s.language for s in source.streams]
    assert [s.title for s in result.streams] == [s.title for s in source.streams]
    with av.open(str(made.target)) as container:
        attachment = container.streams.attachments[0]
        assert attachment.name == "probe.ttf"
        assert attachment.data == b"\x00\x01\x00\x00" + bytes(range(256))


def test_what_the_target_cannot_hold_is_named(media, segments_of, tmp_path):
    joined = segments_of(media("full.mkv"), tmp_path / "result.mp4").join()
    assert joined.kept == "kept: 2 audio, 2 subtitles, 2 chapters"
    named = ["attachment stream 5 (probe.ttf)", "subtitle stream 3 (subrip, eng)"]  # the second becomes the default
    assert [line.split(":")[0] for line in joined.lost] == named
    assert all("mov_text" in warning for warning in joined.warnings)


def test_webm_gets_opus_and_webvtt(media, segments_of, tmp_path):
    made = segments_of(media("full.mkv"), tmp_path / "result.webm")
    proof = made.prove(made.join())
    assert proof.passed, proof.summary
    assert [s.codec for s in probe(made.target).streams] == ["opus", "opus", "webvtt", "webvtt"]


def test_a_cut_takes_the_sound_alike(media, segments_of, tmp_path):
    made = segments_of(media("full.mkv"), tmp_path / "result.mp4", first=13, last=38)
    unit = made.spec.time_base
    cut = Cut(made.pts[0] * unit, made.pts[-1] * unit + Fraction(1, 25))
    joined = made.join(cut)
    proof = made.prove(joined)
    assert proof.passed, proof.summary
    with av.open(str(made.target)) as container:
        sound = [packet.pts * packet.time_base for packet in container.demux(audio=0) if packet.size]
    assert -0.05 < sound[0] <= 0
    assert 0.95 < sound[-1] < 1
    assert [chapter.title for chapter in probe(made.target).chapters] == ["Intro", "Main é"]


def test_segments_of_other_options_do_not_join(media, segments_of, tmp_path):
    made = segments_of(media("plain.mp4"), tmp_path / "result.mp4")
    other = segments_of(media("plain.mp4"), tmp_path / "other.mp4", pix_fmt="yuv444p")
    mixed = made._replace(segments=[made.segments[0], other.segments[1]])
    with pytest.raises(JobError, match="other codec parameters"):
        mixed.join()
    assert not made.target.exists()


def test_a_folder_that_is_gone_is_a_target_error(media, segments_of, tmp_path):
    made = segments_of(media("plain.mp4"), tmp_path / "result.mp4")
    with pytest.raises(TargetError):
        made._replace(target=tmp_path / "none" / "result.mp4").join()


@pytest.mark.parametrize("broken", ["time", "colour", "sound"])
def test_the_proof_finds_what_went_wrong(media, segments_of, tmp_path, broken):
    made = segments_of(media("plain.mp4"), tmp_path / "result.mp4")
    joined = made.join()
    if broken == "time":
        late = ["-bsf:v", "setts=pts=PTS+gt(N\\,5):dts=DTS+gt(N\\,5)"]
        media.ffmpeg("-i", made.target, "-c", "copy", *late, tmp_path / "late.mp4")
        (tmp_path / "late.mp4").rename(made.target)
    elif broken == "colour":
        made = made._replace(reader=PyavReader(media("rotated.mp4")), pts=made.pts)
        media.ffmpeg("-i", made.target, "-vf", "eq=brightness=0.1", "-c:a", "copy", tmp_path / "dim.mp4")
        (tmp_path / "dim.mp4").rename(made.target)
    else:
        media.ffmpeg("-i", made.target, "-c:v", "copy", "-c:a", "aac", "-af", "volume=0.5", tmp_path / "low.mp4")
        (tmp_path / "low.mp4").rename(made.target)
    proof = made.prove(joined)
    assert not proof.passed
    with pytest.raises(ProofError):
        proof.require(made.target)


@pytest.mark.parametrize(
    ("key", "wanted", "found", "alike"),
    [
        ("title", "A", "A", True),
        ("title", "A", None, False),
        ("creation_time", "2020-11-20T14:04:36.000000Z", "2020-11-20 14:04:36", True),
        ("location", "+52.3693+006.6761+10.534988/", "+52.3693+006.6761+10.534973/", True),
        ("location", "+52.3693+006.6761/", "+52.3793+006.6761/", False),
        ("location", "+52.3693+006.6761/", None, False),
    ],
)
def test_metadata_is_compared_as_containers_write_it(key: str, wanted: str, found: str | None, alike: bool) -> None:
    assert _alike(key, wanted, found) is alike


@pytest.mark.parametrize(
    ("suffix", "encoder"),
    [(".mp4", "libx265"), (".mkv", "libsvtav1"), (".mov", "prores_ks"), (".mov", "v210")],
)
def test_hlg_stays_ten_bits_of_hlg(media, segments_of, tmp_path, suffix, encoder):
    made = segments_of(media("hlg.mp4"), tmp_path / f"result{suffix}", encoder=encoder)
    proof = made.prove(made.join())
    assert proof.passed, proof.summary
    video = probe(made.target).video
    assert video.bit_depth >= 10
    color = video.color
    assert (color.primaries, color.transfer, color.matrix) == ("bt2020", "arib-std-b67", "bt2020nc")
    with PyavReader(media("hlg.mp4")) as source, PyavReader(made.target) as result:
        before, after = next(source.frames()).rgb(), next(result.frames()).rgb()
    assert (before - after).abs().max() < 8 / 1023
    # A ramp of more shades than 8 bits have: no banding that was not there.
    assert len((after[1, 48] * 1023).round().unique()) > 0.95 * len((before[1, 48] * 1023).round().unique())
    assert len((before[1, 48] * 1023).round().unique()) > 300


def test_chapters_keep_their_times_where_the_first_begins_late(media, segments_of, tmp_path):
    made = segments_of(media("late_chapter.mkv"), tmp_path / "result.mp4")
    joined = made.join()
    assert made.prove(joined).passed
    assert [(chapter.start, chapter.title or None) for chapter in probe(made.target).chapters] == [
        (0, None),
        (Fraction(1, 2), "x"),
        (1, None),
    ]
    assert any("put before the first" in warning for warning in joined.warnings)


def test_a_clock_that_begins_anew_goes_on_with_its_sound(media, segments_of, tmp_path):
    made = segments_of(media("three_clocks.ts"), tmp_path / "result.mp4")
    made.join()
    with av.open(str(made.target)) as container:
        times = [packet.pts * packet.time_base for packet in container.demux(video=0) if packet.size]
    assert len(times) == 150
    assert 5.9 < max(times) - min(times) < 6.1
    with av.open(str(made.target)) as container:
        sound = [packet.pts * packet.time_base for packet in container.demux(audio=0) if packet.size]
    assert 5.9 < sound[-1] - sound[0] < 6.1
    jumps = [damage for damage in made.reader.damage if "timestamps jump" in damage.what]
    assert len(jumps) == 2
    assert all(jump.seconds == jump.until for jump in jumps)


def test_pictures_of_another_size_are_brought_to_the_first(media):
    with PyavReader(media("two_sizes.ts")) as reader:
        shapes = {frame.rgb().shape for frame in reader.frames()}
        assert shapes == {(3, 96, 160)}
        assert any("change to 96x64" in damage.what for damage in reader.damage)
